//! A network's block, and those of the networks that come with Throughline.

use serde_json::{Map, Value, json};

use super::{
    process::modes,
    shape::{Key, Shape, key, needed, typed},
    site::cookie_attributes,
};
use crate::config::{
    catalogue,
    network::{IN_ORDER, REPEATS, click::KEEPS},
    outbound::PLACES,
    problem::Problems,
    request::{METHODS, signature},
    tree::{Entry, Kind, Node},
    verdict::JUDGEMENTS,
};

/// Definitions by name.
pub(super) fn definitions() -> [(&'static str, Shape); 5] {
    let sent = [
        key(
            "click_id",
            "Where the click ID is read, before the landing page's parameter and the cookie.",
            Shape::of("value"),
        ),
        key("extra", "Names that the network takes beyond its parameters.", Shape::map_of(Shape::of("value"))),
    ];
    let networks = presets().map(|(name, file)| key(name, "", preset(&file, "settings", "network")));
    let sends = presets().map(|(name, file)| key(name, "", preset(&file, "parameters", "sent")));
    [
        ("delivery", Shape::map(delivery())),
        ("network", Shape::map_and(network(), Shape::of("text_or_file"))),
        ("networks", Shape::map_and(networks, Shape::of("network"))),
        ("sent", Shape::map_and(sent, Shape::of("value"))),
        ("send", Shape::map_and(sends, Shape::of("sent"))),
    ]
}

fn presets() -> impl Iterator<Item = (&'static str, Node)> {
    let problems = Problems::default();
    catalogue::NETWORKS.iter().filter_map(move |(name, _)| Some((*name, catalogue::tree(name, &problems)?)))
}

/// A block with the settings or parameters that a network's file declares.
fn preset(file: &Node, declared: &str, base: &str) -> Shape {
    let entries = match file.entry(declared).map(|node| &node.kind) {
        Some(Kind::Map(entries)) => entries.as_slice(),
        Some(Kind::List(_) | Kind::Scalar(_)) | None => &[],
    };
    let properties = entries.iter().map(|entry| (entry.key.clone(), said_of(entry))).collect::<Map<_, _>>();
    let about = text(file.entry("description"));
    Shape::of(base).and("properties", properties).and("description", about)
}

/// What a network's file says of one of its settings or parameters.
fn said_of(entry: &Entry) -> Value {
    let said = |key| entry.value.entry(key);
    let mut words = Vec::new();
    if text(said("required")) == "true" {
        words.push("Required.".to_owned());
    }
    if text(said("secret")) == "true" {
        words.push("A secret: ${NAME} or { file: PATH }.".to_owned());
    }
    if let Some(pattern) = said("pattern") {
        words.push(format!("Looks like {}.", text(Some(pattern))));
    }
    let mut shape = Map::new();
    if !words.is_empty() {
        shape.insert("description".to_owned(), words.join(" ").into());
    }
    if let Some(default) = said("default") {
        shape.insert("default".to_owned(), typed(text(Some(default))));
    }
    Value::Object(shape)
}

fn text(node: Option<&Node>) -> &str {
    match node.map(|node| &node.kind) {
        Some(Kind::Scalar(scalar)) => &scalar.text,
        Some(Kind::List(_) | Kind::Map(_)) | None => "",
    }
}

fn delivery() -> Vec<Key> {
    let own = [
        key("max_age", "From the conversion until it is given up as `expired`.", Shape::of("duration").or("7d")),
        key("max_attempts", "Attempts until it is given up.", Shape::number(1..=100).or("20")),
        key("concurrency", "Requests to one network at a time.", Shape::number(1..=64).or("8")),
        key("rate", "Requests to one network in a time. Default: as many as it takes.", Shape::pattern("[0-9]+/[smh]")),
    ];
    own.into_iter().chain(reach()).collect()
}

/// How requests of ours get there.
pub(super) fn reach() -> [Key; 2] {
    [
        key(
            "allow_private",
            "Whether names may stand for addresses that are not of the public internet.",
            Shape::of("switch").or("false"),
        ),
        key("proxy", "A proxy to go through: http://HOST:PORT, https://HOST:PORT, or none.", Shape::of("text_or_file")),
    ]
}

fn network() -> Vec<Key> {
    let setting = Shape::map([
        key("required", "", Shape::of("switch").or("false")),
        key("default", "", Shape::of("text")),
        key("secret", "Refused in clear text.", Shape::of("switch").or("false")),
        key("host", "May stand in the host of an address.", Shape::of("switch").or("false")),
        key("pattern", "What it looks like, as a whole.", Shape::of("text")),
    ]);
    let parameter = Shape::map([
        key("required", "", Shape::of("switch").or("false")),
        key("default", "", Shape::of("value")),
        key("pattern", "What it looks like, as a whole.", Shape::of("text")),
        key("many", "Whether it takes a list.", Shape::of("switch").or("false")),
    ]);
    let tls = [
        key("ca", "Authorities to trust besides the system's, in PEM.", Shape::of("file")),
        key("client_cert", "What is shown to the network.", Shape::of("file")),
        key("client_key", "Its private key.", Shape::of("file")),
    ];
    let presets = catalogue::NETWORKS.iter().map(|(name, _)| *name);
    let said_of_itself = ["name", "description", "source", "verified", "examples"];
    let own = vec![
        key("preset", "The network that comes with Throughline, if the key is not its name.", Shape::words(presets)),
        key("tracking", "`observe` finds and counts, but changes no page, sets no cookie and sends nothing.", modes()),
        key("consent", "As the site's `consent.require`, for this network.", Shape::of("requirement")),
        key("click", "Where click IDs come from and are kept.", Shape::map(click())),
        key(
            "settings",
            "Names for what is written beside them; templates read them as {name}.",
            Shape::map_of(setting),
        ),
        key("parameters", "What a conversion may write under `send`.", Shape::map_of(parameter)),
        key(
            "needs",
            "One name of each entry must have a value, or there is nothing to report by.",
            Shape::list(Shape::of("text")).example(json!(["click_id | email"])),
        ),
        key("postback", "The request.", postback()),
        key(
            "batch",
            "For networks that take several events in one request.",
            Shape::any([Shape::words(["none"]), batch()]),
        ),
        key("verdict", "What the answer means; the first entry that matches decides.", Shape::list(verdict())),
        key(
            "sync",
            "Images that go into a page when there is nothing to report by.",
            Shape::any([Shape::words(["none"]), sync()]),
        ),
        key("optimistic", "Every click ID is taken for a good one, and nobody asks.", Shape::of("switch").or("false")),
        key("delivery", "How postbacks to this network are delivered.", Shape::of("delivery")),
        key("tls", "Certificates are always verified.", Shape::map(tls)),
        key(
            "repeats",
            "What the network does with an event id that it has had.",
            Shape::choice(&REPEATS).or("counted"),
        ),
        key("in_order", "Sends conversions of one order in the order of their event times.", Shape::choice(&IN_ORDER)),
    ];
    own.into_iter().chain(said_of_itself.map(|name| key(name, "", Shape::anything()))).collect()
}

fn click() -> impl Iterator<Item = Key> {
    let own = [
        key(
            "param",
            "The query parameter of your ad links in which the network passes its click ID.",
            Shape::of("text"),
        ),
        key("cookie", "Where the click ID is kept. Default: _NAME_cid.", Shape::of("text")),
        key("ttl", "How long a click counts.", Shape::of("duration").or("30d")),
        key("keep", "The newest click counts, the one that came first, or up to 10.", Shape::choice(&KEEPS).or("last")),
        key("pattern", "What a click ID looks like, as a whole.", Shape::of("text")),
    ];
    own.into_iter().chain(cookie_attributes())
}

fn postback() -> Shape {
    let texts = || Shape::map_of(Shape::of("text"));
    let basic =
        [key("user", "", Shape::of("text")), key("password", "\"{SETTING}\", a secret one.", Shape::of("text"))];
    let oauth2 = [
        key("token_url", "The address that gives tokens out.", Shape::of("text")),
        key("client_id", "", Shape::of("text")),
        key("client_secret", "", Shape::of("text_or_file")),
        key("refresh_token", "", Shape::of("text_or_file")),
        key("scope", "", Shape::of("text")),
        key("audience", "", Shape::of("text")),
        key(
            "credentials",
            "Where id and password stand in the request for a token.",
            Shape::choice(&PLACES).or("header"),
        ),
    ];
    let sign = [
        key("over", "What is signed: a template.", Shape::of("text")),
        key("with", "", Shape::choice(&signature::CHECKSUMS)),
        key("key", "For hmac_…: \"{SETTING}\", a secret one.", Shape::of("text")),
        key("as", "", Shape::choice(&signature::WRITINGS).or("hex")),
        key("prefix", "What stands before it.", Shape::of("text")),
        key("query", "The parameter that takes it.", Shape::of("text")),
        key("header", "The header that takes it.", Shape::of("text")),
        key("form", "The field that takes it.", Shape::of("text")),
    ];
    Shape::map([
        key("method", "", Shape::choice(&METHODS).or("GET")),
        key("url", "The address that the network gave you.", Shape::pattern("https?://.+")),
        key("query", "Names and templates.", texts()),
        key("headers", "Names and templates.", texts()),
        key("basic", "HTTP Basic authentication.", Shape::map(basic)),
        key("bearer", "A token.", Shape::of("text")),
        key("oauth2", "Access tokens of OAuth 2.0.", Shape::map(oauth2)),
        key("json", "The body: any JSON, its texts are templates.", Shape::anything()),
        key("form", "The body: names and templates.", texts()),
        key("body", "The body: a template.", Shape::of("text")),
        key("sign", "A checksum over the whole request.", Shape::map(sign)),
        key("extra", "Where the names under `extra` go.", Shape::pattern("query|form|json:.*").or("query")),
    ])
}

fn batch() -> Shape {
    let pointer = || Shape::path();
    let failed = [
        key("list", "The list of failed events in the answer: a JSON pointer.", pointer()),
        key("id", "In an element of that list: the event id.", pointer()),
        key("code", "In an element of that list: the reason.", pointer()),
        key("retry", "The reasons for which an event is tried again.", Shape::one_or_many(Shape::of("text"))),
    ];
    Shape::map([
        key("at", "Where the `json` has the list with the event: a JSON pointer.", pointer()),
        key("max", "Events in one request.", Shape::number(2..=256).or("100")),
        key("max_size", "The largest body. 1KiB to 16MiB.", Shape::of("size").or("1MB")),
        key("failed", "Where an answer names events that were not taken.", Shape::map(failed)),
    ])
}

fn verdict() -> Shape {
    Shape::map([
        key("status", "", Shape::of("status")),
        key("body_is", "", Shape::of("text")),
        key("body_has", "", Shape::of("text")),
        key("body_starts", "", Shape::of("text")),
        key("body_matches", "A regular expression.", Shape::of("text")),
        key("json", "{ POINTER: VALUE | empty | non_empty }", Shape::map_of(Shape::of("text"))),
        needed("is", "What the answer means.", Shape::choice(&JUDGEMENTS)),
    ])
}

fn sync() -> Shape {
    Shape::map([
        key(
            "pages",
            "On the thank-you page in place of the postback, or on every page.",
            Shape::words(["conversion", "all"]).or("conversion"),
        ),
        key("every", "With `pages: all`: once per visitor and this long.", Shape::of("duration").or("30d")),
        key("pixels", "At most 64 addresses.", Shape::one_or_many(Shape::of("text"))),
        key("query", "Names and templates.", Shape::map_of(Shape::of("text"))),
    ])
}
