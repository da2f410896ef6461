//! Passing pages: whether one may be edited, and the edit itself.
//!
//! Bytes in, bytes out; nothing here knows why a page is edited.

pub mod bridge;
pub mod charset;
pub mod coding;
pub mod csp;
pub mod extract;
pub mod frame;
pub mod inject;
pub mod page;
pub mod pixel;
