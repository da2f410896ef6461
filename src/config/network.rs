//! Decoding of one entry under a site's `networks`: a network's file, overlaid by what the site
//! writes.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use regex::Regex;

use super::{
    catalogue,
    cookie::cookie_rule,
    decode::Field,
    delivery::{DeliverySettings, delivery},
    problem::{Problems, nearest},
    request,
    tree::{Kind, Node, Origin, Scalar},
    value, verdict,
};
use crate::tracking::{
    click::{ClickRule, Keep},
    network::{Mode, NetworkRules, SyncPages, SyncRule},
    postback::RequestRule,
    verdict::VerdictRules,
};

/// A network of a site, decoded.
#[derive(Debug)]
pub struct Network {
    /// What the core needs.
    pub rules: NetworkRules,
    /// Its request.
    pub request: RequestRule,
    /// Its verdicts.
    pub verdicts: VerdictRules,
    /// Its settings with their values.
    pub settings: BTreeMap<String, String>,
    /// The names of all its settings, those without a value included.
    pub setting_names: Vec<String>,
    /// What may stand under `send`.
    pub parameters: BTreeMap<String, Parameter>,
    /// Identifiers of which each group needs one.
    pub needs: Vec<Vec<String>>,
    /// How postbacks to it are delivered.
    pub delivery: DeliverySettings,
}

/// What a network's file says of a parameter.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Whether it must be given.
    pub required: bool,
    /// What stands for it when it is not.
    pub default: Option<Node>,
    /// What it looks like, as a whole.
    pub pattern: Option<Regex>,
    /// Whether it takes a list.
    pub many: bool,
}

struct Setting {
    required: bool,
    default: Option<String>,
    secret: bool,
    host: bool,
    pattern: Option<Regex>,
}

/// Where a network is decoded: what the site says about it elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The site's own `cookie`.
    pub site_cookie: Option<&'a Node>,
    /// The defaults of `delivery`.
    pub delivery: DeliverySettings,
    /// Where relative paths start.
    pub base: &'a Path,
}

/// Decodes the entry `key`.
pub fn network(key: &str, field: &Field<'_>, around: Surroundings<'_>) -> Option<Network> {
    let problems = field.problems();
    let written = field.entries()?;
    let preset = preset_of(key, field, &written)?;
    let base = match preset {
        Preset::Known(preset) => catalogue::tree(preset, problems)?,
        Preset::None => Node { place: field.node.place.clone(), kind: Kind::Map(Vec::new()) },
    };
    let declared = [setting_names(&base), setting_names(field.node)].concat();
    let merged = Node::overlay(&base, &without(field.node, &declared));
    let merged = field.with_node(&merged);
    let mut section = merged.section()?;

    let settings = settings(section.get("settings"), &written, field, around.base);
    for name in &declared {
        section.know(name);
    }
    let hosts: Vec<&str> =
        settings.iter().filter(|(_, (setting, _))| setting.host).map(|(name, _)| name.as_str()).collect();
    let parameters = parameters(section.get("parameters"));
    let click = section.get("click").and_then(|click| click_rule(key, &click, field));
    if click.is_none() && !section.contains("click") {
        field.error(
            "`click` is missing",
            Some("write `click: { param: NAME }`, the query parameter with the click ID".to_owned()),
        );
    }
    let cookie = cookie_rule(&[entry(&base, "click"), around.site_cookie, entry(field.node, "click")], field, "click");
    let needs = section.get("needs").map_or_else(|| vec![vec!["click_id".to_owned()]], |field| needs(&field));
    let request = section
        .require("postback", "write where conversions are reported: `postback: { url: … }`")
        .and_then(|field| request::request(&field, &hosts));
    let verdicts = section.get("verdict").map(|field| verdict::rules(&field)).unwrap_or_default();
    let sync = section.get("sync").and_then(|field| sync(&field, &hosts));
    let mode = section.get("tracking").and_then(|field| field.choice(&MODES)).unwrap_or_default();
    let delivery = section.get("delivery").map_or(around.delivery, |field| delivery(&field, around.delivery));
    for documentation in ["preset", "name", "description", "source", "verified", "examples"] {
        section.know(documentation);
    }
    section.finish();
    Some(Network {
        rules: NetworkRules { key: Arc::from(key), mode, click: click?, cookie, sync },
        request: request?,
        verdicts,
        setting_names: settings.keys().cloned().collect(),
        settings: settings.into_iter().filter_map(|(name, (_, value))| Some((name, value?))).collect(),
        parameters,
        needs,
        delivery,
    })
}

