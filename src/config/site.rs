//! Decoding of `sites`.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use bytes::Bytes;
use url::{Host, Url};

use super::{
    conversion::{conversion, name},
    cookie::{cookie_rule, decode as decode_cookie},
    decode::Field,
    network::{MODES, Network, Surroundings, network},
    send::Known,
    server::Server,
    tree::Kind,
    upstream::{Scheme, ServerAddress, ServerRules, UpstreamRules},
};
use crate::html::csp::CspMode;
use crate::tracking::{
    cookie::SetCookie,
    site::{SiteRules, VISITOR_TTL},
    visitor::VISITOR_COOKIE,
};

/// A site, decoded.
#[derive(Debug)]
pub struct Site {
    /// Which hosts it answers for; none: all that no other site answers for.
    pub hosts: Vec<HostPattern>,
    /// The server behind it.
    pub upstream: UpstreamRules,
    /// What visitors see instead of our own words when the server fails, by status.
    pub error_pages: BTreeMap<u16, Bytes>,
    /// What is done about a page's own Content-Security-Policy.
    pub csp: CspMode,
    /// Its networks, in the order of `rules.networks`.
    pub networks: Vec<Network>,
    /// What the core needs; the seal is added when the state folder is known.
    pub rules: SiteRules,
}

/// Hosts that a site answers for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// This host.
    Exact(String),
    /// All hosts that end with this text, which begins with a dot.
    Below(String),
}

/// Reads the list under `sites`.
pub fn sites(field: &Field<'_>, server: &Server, folder: &Path) -> Vec<Site> {
    let Some(fields) = field.list() else { return Vec::new() };
    if fields.is_empty() {
        field.error("there is no site", Some("write `- upstream: http://127.0.0.1:8080`".to_owned()));
    }
    let single = fields.len() == 1;
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    let mut hosts: BTreeMap<Option<HostPattern>, usize> = BTreeMap::new();
    let mut sites = Vec::new();
    for field in &fields {
        let Some(site) = site(field, server, folder, single) else { continue };
        let line = field.node.place.line;
        if let Some(first) = names.insert(site.rules.name.to_string(), line) {
            field.error(format!("the site in line {first} is called `{}` too", site.rules.name), None);
        }
        let is_catch_all = site.hosts.is_empty() && !is_written(field, "hosts");
        let answered: Vec<Option<HostPattern>> =
            if is_catch_all { vec![None] } else { site.hosts.iter().cloned().map(Some).collect() };
        for host in answered {
            let (what, remedy) = match &host {
                Some(HostPattern::Exact(host)) => (format!("`{host}` belongs"), "remove it from one of the two"),
                Some(HostPattern::Below(suffix)) => (format!("`*{suffix}` belongs"), "remove it from one of the two"),
                None => ("all other hosts belong".to_owned(), "say which are this one's: `hosts: [shop.example]`"),
            };
            if let Some(first) = hosts.insert(host, line) {
                field.error(format!("{what} to the site in line {first} already"), remedy.to_owned());
            }
        }
        sites.push(site);
    }
    sites
}

fn is_written(field: &Field<'_>, key: &str) -> bool {
    matches!(&field.node.kind, Kind::Map(entries)
        if entries.iter().any(|entry| entry.key == key && !entry.value.is_null()))
}

