//! The comparison itself: a bad proxy is caught.
