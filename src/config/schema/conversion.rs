//! Captures and conversions, and the values that are read for them.

use http::Method;
use serde_json::json;

use super::shape::{Key, Shape, key, needed};
use crate::config::{
    conversion::{CREDITS, MARKS},
    trigger::{CALLERS, KNOWN_METHODS},
};

/// Definitions by name.
pub(super) fn definitions() -> [(&'static str, Shape); 8] {
    let regex = || Shape::map([needed("regex", "A regular expression.", Shape::of("text"))]);
    let test = || Shape::any([Shape::one_or_many(Shape::of("text")), regex()]);
    let literal = Shape::map([needed("literal", "A text that looks like something else.", Shape::of("text"))]);
    let channel = Shape::map([
        needed("param", "The parameter.", Shape::of("text")),
        key("is", "A text, one of a list, or { regex: PATTERN }.", test()),
    ]);
    [
        ("value", value(&literal)),
        ("literal", literal.clone()),
        ("conditions", Shape::map_of(test()).example(json!({ "query.state": ["paid", "pending"] }))),
        ("paths", Shape::one_or_many(Shape::any([Shape::path(), regex()]))),
        ("marks", Shape::one_or_many(Shape::any([Shape::of("text"), Shape::of("literal")]))),
        ("channel", Shape::any([Shape::of("text"), channel])),
        ("capture", Shape::map(capture())),
        ("conversion", Shape::map(conversion())),
    ]
}

/// A source, a template, a text, or the first of several that yields.
fn value(literal: &Shape) -> Shape {
    let amount = Shape::map([
        needed("from", "Where the amount is read.", Shape::of("value")),
        key("minus", "What is taken off.", Shape::of("value")),
        key("minor", "Both are whole numbers of cents.", Shape::of("switch").or("false")),
    ]);
    let values = [Shape::of("text_or_file"), Shape::list(Shape::of("value")), literal.clone(), amount];
    Shape::any(values).and("description", VALUE)
}

fn trigger() -> [Key; 4] {
    [
        key("path", "The page, or a list: `{name}`, `*`, `**` at the end, or { regex: PATTERN }.", Shape::of("paths")),
        key(
            "method",
            "",
            Shape::one_or_many(Shape::words(KNOWN_METHODS.iter().map(Method::as_str))).example(json!(["GET", "POST"])),
        ),
        key("status", "Of the site's answer: a status, a class, or a list.", Shape::of("status")),
        key(
            "when",
            "Conditions on the request and the head of the answer, all of which must hold.",
            Shape::of("conditions"),
        ),
    ]
}

fn sender() -> [Key; 2] {
    [
        key(
            "caller",
            "server: a payment provider that reports the payment. Click and consent come from the journey found by the order id.",
            Shape::choice(&CALLERS).or("visitor"),
        ),
        key("from_addresses", "Where that server sends from.", Shape::one_or_many(Shape::of("text"))),
    ]
}

fn capture() -> Vec<Key> {
    let own = [
        needed("name", "For `after`, and a label of the metrics.", Shape::of("text")),
        key(
            "key",
            "The order, by which the callback of a payment provider finds this journey again.",
            Shape::of("value"),
        ),
        key("fields", "Read later as journey.NAME.", Shape::map_of(Shape::of("value"))),
    ];
    own.into_iter().chain(trigger()).collect()
}

fn conversion() -> Vec<Key> {
    let one = trigger().into_iter().chain(sender());
    let triggers = Shape::list(Shape::map(trigger().into_iter().chain(sender())));
    let own = vec![
        needed("name", "A label of the metrics, and part of what tells a repeated conversion.", Shape::of("text")),
        key("triggers", "Several requests of which whichever comes first counts.", triggers),
        key("success_mark", "What the page must show: a text, or html(\"CSS\").", Shape::of("marks")),
        key("failure_mark", "What the page must not show.", Shape::of("marks")),
        key("after", "Counts only after one of these captures.", Shape::one_or_many(Shape::of("text"))),
        key("within", "The time since that capture.", Shape::of("duration").or("24h")),
        key(
            "order_id",
            "Keeps a reload from counting again. Default: path.order_id, if the path has it.",
            Shape::of("value"),
        ),
        key("value", "An amount as pages print it.", Shape::of("value")),
        key("decimal_mark", "Which character stands before the cents, where that is in doubt.", Shape::choice(&MARKS)),
        key(
            "items",
            "The items of the order, a list.",
            Shape::of("value").example("data_layer.ecommerce.items".into()),
        ),
        key("currency", "", Shape::of("value").example("EUR".into())),
        key(
            "email",
            "Kept only if a network asks for it, and as a hash if that is all it asks for.",
            Shape::of("value"),
        ),
        key("phone", "", Shape::of("value")),
        key("fields", "Further names for your templates.", Shape::map_of(Shape::of("value"))),
        key(
            "once_per",
            "What tells two conversions apart: a field, a source or a template. Default: order_id.",
            Shape::of("value"),
        ),
        key("dedup_window", "How long a repeat is recognised.", Shape::of("duration").or("90d")),
        key(
            "credit",
            "last_paid_click: only if no later visit came by one of `channels` or by another network.",
            Shape::choice(&CREDITS).or("always"),
        ),
        key("shadow", "true: decided, counted and shown, and nothing of it happens.", Shape::of("switch").or("false")),
        needed("send", "The networks that hear of it, with their parameters.", Shape::of("send")),
    ];
    own.into_iter().chain(one).collect()
}

const VALUE: &str = "A source (query.NAME, path.NAME, header.NAME, cookie.NAME, form.NAME, json.POINTER, \
     response.header.NAME, response.json.POINTER, html(\"CSS\"), json_ld.PATH, data_layer.PATH, journey.NAME), a \
     template (\"{name|filter}\"), a text, or a list of which the first that yields counts.";
