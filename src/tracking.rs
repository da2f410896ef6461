//! The decision core: what a request brings, what the site's answer makes of it, what a network is
//! told, and what its answer means.
//!
//! Everything here is a function of its arguments: no clock, no randomness, no files, no network. A
//! site's rules are compiled once ([`site::SiteRules`]); a request becomes a [`visit::Visit`], which
//! returns plans for others to carry out; an [`event::Event`] becomes a request by
//! [`postback::PostbackRule`], and the answer is read by [`verdict::VerdictRules`].

pub mod amount;
pub mod basket;
pub mod body;
pub mod bot;
pub mod capture;
pub mod channel;
pub mod click;
pub mod consent;
pub mod conversion;
pub mod cookie;
pub mod device;
pub mod digest;
pub mod event;
pub mod grounds;
pub mod human;
pub mod journey;
pub mod late;
pub mod mask;
pub mod matcher;
pub mod network;
pub mod personal;
pub mod postback;
pub mod preview;
pub mod site;
pub mod target;
pub mod template;
pub mod timestamp;
pub mod trigger;
pub mod value;
pub mod verdict;
pub mod visit;
pub mod visitor;
