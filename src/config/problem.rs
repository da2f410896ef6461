//! What is wrong with a configuration, where, and what to write instead.
