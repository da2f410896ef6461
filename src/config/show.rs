//! The effective configuration as YAML: what was written, over the defaults and the networks' files.
//!
//! Secrets cannot leak here: variables and files are shown by their names, because they are not read.

use std::{collections::BTreeSet, fmt::Write as _, path::Path};

use super::{
    Config, ConfigError, Environment, catalogue,
    document::Document,
    network,
    problem::{Place, Problems},
    texts::Texts,
    tree::{Entry, Kind, Node, Scalar},
};

mod relative;

/// Prints the effective configuration of a file that is in order, as one file beside it.
pub fn show(file: &Path) -> Result<String, ConfigError> {
    Config::load(file, Environment::Ignored).map(|config| rendered(&config))
}

/// Prints the effective configuration.
#[must_use]
pub fn rendered(config: &Config) -> String {
    let mut out = String::new();
    if let Some(effective) = effective(&config.texts, &config.paths) {
        print(&effective, 0, &mut out);
    }
    out
}

/// The effective configuration of texts that are in order; at these places stand paths of files.
pub(super) fn effective(texts: &Texts, paths: &BTreeSet<Place>) -> Option<Node> {
    let problems = Problems::default();
    let parse = |name: &str, text: &str| Node::parse(name, text, &problems);
    let (defaults, mut site_defaults) = (parse("defaults", DEFAULTS)?, parse("defaults", SITE_DEFAULTS)?);
    let mut root = Document::kept(texts, None, &problems)?.root;
    relative::write_for(&texts.file, &mut root, paths);
    let accounts = root.entry("networks").cloned();
    if let Kind::Map(entries) = &mut root.kind {
        // The sites have it all.
        entries.retain(|entry| !SHARED.contains(&entry.key.as_str()));
    }
    let mut effective = Node::overlay_keeping_nulls(&defaults, &root);
    if let Some(listen) = member(&mut effective, "listen") {
        one_or_many(listen).iter_mut().for_each(|listener| add_defaults(listener, LISTENER_DEFAULTS, &problems));
    }
    if let Some(access) = member(&mut effective, "log").and_then(|log| member(log, "access")) {
        add_defaults(access, ACCESS_DEFAULTS, &problems);
    }
    if let Some(Kind::List(sites)) = member(&mut effective, "sites").map(|sites| &mut sites.kind) {
        for site in sites {
            let cookie = member(site, "cookie").cloned();
            *site = Node::overlay_keeping_nulls(&site_defaults, site);
            if let Some(upstream) = member(site, "upstream") {
                complete_upstream(upstream, &problems);
            }
            let defaults = member(&mut site_defaults, "cookie").cloned();
            if let Some(Kind::Map(networks)) = member(site, "networks").map(|networks| &mut networks.kind) {
                for entry in networks.iter_mut() {
                    if let Some(account) = accounts.as_ref().and_then(|accounts| accounts.entry(&entry.key)) {
                        entry.value = network::laid_over(account, &entry.value);
                    }
                    lay_over_preset(entry, defaults.as_ref(), cookie.as_ref(), &problems);
                }
            }
        }
    }
    Some(effective)
}

fn member<'a>(node: &'a mut Node, key: &str) -> Option<&'a mut Node> {
    match &mut node.kind {
        Kind::Map(entries) => entries.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.value),
        Kind::Scalar(_) | Kind::List(_) => None,
    }
}

fn one_or_many(node: &mut Node) -> &mut [Node] {
    if matches!(node.kind, Kind::List(_)) {
        match &mut node.kind {
            Kind::List(items) => items,
            Kind::Scalar(_) | Kind::Map(_) => &mut [],
        }
    } else {
        std::slice::from_mut(node)
    }
}

/// Adds what is not written to a map that is there; what is absent, or no map, stays so.
fn add_defaults(node: &mut Node, defaults: &str, problems: &Problems) {
    let defaults = Node::parse("defaults", defaults, problems).map(|defaults| defaults.kind);
    if let (Kind::Map(entries), Some(Kind::Map(defaults))) = (&mut node.kind, defaults) {
        let missing = defaults.into_iter().filter(|default| !entries.iter().any(|entry| entry.key == default.key));
        let missing: Vec<Entry> = missing.collect();
        entries.extend(missing);
    }
}

/// An address alone becomes a map, because all that is said of it has a default.
fn complete_upstream(upstream: &mut Node, problems: &Problems) {
    if matches!(upstream.kind, Kind::Scalar(_)) {
        let (place, key_place) = (upstream.place.clone(), upstream.place.clone());
        let entry = Entry { key: "url".to_owned(), key_place, value: upstream.clone() };
        *upstream = Node { place, kind: Kind::Map(vec![entry]) };
    }
    let defaults = [("health", HEALTH_DEFAULTS), ("tls", TLS_DEFAULTS)];
    for (key, defaults) in defaults {
        if let Some(node) = member(upstream, key) {
            add_defaults(node, defaults, problems);
        }
    }
    let servers = member(upstream, "servers").map(one_or_many).unwrap_or_default();
    servers.iter_mut().for_each(|server| add_defaults(server, SERVER_DEFAULTS, problems));
    add_defaults(upstream, UPSTREAM_DEFAULTS, problems);
}

