//! What is legal in a site but odd: it works, though probably not as its author believes.
//!
//! Looks at a site once it is decoded, where several of its parts have to be seen together. What one key
//! says by itself is warned of where it is read.

use std::{collections::BTreeMap, net::IpAddr};

use url::{Host, Url};

use super::{
    decode::Field,
    network::Network,
    problem::shown,
    site::{HostPattern, Site},
    tree::{Kind, Node},
};
use crate::{
    html::csp::CspMode,
    store::Retention,
    tracking::{consent::Requirement, cookie::registrable_domain, postback::UrlRule},
};

mod path;

/// Notes what is odd about a site.
pub fn advise(field: &Field<'_>, site: &Site, retention: &Retention) {
    let conversions = listed(field, "conversions");
    for conversion in &conversions {
        path::advise(conversion, site);
        told_twice(conversion, &site.networks);
    }
    told_again(&conversions);
    forgotten(field, site, retention);
    unprotected(field, &site.networks);
    unseen(field, site);
    unasked(field, &site.networks);
    cookie_elsewhere(field, &site.hosts);
}

/// The elements of a list under a key.
fn listed<'a>(field: &Field<'a>, key: &str) -> Vec<Field<'a>> {
    field.find(key).map(|list| list.one_or_many()).unwrap_or_default()
}

/// What stands under these keys.
fn at<'a>(field: &Field<'a>, keys: &[&str]) -> Option<Field<'a>> {
    keys.iter().try_fold(field.clone(), |field, key| field.find(key))
}

fn text<'a>(field: &Field<'a>) -> Option<&'a str> {
    match &field.node.kind {
        Kind::Scalar(scalar) => Some(&scalar.text),
        Kind::List(_) | Kind::Map(_) => None,
    }
}

/// Two interfaces of one network that are told of the same click count it twice.
fn told_twice(conversion: &Field<'_>, networks: &[Network]) {
    let mut told: BTreeMap<(&str, &str), (&str, &str)> = BTreeMap::new();
    let Some(send) = conversion.find("send") else { return };
    for (key, field) in send.entries().unwrap_or_default() {
        let Some(network) = networks.iter().find(|network| &*network.rules.key == key) else { continue };
        let (Some(preset), click) = (network.preset, &network.rules.click) else { continue };
        match told.get(&(click.param.as_str(), click.cookie.as_str())) {
            Some((first, other)) if *other != preset => field.key_warn(
                format!("`{first}` and `{key}` report the same click: this conversion counts twice"),
                format!("remove `{first}` or `{key}`"),
            ),
            Some(_) => {}
            None => {
                told.insert((&click.param, &click.cookie), (key, preset));
            }
        }
    }
}

/// Two conversions that tell a network of the same pages in the same words count each order twice.
fn told_again(conversions: &[Field<'_>]) {
    let mut told: BTreeMap<String, &Field<'_>> = BTreeMap::new();
    for conversion in conversions {
        let Some(send) = conversion.find("send") else { continue };
        let pages: Vec<String> = PAGES.iter().map(|key| said(conversion.find(key).map(|field| field.node))).collect();
        for (key, field) in send.entries().unwrap_or_default() {
            let words = format!("{pages:?} {key} {}", said(Some(field.node)));
            let Some(first) = told.get(&words) else {
                told.insert(words, conversion);
                continue;
            };
            let place = first.node.place.seen_from(&field.node.place);
            field.key_warn(
                format!("the conversion {place} tells `{key}` the same of the same pages: each order counts twice"),
                "remove one of the two, or give them different pages".to_owned(),
            );
        }
    }
}

/// What a node says, without where.
fn said(node: Option<&Node>) -> String {
    match node.map(|node| &node.kind) {
        None => String::new(),
        Some(Kind::Scalar(scalar)) if scalar.is_null() => "{}".to_owned(),
        Some(Kind::Scalar(scalar)) => format!("{:?}", scalar.text),
        Some(Kind::List(items)) => format!("[{}]", items.iter().map(|item| said(Some(item)) + ",").collect::<String>()),
        Some(Kind::Map(entries)) => {
            let mut members: Vec<String> =
                entries.iter().map(|entry| format!("{:?}: {},", entry.key, said(Some(&entry.value)))).collect();
            members.sort();
            format!("{{{}}}", members.concat())
        }
    }
}

/// A capture that is forgotten before it stops counting.
fn forgotten(field: &Field<'_>, site: &Site, retention: &Retention) {
    for conversion in listed(field, "conversions") {
        let name = conversion.find("name");
        let name = name.as_ref().and_then(text);
        let rule = site.rules.conversions.iter().find(|rule| Some(&*rule.name) == name);
        if let Some(within) = conversion.find("within")
            && let Some(after) = rule.and_then(|rule| rule.after.as_ref())
            && after.within > retention.journeys
        {
            within.warn(
                "what a visitor passed is forgotten earlier than this",
                "write more under `retention: { journeys: … }`, or less here".to_owned(),
            );
        }
    }
}

/// Networks that are told in clear text.
fn unprotected(field: &Field<'_>, networks: &[Network]) {
    for network in networks {
        let Some(block) = at(field, &["networks", &network.rules.key]) else { continue };
        let remedy = || "write `https://…`, if the network can be reached so".to_owned();
        if is_exposed(&network.request.url) {
            at(&block, &["postback", "url"])
                .unwrap_or_else(|| block.clone())
                .warn("whoever stands in between can read and change what the network is told", remedy());
        }
        if network.rules.sync.iter().flat_map(|sync| &sync.pixels).any(is_exposed) {
            at(&block, &["sync", "pixels"])
                .unwrap_or_else(|| block.clone())
                .warn("browsers don't show plain http images in pages that came by https", remedy());
        }
    }
}

/// Whether an address is asked for in clear text across the public internet.
fn is_exposed(url: &UrlRule) -> bool {
    let Some(url) = url.origin.as_literal().and_then(|origin| Url::parse(origin).ok()) else { return false };
    let is_near = match url.host() {
        None => true,
        Some(Host::Ipv4(address)) => is_near(address.into()),
        Some(Host::Ipv6(address)) => is_near(address.into()),
        // Names that are not of the public internet: RFC 6761, RFC 6762 and the reserved `internal` (ICANN, 2024).
        Some(Host::Domain(name)) => {
            !name.contains('.') || [".localhost", ".local", ".internal"].iter().any(|end| name.ends_with(end))
        }
    };
    url.scheme() == "http" && !is_near
}

fn is_near(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback() || address.is_private() || address.is_link_local(),
        IpAddr::V6(address) => address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local(),
    }
}

