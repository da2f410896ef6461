//! The keys of the root: addresses, state, delays, logs, and what all sites share.

use serde_json::json;

use super::{
    events::events,
    shape::{Key, Shape, key, needed},
};
use crate::config::{
    log::{ACCESS_FORMATS, FORMATS, LEVELS, QUERIES, TOLD_TO},
    network::MODES,
    server::ADDRESSES,
};

/// All of a configuration.
pub(super) fn root() -> Shape {
    let all = process().into_iter().chain(shared()).chain([key(
        "sites",
        "One entry for each site.",
        Shape::list(Shape::of("site")),
    )]);
    Shape::map(all)
}

fn process() -> Vec<Key> {
    vec![
        key(
            "listen",
            "Where visitors connect: ADDRESS:PORT for plain http, or a list of such addresses and of maps.",
            Shape::one_or_many(Shape::any([Shape::of("address"), listener()])).or("127.0.0.1:8000"),
        ),
        key("admin", "/metrics, /healthz, /readyz and the console.", admin()),
        key("state", "Where conversions are kept.", state()),
        key(
            "secret",
            "Seals the visitor cookie; at least 32 characters. A list rotates: the first seals, all open. Default: made once and kept in the state folder.",
            Shape::one_or_many(Shape::of("secret")),
        ),
        key("tracking", "`observe` finds and counts, but changes no page, sets no cookie and sends nothing.", modes()),
        key(
            "trusted_proxies",
            "Addresses and networks of proxies in front, whose X-Forwarded-For, X-Forwarded-Proto and PROXY protocol are believed.",
            Shape::one_or_many(Shape::of("text")).or("[]").example(json!(["10.0.0.0/8"])),
        ),
        key(
            "max_page_delay",
            "How long a thank-you page may wait until its conversion is on disk; at most 60s.",
            Shape::of("duration").or("50ms"),
        ),
        key(
            "privacy",
            "What is stored of visitors, and so can be sent.",
            Shape::map([key(
                "client_ip",
                "Their address: its network alone, or all of it.",
                Shape::choice(&ADDRESSES).or("truncate"),
            )]),
        ),
        key(
            "threads",
            "Threads that serve visitors: `auto` is one for each core.",
            Shape::any([Shape::words(["auto"]), Shape::number(1..=1024)]).or("auto"),
        ),
        key("limits", "What visitors may cost.", limits()),
        key("delivery", "How postbacks are delivered; also per network.", Shape::of("delivery")),
        key("log", "To standard error.", log()),
        key("events", "Records of what happens, for people and for warehouses.", events()),
        key("retention", "How long the state folder keeps what is over.", retention()),
    ]
}

fn shared() -> [Key; 3] {
    [
        key(
            "include",
            "Further files with `sites` and `networks`: patterns relative to the folder of this file.",
            Shape::one_or_many(Shape::of("text")).example(json!(["sites/*.yaml"])),
        ),
        key(
            "defaults",
            "A partial site that is laid under every site: maps merge, everything else replaces, `null` removes.",
            Shape::of("site"),
        ),
        key(
            "networks",
            "Accounts that sites refer to by name. Over a network's own file lies the account, over that what the site writes.",
            Shape::of("networks"),
        ),
    ]
}

/// on | observe | off
pub(super) fn modes() -> Shape {
    Shape::choice(&MODES).or("on")
}

fn listener() -> Shape {
    Shape::map([
        needed("address", "ADDRESS:PORT.", Shape::of("address")),
        key(
            "tls",
            "Certificates in PEM; the name that the visitor asks for chooses.",
            Shape::one_or_many(certificate()),
        ),
        key("proxy_protocol", "Connections begin with a PROXY protocol header.", Shape::of("switch").or("false")),
        key("redirect", "Every request is redirected to https.", Shape::words(["https"])),
        key("probe", "A path that is answered with 200 whatever the host.", Shape::path().example("/healthz".into())),
    ])
}

/// A certificate with its key.
pub(super) fn certificate() -> Shape {
    Shape::map([
        key("cert", "The certificate, then those that lead to its authority.", Shape::of("file")),
        key("key", "Its private key.", Shape::of("file")),
    ])
}

fn admin() -> Shape {
    Shape::map([
        key("listen", "ADDRESS:PORT.", Shape::of("address").or("127.0.0.1:9180")),
        key("token", "Shown as `Authorization: Bearer TOKEN`. Required off loopback.", Shape::of("secret")),
        key(
            "hosts",
            "Names by which browsers may ask for the console, besides its address and localhost.",
            Shape::one_or_many(Shape::of("text")).or("[]"),
        ),
    ])
}

fn state() -> Shape {
    let postgres = [
        key("url", "postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=MODE", Shape::of("secret")),
        key("ca", "Authorities in PEM that may vouch for the database. Default: Mozilla's.", Shape::of("file")),
    ];
    Shape::map([
        key(
            "path",
            "The folder of the store: a local disk, writable by Throughline alone.",
            Shape::of("file").or("./throughline-data"),
        ),
        key("postgres", "A PostgreSQL database that makes several instances one.", Shape::map(postgres)),
    ])
}

fn limits() -> Shape {
    let count = || Shape::number(1..=1_000_000);
    Shape::map([
        key(
            "header_timeout",
            "From the first byte of a request to the end of its head. 100ms to 10m.",
            Shape::of("duration").or("10s"),
        ),
        key(
            "keep_alive_timeout",
            "How long a connection may wait for its next request. 1s to 1h.",
            Shape::of("duration").or("60s"),
        ),
        key("max_header_bytes", "The head of a request. 1KiB to 1MiB.", Shape::of("size").or("64KiB")),
        key("max_connections", "Connections at a time.", count().or("20000")),
        key(
            "max_connections_per_address",
            "Connections at a time from one address (for IPv6, one /64).",
            count().or("200"),
        ),
        key(
            "min_body_rate",
            "Bytes a second that the body of a request must bring on average; 0B: any.",
            Shape::of("size").or("500B"),
        ),
        key(
            "shutdown_grace",
            "How long requests may go on after the signal to stop. At most 1h.",
            Shape::of("duration").or("30s"),
        ),
    ])
}

fn log() -> Shape {
    Shape::map([
        key("level", "", Shape::choice(&LEVELS).or("info")),
        key("format", "", Shape::choice(&FORMATS).or("text")),
        key("request_id", "Who is told the id of a request in X-Request-Id.", Shape::choice(&TOLD_TO).or("off")),
        key("access", "A file with a line for each request.", access()),
    ])
}

fn access() -> Shape {
    Shape::map([
        needed("file", "Opened anew on SIGHUP.", Shape::of("file").example("access.log".into())),
        key("format", "", Shape::choice(&ACCESS_FORMATS).or("combined")),
        key("query", "What stands behind the `?` of addresses.", Shape::choice(&QUERIES).or("drop")),
    ])
}

fn retention() -> Shape {
    let kept = || Shape::of("duration").or("30d");
    Shape::map([
        key("history", "Postbacks that were delivered or withdrawn, from then on.", kept()),
        key("journeys", "What is remembered of one visitor, from the last time that something was added.", kept()),
        key("dead_letters", "Postbacks that were given up, and conversions that lack a value.", kept()),
    ])
}
