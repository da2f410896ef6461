//! Decoding of `sync`: the pixels by which browsers may report in our place.

use std::time::Duration;

use crate::{
    config::{
        cookie::cookie_rule,
        decode::Field,
        request,
        tree::{Kind, Node},
    },
    html::pixel::MAX_PIXELS,
    tracking::{
        cookie::SetCookie,
        network::{SyncPages, SyncRule},
    },
};

/// Reads the map under `sync`, or `none`.
pub(super) fn sync(key: &str, field: &Field<'_>, hosts: &[&str], site_cookie: Option<&Node>) -> Option<SyncRule> {
    if matches!(&field.node.kind, Kind::Scalar(scalar) if scalar.text == "none") {
        return None;
    }
    let mut section = field.section()?;
    let all =
        section.get("pages").and_then(|field| field.choice(&[("conversion", false), ("all", true)])).unwrap_or(false);
    let every = section.get("every").and_then(|field| field.duration());
    let pixels = section.require("pixels", "write a list of addresses, or `sync: none`");
    let pixels: Vec<_> = pixels
        .map(|field| field.one_or_many().iter().filter_map(|field| request::url(field, hosts)).collect())
        .unwrap_or_default();
    if pixels.len() > MAX_PIXELS {
        section.field().error(format!("a page takes at most {MAX_PIXELS} pixels"), None);
    }
    let query = section.get("query").map(|field| request::pairs(&field)).unwrap_or_default();
    if !all && let Some(every) = section.get("every") {
        every.error("`every` belongs to `pages: all`", None);
    }
    section.finish();
    let pages = if all {
        let rule = cookie_rule(&[site_cookie], field, "cookie");
        let marker = SetCookie::new(&format!("_tl_sync_{key}"), &rule, every.unwrap_or(DEFAULT_SYNC));
        SyncPages::All { marker }
    } else {
        SyncPages::Conversion
    };
    Some(SyncRule { pages, pixels, query })
}

const DEFAULT_SYNC: Duration = Duration::from_hours(30 * 24);
