//! Decoding of `send`: what each network hears of a conversion.

use std::sync::Arc;

use super::{
    conversion::WELL_KNOWN,
    decode::Field,
    network::{Network, Parameter, written_pattern},
    problem::nearest,
    source::Reach,
    tree::Kind,
    value::{Literals, value},
};
use crate::tracking::{
    conversion::{Captured, SendRule, Wanted},
    postback::{BUILT_INS, ConfiguredNames, ITEM_BUILT_INS, PostbackRule, REQUEST_BUILT_INS, SIGNED},
    template::{Slot, Template},
    value::Value,
};

/// The networks of a site.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Those that could be decoded.
    pub networks: &'a [Network],
    /// The keys of all that are written.
    pub written: &'a [&'a str],
}

/// What a conversion has to tell.
#[derive(Clone, Copy, Debug)]
pub struct Tellable<'a> {
    /// Its fields.
    pub fields: &'a [(String, Value)],
    /// Whether it knows the items of an order.
    pub has_items: bool,
    /// What parameters can refer to.
    pub reach: Reach<'a>,
}

/// Reads the map under `send`.
pub fn send(field: &Field<'_>, networks: Known<'_>, tellable: Tellable<'_>) -> Vec<SendRule> {
    let entries = field.entries().unwrap_or_default();
    if entries.is_empty() {
        field.error("no network hears of this conversion", Some("write `send: { NETWORK: {} }`".to_owned()));
    }
    entries.into_iter().filter_map(|(key, field)| send_to(key, &field, networks, tellable)).collect()
}

fn send_to(key: &str, field: &Field<'_>, known: Known<'_>, tellable: Tellable<'_>) -> Option<SendRule> {
    let reach = tellable.reach;
    let networks = known.networks;
    let Some(index) = networks.iter().position(|network| &*network.rules.key == key) else {
        if known.written.contains(&key) {
            // What is wrong with it was said where it stands.
            return None;
        }
        let names = || known.written.iter().copied();
        let remedy = nearest(key, names()).map_or_else(
            || format!("networks of this site: {}", names().collect::<Vec<_>>().join(", ")),
            |near| format!("did you mean `{near}`?"),
        );
        field.key_error(format!("this site has no network `{key}`"), Some(remedy));
        return None;
    };
    let network = networks.get(index)?;
    let mut section = field.section()?;
    let click_id = section.get("click_id").and_then(|field| value(&field, reach, Literals::Allowed));
    let extra = section.get("extra").and_then(|field| field.entries()).unwrap_or_default();
    let mut values = Values {
        names: ConfiguredNames {
            settings: network.settings.clone(),
            secrets: network.secret_names.clone(),
            ..ConfiguredNames::default()
        },
        captured: vec![],
    };
    for (name, field) in section.take_rest() {
        match network.parameters.get(name) {
            Some(parameter) => values.add(name, &field, parameter, reach),
            None => unknown_parameter(name, &field, key, network),
        }
    }
    for (name, field) in &extra {
        values.add(&format!("extra.{name}"), field, &FREE, reach);
    }
    for (name, parameter) in &network.parameters {
        let given = values.has(name);
        if let (false, Some(default)) = (given, &parameter.default) {
            values.add(name, &Field::at(default, format!("{}.{name}", field.path), field.problems()), parameter, reach);
        } else if !given && parameter.required && !field_has(field, name) {
            field.key_error(
                format!("the parameter `{name}` is missing"),
                Some(format!("write `{key}: {{ {name}: … }}`")),
            );
        }
    }
    section.finish();
    let extra = extra.into_iter().map(|(name, _)| name.to_owned()).collect();
    let rule = PostbackRule { request: network.request.clone(), names: values.names, extra };
    check_names(field, network, &rule, tellable);
    Some(SendRule {
        network: index,
        click_id,
        captured: values.captured,
        needs: network.needs.clone(),
        required: network.parameters.iter().filter(|(_, it)| it.required).map(|(name, _)| name.clone()).collect(),
        wanted: wanted(network, &rule),
        postback: Arc::new(rule),
    })
}

struct Values {
    names: ConfiguredNames,
    captured: Vec<(String, Captured)>,
}

impl Values {
    fn has(&self, name: &str) -> bool {
        self.names.parameters.contains_key(name)
            || self.names.lists.contains_key(name)
            || self.captured.iter().any(|(captured, _)| captured == name)
    }

    /// Takes a value: what needs the visitor's request is captured with it, the rest stays here.
    fn add(&mut self, name: &str, field: &Field<'_>, parameter: &Parameter, reach: Reach<'_>) {
        if parameter.many && matches!(field.node.kind, Kind::List(_)) {
            let items = field.list().unwrap_or_default();
            let items: Vec<Value> = items.iter().filter_map(|item| checked(item, parameter, reach)).collect();
            if items.iter().any(Value::is_captured) {
                self.captured.push((name.to_owned(), Captured::Many(items)));
            } else {
                self.names.lists.insert(name.to_owned(), items.iter().filter_map(template_of).collect());
            }
            return;
        }
        let Some(value) = checked(field, parameter, reach) else { return };
        match template_of(&value) {
            Some(template) => {
                self.names.parameters.insert(name.to_owned(), template);
            }
            None => self.captured.push((name.to_owned(), Captured::One(value))),
        }
    }
}

