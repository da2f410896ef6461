//! A site, its servers and its cookies.

use serde_json::json;

use super::{
    process::{certificate, modes},
    shape::{Key, Shape, key},
};
use crate::config::{
    cookie::{SECURES, SITES},
    site::{CSP_MODES, ERROR_STATUSES},
};

/// Definitions by name.
pub(super) fn definitions() -> [(&'static str, Shape); 3] {
    [
        ("site", Shape::map(site())),
        ("upstream", Shape::any([server_address(), Shape::map(upstream())])),
        ("cookie", Shape::map(cookie_attributes())),
    ]
}

fn site() -> Vec<Key> {
    let pages = ERROR_STATUSES.map(|status| key(&status.to_string(), "An HTML file in UTF-8.", Shape::of("file")));
    vec![
        key(
            "name",
            "A label of the metrics, and part of what tells a repeated conversion. Required from the second site on.",
            Shape::pattern("[A-Za-z0-9._-]{1,64}"),
        ),
        key(
            "hosts",
            "The hosts of this site. Without the key: all hosts that no other site has.",
            Shape::one_or_many(Shape::of("text")).example(json!(["shop.example", "*.shop.example"])),
        ),
        key("upstream", "The site's own server, without a path; or a map with more to say.", Shape::of("upstream")),
        key("cookie", "The attributes of our cookies. Overrules the networks' own files.", Shape::of("cookie")),
        key(
            "endpoint",
            "The path below which we answer ourselves.",
            Shape::pattern("(?:/[A-Za-z0-9._~-]+)+").or("/.throughline"),
        ),
        key(
            "strip_click_params",
            "Whether the click parameters are removed from what the site's server sees.",
            Shape::of("switch").or("false"),
        ),
        key(
            "csp",
            "A page's own Content-Security-Policy: hosts of pixels are added, or what it forbids doesn't go in.",
            Shape::choice(&CSP_MODES).or("amend"),
        ),
        key("error_pages", "What visitors see when the server fails.", Shape::map(pages)),
        key(
            "recognise_by",
            "The session cookie of the site, by which a journey is found when our own is gone: cookie.NAME or header.NAME.",
            Shape::one_or_many(Shape::pattern("(?:cookie|header)\\..+")).example("cookie.PHPSESSID".into()),
        ),
        key("consent", "Whether visitors must agree first, and where they say so.", Shape::of("consent")),
        key("tracking", "`observe` finds and counts, but changes no page, sets no cookie and sends nothing.", modes()),
        key("networks", "The ad networks of this site.", Shape::of("networks")),
        key(
            "channels",
            "Parameters of visits that somebody else is paid for, for `credit: last_paid_click`.",
            Shape::one_or_many(Shape::of("channel")),
        ),
        key("captures", "What is remembered on the way to a conversion.", Shape::list(Shape::of("capture"))),
        key("conversions", "What counts, and who hears of it.", Shape::list(Shape::of("conversion"))),
    ]
}

fn upstream() -> Vec<Key> {
    let weighted = Shape::map([
        key("url", "", server_address()),
        key("weight", "Its share of the requests.", Shape::number(1..=1000).or("1")),
    ]);
    let health = [
        key("path", "What is asked for with GET; 2xx and 3xx mean well.", Shape::path()),
        key("interval", "Between two questions. 1s to 1h.", Shape::of("duration").or("5s")),
        key("timeout", "For one answer. 10ms to 1m.", Shape::of("duration").or("2s")),
    ];
    let tls = [
        key(
            "verify",
            "Whether the certificate must be valid, and for the server's name.",
            Shape::of("switch").or("true"),
        ),
        key("ca", "The authorities that it may be from, in PEM, instead of the system's.", Shape::of("file")),
        key("sni", "The name that is asked for and verified. Default: the server's own.", Shape::of("text")),
        key("client_cert", "What we show to the server.", certificate()),
    ];
    vec![
        key("url", "The only server.", server_address()),
        key(
            "servers",
            "Several of one scheme that share the requests by their weight.",
            Shape::one_or_many(Shape::any([server_address(), weighted])),
        ),
        key("host", "Which `Host` the server sees: preserve, upstream, or a name.", Shape::of("text").or("preserve")),
        key("connect_timeout", "For a connection, TLS included. 10ms to 5m.", Shape::of("duration").or("2s")),
        key("read_timeout", "Between two pieces of an answer. 10ms to 24h.", Shape::of("duration").or("300s")),
        key("health", "Asks each server for a path. Default: no questions.", Shape::map(health)),
        key("proxy_protocol", "Connections begin with the visitor's address.", Shape::words(["v1", "v2"])),
        key("via", "Whether the server is told in `Via` that a proxy was there.", Shape::of("switch").or("true")),
        key("tls", "With https: alone.", Shape::map(tls)),
    ]
}

fn server_address() -> Shape {
    Shape::pattern("(?:https?|h2c)://[^/]+/?|unix:.+").example("http://127.0.0.1:8080".into())
}

/// The keys of cookie attributes.
pub(super) fn cookie_attributes() -> Vec<Key> {
    vec![
        key(
            "domain",
            "auto (the registrable domain), host (this host alone), or a domain.",
            Shape::of("text").or("auto"),
        ),
        key("path", "", Shape::path().or("/")),
        key("same_site", "`none` over plain http is sent as `lax`.", Shape::choice(&SITES).or("lax")),
        key("secure", "auto: as the page was reached.", Shape::choice(&SECURES).or("auto")),
        key("http_only", "Whether scripts of the page can't read them.", Shape::of("switch").or("true")),
    ]
}