/// Pixels that a page's own policy keeps out.
fn unseen(field: &Field<'_>, site: &Site) {
    let has_pixels = |network: &&Network| network.rules.sync.is_some();
    if let (CspMode::Respect, Some(csp)) = (site.csp, field.find("csp"))
        && let Some(network) = site.networks.iter().find(has_pixels)
    {
        csp.warn(
            format!("the pixels of `{}` don't go into pages whose policy doesn't name its hosts", network.rules.key),
            format!("write `csp: amend`, or `sync: none` under `{}`", network.rules.key),
        );
    }
}

/// A site that asks nobody, with a network that does.
fn unasked(field: &Field<'_>, networks: &[Network]) {
    let Some(require) = at(field, &["consent", "require"]).filter(|require| text(require) == Some("none")) else {
        return;
    };
    for network in networks {
        let key = &network.rules.key;
        let asks = network.rules.consent.as_ref().is_some_and(|asked| *asked != Requirement::None);
        if asks && at(field, &["networks", key, "consent"]).is_none() {
            require.warn(
                format!("visitors are asked for `{key}` all the same, as its own file or account says"),
                format!("write `{key}: {{ consent: none }}` under `networks` if that isn't meant"),
            );
        }
    }
}

/// Cookies for a domain that a host of the site is not part of.
fn cookie_elsewhere(field: &Field<'_>, hosts: &[HostPattern]) {
    let networks = field.find("networks").and_then(|networks| networks.entries()).unwrap_or_default();
    let of_networks = networks.iter().filter_map(|(_, block)| at(block, &["click", "domain"]));
    for domain in at(field, &["cookie", "domain"]).into_iter().chain(of_networks) {
        let Some(name) = text(&domain).map(|text| text.trim_start_matches('.').to_ascii_lowercase()) else { continue };
        // What is no domain, or one of everybody, is told of where it is read.
        if registrable_domain(&name).is_none() {
            continue;
        }
        let outside = |host: &&HostPattern| {
            let host = match host {
                HostPattern::Exact(host) => host.as_str(),
                HostPattern::Below(suffix) => suffix.trim_start_matches('.'),
            };
            host != name && !host.strip_suffix(&name).is_some_and(|rest| rest.ends_with('.'))
        };
        if let Some(host) = hosts.iter().find(outside) {
            let host = match host {
                HostPattern::Exact(host) => host.clone(),
                HostPattern::Below(suffix) => format!("*{suffix}"),
            };
            domain.warn(
                format!("browsers refuse a cookie for {} from {}", shown(&name), shown(&host)),
                "write `auto`, which is right for every host".to_owned(),
            );
        }
    }
}

/// The keys that say which requests a conversion is about.
const PAGES: [&str; 10] = [
    "path",
    "triggers",
    "method",
    "status",
    "when",
    "success_mark",
    "failure_mark",
    "after",
    "caller",
    "from_addresses",
];