/// What stands in the configuration itself; `None` for what must be read from a request.
fn template_of(value: &Value) -> Option<Template> {
    match value {
        Value::Literal(text) => Some(Template::literal(text.clone())),
        Value::Template(template) => Some(template.clone()),
        Value::Source(..) | Value::FirstOf(_) | Value::Amount(_) => None,
    }
}

fn checked(field: &Field<'_>, parameter: &Parameter, reach: Reach<'_>) -> Option<Value> {
    let value = value(field, reach, Literals::Allowed)?;
    if let (Value::Literal(text), Some(pattern)) = (&value, &parameter.pattern)
        && !pattern.is_match(text)
    {
        field.error(
            format!("`{text}` does not look as it should"),
            Some(format!("it must match `{}`", written_pattern(pattern))),
        );
        return None;
    }
    Some(value)
}

fn field_has(field: &Field<'_>, name: &str) -> bool {
    field.entries().is_some_and(|entries| entries.iter().any(|(key, field)| *key == name && !field.node.is_null()))
}

fn unknown_parameter(name: &str, field: &Field<'_>, key: &str, network: &Network) {
    let known = || network.parameters.keys().map(String::as_str).chain(["click_id", "extra"]);
    let hint = nearest(name, known()).map_or_else(
        || format!("it takes {}.", known().collect::<Vec<_>>().join(", ")),
        |near| format!("did you mean `{near}`?"),
    );
    field.key_error(
        format!("`{key}` has no parameter `{name}`"),
        Some(format!("{hint} Any further name goes under `extra: {{ {name}: … }}`")),
    );
}

/// A template that asks for a name nobody has would stay silent for ever.
fn check_names(field: &Field<'_>, network: &Network, rule: &PostbackRule, tellable: Tellable<'_>) {
    let mut known: Vec<&str> = network.parameters.keys().map(String::as_str).collect();
    known.extend(network.setting_names.iter().map(String::as_str));
    known.extend(WELL_KNOWN.iter().map(|(name, _)| *name));
    known.extend(tellable.fields.iter().map(|(name, _)| name.as_str()));
    known.extend(BUILT_INS.iter().chain(&REQUEST_BUILT_INS));
    // A network's own templates may ask for items: an order without them leaves those out.
    let of_network = templates_of_network(network).into_iter().map(|template| (template, true));
    let of_conversion = templates_of_conversion(rule).map(|template| (template, tellable.has_items));
    let is_signed = |template: &Template| {
        network.request.sign.as_ref().is_some_and(|sign| std::ptr::eq(template, &raw const sign.over))
    };
    for (template, has_items) in of_network.chain(of_conversion) {
        for key in template.slots().flat_map(Slot::key_names) {
            if !network.setting_names.iter().any(|name| name == key) {
                let settings = network.setting_names.join(", ");
                field.key_error(
                    format!("there is no setting `{key}` to make a checksum with"),
                    Some(format!("settings of this network: {settings}")),
                );
            }
        }
        for slot in template.slots().filter(|slot| !known.contains(&slot.name.as_str())) {
            if is_signed(template) && SIGNED.contains(&slot.name.as_str()) {
                continue;
            }
            if ITEM_BUILT_INS.contains(&slot.name.as_str()) {
                if !has_items {
                    field.key_error(
                        format!("`{{{}}}` asks for the items of an order", slot.name),
                        Some("write where they stand: `items: data_layer.ecommerce.items`".to_owned()),
                    );
                }
                continue;
            }
            let remedy = match nearest(&slot.name, known.iter().copied()) {
                _ if SIGNED.contains(&slot.name.as_str()) => {
                    "parts of the request are known where it is signed alone: `sign: { over: … }`".to_owned()
                }
                Some(near) => format!("did you mean `{{{near}}}`?"),
                None => format!("read it under `fields: {{ {}: … }}`", slot.name),
            };
            field.key_error(format!("nothing is called `{{{}}}`", slot.name), Some(remedy));
        }
    }
}

fn templates_of_conversion(rule: &PostbackRule) -> impl Iterator<Item = &Template> {
    rule.names.parameters.values().chain(rule.names.lists.values().flatten())
}

fn templates_of_network(network: &Network) -> Vec<&Template> {
    let mut all = network.request.templates();
    if let Some(sync) = &network.rules.sync {
        all.extend(sync.query.iter().map(|(_, template)| template));
        all.extend(sync.pixels.iter().flat_map(|pixel| [&pixel.origin, &pixel.path]));
    }
    all
}

fn wanted(network: &Network, rule: &PostbackRule) -> Wanted {
    let mut wanted = Wanted::default();
    for template in templates_of_network(network).into_iter().chain(templates_of_conversion(rule)) {
        wanted.add(template);
    }
    for name in ["order_id", "value", "currency"] {
        wanted.add_name(name);
    }
    for name in network.needs.iter().flatten() {
        wanted.add_hashed(name);
    }
    wanted
}

/// What `extra` takes: anything.
static FREE: Parameter = Parameter { required: false, default: None, pattern: None, many: false };
