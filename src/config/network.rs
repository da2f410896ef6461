//! Decoding of one entry under a site's `networks`: a network's file, overlaid by what the site
//! writes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use regex::Regex;

use super::{
    batch, catalogue,
    consent::requirement,
    cookie::cookie_rule,
    decode::Field,
    delivery::{DeliverySettings, delivery, within_limit},
    file::Files,
    outbound,
    problem::Problems,
    request,
    tree::{Kind, Node},
    value, verdict,
};
use crate::{
    delivery::{outbound::TokenRule, route::Route},
    tracking::{
        cookie::SetCookie,
        network::{Mode, NetworkRules},
        postback::{BatchRule, RequestRule},
        verdict::{Repeats, VerdictRules},
    },
};

pub(super) mod click;
mod preset;
mod settings;
mod sync;

use click::click_rule;
use preset::{Preset, preset_of};
use settings::{setting_names, settings};
use sync::sync;

/// A network of a site, decoded.
#[derive(Debug)]
pub struct Network {
    /// What the core needs.
    pub rules: NetworkRules,
    /// The network that came with Throughline and lies below what is written, if one does.
    pub preset: Option<&'static str>,
    /// Its request.
    pub request: RequestRule,
    /// How it takes several events in one, if it does.
    pub batch: Option<BatchRule>,
    /// Its verdicts.
    pub verdicts: VerdictRules,
    /// Its settings with their values.
    pub settings: BTreeMap<String, String>,
    /// The names of all its settings, those without a value included.
    pub setting_names: Vec<String>,
    /// Those of them that are shown to nobody.
    pub secret_names: BTreeSet<String>,
    /// What may stand under `send`.
    pub parameters: BTreeMap<String, Parameter>,
    /// Identifiers of which each group needs one.
    pub needs: Vec<Vec<String>>,
    /// How postbacks to it are delivered.
    pub delivery: DeliverySettings,
    /// By which way requests get to it.
    pub route: Arc<Route>,
    /// Where its access tokens come from.
    pub token: Option<Arc<TokenRule>>,
    /// Whether conversions of one order are sent in the order of their event times.
    pub in_order: bool,
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

/// Where a network is decoded: what the site says about it elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The accounts that all sites can refer to.
    pub accounts: Option<&'a Node>,
    /// The site's own `cookie`.
    pub site_cookie: Option<&'a Node>,
    /// The defaults of `delivery`.
    pub delivery: DeliverySettings,
    /// The defaults of the route.
    pub route: &'a Route,
    /// The files beside the configuration.
    pub files: Files<'a>,
}

