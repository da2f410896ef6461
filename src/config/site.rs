//! Decoding of `sites`.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use url::Host;

use super::{
    capture::{Remembered, captures},
    consent::consent,
    conversion::{Neighbours, conversions, name},
    cookie::{cookie_rule, decode as decode_cookie},
    decode::Field,
    file::{self, Files},
    journey::{channels, recognise_by},
    network::{MODES, Network, Surroundings, network},
    problem::shown,
    send::Known,
    server::Server,
    tree::Kind,
    upstream::{UpstreamRules, upstream},
};
use crate::html::csp::CspMode;
use crate::tracking::{
    consent::BRIDGE_COOKIE,
    cookie::{CookieRule, SetCookie},
    late::{LATE_COOKIE, LATE_TTL},
    mask::Mask,
    site::{CONSENT_TTL, SiteRules, VISITOR_TTL},
    visit::HOLD_COOKIE,
    visitor::VISITOR_COOKIE,
};

/// A site, decoded.
#[derive(Debug)]
pub struct Site {
    /// Which hosts it answers for; none: all that no other site answers for.
    pub hosts: Vec<HostPattern>,
    /// The servers behind it.
    pub upstream: UpstreamRules,
    /// What visitors see instead of our own words when the server fails, by status.
    pub error_pages: BTreeMap<u16, Bytes>,
    /// What is done about a page's own Content-Security-Policy.
    pub csp: CspMode,
    /// Its networks, in the order of `rules.networks`.
    pub networks: Vec<Network>,
    /// What the core needs; the seal is added when the state folder is known.
    pub rules: SiteRules,
    /// Takes secrets out of what is shown of its requests to networks.
    pub mask: Mask,
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
pub fn sites(field: &Field<'_>, server: &Server, files: Files<'_>) -> Vec<Site> {
    let Some(fields) = field.list() else { return Vec::new() };
    if fields.is_empty() {
        field.error("there is no site", Some("write `- upstream: http://127.0.0.1:8080`".to_owned()));
    }
    let single = fields.len() == 1;
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    let mut hosts: BTreeMap<Option<HostPattern>, usize> = BTreeMap::new();
    let mut sites = Vec::new();
    for field in &fields {
        let Some(site) = site(field, server, files, single) else { continue };
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

fn site(field: &Field<'_>, server: &Server, files: Files<'_>, single: bool) -> Option<Site> {
    let folder = files.folder;
    let mut section = field.section()?;
    let written_name = section.get("name").and_then(|field| name(&field));
    if written_name.is_none() && !single && !section.contains("name") {
        field.error("with several sites, each needs a name", Some("write `name: shop`".to_owned()));
    }
    if written_name.is_none() && single && server.fleet.is_some() {
        field.warn(
            "on a fleet, a site's name tells its conversions from those of others in the same database",
            Some("write `name: shop`".to_owned()),
        );
    }
    let hosts = section.get("hosts").map(|field| host_patterns(&field)).unwrap_or_default();
    let upstream = section
        .require("upstream", "write where the site's own server is: `upstream: http://127.0.0.1:8080`")
        .and_then(|field| upstream(&field, server, files));
    let cookie_field = section.get("cookie");
    let site_cookie = cookie_field.as_ref().map(|field| field.node);
    if let Some(field) = &cookie_field {
        // Once by itself, so that its own mistakes are noted once and at their place.
        let _checked = decode_cookie(field);
    }
    let around = Surroundings { site_cookie, delivery: server.delivery, route: &server.route, files };
    let networks_field = section.get("networks");
    let networks = networks_field.as_ref().map(|field| networks(field, around)).unwrap_or_default();
    let written = networks_field.as_ref().and_then(Field::entries).unwrap_or_default();
    let written: Vec<&str> = written.into_iter().map(|(key, _)| key).collect();
    let captures_field = section.get("captures");
    let remembered = Remembered::of(captures_field.as_ref().map(|field| field.node));
    let captures = captures_field.map(|field| captures(&field, &remembered, folder)).unwrap_or_default();
    let near =
        Neighbours { networks: Known { networks: &networks, written: &written }, remembered: &remembered, folder };
    let conversions = section.get("conversions").map(|field| conversions(&field, near)).unwrap_or_default();
    let recognise_by = section.get("recognise_by").map(|field| recognise_by(&field)).unwrap_or_default();
    let channels = section.get("channels").map(|field| channels(&field)).unwrap_or_default();
    let requirements: Vec<_> = networks.iter().map(|network| network.rules.consent.clone()).collect();
    let consent = consent(field, section.get("consent").as_ref(), &requirements);
    let mode = section.get("tracking").and_then(|field| field.choice(&MODES)).unwrap_or_default();
    let strip_click_params = section.get("strip_click_params").and_then(|field| field.switch());
    let endpoint = section.get("endpoint").and_then(|field| endpoint(&field));
    let csp = section.get("csp").and_then(|field| field.choice(&CSP_MODES)).unwrap_or_default();
    let error_pages = section.get("error_pages").map(|field| error_pages(&field, files)).unwrap_or_default();
    section.finish();
    let cookie = cookie_rule(&[site_cookie], field, "cookie");
    let rules = SiteRules {
        // A name that cannot be read must not seem to be another site's, too.
        name: written_name.unwrap_or_else(|| {
            if single { Arc::from("default") } else { Arc::from(format!("line {}", field.node.place.line)) }
        }),
        mode: server.tracking.and(mode),
        visitor_cookie: SetCookie::new(VISITOR_COOKIE, &cookie, VISITOR_TTL),
        // No script has any use for it.
        hold_cookie: SetCookie::new(HOLD_COOKIE, &cookie, VISITOR_TTL),
        // The script compares it with the banner.
        consent_cookie: SetCookie::new(BRIDGE_COOKIE, &CookieRule { http_only: false, ..cookie.clone() }, CONSENT_TTL),
        late_cookie: SetCookie::new(LATE_COOKIE, &CookieRule { http_only: true, ..cookie }, LATE_TTL),
        endpoint: Arc::from(endpoint.unwrap_or(DEFAULT_ENDPOINT)),
        networks: networks.iter().map(|network| network.rules.clone()).collect(),
        conversions,
        captures,
        recognise_by,
        channels,
        client_ip: server.client_ip,
        journey_ttl: server.retention.journeys,
        consent,
        journeys: None,
        strip_click_params: strip_click_params.unwrap_or_default(),
        seal: None,
    };
    // All secrets are known when the whole file has been read.
    Some(Site { hosts, upstream: upstream?, error_pages, csp, networks, rules, mask: Mask::default() })
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

/// The path below which we answer ourselves.
fn endpoint<'a>(field: &Field<'a>) -> Option<&'a str> {
    let text = field.text()?;
    let is_segment = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    };
    let is_path = text.len() <= 64 && text.strip_prefix('/').is_some_and(|path| path.split('/').all(is_segment));
    if !is_path {
        field.error(
            format!("{} is not a path that we can answer below", shown(text)),
            Some(format!("write one that the site has no use for, such as {DEFAULT_ENDPOINT}: letters, digits, `-`, `.`, `_`, `~`, and no slash at its end")),
        );
    }
    is_path.then_some(text)
}

/// Reads the pages of a map by status; without files there are none.
fn error_pages(field: &Field<'_>, files: Files<'_>) -> BTreeMap<u16, Bytes> {
    let mut pages = BTreeMap::new();
    for (key, field) in field.entries().unwrap_or_default() {
        let Some(status) = ERROR_STATUSES.iter().find(|status| status.to_string() == key) else {
            let statuses = ERROR_STATUSES.map(|status| status.to_string()).join(", ");
            field.key_error(
                format!("`{key}` is not a status that we answer with"),
                format!("possible keys: {statuses}"),
            );
            continue;
        };
        if let Some(page) = error_page(&field, files) {
            pages.insert(*status, page);
        }
    }
    pages
}

fn error_page(field: &Field<'_>, files: Files<'_>) -> Option<Bytes> {
    let path = files.path(field)?;
    if !files.are_there() {
        return None;
    }
    let problem = match file::read(&path, LARGEST_ERROR_PAGE) {
        Ok(page) if page.is_empty() => "is empty".to_owned(),
        Ok(page) if std::str::from_utf8(&page).is_err() => "is not UTF-8".to_owned(),
        Ok(page) => return Some(page.into()),
        Err(error) => format!("cannot be read: {error}"),
    };
    field.error(format!("`{}` {problem}", path.display()), "name an HTML file in UTF-8, of at most 64KiB".to_owned());
    None
}

const DEFAULT_ENDPOINT: &str = "/.throughline";
const CSP_MODES: [(&str, CspMode); 2] = [("amend", CspMode::Amend), ("respect", CspMode::Respect)];
/// What we answer when the site's own server doesn't.
const ERROR_STATUSES: [u16; 3] = [502, 503, 504];
/// Error pages stay in memory, for each site.
const LARGEST_ERROR_PAGE: u64 = 64 << 10;
