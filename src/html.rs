//! Edits of passing HTML.
//!
//! Everything here works on bytes and knows nothing of requests, networks or the proxy.

pub mod inject;
pub mod pixel;
