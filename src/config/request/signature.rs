//! Decoding of `sign`: a checksum over a whole request.

use http::HeaderName;

use super::credentials::secret_template;
use crate::{
    config::{
        decode::{Field, Section},
        value::template_of,
    },
    tracking::{
        digest::{Algorithm, Writing},
        postback::{BodyRule, SignPlace, SignRule},
    },
};

/// Reads the map under `sign`, for a request with this body.
pub(super) fn signature(field: &Field<'_>, body: &BodyRule) -> Option<SignRule> {
    let mut section = field.section()?;
    let over = section
        .require("over", "write what is signed: `over: \"{order_id}|{value}|{token}\"`")
        .and_then(|field| template_of(&field));
    let with = section.require("with", "write `with: md5`, or another checksum");
    let (with, is_keyed) = with.and_then(|field| field.choice(&CHECKSUMS)).unzip();
    let key_field = section.get("key");
    match (is_keyed, &key_field) {
        (Some(true), None) => {
            section.field().error("`key` is missing", "write `key: \"{SETTING}\"`, a secret one".to_owned());
        }
        (Some(false), Some(key)) => {
            key.key_error(
                "only `hmac_…` takes a key",
                "write `with: hmac_sha256`, or let the key stand in `over`".to_owned(),
            );
        }
        _ => {}
    }
    let key = key_field.as_ref().and_then(secret_template);
    let writing = section.get("as").and_then(|field| field.choice(&WRITINGS)).unwrap_or_default();
    let prefix = section.get("prefix").and_then(|field| field.text().map(ToOwned::to_owned)).unwrap_or_default();
    let place = place(&mut section, body);
    section.finish();
    if is_keyed? && key.is_none() {
        return None;
    }
    Some(SignRule { over: over?, with: with?, key, writing, prefix, place: place? })
}

fn place(section: &mut Section<'_>, body: &BodyRule) -> Option<SignPlace> {
    let query = section.get("query").and_then(|field| field.text().map(|name| SignPlace::Query(name.to_owned())));
    let header = section.get("header").and_then(|field| header(&field)).map(SignPlace::Header);
    let form = section.get("form").and_then(|field| {
        if !matches!(body, BodyRule::Form(_)) {
            field.error("this request has no form", "write `query: NAME` or `header: NAME`".to_owned());
        }
        field.text().map(|name| SignPlace::Form(name.to_owned()))
    });
    let mut places = [query, header, form].into_iter().flatten();
    let place = places.next();
    if places.next().is_some() || !["query", "header", "form"].into_iter().any(|key| section.contains(key)) {
        section.field().error(
            "a signature goes to one place",
            "write one of `query: NAME`, `header: NAME` and `form: NAME`".to_owned(),
        );
    }
    place
}

fn header(field: &Field<'_>) -> Option<HeaderName> {
    let name = field.text()?;
    let header = HeaderName::try_from(name).ok();
    if header.is_none() {
        field.error(format!("`{name}` is not the name of a header"), None);
    }
    header
}

/// With whether they take a key.
pub(in crate::config) const CHECKSUMS: [(&str, (Algorithm, bool)); 8] = [
    ("md5", (Algorithm::Md5, false)),
    ("sha1", (Algorithm::Sha1, false)),
    ("sha256", (Algorithm::Sha256, false)),
    ("sha512", (Algorithm::Sha512, false)),
    ("hmac_md5", (Algorithm::Md5, true)),
    ("hmac_sha1", (Algorithm::Sha1, true)),
    ("hmac_sha256", (Algorithm::Sha256, true)),
    ("hmac_sha512", (Algorithm::Sha512, true)),
];
pub(in crate::config) const WRITINGS: [(&str, Writing); 4] = [
    ("hex", Writing::Hex),
    ("hex_upper", Writing::UpperHex),
    ("base64", Writing::Base64),
    ("base64url", Writing::Base64Url),
];
