//! `throughline demo`: a shop, the proxy and the ad networks on one machine, to click through.

pub mod network;
pub mod shop;

/// The proxy's configuration, with `{{shop}}`, `{{network}}` and `{{state}}` to fill in.
pub const CONFIGURATION: &str = include_str!("demo.yaml");

/// What the command prints when all is up, with `{{network}}` to fill in.
pub const GUIDE: &str = include_str!("demo/guide.txt");
