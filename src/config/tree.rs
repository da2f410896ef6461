//! A YAML document with the place of every node.
