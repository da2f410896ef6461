//! What scripts push, in the shapes that shops print.

use serde_json::{Value, json};

use super::*;

fn find(scripts: &[&str], path: &str) -> Option<Value> {
    DataLayer::read(scripts).find(&path.parse().unwrap()).cloned()
}

#[test]
fn a_push_counts_however_the_data_layer_is_reached() {
    for script in [
        "dataLayer.push({a: 1});",
        "window.dataLayer.push({a: 1})",
        "window.dataLayer = window.dataLayer || []; window.dataLayer.push({a: 1});",
        "(window.dataLayer = window.dataLayer || []).push({a: 1});",
        "(dataLayer=window.dataLayer||[]).push({a:1})",
        "window['dataLayer'].push({a: 1})",
        "window[\"dataLayer\"][\"push\"]({a: 1})",
        "self.top.dataLayer?.push({a: 1})",
        "dataLayer\n  .push ( /* the order */ {a: 1} )",
        "dataLayer = [{a: 1}];",
        "var dataLayer = [{b: 2}, {a: 1}, 'x'];",
        "window.dataLayer = [ { 'a' : 1 } ]",
        "dataLayer.push({b: 2}, {a: 1})",
        "dataLayer.push(f(), {a: 1})",
        "var order = {a: 1}; dataLayer.push( order );",
        "const order = {a: 1}\ndataLayer.push(order)",
        "window.order = {a: 1}; dataLayer.push(order)",
        "order = JSON.parse('{\"a\":1}'); dataLayer.push(order)",
        "dataLayer.push(JSON.parse(\"{\\\"a\\\":1}\"))",
        "document.addEventListener('DOMContentLoaded', function() { dataLayer.push({a: 1}); });",
        "jQuery(function ($) { if (x > 1 && y < /'/) { dataLayer.push({a: 1}) } });",
        "var App = { track: function () { dataLayer.push({a: 1}); } };",
        "x = `${ dataLayer.push({a: 1}) }`",
        "<!--\ndataLayer.push({a: 1});\n//-->",
        "/* <![CDATA[ */ dataLayer.push({a: 1}); /* ]]> */",
        "//<![CDATA[\ndataLayer.push({a: 1});\n//]]>",
        "gtag('event', 'x', {a: 1})",
        "window.gtag(\"event\", \"x\", {a: 1})",
        "var order = {a: 1}; gtag('event', 'x', order);",
        "function gtag(){dataLayer.push(arguments);} gtag('js', new Date()); gtag('event', name(), {a: 1});",
        "s = 'it\\'s'; t = \"a // b\"; u = /[\"'/]/; dataLayer.push({a: 1})",
        "broken = 'no end\ndataLayer.push({a: 1})",
        "dataLayer.push({a: 1, eventCallback: function() { location = '/}'; }, eventTimeout: 2000});",
    ] {
        assert_eq!(find(&[script], "a"), Some(json!(1)), "{script}");
    }
}

#[test]
fn what_is_no_push_of_a_known_object_does_not_count() {
    for script in [
        "// dataLayer.push({a: 1})",
        "/* dataLayer.push({a: 1}) */",
        "x = 'dataLayer.push({a: 1})'",
        "x = \"it's dataLayer.push({a: 1})\"",
        "x = `dataLayer.push({a: 1})`",
        "x = /dataLayer.push({a: 1})/",
        "<!-- dataLayer.push({a: 1})",
        "myDataLayer.push({a: 1})",
        "dataLayerX.push({a: 1})",
        "dataLayer.x.push({a: 1})",
        "dataLayer.pushed({a: 1})",
        "push({a: 1})",
        "f(dataLayer).push({a: 1})",
        "(x, window.dataLayer.x || []).push({a: 1})",
        "dataLayer.push(function () { return {a: 1} })",
        "dataLayer.push([{a: 1}])",
        "dataLayer.push(order)",
        "dataLayer.push(x || {a: 1})",
        "dataLayer.push({a: 1} && x)",
        "dataLayer.push({a: a})",
        "dataLayer.push({a: null})",
        "dataLayer.push({a: undefined})",
        "dataLayer.push({a: 1",
        "dataLayer.push({b: 'a: 1",
        "dataLayer == [{a: 1}]",
        "gtag('config', 'G-1', {a: 1})",
        "gtag('set', {a: 1})",
        "gtag(x, 'event', {a: 1})",
        "ga('event', 'x', {a: 1})",
        "x.order = {a: 1}; dataLayer.push(order)",
        "order = x || {a: 1}; dataLayer.push(order)",
        "order = {a: 1} || x; dataLayer.push(order)",
        "order = {a: 1}; order = load(); dataLayer.push(order)",
        "order = {a: 1}; order.a = total; dataLayer.push(order)",
        "order = {a: 1}; order['a'] = total; dataLayer.push(order)",
        "dataLayer.push(order); order = {a: 1}",
    ] {
        assert_eq!(find(&[script], "a"), None, "{script}");
    }
}

