//! The schema against the decoder: what one takes, the other takes, key by key.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::*;
use crate::config::{
    problem::Problems,
    tests::{cases, levels_that_are_known, shipped, text as text_of, without_consent},
    tree::{Kind, Node, Scalar},
};

/// A tree as an editor reads it (YAML 1.2, the core schema).
fn as_json(node: &Node) -> Value {
    match &node.kind {
        Kind::Scalar(scalar) if scalar.is_null() => Value::Null,
        Kind::Scalar(Scalar { text, quoted: true, .. }) => text.as_str().into(),
        Kind::Scalar(Scalar { text, .. }) => match text.as_str() {
            "true" | "True" | "TRUE" => true.into(),
            "false" | "False" | "FALSE" => false.into(),
            _ => {
                let number = text.parse::<i64>().map(Value::from).or_else(|_| text.parse::<f64>().map(Value::from));
                number.unwrap_or_else(|_| text.as_str().into())
            }
        },
        Kind::List(items) => items.iter().map(as_json).collect(),
        Kind::Map(entries) => {
            Value::Object(entries.iter().map(|entry| (entry.key.clone(), as_json(&entry.value))).collect())
        }
    }
}

fn mistakes(text: &str) -> Vec<String> {
    let validator = jsonschema::draft202012::new(&schema()).unwrap();
    let node = Node::parse("a.yaml", text, &Problems::default()).unwrap();
    let json = as_json(&node);
    validator.iter_errors(&json).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[test]
fn it_is_a_schema() {
    jsonschema::draft202012::meta::validate(&schema()).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn every_configuration_that_we_ship_is_good() {
    for file in shipped() {
        let found = mistakes(&text_of(&file));
        assert!(found.is_empty(), "{}:\n{}", file.display(), found.join("\n"));
    }
}

#[test]
fn what_the_decoder_takes_is_good() {
    let mut good = 0;
    for (file, input, said) in cases() {
        if without_consent(&said).lines().all(|line| line == "in order" || line.contains(": warning: ")) {
            let found = mistakes(&input);
            assert!(found.is_empty(), "{}:\n{}", file.display(), found.join("\n"));
            good += 1;
        }
    }
    assert!(good >= 10, "only {good}");
    let found = mistakes(crate::config::tests::ODD);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn what_is_misspelt_is_found() {
    for text in [
        "lisen: 127.0.0.1:80",
        "tracking: maybe",
        "max_page_delay: 50",
        "sites: [{ upstream: 'ftp://a' }]",
        "sites: [{ cookie: { same_site: laks } }]",
        "sites: [{ conversions: [{ name: a }] }]",
        "sites: [{ networks: { exoclick: { click: { params: a } } } }]",
        "admin: { token: in-clear-text }",
    ] {
        assert!(!mistakes(text).is_empty(), "{text}");
    }
}

#[test]
fn its_keys_are_those_of_the_decoder() {
    let schema = schema();
    let mut found = BTreeSet::new();
    for (path, mut known) in levels_that_are_known() {
        // A header is asked for once no cookie is there.
        if known.contains("header") && known.contains("granted") {
            known.remove("cookie");
        }
        let maps = maps_at(&schema, &path);
        let all: Vec<_> = maps.iter().map(|map| keys(map)).collect();
        assert!(all.contains(&known), "{path}: the decoder knows {known:?}, the schema {all:?}");
        found.insert(known);
    }
    let mut unmatched = BTreeMap::new();
    collect_maps(&schema, "#", &mut unmatched);
    unmatched.retain(|_, map| !found.contains(&keys(map)));
    let unmatched: Vec<_> = unmatched.keys().collect();
    assert!(unmatched.is_empty(), "no decoder was asked for the keys of {unmatched:#?}");
}

#[test]
fn its_defaults_are_those_that_show_prints() {
    use crate::config::show;
    let schema = schema();
    let mut count = 0;
    for (path, defaults) in [
        ("", show::DEFAULTS),
        ("sites[]", show::SITE_DEFAULTS),
        ("log.access", show::ACCESS_DEFAULTS),
        ("listen[]", show::LISTENER_DEFAULTS),
        ("sites[].upstream", show::UPSTREAM_DEFAULTS),
        ("sites[].upstream.servers[]", show::SERVER_DEFAULTS),
        ("sites[].upstream.health", show::HEALTH_DEFAULTS),
        ("sites[].upstream.tls", show::TLS_DEFAULTS),
    ] {
        let node = Node::parse("a.yaml", defaults, &Problems::default()).unwrap();
        count += compare_defaults(&schema, path, &node);
    }
    assert!(count >= 40, "only {count}");
}

fn compare_defaults(schema: &Value, path: &str, defaults: &Node) -> usize {
    let Kind::Map(entries) = &defaults.kind else { return 0 };
    let mut count = 0;
    for entry in entries {
        let below = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
        if matches!(entry.value.kind, Kind::Map(_)) {
            count += compare_defaults(schema, &below, &entry.value);
        // The name of a single site.
        } else if below != "sites[].name" {
            let shapes = shapes_at(schema, &below);
            let said = shapes.iter().find_map(|shape| shape.get("default"));
            assert_eq!(said, Some(&as_json(&entry.value)), "{below}");
            count += 1;
        }
    }
    count
}

#[test]
fn it_lies_beside_the_examples() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/throughline.schema.json");
    if std::env::var_os("UPDATE").is_some() {
        #[expect(clippy::disallowed_methods, reason = "the file is rewritten on demand")]
        std::fs::write(&file, text()).unwrap();
    }
    assert!(text_of(&file) == text(), "write it anew: UPDATE=1 cargo test --lib schema");
}

fn keys(map: &Value) -> BTreeSet<String> {
    map["properties"].as_object().unwrap().keys().cloned().collect()
}

/// The maps with keys of their own that may stand at a path such as `sites[].networks.mine`.
fn maps_at<'a>(schema: &'a Value, path: &str) -> Vec<&'a Value> {
    shapes_at(schema, path).into_iter().filter(|shape| shape["properties"].is_object()).collect()
}

