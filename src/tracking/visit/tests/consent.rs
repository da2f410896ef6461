//! Decisions about consent that a whole proxy would be too large a stage for.

use regex::Regex;

use super::*;
use crate::tracking::{
    consent::{ConsentRules, Decision, PendingClick, Requirement, Signal},
    journey::JourneyKeys,
};

const SECRET: &str = "a secret of more than thirty-two characters";
const YES: (&str, &str) = ("cookie", "choice=yes");

fn asking(require: Requirement, pending: PendingClick) -> SiteRules {
    let granted = Regex::new("^yes").expect("a pattern");
    let choice = Signal::Cookie { name: "choice".into(), granted, denied: None };
    let signals = vec![Signal::Bridge, choice];
    let consent = ConsentRules { require, signals, pending, bridge: true, ..ConsentRules::default() };
    SiteRules { consent: Arc::new(consent), ..shop() }
}

/// A site that asks for nothing, with one network that does.
fn asking_for_one(pending: PendingClick) -> SiteRules {
    let mut site = asking(Requirement::None, pending);
    site.networks[0].consent = Some(Requirement::AdStorage);
    site
}

fn set<'a>(plan: &'a Answered, name: &str) -> Option<&'a str> {
    plan.set_cookies.iter().find_map(|line| line.split(';').next()?.strip_prefix(name)?.strip_prefix('='))
}

fn chosen(site: SiteRules, headers: &[(&'static str, &str)]) -> Answered {
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value")))
        .collect();
    let client = Client { address: IpAddr::from([192, 0, 2, 7]), over_tls: true };
    let request = Request {
        method: &Method::POST,
        path: "/.throughline/consent",
        query: "cid=own",
        headers: &headers,
        authority: Some("www.shop.de"),
        client,
    };
    Visit::chosen(&Arc::new(site), &request, Timestamp::from_millis(1), &mut Uuid::nil)
}

#[test]
fn a_network_that_asks_alone_gets_its_click_back_from_the_referer() {
    let site = || asking_for_one(PendingClick::Referer);
    let landed = answer(begin(site(), &Method::GET, "/?cid=a&aid=b", &[]), 200);
    assert_eq!((set(&landed, "_clicky"), set(&landed, "_always")), (None, Some("b")));
    let referer = ("referer", "https://www.shop.de/?cid=a");
    assert!(begin(site(), &Method::GET, "/x.css", &[referer]).is_none(), "nothing was chosen yet");
    let plan = answer(begin(site(), &Method::GET, "/x.css", &[referer, YES]), 200);
    assert_eq!(set(&plan, "_clicky"), Some("a"));
}

#[test]
fn what_is_held_for_a_network_that_asks_alone_stays_until_the_choice() {
    let site = || asking_for_one(PendingClick::Hold);
    let landed = answer(begin(site(), &Method::GET, "/?cid=a", &[]), 200);
    let held = format!("{HOLD_COOKIE}={}", set(&landed, HOLD_COOKIE).expect("the held click"));
    assert!(begin(site(), &Method::GET, "/next", &[("cookie", &held)]).is_none(), "it is neither kept nor deleted");
    let plan = answer(begin(site(), &Method::GET, "/next", &[("cookie", &format!("{held}; choice=yes"))]), 200);
    assert_eq!((set(&plan, "_clicky"), set(&plan, HOLD_COOKIE)), (Some("a"), Some("")));
}

#[test]
fn a_click_that_comes_back_with_an_image_is_remembered_too() {
    let mut site = asking(Requirement::AdStorage, PendingClick::Referer);
    site.journeys = JourneyKeys::new([SECRET]).ok().map(Arc::new);
    let headers = [("referer", "https://www.shop.de/?cid=a"), ("sec-fetch-dest", "image"), YES];
    let plan = answer(begin(site, &Method::GET, "/logo.png", &headers), 200);
    assert_eq!(set(&plan, "_clicky"), Some("a"));
    assert_eq!(plan.remembrances.len(), 1);
    assert_eq!(plan.remembrances[0].journey.clicks.len(), 1);
}

#[test]
fn a_choice_is_no_landing_and_no_hit() {
    let site = || {
        let mut site = asking(Requirement::AdStorage, PendingClick::Referer);
        let everything = PathPattern::parse("/**").expect("a path");
        site.conversions[0].triggers[0].paths = vec![everything];
        site.conversions[0].triggers[0].methods = vec![Method::POST];
        site
    };
    let told = format!("{BRIDGE_COOKIE}=granted");
    let plan = chosen(site(), &[("cookie", &told), ("referer", "https://www.shop.de/?cid=a")]);
    assert_eq!((set(&plan, "_clicky"), plan.clicks.len()), (Some("a"), 1), "that of its page, and not its own");
    assert!(plan.rows.is_empty() && plan.claims.is_empty() && plan.decided.is_empty());
    assert_eq!(plan.consent, Some(Decision::Granted));
    let plan = chosen(site(), &[("cookie", &told), ("sec-gpc", "1"), ("referer", "https://www.shop.de/?cid=a")]);
    assert_eq!((plan.set_cookies.len(), plan.consent), (0, Some(Decision::Denied)));
}

#[test]
fn a_denial_deletes_all_that_was_set_and_each_cookie_once() {
    let marker = SetCookie::new("_tl_sync_clicky", &CookieRule::default(), DAY);
    let site = || {
        let mut site = asking(Requirement::AdStorage, PendingClick::Referer);
        site.networks[0].sync = Some(pixels(SyncPages::All { marker: marker.clone() }));
        site.networks.push(network("clicky", "other", None));
        site
    };
    for carried in ["_clicky=a", "_tl=forged", "_tl_sync_clicky=1", "_tl_sync=x"] {
        let cookies = format!("choice=no; {carried}");
        let plan = answer(begin(site(), &Method::GET, "/", &[("cookie", &cookies)]), 200);
        let mut names: Vec<&str> =
            plan.set_cookies.iter().filter_map(|line| line.split_once('=')).map(|it| it.0).collect();
        names.sort_unstable();
        assert_eq!(names, ["_always", "_clicky", "_tl", "_tl_sync", "_tl_sync_clicky"], "{carried}");
        assert!(plan.set_cookies.iter().all(|line| line.contains("; Max-Age=0; Domain=shop.de")), "{plan:?}");
    }
    assert!(
        begin(site(), &Method::GET, "/", &[("cookie", "choice=no; other=1")]).is_none(),
        "there is nothing of ours"
    );
}

#[test]
fn the_script_goes_where_a_person_looks_at_a_page() {
    let html = ("accept", "text/html");
    let bridged = |method: &Method, headers: &[(&'static str, &str)]| {
        let site = asking(Requirement::AdStorage, PendingClick::Referer);
        begin(site, method, "/", headers).is_some_and(|visit| visit.is_bridged() && visit.may_edit_page())
    };
    assert!(bridged(&Method::GET, &[html]));
    assert!(bridged(&Method::HEAD, &[html]));
    assert!(bridged(&Method::GET, &[html, ("sec-purpose", "prefetch")]));
    assert!(!bridged(&Method::POST, &[html]));
    assert!(!bridged(&Method::GET, &[]));
    assert!(!bridged(&Method::GET, &[html, ("sec-fetch-dest", "empty")]));
    assert!(!bridged(&Method::GET, &[html, ("user-agent", "Twitterbot/1.0")]));
    let off = SiteRules { mode: Mode::Observe, ..asking(Requirement::AdStorage, PendingClick::Referer) };
    assert!(begin(off, &Method::GET, "/", &[html]).is_none());
}
