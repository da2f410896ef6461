//! What visitors are asked for, and where their choice stands.

use serde_json::json;

use super::shape::{Key, Shape, key, needed};
use crate::config::consent::{BANNERS, GPC, PENDING, REQUIREMENTS};

/// Definitions by name.
pub(super) fn definitions() -> [(&'static str, Shape); 3] {
    [("consent", Shape::map(consent())), ("requirement", requirement()), ("signal", signal())]
}

fn consent() -> Vec<Key> {
    vec![
        key("require", "What visitors must agree to.", Shape::of("requirement").or("none")),
        key(
            "from",
            "Where the choice stands: names of banners, cookies, headers. The first that has a choice decides.",
            Shape::one_or_many(Shape::of("signal")).example(json!(["tcf"])),
        ),
        key("gpc", "Global Privacy Control of the browser (Sec-GPC: 1).", Shape::choice(&GPC).or("deny")),
        key(
            "pending",
            "A click that comes before the choice: taken from the Referer later, held in a sealed cookie, or dropped.",
            Shape::choice(&PENDING).or("referer"),
        ),
        key("hold_for", "How long `hold` does so. 1m to 24h.", Shape::of("duration").or("30m")),
        key(
            "bridge",
            "A small script goes into all pages and tells us the choice where it is not in a cookie.",
            Shape::of("switch").or("false"),
        ),
        key(
            "unless",
            "Conditions, all of which must hold, for journeys that need no consent.",
            Shape::of("conditions"),
        ),
    ]
}

fn requirement() -> Shape {
    let purposes = Shape::map([
        key("purposes", "The IAB's numbers.", Shape::one_or_many(Shape::number(1..=24)).example(json!([1, 7]))),
        key("vendor", "The IAB's number of the network.", Shape::number(1..=65535)),
    ]);
    Shape::any([Shape::choice(&REQUIREMENTS), purposes])
}

fn signal() -> Shape {
    let pattern = |name: &'static str| {
        let patterns = [
            needed(name, "Its name.", Shape::of("text")),
            needed("granted", "A pattern: what it looks like once the visitor agreed.", Shape::of("text")),
            key("denied", "A pattern: what it looks like once the visitor refused.", Shape::of("text")),
        ];
        Shape::map(patterns)
    };
    let banners = BANNERS.map(|banner| key(banner, "", options(banner)));
    let one = Shape::map(banners).and("minProperties", 1).and("maxProperties", 1);
    Shape::any([Shape::words(BANNERS), one, pattern("cookie"), pattern("header")])
}

/// What can be said of a banner.
fn options(banner: &str) -> Shape {
    let text = |name, default: &str| key(name, "", Shape::of("text").or(default));
    let cookie = |default: &str| key("cookie", "", Shape::of("text").or(default));
    let names = |name| key(name, "All of them are needed.", Shape::one_or_many(Shape::of("text")));
    let keys = match banner {
        "tcf" => vec![names("cookie")],
        "onetrust" => vec![cookie("OptanonConsent"), text("group", "C0004")],
        "cookiebot" => vec![cookie("CookieConsent"), text("category", "marketing")],
        "cookieyes" => vec![cookie("cookieyes-consent"), text("category", "advertisement")],
        "complianz" => vec![text("prefix", "cmplz_"), text("category", "marketing")],
        "borlabs" => vec![cookie("borlabs-cookie"), text("group", "marketing"), names("services")],
        "iubenda" => vec![text("purpose", "5"), key("policy", "Reads this one alone.", Shape::of("text"))],
        "trustarc" => vec![key("level", "Counted from 0.", Shape::number(0..=9).or("2"))],
        "wp" => vec![text("prefix", "wp_consent"), text("category", "marketing")],
        "usprivacy" => vec![cookie("usprivacy")],
        "didomi" => vec![cookie("didomi_token"), names("purposes"), names("vendors")],
        "axeptio" => {
            vec![cookie("axeptio_cookies"), text("authorized", "axeptio_authorized_vendors"), names("vendors")]
        }
        "tarteaucitron" => vec![cookie("tarteaucitron"), names("services")],
        "klaro" => vec![cookie("klaro"), names("services")],
        _ => vec![],
    };
    Shape::map(keys)
}