/// Decodes the entry `key`: over the network's file lies the account of that name, over that the entry itself.
pub fn network(key: &str, field: &Field<'_>, around: Surroundings<'_>) -> Option<Network> {
    let problems = field.problems();
    let block = around.accounts.and_then(|accounts| accounts.entry(key)).map(|account| laid_over(account, field.node));
    let field = &block.as_ref().map_or_else(|| field.clone(), |block| field.with_node(block));
    let written = field.entries()?;
    let preset = preset_of(key, field, &written, around.accounts)?;
    let base = match preset {
        Preset::Known(preset) => catalogue::tree(preset, problems)?,
        Preset::None => Node { place: field.node.place.clone(), kind: Kind::Map(Vec::new()) },
    };
    let declared = [setting_names(&base), setting_names(field.node)].concat();
    let merged = Node::overlay(&base, &without(field.node, &declared));
    let merged = field.with_node(&merged);
    let mut section = merged.section()?;

    let settings = settings(section.get("settings"), &written, field);
    for name in &declared {
        section.know(name);
    }
    let hosts: Vec<&str> =
        settings.iter().filter(|(_, (setting, _))| setting.is_host()).map(|(name, _)| name.as_str()).collect();
    let parameters = parameters(section.get("parameters"));
    let click = section.get("click").and_then(|click| click_rule(key, &click, field));
    if click.is_none() && !section.contains("click") {
        field.error(
            "`click` is missing",
            Some("write `click: { param: NAME }`, the query parameter with the click ID".to_owned()),
        );
    }
    let layers = [base.entry("click"), around.site_cookie, field.node.entry("click")];
    let cookie = cookie_rule(&layers, field, "click");
    let needs = section.get("needs").map_or_else(|| vec![vec!["click_id".to_owned()]], |field| needs(&field));
    let postback = section.require("postback", "write where conversions are reported: `postback: { url: … }`");
    let mut request = postback.as_ref().and_then(|field| request::request(field, &hosts));
    let batch = section.get("batch").and_then(|field| batch::batch(&field, request.as_mut()));
    let values: outbound::Settings = settings.iter().map(|(name, (_, value))| (name.clone(), value.clone())).collect();
    let token = postback.as_ref().and_then(|field| outbound::token(field, &values, &hosts));
    let delivery_field = section.get("delivery");
    let route = outbound::route(delivery_field.as_ref(), section.get("tls").as_ref(), around.route, around.files);
    if let (Some(postback), Some(request)) = (&postback, &request) {
        outbound::check_host(postback, &request.url, &route);
        outbound::check_settings(postback, request, &values);
    }
    let repeats = section.get("repeats").and_then(|field| field.choice(&REPEATS)).unwrap_or_default();
    let verdicts = section.get("verdict").map(|field| verdict::rules(&field)).unwrap_or_default().with_repeats(repeats);
    let sync = section.get("sync").and_then(|field| sync(key, &field, &hosts, around.site_cookie));
    let optimistic = section.get("optimistic").and_then(|field| field.switch()).unwrap_or_default();
    let mode = section.get("tracking").and_then(|field| field.choice(&MODES)).unwrap_or_default();
    let consent = section.get("consent").and_then(|field| requirement(&field));
    let delivery = delivery_field.as_ref().map_or(around.delivery, |field| delivery(field, around.delivery));
    let limit = base.entry("delivery").and_then(|delivery| delivery.entry("max_age"));
    let delivery = within_limit(delivery, limit, delivery_field.as_ref().unwrap_or(field));
    let in_order = section.get("in_order").and_then(|field| field.choice(&IN_ORDER)).unwrap_or(false);
    for documentation in ["preset", "name", "description", "source", "verified", "examples"] {
        section.know(documentation);
    }
    section.finish();
    let (click, ttl) = click?;
    let cookie = SetCookie::new(&click.cookie, &cookie, ttl);
    Some(Network {
        preset: match preset {
            Preset::Known(name) => Some(name),
            Preset::None => None,
        },
        rules: NetworkRules { key: Arc::from(key), mode, click, cookie, click_ttl: ttl, consent, sync, optimistic },
        request: request?,
        batch,
        verdicts,
        setting_names: settings.keys().cloned().collect(),
        secret_names: settings.iter().filter(|(_, (it, _))| it.is_secret()).map(|(name, _)| name.clone()).collect(),
        settings: settings.into_iter().filter_map(|(name, (_, value))| Some((name, value?))).collect(),
        parameters,
        needs,
        delivery,
        route: Arc::new(route),
        token: token.map(Arc::new),
        in_order,
    })
}

/// The values of `tracking`.
pub const MODES: [(&str, Mode); 3] = [("on", Mode::On), ("observe", Mode::Observe), ("off", Mode::Off)];

/// The values of `repeats`.
pub(super) const REPEATS: [(&str, Repeats); 2] = [("counted", Repeats::Counted), ("dropped", Repeats::Dropped)];

/// The values of `in_order`: the field whose conversions keep their order.
pub(super) const IN_ORDER: [(&str, bool); 1] = [("order_id", true)];

/// A site's block over the account that it refers to. Nulls stay, because they remove from the network's file, too.
pub fn laid_over(account: &Node, block: &Node) -> Node {
    if block.is_null() { account.clone() } else { Node::overlay_keeping_nulls(account, block) }
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

fn needs(field: &Field<'_>) -> Vec<Vec<String>> {
    let groups = field.list().unwrap_or_default();
    groups
        .iter()
        .filter_map(|field| Some(field.text()?.split('|').map(|name| name.trim().to_owned()).collect()))
        .collect()
}

/// A tree without problems, for the catalogue's own listing.
#[must_use]
pub fn described(name: &str) -> (String, String) {
    let problems = Problems::default();
    let tree = catalogue::tree(name, &problems);
    let text = |key: &str| match tree.as_ref().and_then(|tree| tree.entry(key)).map(|node| &node.kind) {
        Some(Kind::Scalar(scalar)) => scalar.text.clone(),
        Some(Kind::List(_) | Kind::Map(_)) | None => String::new(),
    };
    (text("name"), text("description"))
}