#[test]
fn the_newest_entry_that_has_anything_there_wins() {
    let script = "dataLayer.push({event: 'cart', ecommerce: {value: 1}});
        dataLayer.push({ecommerce: null});
        dataLayer.push({event: 'purchase', ecommerce: {value: 2, items: []}});
        dataLayer.push({event: 'later', ecommerce: {value: null, coupon: 'X'}});
        dataLayer.push({ecommerce: null, 'gtm.uniqueEventId': 7});";
    assert_eq!(find(&[script], "ecommerce.value"), Some(json!(2)));
    assert_eq!(find(&[script], "ecommerce.coupon"), Some(json!("X")));
    assert_eq!(find(&[script], "ecommerce"), Some(json!({ "value": null, "coupon": "X" })));
    assert_eq!(find(&[script], "event"), Some(json!("later")));
    assert_eq!(find(&["dataLayer.push({a: 1})", "", "dataLayer.push({a: 2})"], "a"), Some(json!(2)));
}

#[test]
fn an_event_of_gtag_has_its_name_beside_its_parameters() {
    let script =
        "gtag('event', 'purchase', {value: 3}); gtag('event', 'x', {event: 'own', a: 1}); gtag('event', 'bare');";
    assert_eq!(find(&[script], "event"), Some(json!("bare")));
    assert_eq!(find(&["gtag('event', 'x', {event: 'own'})"], "event"), Some(json!("own")));
    assert_eq!(find(&["gtag('event', 'purchase', {value: 3})"], "event"), Some(json!("purchase")));
    assert_eq!(find(&["gtag('event', 'purchase', {value: 3})"], "value"), Some(json!(3)));
}

#[test]
fn a_variable_may_come_from_an_earlier_script() {
    let scripts = ["var order = {a: {b: 1, c: 2}, d: 3};", "order.a.b = f();", "dataLayer.push(order)"];
    assert_eq!(find(&scripts, "a.c"), Some(json!(2)));
    assert_eq!(find(&scripts, "a.b"), None);
    assert_eq!(find(&scripts, "d"), Some(json!(3)));
    // What was pushed stays as it was when it was pushed.
    let changed = "order = {a: 1}; dataLayer.push(order); order.a = 2; dataLayer.push(order);";
    assert_eq!(find(&[changed], "a"), Some(json!(1)));
}

#[test]
fn only_the_newest_entries_are_kept() {
    let scripts: Vec<String> = (0..MAX_ENTRIES + 10).map(|at| format!("dataLayer.push({{n{at}: {at}}});")).collect();
    let script = scripts.concat();
    let data_layer = DataLayer::read(&[&script]);
    assert_eq!(data_layer.entries.len(), MAX_ENTRIES);
    assert_eq!(data_layer.find(&"n9".parse().unwrap()), None);
    assert_eq!(data_layer.find(&"n10".parse().unwrap()), Some(&json!(10)));
}

#[test]
fn hostile_scripts_are_read_in_bounds() {
    let nested = |opening: &str| format!("{}dataLayer.push({{a: 1}})", opening.repeat((1 << 18) / opening.len()));
    for script in [
        nested("{"),
        nested("dataLayer.push("),
        nested("dataLayer.push({a:"),
        nested("x={f(){"),
        nested("x={f:function(){"),
        nested("x=[["),
        nested("`${"),
        nested("(dataLayer"),
        nested("a.b.c["),
        nested("x={};x.a="),
        nested("gtag('event',x,"),
        nested("a=/["),
        nested("JSON.parse('["),
        format!("x={{a:[{}]}};{}", "1,".repeat(1 << 16), "dataLayer.push(x);x.a=1;".repeat(1 << 12)),
        format!("x={{a:[{}]}};{}", "1,".repeat(1 << 16), "dataLayer.push(x);".repeat(1 << 12)),
    ] {
        let data_layer = DataLayer::read(&[&script]);
        assert!(data_layer.entries.len() <= MAX_ENTRIES, "{script:.20}");
    }
    assert!(DataLayer::read(&[&nested("x={f(){")]).is_cut());
    assert!(!DataLayer::read(&["dataLayer.push({a: 1})"]).is_cut());
}