/// All that may stand at a path.
fn shapes_at<'a>(schema: &'a Value, path: &str) -> Vec<&'a Value> {
    let mut shapes = alternatives(schema, schema);
    for step in path.split('.').filter(|step| !step.is_empty()) {
        let (name, lists) = step.split_once("[]").map_or((step, 0), |(name, _)| (name, step.matches("[]").count()));
        shapes = shapes.iter().flat_map(|shape| below(schema, shape, name)).collect();
        for _ in 0..lists {
            shapes = shapes.iter().flat_map(|shape| items(schema, shape)).collect();
        }
    }
    shapes
}

fn below<'a>(schema: &'a Value, shape: &'a Value, name: &str) -> Vec<&'a Value> {
    let value = shape["properties"].get(name).or_else(|| shape.get("additionalProperties"));
    value.map(|value| alternatives(schema, value)).unwrap_or_default()
}

/// What may stand in a list; a single value may stand for a list of it.
fn items<'a>(schema: &'a Value, shape: &'a Value) -> Vec<&'a Value> {
    shape.get("items").map_or_else(|| vec![shape], |items| alternatives(schema, items))
}

fn alternatives<'a>(schema: &'a Value, shape: &'a Value) -> Vec<&'a Value> {
    let mut all = vec![shape];
    if let Some(name) = shape["$ref"].as_str() {
        all.extend(alternatives(schema, &schema["$defs"][name.trim_start_matches("#/$defs/")]));
    }
    for other in shape["anyOf"].as_array().into_iter().flatten() {
        all.extend(alternatives(schema, other));
    }
    all
}

/// All maps that take no other keys than theirs.
fn collect_maps<'a>(shape: &'a Value, place: &str, found: &mut BTreeMap<String, &'a Value>) {
    match shape {
        Value::Object(members) => {
            // A banner with its options is one of them; its name is told from others by another rule.
            let is_one_of = members.contains_key("maxProperties");
            let has_keys = members.get("properties").and_then(Value::as_object).is_some_and(|keys| !keys.is_empty());
            let is_closed = members.get("additionalProperties") == Some(&Value::Bool(false));
            if has_keys && is_closed && !is_one_of {
                found.insert(place.to_owned(), shape);
            }
            for (name, member) in members {
                collect_maps(member, &format!("{place}/{name}"), found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                collect_maps(item, &format!("{place}/{index}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
