//! Decoding of one entry of `from`: the name of a banner, or a map with the name and its options.

use super::{header_name, patterns};
use crate::config::{
    decode::{Field, Section},
    problem::nearest,
    tree::Kind,
};
use crate::tracking::consent::{
    Signal, axeptio::Axeptio, borlabs::Borlabs, complianz::Complianz, cookiebot::Cookiebot, cookieyes::CookieYes,
    didomi::Didomi, iubenda::Iubenda, klaro::Klaro, onetrust::OneTrust, tarteaucitron::Tarteaucitron, tcf::Tcf,
    trustarc::TrustArc, usprivacy::UsPrivacy, wp::WpConsent,
};

/// Reads `onetrust`, `{ onetrust: { group: C0004 } }`, `{ cookie: NAME, granted: PATTERN }`.
pub(super) fn signal(field: &Field<'_>) -> Option<Signal> {
    let Kind::Map(_) = &field.node.kind else { return banner(field.text()?, field, field, None) };
    let mut section = field.section()?;
    if let Some(name) = section.get("cookie") {
        let (granted, denied) = patterns(&mut section);
        section.finish();
        return Some(Signal::Cookie { name: cookie_name(&name)?, granted: granted?, denied });
    }
    if let Some(name) = section.get("header") {
        let (granted, denied) = patterns(&mut section);
        section.finish();
        return Some(Signal::Header { name: header_name(&name)?, granted: granted?, denied });
    }
    let entries = field.entries().unwrap_or_default();
    let [(word, options)] = entries.as_slice() else {
        field.error(
            "expected one banner with its options",
            "write `{ onetrust: { group: C0004 } }`, each banner as an entry of its own".to_owned(),
        );
        return None;
    };
    let mut section = options.section()?;
    let found = banner(word, field, options, Some(&mut section));
    // A banner that nobody knows has no options that anybody knows.
    if BANNERS.contains(word) {
        section.finish();
    }
    found
}

