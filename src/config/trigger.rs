//! Decoding of triggers: path, method, status, conditions, and who sends such requests.

use std::net::IpAddr;

use http::Method;
use ipnet::IpNet;

use super::{
    condition::{asks_for_a_secret, conditions},
    decode::{Field, Section},
    source::Reach,
    tree::Kind,
    value::regex,
    verdict,
};
use crate::tracking::{
    matcher::PathPattern,
    trigger::{Caller, TriggerRule},
    verdict::StatusPattern,
};

/// What is said of a trigger by the place where it stands.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// The fields that captures of the site remember.
    pub remembered: &'a [&'a str],
    /// Which answers count, unless it is written.
    pub status: &'a [StatusPattern],
    /// What to write when there is no path.
    pub path_remedy: &'a str,
    /// What to write instead of a condition on the page.
    pub page_remedy: &'a str,
}

/// Reads `triggers`, or the keys of a single one that stand at the conversion itself. `None` when one of
/// them is broken.
pub fn triggers(section: &mut Section<'_>, setting: Setting<'_>) -> Option<Vec<TriggerRule>> {
    let Some(list) = section.get("triggers") else {
        let rule = trigger(section, setting);
        let caller = caller(section, &Sender::default());
        return Some(vec![TriggerRule { caller, ..rule? }]);
    };
    for key in ["path", "method", "status", "when"] {
        if let Some(field) = section.get(key) {
            let remedy = "write it into each of them".to_owned();
            field.key_error(format!("`{key}` cannot stand beside `triggers`"), Some(remedy));
        }
    }
    let common = Sender::read(section);
    let fields = list.list()?;
    if fields.is_empty() {
        list.error("there is no trigger", Some("write `- path: /thank-you`".to_owned()));
    }
    let read = |field: &Field<'_>| {
        let mut section = field.section()?;
        let rule = trigger(&mut section, setting);
        let caller = caller(&mut section, &common);
        section.finish();
        Some(TriggerRule { caller, ..rule? })
    };
    let rules: Vec<Option<TriggerRule>> = fields.iter().map(read).collect();
    let rules: Vec<TriggerRule> = rules.into_iter().collect::<Option<_>>()?;
    if !rules.iter().any(|rule| rule.caller.is_server()) {
        common.refuse_addresses();
    }
    Some(rules)
}

/// Reads the keys of a trigger, except who sends it: a visitor.
pub fn trigger(section: &mut Section<'_>, setting: Setting<'_>) -> Option<TriggerRule> {
    let written = section.require("path", setting.path_remedy);
    let paths = written.as_ref().and_then(paths);
    let methods = section.get("method").map_or_else(|| vec![Method::GET, Method::POST], |field| methods(&field));
    let status = section.get("status").map_or_else(|| setting.status.to_vec(), |field| verdict::statuses(&field));
    let names: Option<Vec<&str>> = paths.as_ref().map(|paths| paths.iter().flat_map(PathPattern::names).collect());
    let reach = Reach { path_names: names.as_deref(), remembered: setting.remembered };
    let when = section.get("when").map(|field| conditions(&field, reach, setting.page_remedy)).unwrap_or_default();
    Some(TriggerRule { paths: paths?, methods, status, when, caller: Caller::Visitor })
}

/// The names in the paths of some triggers.
#[must_use]
pub fn path_names(rules: &[TriggerRule]) -> Vec<&str> {
    rules.iter().flat_map(|rule| &rule.paths).flat_map(PathPattern::names).collect()
}

/// Reads addresses and networks.
pub fn addresses(field: &Field<'_>) -> Vec<IpNet> {
    let read = |field: Field<'_>| {
        let text = field.text()?;
        let net = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        if net.is_none() {
            field.error(
                format!("`{text}` is not an address or a network"),
                Some("write 10.0.0.0/8 or 192.0.2.7".to_owned()),
            );
        }
        net
    };
    field.one_or_many().into_iter().filter_map(read).collect()
}

/// Who sends requests, as far as it is written.
#[derive(Debug, Default)]
struct Sender<'a> {
    who: Option<Who>,
    addresses: Option<Field<'a>>,
}

/// Who sends requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Visitor,
    Server,
}

impl<'a> Sender<'a> {
    fn read(section: &mut Section<'a>) -> Self {
        let who = section.get("caller").and_then(|field| field.choice(&CALLERS));
        Self { who, addresses: section.get("from_addresses") }
    }

    fn refuse_addresses(&self) {
        if let Some(field) = &self.addresses {
            field.key_error(
                "`from_addresses` are those of a server",
                Some("write `caller: server`, or leave them out".to_owned()),
            );
        }
    }
}

/// Who sends what a trigger looks at, as written there or for all triggers of the conversion.
fn caller(section: &mut Section<'_>, common: &Sender<'_>) -> Caller {
    let own = Sender::read(section);
    if own.who.or(common.who) != Some(Who::Server) {
        own.refuse_addresses();
        return Caller::Visitor;
    }
    let written = own.addresses.as_ref().or(common.addresses.as_ref());
    let is_guarded = section.get("when").is_some_and(|when| asks_for_a_secret(when.node));
    let is_open = written.is_none_or(|field| matches!(&field.node.kind, Kind::List(items) if items.is_empty()));
    if is_open && !is_guarded {
        section.field().warn(
            "anybody who knows the path can report conversions here",
            Some(
                "name the addresses of the server: `from_addresses: [192.0.2.0/24]`, or have it prove itself: \
                 `when: { query.token: ${CALLBACK_TOKEN} }`. If the site itself answers forgeries with an error, write \
                 `from_addresses: [0.0.0.0/0, \"::/0\"]`"
                    .to_owned(),
            ),
        );
    }
    Caller::Server(written.map(addresses).unwrap_or_default())
}

/// Reads the patterns of a path; `None` when one of them is broken.
fn paths(field: &Field<'_>) -> Option<Vec<PathPattern>> {
    let paths: Vec<Option<PathPattern>> = field.one_or_many().iter().map(path).collect();
    paths.into_iter().collect()
}

fn path(field: &Field<'_>) -> Option<PathPattern> {
    if matches!(field.node.kind, Kind::Map(_)) {
        let mut section = field.section()?;
        let pattern = section.require("regex", "write `{ regex: \"/order/([0-9]+)\" }`")?;
        section.finish();
        regex(&pattern, pattern.text()?)?;
        return PathPattern::regex(pattern.text()?).ok();
    }
    let text = field.text()?;
    PathPattern::parse(text).map_err(|error| field.error(format!("`{text}`: {error}"), None)).ok()
}

fn methods(field: &Field<'_>) -> Vec<Method> {
    let read = |field: Field<'_>| {
        let text = field.text()?;
        let method = KNOWN_METHODS.iter().find(|method| method.as_str() == text).cloned();
        if method.is_none() {
            field.error(
                format!("`{text}` is not a method that a page answers"),
                Some("write GET, POST, PUT or PATCH".to_owned()),
            );
        }
        method
    };
    field.one_or_many().into_iter().filter_map(read).collect()
}

pub(super) const KNOWN_METHODS: [Method; 4] = [Method::GET, Method::POST, Method::PUT, Method::PATCH];
pub(super) const CALLERS: [(&str, Who); 2] = [("visitor", Who::Visitor), ("server", Who::Server)];
