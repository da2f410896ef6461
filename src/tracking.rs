//! The decision core: what a request brings, what the site's answer makes of it, what a network is
//! told, and what its answer means.
//!
//! Everything here is a function of its arguments: no clock, no randomness, no files, no network. A
//! site's rules are compiled once ([`site::SiteRules`]); a request becomes a [`visit::Visit`], which
//! returns plans for others to carry out; an [`event::Event`] becomes a request by
//! [`postback::PostbackRule`], and the answer is read by [`verdict::VerdictRules`].

pub mod click;
pub mod conversion;
pub mod cookie;
pub mod device;
pub mod event;
pub mod human;
pub mod matcher;
pub mod network;
pub mod postback;
pub mod site;
pub mod target;
pub mod template;
pub mod timestamp;
pub mod value;
pub mod verdict;
pub mod visit;
pub mod visitor;
