//! From a YAML file to the types of the other modules.
//!
//! Three steps: `tree` reads the text into nodes that know their places, `decode` offers the
//! accessors that turn nodes into values, and `problem` gathers whatever is wrong on the way, so
//! that one run shows an operator every mistake. None of the other modules imports this one.

pub mod decode;
pub mod problem;
pub mod tree;
pub mod units;
