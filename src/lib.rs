//! Throughline carries an ad click to its conversion: a reverse proxy in front of a site that nobody
//! has to touch.
//!
//! # A request's walk
//!
//! 1. [`proxy::service`] finds the site by its host and arms the tracking module.
//! 2. [`proxy::module`] shows the request to [`tracking::visit::Visit`], which reads what may be needed
//!    later: click IDs, fields of a conversion. Most requests bring nothing and are left alone.
//! 3. The site answers. The visit plans: cookies, rows for the outbox, dedup keys, pixels.
//! 4. The module carries the plan out: it sets cookies, has the [`store`] write rows to disk before the
//!    head of the page leaves, and lets [`html::inject`] edit the passing page.
//! 5. [`delivery`] takes the rows, renders them ([`tracking::postback`]), sends them, reads the answers
//!    ([`tracking::verdict`]) and settles.
//!
//! # The map
//!
//! [`tracking`] and [`html`] are pure: no Pingora, no runtime, no files, no clock, no randomness. They are
//! all there is without the feature `server`. [`config`] turns YAML into the types of the other modules;
//! none of them imports it, except to be built. Only [`proxy`] names Pingora.

#[cfg(feature = "server")]
pub mod admin;
#[cfg(feature = "server")]
pub mod cli;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod delivery;
pub mod html;
#[cfg(feature = "server")]
pub mod metrics;
#[cfg(feature = "server")]
pub mod proxy;
#[cfg(feature = "server")]
pub mod store;
pub mod tracking;