/// The values of `tracking`.
pub const MODES: [(&str, Mode); 3] = [("on", Mode::On), ("observe", Mode::Observe), ("off", Mode::Off)];

/// The network's file to start from.
enum Preset<'a> {
    /// One that comes with Throughline.
    Known(&'a str),
    /// None: a network of the site's own.
    None,
}

/// Finds the file: `preset`, else the one with the key's name.
fn preset_of<'a>(key: &'a str, field: &Field<'a>, written: &[(&'a str, Field<'a>)]) -> Option<Preset<'a>> {
    let names = || catalogue::NETWORKS.iter().map(|(name, _)| *name);
    if let Some((_, preset)) = written.iter().find(|(name, _)| *name == "preset") {
        let name = preset.text()?;
        if catalogue::text(name).is_none() {
            let near = nearest(name, names()).map(|near| format!("did you mean `{near}`? "));
            let known = names().collect::<Vec<_>>().join(", ");
            preset.error(
                format!("there is no preset `{name}`"),
                Some(format!("{}presets: {known}", near.unwrap_or_default())),
            );
            return None;
        }
        return Some(Preset::Known(name));
    }
    if catalogue::text(key).is_some() {
        return Some(Preset::Known(key));
    }
    if written.iter().any(|(name, _)| *name == "postback") {
        return Some(Preset::None);
    }
    let hint = nearest(key, names()).map_or_else(
        || format!("known networks: {}.", names().collect::<Vec<_>>().join(", ")),
        |near| format!("did you mean `{near}`?"),
    );
    field.key_error(
        format!("there is no network `{key}`"),
        Some(format!(
            "{hint} For another account write `preset: NAME`, for a network of your own `postback: {{ url: … }}`"
        )),
    );
    None
}

fn entry<'a>(node: &'a Node, key: &str) -> Option<&'a Node> {
    match &node.kind {
        Kind::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value),
        Kind::Scalar(_) | Kind::List(_) => None,
    }
}

fn setting_names(base: &Node) -> Vec<String> {
    match entry(base, "settings").map(|settings| &settings.kind) {
        Some(Kind::Map(entries)) => entries.iter().map(|entry| entry.key.clone()).collect(),
        Some(Kind::Scalar(_) | Kind::List(_)) | None => Vec::new(),
    }
}

/// The site's block without the values of settings, which have their own decoding.
fn without(node: &Node, names: &[String]) -> Node {
    match &node.kind {
        Kind::Map(entries) => {
            let kept = entries.iter().filter(|entry| !names.contains(&entry.key)).cloned().collect();
            Node { place: node.place.clone(), kind: Kind::Map(kept) }
        }
        Kind::Scalar(_) | Kind::List(_) => node.clone(),
    }
}

