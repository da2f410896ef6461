//! Throughline.

#[cfg(feature = "server")]
pub mod cli;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod delivery;
pub mod html;
#[cfg(feature = "server")]
pub mod store;
pub mod tracking;
