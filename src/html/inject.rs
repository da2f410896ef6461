//! Streaming insertion before the end of the body.
