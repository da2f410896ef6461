//! Edits of passing HTML.

pub mod inject;
