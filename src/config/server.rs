//! Decoding of the keys that concern the process: addresses, state, delays, threads, logs.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use ipnet::IpNet;

use super::{
    decode::{Field, Section},
    delivery::{DeliverySettings, delivery},
    events::{Surroundings, events},
    file::Files,
    limits::{Limits, limits},
    listen::{Listener, address, listeners},
    log::{Log, log},
    network::MODES,
    outbound,
    state::{State, state},
    tree::Origin,
    trigger::addresses,
    value,
};
use crate::{
    delivery::route::Route,
    events::EventSettings,
    store::{Retention, fleet::FleetSettings},
    tracking::{network::Mode, site::StoredAddress, visitor::Seal},
};

/// What concerns the process.
#[derive(Debug, PartialEq, Eq)]
pub struct Server {
    /// Where visitors connect.
    pub listen: Vec<Listener>,
    /// Where operators connect.
    pub admin: SocketAddr,
    /// What operators must show there.
    pub admin_token: Option<String>,
    /// Under which names they may ask for it, besides its address.
    pub admin_hosts: Vec<String>,
    /// The folder of the store.
    pub state: PathBuf,
    /// The database that several instances share.
    pub fleet: Option<FleetSettings>,
    /// How long the store keeps what is over.
    pub retention: Retention,
    /// Seal our cookies; none: one is made in the state folder.
    pub secrets: Vec<String>,
    /// Whether tracking acts at all.
    pub tracking: Mode,
    /// Whose `X-Forwarded-*` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How long a thank-you page may wait for the disk.
    pub max_page_delay: Duration,
    /// How much of a visitor's address is stored.
    pub client_ip: StoredAddress,
    /// How many threads serve visitors.
    pub threads: usize,
    /// Defaults for delivery.
    pub delivery: DeliverySettings,
    /// The route of networks that say nothing of theirs.
    pub route: Route,
    /// What one visitor may cost.
    pub limits: Limits,
    /// Logs.
    pub log: Log,
    /// Event records.
    pub events: EventSettings,
}

/// Reads the keys of the root that concern the process.
pub fn server(section: &mut Section<'_>, files: Files<'_>) -> Server {
    let listen = section.get("listen");
    let trusted_proxies = section.get("trusted_proxies");
    let listen = listen.map(|field| listeners(&field, files, trusted_proxies.as_ref())).unwrap_or_default();
    let Admin { address: admin, token: admin_token, hosts: admin_hosts } =
        section.get("admin").and_then(|field| admin(&field)).unwrap_or_default();
    let threads = section.get("threads").and_then(|field| threads(&field));
    let state_field = section.get("state");
    let State { folder: state, fleet } =
        state_field.as_ref().map_or_else(|| State::beside(files.folder), |field| state(field, files));
    let client_ip = section.get("privacy").map(|field| client_ip(&field)).unwrap_or_default();
    let has_secret = section.contains("secret");
    if let (Some(field), true, false) = (&state_field, fleet.is_some(), has_secret) {
        field.error(
            "all instances of a fleet need the same `secret`, or visitors are strangers at the next one",
            Some("write `secret: ${THROUGHLINE_SECRET}` and set that variable to the same text everywhere".to_owned()),
        );
    }
    let route = outbound::route(section.get("delivery").as_ref(), None, &Route::default(), files);
    let log = section.get("log").map(|field| log(&field, files, client_ip)).unwrap_or_default();
    let around = Surroundings { files, route: &route, is_verbose: matches!(log.level, "debug" | "trace") };
    let events = section.get("events").map(|field| events(&field, around)).unwrap_or_default();
    Server {
        listen: if listen.is_empty() { vec![Listener::plain(DEFAULT_LISTEN)] } else { listen },
        admin: admin.unwrap_or(DEFAULT_ADMIN),
        admin_token,
        admin_hosts,
        state,
        fleet,
        retention: section.get("retention").map(|field| retention(&field)).unwrap_or_default(),
        secrets: section.get("secret").map(|field| secrets(&field)).unwrap_or_default(),
        tracking: section.get("tracking").and_then(|field| field.choice(&MODES)).unwrap_or_default(),
        trusted_proxies: trusted_proxies.map(|field| addresses(&field)).unwrap_or_default(),
        max_page_delay: section
            .get("max_page_delay")
            .and_then(|field| page_delay(&field))
            .unwrap_or(DEFAULT_PAGE_DELAY),
        client_ip,
        threads: threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get)),
        delivery: section
            .get("delivery")
            .map_or_else(DeliverySettings::default, |field| delivery(&field, DeliverySettings::default())),
        route,
        limits: section.get("limits").map(|field| limits(&field)).unwrap_or_default(),
        log,
        events,
    }
}

