//! Throughline carries an ad click to its conversion: a reverse proxy in front of a site that nobody
//! has to touch.
//!
//! # A request's walk
//!
//! 1. [`proxy::listener`] accepts a connection, finds out whose it is ([`proxy::preamble`]: the PROXY
//!    protocol, TLS, the version of HTTP) and hands it to Pingora; [`proxy::watch`] ends those that take
//!    too much time.
//! 2. [`proxy::service`] judges the request ([`proxy::refusal`]), believes or disbelieves what it says of
//!    others ([`proxy::forwarding`]), finds the site by its host and arms the tracking module.
//! 3. [`proxy::module`] shows the request to [`tracking::visit::Visit`], which reads what may be needed
//!    later: click IDs, fields of a conversion. Most requests bring nothing and are left alone.
//! 4. [`proxy::upstream`] chooses one of the site's servers, and another if that one fails.
//! 5. The site answers. The visit plans: cookies, rows for the outbox, dedup keys, pixels.
//! 6. The module carries the plan out: it sets cookies, has the [`store`] write rows to disk before the
//!    head of the page leaves, amends the page's policy ([`html::csp`]), and lets [`html::inject`] edit the
//!    passing page, decoded by [`html::coding`] if it comes compressed.
//! 7. [`delivery`] takes the rows, renders them ([`tracking::postback`]), sends them (several in one request
//!    where a network takes lists), reads the answers ([`tracking::verdict`]) and settles.
//! 8. [`events`] tells of all that to whoever wants to know: files, warehouses, people who watch. The request
//!    leaves a line in the [`access`] log and a span in its [`trace`], where they are wanted.
//!
//! On a fleet, [`store::Forwarder`] moves the rows from each node's disk to the database that all nodes
//! share ([`store::fleet`]), and delivery takes them from there.
//!
//! [`reload`] takes up a changed configuration while all this goes on: a request keeps to its end the
//! [`proxy::edition`] that it began with. A newer process takes over from a running one by [`handover`];
//! a service manager hears of it by [`supervisor`].
//!
//! # The map
//!
//! [`cli`] and [`admin`] are the two faces that operators see: the command line, and the port with metrics,
//! health and the console. What both do with requests and with the outbox stands in `explain` and `operator`.
//!
//! [`tracking`] and [`html`] are pure: no Pingora, no runtime, no files, no clock, no randomness. They are
//! all there is without the feature `server`. [`config`] turns YAML into the types of the other modules;
//! of these [`proxy`] alone imports it, for listeners, limits and upstreams, and [`reload`]. Only [`proxy`] names Pingora.

#[cfg(feature = "server")]
pub mod access;
#[cfg(feature = "server")]
pub mod admin;
#[cfg(feature = "server")]
pub mod cli;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod delivery;
#[cfg(feature = "server")]
pub mod events;
#[cfg(feature = "server")]
mod explain;
#[cfg(feature = "server")]
pub mod guide;
#[cfg(feature = "server")]
pub mod handover;
pub mod html;
#[cfg(feature = "server")]
pub mod metrics;
#[cfg(feature = "server")]
mod operator;
#[cfg(feature = "server")]
pub mod proxy;
#[cfg(feature = "server")]
pub mod reload;
#[cfg(feature = "server")]
mod sheet;
#[cfg(feature = "server")]
pub mod store;
#[cfg(feature = "server")]
pub mod supervisor;
#[cfg(feature = "server")]
pub mod throttle;
#[cfg(feature = "server")]
pub mod trace;
pub mod tracking;
