//! Throughline as an operator runs it: the real binary between real sockets.
//!
//! Every test is a story of four parties: an origin (the site), a visitor (the browser), an ad
//! network, and the proxy between them. Nothing is mocked and nothing sleeps for luck: what a test
//! expects, it awaits with a deadline.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a story that cannot go on should panic, and it lives among real clocks and files"
)]

mod access;
mod attribution;
mod backup;
mod batches;
mod browser;
mod bypass;
mod caches;
mod canary;
mod certificates;
mod clock;
mod commands;
mod consent;
mod console;
mod conversions;
mod csp;
mod damage;
mod dead_letters;
mod delivery;
mod demo;
mod differential;
mod embed;
mod errors;
mod events;
mod examples;
mod explain;
mod faults;
mod fleet;
mod forwarding;
mod grpc;
mod handover;
mod isolation;
mod journeys;
mod kill;
mod landing;
mod large;
mod late;
mod limits;
mod listeners;
mod logs;
mod modes;
mod multiplexed;
mod networks;
mod operator;
mod outages;
mod outbound;
mod owed;
mod pages;
mod payments;
mod pixels;
mod preambles;
mod preview;
mod proof;
mod races;
mod reloads;
mod request_ids;
mod shadow;
mod shops;
mod shutdown;
mod slow_clients;
mod smuggling;
mod soak;
mod stalls;
mod storm;
mod streams;
mod support;
mod support_works;
mod thank_you;
#[cfg(feature = "otel")]
mod traces;
mod tunnels;
mod upstreams;
mod watching;