/// What `admin` says.
#[derive(Default)]
struct Admin {
    address: Option<SocketAddr>,
    token: Option<String>,
    hosts: Vec<String>,
}

fn admin(field: &Field<'_>) -> Option<Admin> {
    let mut section = field.section_with("listen")?;
    let listen = section.get("listen");
    let address = listen.as_ref().and_then(address);
    let token = section.get("token").and_then(|field| secret_text(&field, "token", "THROUGHLINE_ADMIN_TOKEN"));
    if let (Some(address), Some(listen), None) = (address, &listen, &token)
        && !address.ip().is_loopback()
        && !section.contains("token")
    {
        listen.error(
            "off loopback the admin port needs a token",
            Some("write `token: ${THROUGHLINE_ADMIN_TOKEN}`, or listen on 127.0.0.1".to_owned()),
        );
    }
    let hosts = section.get("hosts").map(|field| field.one_or_many()).unwrap_or_default();
    let name = |field: &Field<'_>| field.parse("the name of a host, without scheme and port");
    let hosts = hosts.iter().filter_map(name).map(|HostName(name)| name).collect();
    section.finish();
    Some(Admin { address, token, hosts })
}

/// A name without port, as browsers ask for it.
struct HostName(String);

impl FromStr for HostName {
    type Err = url::ParseError;

    fn from_str(text: &str) -> Result<Self, url::ParseError> {
        url::Host::parse(text).map(|host| Self(host.to_string()))
    }
}

/// A text that must not stand in the file itself.
pub(super) fn secret_text(field: &Field<'_>, name: &str, variable: &str) -> Option<String> {
    let scalar = value::secret(field)?;
    if scalar.origin == Origin::Written {
        field.error(
            format!("`{name}` is a secret and must not stand here in clear text"),
            Some(format!("write `${{{variable}}}` and set that variable, or {{ file: PATH }}")),
        );
        return None;
    }
    Some(scalar.text)
}

fn retention(field: &Field<'_>) -> Retention {
    let default = Retention::default();
    let Some(mut section) = field.section() else { return default };
    let mut kept = |name, default| section.get(name).and_then(|field| field.duration()).unwrap_or(default);
    let retention = Retention {
        history: kept("history", default.history),
        journeys: kept("journeys", default.journeys),
        dead_letters: kept("dead_letters", default.dead_letters),
    };
    section.finish();
    retention
}

fn secrets(field: &Field<'_>) -> Vec<String> {
    let read = |field: Field<'_>| {
        let text = secret_text(&field, "secret", "THROUGHLINE_SECRET")?;
        if let Err(short) = Seal::new([text.as_str()]) {
            field.error(short.to_string(), Some("make one with `openssl rand -base64 32`".to_owned()));
        }
        Some(text)
    };
    field.one_or_many().into_iter().filter_map(read).collect()
}

fn client_ip(field: &Field<'_>) -> StoredAddress {
    let Some(mut section) = field.section_with("client_ip") else { return StoredAddress::default() };
    let client_ip = section.get("client_ip").and_then(|field| field.choice(&ADDRESSES)).unwrap_or_default();
    section.finish();
    client_ip
}

fn page_delay(field: &Field<'_>) -> Option<Duration> {
    let delay = field.duration()?;
    if delay > Duration::from_mins(1) {
        field.error("no visitor waits longer than a minute", Some("50ms is the default".to_owned()));
        return None;
    }
    if delay > FELT {
        field.warn(
            "with a slow disk, buyers wait this long for their thank-you page",
            Some("50ms is the default; conversions that take longer are written all the same".to_owned()),
        );
    }
    Some(delay)
}

fn threads(field: &Field<'_>) -> Option<usize> {
    if field.text()? == "auto" {
        return None;
    }
    let threads = field.parse::<usize>("a number of threads, or `auto`")?;
    if !(1..=1024).contains(&threads) {
        field.error(
            format!("{threads} threads are out of range"),
            Some("write `auto`, or a number from 1 to 1024".to_owned()),
        );
        return None;
    }
    Some(threads)
}

pub(super) const ADDRESSES: [(&str, StoredAddress); 2] =
    [("truncate", StoredAddress::Truncated), ("full", StoredAddress::Full)];
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8000);
const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9180);
/// Longer, and a person feels it.
const FELT: Duration = Duration::from_millis(500);
const DEFAULT_PAGE_DELAY: Duration = Duration::from_millis(50);