/// The network's file below the entry, and between them what the site's own `cookie` overrules; below
/// all of it the default attributes of cookies.
fn lay_over_preset(entry: &mut Entry, defaults: Option<&Node>, cookie: Option<&Node>, problems: &Problems) {
    let preset = match member(&mut entry.value, "preset").map(|preset| &preset.kind) {
        Some(Kind::Scalar(scalar)) => scalar.text.clone(),
        Some(Kind::List(_) | Kind::Map(_)) | None => entry.key.clone(),
    };
    let Some(mut base) = catalogue::tree(&preset, problems) else { return };
    if let Kind::Map(entries) = &mut base.kind {
        entries.retain(|entry| !DOCUMENTATION.contains(&entry.key.as_str()));
    }
    if let (Some(click), Some(defaults)) = (member(&mut base, "click"), defaults) {
        *click = Node::overlay_keeping_nulls(defaults, click);
        if let Some(cookie) = cookie {
            *click = Node::overlay(click, cookie);
        }
    }
    entry.value = Node::overlay_keeping_nulls(&base, &entry.value);
}

fn print(node: &Node, indent: usize, out: &mut String) {
    match &node.kind {
        Kind::Scalar(scalar) if scalar.is_null() => out.push_str(" null\n"),
        Kind::Scalar(scalar) => {
            // Writing to a string cannot fail, here and below.
            let _infallible = writeln!(out, " {}", scalar_text(scalar));
        }
        Kind::List(items) if items.is_empty() => out.push_str(" []\n"),
        Kind::Map(entries) if entries.is_empty() => out.push_str(" {}\n"),
        Kind::List(items) => {
            out.push('\n');
            for item in items {
                let _infallible = write!(out, "{:indent$}-", "");
                match &item.kind {
                    Kind::Map(entries) if !entries.is_empty() => print_first_inline(entries, indent + 2, out),
                    Kind::Map(_) | Kind::List(_) | Kind::Scalar(_) => print(item, indent + 2, out),
                }
            }
        }
        Kind::Map(entries) => {
            if !out.is_empty() {
                out.push('\n');
            }
            for entry in entries {
                let _infallible = write!(out, "{:indent$}{}:", "", key_text(&entry.key));
                print(&entry.value, indent + 2, out);
            }
        }
    }
}

/// `- name: shop` with the other keys below it.
fn print_first_inline(entries: &[Entry], indent: usize, out: &mut String) {
    for (index, entry) in entries.iter().enumerate() {
        let margin = if index == 0 { 1 } else { indent };
        let _infallible = write!(out, "{:margin$}{}:", "", key_text(&entry.key));
        print(&entry.value, indent + 2, out);
    }
}

fn key_text(key: &str) -> String {
    scalar_text(&Scalar { text: key.to_owned(), quoted: false, origin: super::tree::Origin::Written })
}

fn scalar_text(scalar: &Scalar) -> String {
    let text = &scalar.text;
    let plain = !scalar.quoted
        && !text.is_empty()
        && !text.starts_with(|first: char| "-?:,[]{}#&*!|>'\"%@` ".contains(first))
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.ends_with([':', ' '])
        && !text.chars().any(char::is_control);
    if plain || scalar.variable().is_some() { text.clone() } else { serde_json::Value::from(text.as_str()).to_string() }
}

const SHARED: [&str; 3] = ["include", "defaults", "networks"];
const DOCUMENTATION: [&str; 6] = ["name", "description", "source", "verified", "examples", "settings"];

pub(super) const DEFAULTS: &str = "
listen: 127.0.0.1:8000
admin: { listen: 127.0.0.1:9180, hosts: [] }
state: { path: ./throughline-data }
tracking: on
trusted_proxies: []
max_page_delay: 50ms
threads: auto
privacy: { client_ip: truncate }
limits:
  header_timeout: 10s
  keep_alive_timeout: 60s
  max_header_bytes: 64KiB
  max_connections: 20000
  max_connections_per_address: 200
  min_body_rate: 500B
  shutdown_grace: 30s
delivery: { max_age: 7d, max_attempts: 20, concurrency: 8, allow_private: false }
log: { level: info, format: text, request_id: off }
events: { stdout: never, personal: mask }
";

pub(super) const SITE_DEFAULTS: &str = "
name: default
tracking: on
endpoint: /.throughline
strip_click_params: false
csp: amend
consent: { require: none, gpc: deny, pending: referer, hold_for: 30m, bridge: false }
cookie: { domain: auto, path: /, same_site: lax, secure: auto, http_only: true }
";

pub(super) const ACCESS_DEFAULTS: &str = "{ format: combined, query: drop }";
pub(super) const LISTENER_DEFAULTS: &str = "proxy_protocol: false";
pub(super) const UPSTREAM_DEFAULTS: &str = "{ host: preserve, connect_timeout: 2s, read_timeout: 300s, via: true }";
pub(super) const SERVER_DEFAULTS: &str = "weight: 1";
pub(super) const HEALTH_DEFAULTS: &str = "{ interval: 5s, timeout: 2s }";
pub(super) const TLS_DEFAULTS: &str = "verify: true";
