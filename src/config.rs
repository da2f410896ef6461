//! From a YAML file to the types of the other modules.

pub mod problem;
pub mod tree;
