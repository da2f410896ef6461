//! The decision core.

pub mod event;
pub mod postback;
pub mod timestamp;
pub mod verdict;