/// The banner of this name; `place` is where its name stands, `field` where its options do.
fn banner(word: &str, place: &Field<'_>, field: &Field<'_>, section: Option<&mut Section<'_>>) -> Option<Signal> {
    let mut options = Options(section);
    let signal = match word {
        "tcf" => {
            let default = Tcf::default();
            Signal::Tcf(Tcf { cookies: options.names("cookie").unwrap_or(default.cookies) })
        }
        "onetrust" => {
            let it = OneTrust::default();
            Signal::OneTrust(OneTrust { cookie: options.cookie(it.cookie), group: options.text("group", it.group) })
        }
        "cookiebot" => {
            let it = Cookiebot::default();
            let category = options.text("category", it.category);
            Signal::Cookiebot(Cookiebot { cookie: options.cookie(it.cookie), category })
        }
        "cookieyes" => {
            let it = CookieYes::default();
            let category = options.text("category", it.category);
            Signal::CookieYes(CookieYes { cookie: options.cookie(it.cookie), category })
        }
        "complianz" => {
            let it = Complianz::default();
            let category = options.text("category", it.category);
            Signal::Complianz(Complianz { prefix: options.text("prefix", it.prefix), category })
        }
        "borlabs" => {
            let it = Borlabs::default();
            let services = options.names("services").unwrap_or_default();
            let group = options.text("group", it.group);
            Signal::Borlabs(Borlabs { cookie: options.cookie(it.cookie), group, services })
        }
        "iubenda" => {
            let it = Iubenda::default();
            let policy = options.get("policy").and_then(|field| field.text().map(ToOwned::to_owned));
            Signal::Iubenda(Iubenda { policy, purpose: options.text("purpose", it.purpose) })
        }
        "didomi" => {
            let [purposes, vendors] = ["purposes", "vendors"].map(|key| options.names(key).unwrap_or_default());
            let cookie = options.cookie(Didomi::default().cookie);
            if purposes.is_empty() && vendors.is_empty() {
                ids_missing(field, "purposes or vendors", "{ didomi: { vendors: [\"c:mynet-Ab12\"] } }");
                return None;
            }
            Signal::Didomi(Didomi { cookie, purposes, vendors })
        }
        "trustarc" => {
            let level = options.get("level").and_then(|field| field.number_within(0..=9));
            let level = level.and_then(|level| u8::try_from(level).ok()).unwrap_or(TrustArc::default().level);
            Signal::TrustArc(TrustArc { level })
        }
        "axeptio" => {
            let it = Axeptio::default();
            let cookie = options.cookie(it.cookie);
            let authorized = options.text("authorized", it.authorized);
            let vendors = options.ids("vendors", field, "{ axeptio: { vendors: [google_ads] } }")?;
            Signal::Axeptio(Axeptio { cookie, authorized, vendors })
        }
        "tarteaucitron" => {
            let cookie = options.cookie(Tarteaucitron::default().cookie);
            let services = options.ids("services", field, "{ tarteaucitron: { services: [gtag] } }")?;
            Signal::Tarteaucitron(Tarteaucitron { cookie, services })
        }
        "klaro" => {
            let cookie = options.cookie(Klaro::default().cookie);
            let services = options.ids("services", field, "{ klaro: { services: [google-ads] } }")?;
            Signal::Klaro(Klaro { cookie, services })
        }
        "shopify" => Signal::Shopify,
        "wp" => {
            let it = WpConsent::default();
            let category = options.text("category", it.category);
            Signal::Wp(WpConsent { prefix: options.text("prefix", it.prefix), category })
        }
        "usprivacy" => Signal::UsPrivacy(UsPrivacy { cookie: options.cookie(UsPrivacy::default().cookie) }),
        "google" => Signal::Google,
        _ => {
            let remedy = nearest(word, BANNERS).map_or_else(
                || format!("known are {}; for others write {{ cookie: NAME, granted: PATTERN }}", BANNERS.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            place.error(format!("`{word}` is no source of consent"), remedy);
            return None;
        }
    };
    Some(signal)
}

/// The options of a banner, if any are written.
struct Options<'s, 'a>(Option<&'s mut Section<'a>>);

impl<'a> Options<'_, 'a> {
    fn get(&mut self, key: &'static str) -> Option<Field<'a>> {
        self.0.as_mut()?.get(key)
    }

    fn text(&mut self, key: &'static str, default: String) -> String {
        self.get(key).and_then(|field| field.text().map(ToOwned::to_owned)).unwrap_or(default)
    }

    fn cookie(&mut self, default: String) -> String {
        self.get("cookie").and_then(|field| cookie_name(&field)).unwrap_or(default)
    }

    /// One name or several; none: not written.
    fn names(&mut self, key: &'static str) -> Option<Vec<String>> {
        let items = self.get(key)?.one_or_many();
        let names: Vec<String> = items.iter().filter_map(|field| field.text().map(ToOwned::to_owned)).collect();
        (!names.is_empty()).then_some(names)
    }

    /// Names without which nothing can be read.
    fn ids(&mut self, key: &'static str, field: &Field<'_>, example: &str) -> Option<Vec<String>> {
        let names = self.names(key);
        if names.is_none() {
            ids_missing(field, key, example);
        }
        names
    }
}

fn ids_missing(field: &Field<'_>, what: &str, example: &str) {
    field.error(
        format!("this banner has no names of its own that mean advertising: {what} are missing"),
        format!("write those of your site, such as `{example}`"),
    );
}

fn cookie_name(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"=;,\"".contains(&byte));
    if !plain {
        field.error(format!("`{text}` is not the name of a cookie"), None);
    }
    plain.then(|| text.to_owned())
}

pub(in crate::config) const BANNERS: [&str; 16] = [
    "tcf",
    "onetrust",
    "cookiebot",
    "cookieyes",
    "complianz",
    "borlabs",
    "iubenda",
    "didomi",
    "trustarc",
    "axeptio",
    "tarteaucitron",
    "klaro",
    "shopify",
    "wp",
    "usprivacy",
    "google",
];