fn site(field: &Field<'_>, server: &Server, folder: &Path, single: bool) -> Option<Site> {
    let mut section = field.section()?;
    let written_name = section.get("name").and_then(|field| name(&field));
    if written_name.is_none() && !single && !section.contains("name") {
        field.error("with several sites, each needs a name", Some("write `name: shop`".to_owned()));
    }
    let hosts = section.get("hosts").map(|field| host_patterns(&field)).unwrap_or_default();
    let upstream = section
        .require("upstream", "write where the site's own server is: `upstream: http://127.0.0.1:8080`")
        .and_then(|field| upstream(&field));
    let cookie_field = section.get("cookie");
    let site_cookie = cookie_field.as_ref().map(|field| field.node);
    if let Some(field) = &cookie_field {
        // Once by itself, so that its own mistakes are noted once and at their place.
        let _checked = decode_cookie(field);
    }
    let around = Surroundings { site_cookie, delivery: server.delivery, base: folder };
    let networks_field = section.get("networks");
    let networks = networks_field.as_ref().map(|field| networks(field, around)).unwrap_or_default();
    let written = networks_field.as_ref().and_then(Field::entries).unwrap_or_default();
    let written: Vec<&str> = written.into_iter().map(|(key, _)| key).collect();
    let conversions = section.get("conversions").and_then(|field| field.list()).unwrap_or_default();
    let mut seen: BTreeMap<Arc<str>, usize> = BTreeMap::new();
    let mut rules = Vec::new();
    for field in &conversions {
        let Some(rule) = conversion(field, Known { networks: &networks, written: &written }, folder) else { continue };
        if let Some(first) = seen.insert(Arc::clone(&rule.name), field.node.place.line) {
            field.error(format!("the conversion in line {first} is called `{}` too", rule.name), None);
        }
        rules.push(rule);
    }
    let mode = section.get("tracking").and_then(|field| field.choice(&MODES)).unwrap_or_default();
    section.finish();
    let rules = SiteRules {
        // A name that cannot be read must not seem to be another site's, too.
        name: written_name.unwrap_or_else(|| {
            if single { Arc::from("default") } else { Arc::from(format!("line {}", field.node.place.line)) }
        }),
        mode: server.tracking.and(mode),
        visitor_cookie: SetCookie::new(VISITOR_COOKIE, &cookie_rule(&[site_cookie], field, "cookie"), VISITOR_TTL),
        networks: networks.iter().map(|network| network.rules.clone()).collect(),
        conversions: rules,
        strip_click_params: false,
        seal: None,
    };
    Some(Site { hosts, upstream: upstream?, error_pages: BTreeMap::new(), csp: CspMode::default(), networks, rules })
}

fn networks(field: &Field<'_>, around: Surroundings<'_>) -> Vec<Network> {
    let mut networks: Vec<Network> = Vec::new();
    for (key, field) in field.entries().unwrap_or_default() {
        let plain = key.len() <= 64 && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        if !plain {
            field.key_error(
                format!("`{key}` cannot name a network"),
                Some("use letters, digits, `-` and `_`".to_owned()),
            );
            continue;
        }
        let Some(network) = network(key, &field, around) else { continue };
        let click = &network.rules.click;
        let rival = networks.iter().map(|other| &other.rules).find(|other| {
            other.click.cookie == click.cookie && (other.click.param != click.param || other.click.keep != click.keep)
        });
        if let Some(rival) = rival {
            field.key_error(
                format!("`{key}` and `{}` keep different click IDs in the same cookie `{}`", rival.key, click.cookie),
                Some(format!("write `click: {{ cookie: _{key}_cid }}`, or give both the same parameter")),
            );
        }
        networks.push(network);
    }
    networks
}

fn host_patterns(field: &Field<'_>) -> Vec<HostPattern> {
    if field.one_or_many().is_empty() {
        field.error("there is no host", "remove the key to answer for all hosts".to_owned());
    }
    field.one_or_many().iter().filter_map(host_pattern).collect()
}

fn host_pattern(field: &Field<'_>) -> Option<HostPattern> {
    let text = field.text()?.to_ascii_lowercase();
    let (name, below) = text.strip_prefix("*.").map_or((text.as_str(), false), |name| (name, true));
    let is_host = Host::parse(name).is_ok_and(|host| !below || matches!(host, Host::Domain(_)));
    if !is_host || name.contains(['*', ':', '/']) && !name.starts_with('[') {
        field.error(
            format!("`{text}` is not a host"),
            Some("write a name without scheme and port, such as shop.example or *.shop.example".to_owned()),
        );
        return None;
    }
    let name = name.trim_end_matches('.');
    Some(if below { HostPattern::Below(format!(".{name}")) } else { HostPattern::Exact(name.to_owned()) })
}

fn upstream(field: &Field<'_>) -> Option<UpstreamRules> {
    let remedy = "write http://HOST:PORT";
    if !matches!(field.node.kind, Kind::Scalar(_)) {
        field.error("a site has one server, by its address", Some(remedy.to_owned()));
        return None;
    }
    let text = field.text()?;
    let wrong = |message: &str, remedy: &str| {
        // Credentials must not be repeated.
        let shown = text.rsplit_once('@').map_or(text, |(_, host)| host);
        field.error(format!("`{shown}` {message}"), Some(remedy.to_owned()));
        None
    };
    let Ok(url) = Url::parse(text) else { return wrong("is not an address", remedy) };
    if url.scheme() != "http" {
        return wrong("cannot be reached: only http upstreams are supported", remedy);
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return wrong("has a path or a query, and paths are passed on as they are", remedy);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return wrong("is written with credentials, which are not sent anywhere", remedy);
    }
    let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']').to_owned();
    let address = ServerAddress::Tcp { host, port: url.port_or_known_default()? };
    Some(UpstreamRules::new(vec![ServerRules { url: text.to_owned(), address, scheme: Scheme::Http, weight: 1 }]))
}
