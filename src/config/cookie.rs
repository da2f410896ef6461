//! Decoding of cookie attributes, which may stand in several places that overrule each other.

use super::{
    decode::Field,
    tree::{Kind, Node},
};
use crate::tracking::cookie::{CookieRule, Domain, Secure, Site, registrable_domain};

/// The keys of cookie attributes.
pub const ATTRIBUTES: [&str; 5] = ["domain", "path", "same_site", "secure", "http_only"];

/// Reads attributes from maps of which each overrules those before it; keys that are no attributes
/// are left to others.
pub fn cookie_rule(layers: &[Option<&Node>], field: &Field<'_>, key: &str) -> CookieRule {
    let layers = layers.iter().flatten().map(|layer| attributes_of(layer));
    let Some(merged) = layers.reduce(|base, over| Node::overlay(&base, &over)) else { return CookieRule::default() };
    let path = if key.is_empty() { field.path.clone() } else { format!("{}.{key}", field.path) };
    decode(&Field::at(&merged, path, field.problems()))
}

fn attributes_of(node: &Node) -> Node {
    let entries = match &node.kind {
        Kind::Map(entries) => {
            entries.iter().filter(|entry| ATTRIBUTES.contains(&entry.key.as_str())).cloned().collect()
        }
        Kind::Scalar(_) | Kind::List(_) => Vec::new(),
    };
    Node { place: node.place.clone(), kind: Kind::Map(entries) }
}

/// Reads a map that holds nothing but cookie attributes.
pub fn decode(field: &Field<'_>) -> CookieRule {
    let default = CookieRule::default();
    let Some(mut section) = field.section() else { return default };
    let rule = CookieRule {
        domain: section.get("domain").and_then(|field| domain(&field)).unwrap_or(default.domain),
        path: section.get("path").and_then(|field| path(&field)).unwrap_or(default.path),
        same_site: section.get("same_site").and_then(|field| field.choice(&SITES)).unwrap_or(default.same_site),
        secure: section.get("secure").and_then(|field| field.choice(&SECURES)).unwrap_or(default.secure),
        http_only: section.get("http_only").and_then(|field| field.switch()).unwrap_or(default.http_only),
    };
    section.finish();
    rule
}

fn domain(field: &Field<'_>) -> Option<Domain> {
    match field.text()? {
        "auto" => Some(Domain::Auto),
        "host" => Some(Domain::HostOnly),
        text => {
            let domain = text.trim_start_matches('.').to_ascii_lowercase();
            let plain = domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
            if plain && domain.contains('.') {
                if registrable_domain(&domain).is_none() {
                    field.warn(
                        format!("`{domain}` is a public suffix or an address: browsers refuse a cookie for it"),
                        "write `auto`, or a domain of your own".to_owned(),
                    );
                }
                return Some(Domain::Fixed(domain));
            }
            field.error(
                format!("`{text}` is not a domain"),
                Some("write `auto`, `host`, or a domain such as shop.example".to_owned()),
            );
            None
        }
    }
}

fn path(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    let plain = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';');
    if !plain {
        field.error(
            format!("`{text}` is not a cookie's path"),
            Some("write `/` or a path that begins with it".to_owned()),
        );
    }
    plain.then(|| text.to_owned())
}

pub(super) const SITES: [(&str, Site); 3] = [("strict", Site::Strict), ("lax", Site::Lax), ("none", Site::None)];
pub(super) const SECURES: [(&str, Secure); 3] =
    [("auto", Secure::Auto), ("true", Secure::Always), ("false", Secure::Never)];