/// Settings as declared, with the values that the site writes beside `click` and `postback`.
fn settings(
    declared: Option<Field<'_>>,
    written: &[(&str, Field<'_>)],
    block: &Field<'_>,
    base: &Path,
) -> BTreeMap<String, (Setting, Option<String>)> {
    let declared = declared.and_then(|field| field.entries()).unwrap_or_default();
    declared
        .into_iter()
        .filter_map(|(name, field)| {
            let setting = setting(&field)?;
            let value = match written.iter().find(|(key, value)| key == &name && !value.node.is_null()) {
                Some((_, value)) => value_of_setting(name, &setting, value, base),
                None if setting.required => {
                    block.key_error(
                        format!("the setting `{name}` is missing"),
                        Some(format!("write `{name}: …` into this block")),
                    );
                    None
                }
                None => setting.default.clone(),
            };
            Some((name.to_owned(), (setting, value)))
        })
        .collect()
}

fn setting(field: &Field<'_>) -> Option<Setting> {
    let mut section = field.section()?;
    let setting = Setting {
        required: section.get("required").and_then(|field| field.switch()).unwrap_or(false),
        default: section.get("default").and_then(|field| field.text().map(ToOwned::to_owned)),
        secret: section.get("secret").and_then(|field| field.switch()).unwrap_or(false),
        host: section.get("host").and_then(|field| field.switch()).unwrap_or(false),
        pattern: section.get("pattern").and_then(|field| whole_pattern(&field)),
    };
    section.finish();
    Some(setting)
}

fn value_of_setting(name: &str, setting: &Setting, field: &Field<'_>, base: &Path) -> Option<String> {
    let Scalar { text, origin, .. } = value::secret(field, base)?;
    if setting.secret && origin == Origin::Written {
        let variable = name.to_uppercase();
        field.error(
            format!("`{name}` is a secret and must not stand here in clear text"),
            Some(format!("write `{name}: ${{{variable}}}` and set that variable, or `{name}: {{ file: PATH }}`")),
        );
        return None;
    }
    if setting.host && !is_host(&text) {
        field.error(
            format!("`{name}` must be a host name"),
            Some("write it without scheme and path: net.example.com".to_owned()),
        );
        return None;
    }
    if let Some(pattern) = &setting.pattern
        && !pattern.is_match(&text)
    {
        field.error(
            format!("`{name}` does not look as it should"),
            Some(format!("it must match `{}`", written_pattern(pattern))),
        );
        return None;
    }
    Some(text)
}

fn is_host(text: &str) -> bool {
    let (name, port) = text.split_once(':').unwrap_or((text, "443"));
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
    !name.is_empty() && plain && port.parse::<u16>().is_ok()
}

fn parameters(field: Option<Field<'_>>) -> BTreeMap<String, Parameter> {
    let entries = field.and_then(|field| field.entries()).unwrap_or_default();
    entries.into_iter().filter_map(|(name, field)| Some((name.to_owned(), parameter(&field)?))).collect()
}

fn parameter(field: &Field<'_>) -> Option<Parameter> {
    let mut section = field.section()?;
    let parameter = Parameter {
        required: section.get("required").and_then(|field| field.switch()).unwrap_or(false),
        default: section.get("default").map(|field| field.node.clone()),
        pattern: section.get("pattern").and_then(|field| whole_pattern(&field)),
        many: section.get("many").and_then(|field| field.switch()).unwrap_or(false),
    };
    section.finish();
    Some(parameter)
}

fn whole_pattern(field: &Field<'_>) -> Option<Regex> {
    value::regex(field, field.text()?)?;
    Regex::new(&format!("^(?:{})$", field.text()?)).ok()
}

/// A pattern as it was written, without what makes it match the whole.
pub fn written_pattern(pattern: &Regex) -> &str {
    let whole = pattern.as_str();
    whole.strip_prefix("^(?:").and_then(|rest| rest.strip_suffix(")$")).unwrap_or(whole)
}

fn click_rule(key: &str, field: &Field<'_>, block: &Field<'_>) -> Option<ClickRule> {
    let mut section = field.section()?;
    let param = section.get("param").and_then(|field| field.text().map(ToOwned::to_owned));
    if !section.contains("param") {
        // The map may stand in the network's file; what is missing belongs into the operator's.
        block.key_error(
            "`click.param` is missing",
            "write `click: { param: NAME }`, the query parameter in which your ad links carry the click ID".to_owned(),
        );
    }
    let cookie = section.get("cookie").and_then(|field| cookie_name(&field)).unwrap_or_else(|| format!("_{key}_cid"));
    let ttl = section.get("ttl").and_then(|field| field.duration()).unwrap_or(DEFAULT_TTL);
    let keep = section.get("keep").and_then(|field| field.choice(&KEEPS)).unwrap_or_default();
    let pattern = section.get("pattern").and_then(|field| whole_pattern(&field));
    // Read by `cookie_rule`, which knows who overrules whom.
    for attribute in super::cookie::ATTRIBUTES {
        let _known = section.get(attribute);
    }
    section.finish();
    Some(ClickRule { param: param?, cookie, ttl, keep, pattern })
}

fn cookie_name(field: &Field<'_>) -> Option<String> {
    let name = field.text()?;
    let is_token = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
    if !is_token || name.starts_with("_tl") {
        field.error(
            format!("`{name}` cannot name this cookie"),
            Some("use letters, digits, `-` and `_` (RFC 6265); names that begin with `_tl` are ours".to_owned()),
        );
        return None;
    }
    Some(name.to_owned())
}

fn needs(field: &Field<'_>) -> Vec<Vec<String>> {
    let groups = field.list().unwrap_or_default();
    groups
        .iter()
        .filter_map(|field| Some(field.text()?.split('|').map(|name| name.trim().to_owned()).collect()))
        .collect()
}

fn sync(field: &Field<'_>, hosts: &[&str]) -> Option<SyncRule> {
    if matches!(&field.node.kind, Kind::Scalar(scalar) if scalar.text == "none") {
        return None;
    }
    let mut section = field.section()?;
    let all =
        section.get("pages").and_then(|field| field.choice(&[("conversion", false), ("all", true)])).unwrap_or(false);
    let every = section.get("every").and_then(|field| field.duration());
    let counted = section.get("counted").and_then(|field| field.switch());
    let pixels = section.require("pixels", "write a list of addresses, or `sync: none`");
    let pixels: Vec<_> = pixels
        .map(|field| field.one_or_many().iter().filter_map(|field| request::url(field, hosts)).collect())
        .unwrap_or_default();
    if pixels.len() > MAX_PIXELS {
        section.field().error(format!("a page takes at most {MAX_PIXELS} pixels"), None);
    }
    let query = section.get("query").map(|field| request::pairs(&field)).unwrap_or_default();
    if all && counted == Some(true) {
        section.field().error(
            "pixels that the network counts may not appear on all pages",
            Some("write `pages: conversion`".to_owned()),
        );
    }
    if !all && let Some(every) = section.get("every") {
        every.error("`every` belongs to `pages: all`", None);
    }
    section.finish();
    let pages = if all { SyncPages::All { every: every.unwrap_or(DEFAULT_SYNC) } } else { SyncPages::Conversion };
    Some(SyncRule { pages, pixels, query })
}

/// A tree without problems, for the catalogue's own listing.
#[must_use]
pub fn described(name: &str) -> (String, String) {
    let problems = Problems::default();
    let tree = catalogue::tree(name, &problems);
    let text = |key: &str| match tree.as_ref().and_then(|tree| entry(tree, key)).map(|node| &node.kind) {
        Some(Kind::Scalar(scalar)) => scalar.text.clone(),
        Some(Kind::List(_) | Kind::Map(_)) | None => String::new(),
    };
    (text("name"), text("description"))
}

const KEEPS: [(&str, Keep); 3] = [("last", Keep::Last), ("first", Keep::First), ("all", Keep::All)];
const DEFAULT_TTL: Duration = Duration::from_hours(30 * 24);
const DEFAULT_SYNC: Duration = Duration::from_hours(30 * 24);
const MAX_PIXELS: usize = 64;
