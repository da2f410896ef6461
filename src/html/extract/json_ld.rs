//! Structured data for search engines: `<script type="application/ld+json">`.
//!
//! A script is one JSON document (JSON-LD 1.1, section 7); one with a mistake is left out whole, as
//! search engines do.

use serde_json::{Map, Value};

use super::path::Path;

/// The documents of one page.
#[derive(Debug, Default)]
pub(super) struct Documents {
    documents: Vec<Value>,
    is_cut: bool,
}

impl Documents {
    /// Reads the scripts of a page, in their order.
    pub(super) fn read(scripts: &[&str]) -> Self {
        let is_cut = scripts.iter().any(|script| script.len() > MAX_DOCUMENT);
        let readable = scripts.iter().filter(|script| script.len() <= MAX_DOCUMENT);
        let documents = readable.filter_map(|script| serde_json::from_str(unwrapped(script)).ok()).collect();
        Self { documents, is_cut }
    }

    /// Whether there was more than can be read.
    pub(super) const fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// What stands at a path in an order or invoice; on a page without any, in what stands at the top.
    pub(super) fn find(&self, path: &Path) -> Option<&Value> {
        let mut documents = self.documents.iter();
        if documents.clone().any(|document| in_orders(document, 0, &|_| Some(())).is_some()) {
            // The price of something else on the page is not that of the order.
            return documents.find_map(|document| in_orders(document, 0, &|order| found(order, path)));
        }
        documents.find_map(|document| find_at_top(document, path))
    }
}

/// Asks every order in a document, in its order, until one has an answer.
fn in_orders<'a, T>(value: &'a Value, depth: usize, ask: &impl Fn(&'a Value) -> Option<T>) -> Option<T> {
    if depth > MAX_DEPTH {
        return None;
    }
    match value {
        Value::Array(elements) => elements.iter().find_map(|it| in_orders(it, depth + 1, ask)),
        Value::Object(members) => {
            let answer = is_order(members).then(|| ask(value)).flatten();
            answer.or_else(|| members.values().find_map(|it| in_orders(it, depth + 1, ask)))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn find_at_top<'a>(document: &'a Value, path: &Path) -> Option<&'a Value> {
    let in_elements = |value: &'a Value| value.as_array()?.iter().find_map(|it| found(it, path));
    found(document, path)
        .or_else(|| in_elements(document))
        .or_else(|| in_elements(document.get("@graph")?))
        .or_else(|| found(document.get("@graph")?, path))
}

fn found<'a>(value: &'a Value, path: &Path) -> Option<&'a Value> {
    path.find(value).filter(|value| !value.is_null())
}

/// Whether an object is a schema.org Order or Invoice, by its short name, prefixed or in full.
fn is_order(members: &Map<String, Value>) -> bool {
    let is_named = |name: &Value| {
        let name = name.as_str().and_then(|name| name.rsplit(['/', ':', '#']).next());
        name.is_some_and(|name| matches!(name, "Order" | "Invoice"))
    };
    match members.get("@type") {
        Some(Value::Array(names)) => names.iter().any(is_named),
        Some(name) => is_named(name),
        None => false,
    }
}

/// Takes off what hides scripts from old browsers and XML from scripts.
fn unwrapped(script: &str) -> &str {
    let mut text = script.trim_matches(is_blank);
    loop {
        let before = text;
        for opening in ["<!--", "//<![CDATA[", "// <![CDATA[", "/*<![CDATA[*/", "/* <![CDATA[ */", "<![CDATA["] {
            text = text.strip_prefix(opening).unwrap_or(text).trim_start_matches(is_blank);
        }
        for closing in ["-->", "//]]>", "// ]]>", "/*]]>*/", "/* ]]> */", "]]>", "//"] {
            text = text.strip_suffix(closing).unwrap_or(text).trim_end_matches(is_blank);
        }
        if text == before {
            return text;
        }
    }
}

fn is_blank(letter: char) -> bool {
    letter.is_whitespace() || letter == '\u{feff}'
}

/// How deep orders are looked for.
const MAX_DEPTH: usize = 32;
/// The longest script that is read; in memory it takes many times as much.
const MAX_DOCUMENT: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn find(scripts: &[&str], path: &str) -> Option<Value> {
        Documents::read(scripts).find(&path.parse().unwrap()).cloned()
    }

    const ORDER: &str = r#"{"@context":"http://schema.org","@type":"Order","orderNumber":"W-1001","price":"1234.50",
        "priceCurrency":"EUR","orderStatus":null,"acceptedOffer":{"@type":"Offer","price":99.5}}"#;

    #[test]
    fn orders_are_found_wherever_they_stand() {
        for script in [
            ORDER.to_owned(),
            format!("[{{\"@type\":\"WebSite\",\"orderNumber\":\"no\"}},{ORDER}]"),
            format!("{{\"@context\":\"https://schema.org\",\"@graph\":[{{\"orderNumber\":\"no\"}},{ORDER}]}}"),
            format!("{{\"@type\":\"EmailMessage\",\"orderNumber\":\"no\",\"about\":{{\"it\":[{ORDER}]}}}}"),
            ORDER.replace("\"Order\"", "[\"Thing\",\"http://schema.org/Order\"]"),
            ORDER.replace("\"Order\"", "\"https://schema.org/Invoice\""),
            ORDER.replace("\"Order\"", "\"schema:Order\""),
            format!("\n<!--\n{ORDER}\n-->\n"),
            format!("//<![CDATA[\n{ORDER}\n//]]>"),
            format!("/* <![CDATA[ */{ORDER}/* ]]> */"),
            format!("\u{feff}{ORDER}"),
        ] {
            assert_eq!(find(&[&script], "orderNumber"), Some(json!("W-1001")), "{script}");
            assert_eq!(find(&[&script], "acceptedOffer[0].price"), Some(json!(99.5)), "{script}");
            assert_eq!(find(&[&script], "orderStatus"), None, "{script}");
        }
    }

    #[test]
    fn without_an_order_what_stands_at_the_top_counts() {
        let product = r#"{"@type":"Product","sku":7,"offers":{"@type":"Offer","price":12}}"#;
        assert_eq!(find(&[product], "offers.price"), Some(json!(12)));
        assert_eq!(find(&[product], "price"), None);
        assert_eq!(find(&[&format!("[1,{product}]")], "sku"), Some(json!(7)));
        assert_eq!(find(&[&format!("{{\"@graph\":[{product}]}}")], "sku"), Some(json!(7)));
        assert_eq!(find(&[&format!("{{\"@graph\":{product}}}")], "sku"), Some(json!(7)));
        assert_eq!(find(&[product, ORDER], "price"), Some(json!("1234.50")));
        assert_eq!(find(&[ORDER, product], "sku"), None);
    }

    #[test]
    fn a_script_with_a_mistake_is_left_out() {
        for broken in [
            ORDER.strip_suffix('}').unwrap(),
            &format!("{ORDER};"),
            &format!("{ORDER}{ORDER}"),
            &format!("x = {ORDER}"),
            &ORDER.replace('"', "'"),
            &"[".repeat(200_000),
            "",
        ] {
            assert_eq!(find(&[broken], "orderNumber"), None, "{broken:.40}");
            let good = ORDER.replace("W-1001", "W-2");
            assert_eq!(find(&[broken, &good], "orderNumber"), Some(json!("W-2")), "{broken:.40}");
        }
        assert!(Documents::read(&[&" ".repeat(MAX_DOCUMENT + 1)]).is_cut());
    }
}
