use std::{net::IpAddr, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, Method};

use super::*;
use crate::tracking::{
    amount::DecimalMark,
    channel::Credit,
    click::{ClickResult, ClickRule, Keep},
    consent::BRIDGE_COOKIE,
    conversion::{ConversionRule, Mark, Outcome, Proof, SendRule, Wanted},
    cookie::{CookieRule, SetCookie, Site},
    event::EventId,
    late::{Awaited, LATE_COOKIE, LATE_TTL, LateSync},
    matcher::PathPattern,
    network::{Mode, NetworkRules, SyncPages, SyncRule},
    postback::{Authorization, BodyRule, ConfiguredNames, ExtraPlace, PostbackRule, RequestRule, UrlRule},
    site::StoredAddress,
    template::Template,
    trigger::{Caller, TriggerRule},
    value::{Source, Value},
    verdict::StatusPattern,
    visitor::{Seal, VISITOR_COOKIE},
};

mod consent;
mod grounds;
mod page;
mod unheard;

const DAY: Duration = Duration::from_hours(24);

fn network(key: &str, param: &str, sync: Option<SyncRule>) -> NetworkRules {
    let name = format!("_{key}");
    let rule = CookieRule { same_site: Site::None, ..CookieRule::default() };
    NetworkRules {
        key: Arc::from(key),
        mode: Mode::On,
        consent: None,
        cookie: SetCookie::new(&name, &rule, DAY),
        click: ClickRule { param: param.to_owned(), cookie: name, keep: Keep::Last, pattern: None },
        click_ttl: DAY,
        sync,
        optimistic: false,
    }
}

fn pixels(pages: SyncPages) -> SyncRule {
    let url =
        UrlRule { origin: Template::literal("https://pixel.example"), path: Template::literal("/p"), query: None };
    SyncRule { pages, pixels: vec![url], query: vec![] }
}

fn send(network: usize, needs: &[&str]) -> SendRule {
    let url = UrlRule { origin: Template::literal("https://net.example"), path: Template::literal("/"), query: None };
    let request = RequestRule {
        method: Method::GET,
        url,
        query: vec![],
        headers: vec![],
        authorization: Authorization::None,
        body: BodyRule::Empty,
        extra: ExtraPlace::Query,
        sign: None,
    };
    let mut wanted = Wanted::default();
    wanted.add_name("order_id");
    SendRule {
        network,
        click_id: None,
        captured: vec![],
        needs: needs.iter().map(|name| vec![(*name).to_owned()]).collect(),
        required: vec![],
        wanted,
        postback: Arc::new(PostbackRule { request, names: ConfiguredNames::default(), extra: vec![] }),
    }
}

fn reply(status: u16, room: Room<'_>) -> Reply<'_> {
    static NO_HEADERS: std::sync::LazyLock<HeaderMap> = std::sync::LazyLock::new(HeaderMap::new);
    Reply { status, headers: &NO_HEADERS, may_have_body: false, room, now: Timestamp::from_millis(1) }
}

/// Two networks, `clicky` with counted pixels and `always`, which hears of every conversion.
fn shop() -> SiteRules {
    let order = Value::Source(Source::Query("order".into()), None);
    SiteRules {
        name: Arc::from("shop"),
        mode: Mode::On,
        visitor_cookie: SetCookie::new(VISITOR_COOKIE, &CookieRule::default(), DAY),
        hold_cookie: SetCookie::new(HOLD_COOKIE, &CookieRule::default(), DAY),
        consent_cookie: SetCookie::new(BRIDGE_COOKIE, &CookieRule::default(), DAY),
        consent: Arc::default(),
        journeys: None,
        late_cookie: SetCookie::new(LATE_COOKIE, &CookieRule::default(), LATE_TTL),
        endpoint: Arc::from("/.throughline"),
        networks: vec![network("clicky", "cid", Some(pixels(SyncPages::Conversion))), network("always", "aid", None)],
        conversions: vec![ConversionRule {
            name: Arc::from("purchase"),
            triggers: vec![TriggerRule {
                paths: vec![PathPattern::parse("/thanks").expect("a path")],
                methods: vec![Method::GET],
                status: vec![StatusPattern::Class(2)],
                when: vec![],
                caller: Caller::Visitor,
            }],
            proof: Proof::default(),
            after: None,
            decimal_mark: DecimalMark::default(),
            items: None,
            credit: Credit::default(),
            fields: vec![("order_id".into(), order.clone())],
            once_per: Some(order),
            dedup_window: Duration::from_hours(90 * 24),
            send: vec![send(0, &["click_id"]), send(1, &[])],
            is_shadow: false,
        }],
        captures: vec![],
        recognise_by: vec![],
        channels: vec![],
        client_ip: StoredAddress::Truncated,
        journey_ttl: 30 * DAY,
        strip_click_params: false,
        seal: Seal::new(["a secret of more than thirty-two characters"]).ok().map(Arc::new),
    }
}

fn begin(site: SiteRules, method: &Method, target: &str, headers: &[(&'static str, &str)]) -> Option<Visit> {
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value")))
        .collect();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let client = Client { address: IpAddr::from([192, 0, 2, 7]), over_tls: true };
    Visit::begin(
        &Arc::new(site),
        &Request { method, path, query, headers: &headers, authority: Some("www.shop.de"), client },
    )
}

fn answer(visit: Option<Visit>, status: u16) -> Answered {
    let mut next = 0;
    let mut uuid = || {
        next += 1;
        Uuid::from_u128(next)
    };
    visit.expect("something to say").answered(reply(status, Room::For(&|_| true)), None, &mut uuid)
}

fn bought(headers: &[(&'static str, &str)], target: &str) -> Answered {
    answer(begin(shop(), &Method::GET, target, headers), 200)
}

fn outcomes(plan: &Answered) -> Vec<Outcome> {
    plan.decided.iter().map(|decided| decided.outcome).collect()
}

#[test]
fn most_requests_are_none_of_our_business() {
    for target in ["/", "/product?utm=1", "/thanks/more", "/thank"] {
        assert!(begin(shop(), &Method::GET, target, &[]).is_none(), "{target}");
    }
    assert!(begin(shop(), &Method::POST, "/thanks", &[]).is_none());
}

#[test]
fn a_landing_sets_the_networks_cookie_and_nothing_else() {
    let plan = bought(&[], "/?cid=abc");
    assert_eq!(
        plan.set_cookies,
        ["_clicky=abc; HttpOnly; SameSite=None; Secure; Path=/; Max-Age=86400; Domain=shop.de"]
    );
    assert_eq!(plan.clicks, [(0, ClickResult::Accepted)]);
    assert!(plan.rows.is_empty() && plan.claims.is_empty() && plan.decided.is_empty());
}

#[test]
fn every_network_of_a_conversion_gets_its_own_row_and_key() {
    let plan = bought(&[("cookie", "_clicky=abc")], "/thanks?order=7");
    let rows: Vec<(&str, &[String])> =
        plan.rows.iter().map(|row| (&*row.event.network, row.event.payload.clicks.as_slice())).collect();
    assert_eq!(rows, [("clicky", &["abc".to_owned()][..]), ("always", &[][..])]);
    let keys: Vec<_> = plan.rows.iter().map(|row| row.dedup).collect();
    assert_ne!(keys[0], keys[1]);
    assert_ne!(plan.rows[0].event.id, plan.rows[1].event.id);
    assert!(plan.set_cookies.is_empty(), "the order id tells repeats apart");
}

#[test]
fn the_query_wins_over_the_cookie() {
    let plan = bought(&[("cookie", "_clicky=old")], "/thanks?order=7&cid=new");
    assert_eq!(plan.rows[0].event.payload.clicks, ["new"]);
}

#[test]
fn without_a_click_the_pixels_take_the_key() {
    let plan = bought(&[], "/thanks?order=7");
    assert_eq!(plan.claims.len(), 1);
    assert_eq!(plan.claims[0].pixels, ["https://pixel.example/p"]);
    let with_click = bought(&[("cookie", "_clicky=abc")], "/thanks?order=7");
    assert_eq!(plan.claims[0].dedup, with_click.rows[0].dedup, "one order, one key, however it is reported");
}

#[test]
fn what_nothing_else_tells_apart_is_told_by_the_visitor() {
    let plan = bought(&[], "/thanks");
    let cookie = plan.set_cookies.first().expect("a visitor cookie");
    let sealed = cookie.split(';').next().expect("a pair");
    assert!(sealed.starts_with("_tl="), "{cookie}");
    let again = bought(&[("cookie", sealed)], "/thanks");
    assert!(again.set_cookies.is_empty());
    assert_eq!(again.claims[0].dedup, plan.claims[0].dedup);
    assert_ne!(bought(&[("cookie", "_tl=forged")], "/thanks").set_cookies.len(), 0);
}

#[test]
fn the_first_outcome_that_applies_is_the_outcome() {
    let get = |target, headers| begin(shop(), &Method::GET, target, headers);
    let all = |outcome| vec![outcome; 2];
    let off = SiteRules { mode: Mode::Observe, ..shop() };
    assert_eq!(outcomes(&answer(begin(off, &Method::HEAD, "/thanks", &[]), 500)), all(Outcome::Off));
    let prefetch = get("/thanks", &[("sec-purpose", "prefetch"), ("sec-fetch-dest", "image")]);
    assert_eq!(outcomes(&answer(prefetch, 500)), all(Outcome::Prefetch));
    assert_eq!(outcomes(&answer(begin(shop(), &Method::HEAD, "/thanks", &[]), 500)), all(Outcome::NotDocument));
    assert_eq!(outcomes(&answer(get("/thanks", &[("user-agent", "Twitterbot/1.0")]), 404)), all(Outcome::Bot));
    assert_eq!(outcomes(&answer(get("/thanks", &[]), 404)), all(Outcome::NotSuccess));
    assert_eq!(outcomes(&answer(get("/thanks", &[]), 206)), all(Outcome::NotSuccess), "a part of a page");
    let mut plain = shop();
    plain.networks[0].sync = None;
    assert_eq!(outcomes(&answer(begin(plain, &Method::GET, "/thanks?order=1", &[]), 200)), [Outcome::NoClick]);
    let mut strict = shop();
    strict.conversions[0].send[1].required = vec!["goal".into()];
    let mut unproven = strict.clone();
    unproven.conversions[0].proof.success = vec![Mark::Text("Thank you".into())];
    let strict = answer(begin(strict, &Method::GET, "/thanks?order=1", &[]), 200);
    let hold = strict.rows.iter().find_map(|row| row.hold.clone());
    assert_eq!(hold, Some(Hold::Incomplete { missing: vec!["goal".into()] }), "kept for a person to complete");
    let unproven = answer(begin(unproven, &Method::GET, "/thanks?order=1&cid=a", &[]), 200);
    assert_eq!(outcomes(&unproven), [Outcome::Unproven], "what lacks nothing else");
    let hold = unproven.rows.iter().find_map(|row| row.hold.clone());
    let missing = vec!["goal".into(), "proof".into()];
    assert_eq!(hold, Some(Hold::Incomplete { missing }), "a person must say that it was one");
}

#[test]
fn a_304_and_a_prefetch_carry_no_cookie() {
    let landed = answer(begin(shop(), &Method::GET, "/?cid=a", &[]), 304);
    assert_eq!((landed.clicks, landed.set_cookies.len()), (vec![(0, ClickResult::NotModified)], 0));
    let fetched = bought(&[("purpose", "prefetch")], "/?cid=a");
    assert_eq!((fetched.clicks, fetched.set_cookies.len()), (vec![(0, ClickResult::NotVisited)], 0));
}

#[test]
fn a_bot_gets_neither_cookie_nor_row_nor_pixels() {
    let bot = ("user-agent", "facebookexternalhit/1.1");
    let landed = bought(&[bot], "/?cid=a");
    assert_eq!((landed.clicks, landed.set_cookies.len()), (vec![(0, ClickResult::Bot)], 0));
    let thanked = bought(&[bot], "/thanks?order=1");
    assert!(thanked.rows.is_empty() && thanked.claims.is_empty() && thanked.set_cookies.is_empty());
    assert!(!bought(&[], "/thanks?order=1").claims.is_empty(), "a person gets pixels");
}

#[test]
fn our_cookies_together_stay_under_four_kibibytes() {
    let mut site = shop();
    for name in ["b", "c", "d", "e"] {
        site.networks.push(network(name, name, None));
    }
    let id = "x".repeat(1000);
    let carried = format!("_always={id}; _b={id}; _c={id}; other={id}");
    let plan = answer(begin(site, &Method::GET, &format!("/?d={id}&e={id}"), &[("cookie", &carried)]), 200);
    assert_eq!(plan.clicks, [(4, ClickResult::Accepted), (5, ClickResult::Oversized)]);
    assert_eq!(plan.set_cookies.len(), 1);
}

#[test]
fn networks_that_share_a_cookie_set_it_once() {
    let mut site = shop();
    site.networks[1].click = site.networks[0].click.clone();
    let plan = answer(begin(site, &Method::GET, "/?cid=a", &[]), 200);
    assert_eq!(plan.set_cookies.len(), 1);
}

#[test]
fn a_pure_match_of_cookies_is_shown_once_per_visitor() {
    let marker = || SetCookie::new("_tl_sync_matchy", &CookieRule::default(), DAY);
    let site = || SiteRules {
        networks: vec![network("matchy", "mid", Some(pixels(SyncPages::All { marker: marker() })))],
        conversions: vec![],
        ..shop()
    };
    let html = ("accept", "text/html,*/*");
    let plan = answer(begin(site(), &Method::GET, "/", &[html]), 200);
    assert_eq!(plan.matches, [(0, vec!["https://pixel.example/p".to_owned()])]);
    assert!(plan.set_cookies[0].starts_with("_tl_sync_matchy=1;"), "{:?}", plan.set_cookies);
    assert!(begin(site(), &Method::GET, "/", &[html, ("cookie", "_tl_sync_matchy=1")]).is_none());
    assert!(begin(site(), &Method::GET, "/api", &[("accept", "application/json")]).is_none());
}

#[test]
fn a_page_that_lets_no_pixel_load_takes_no_dedup_key() {
    let visit = || begin(shop(), &Method::GET, "/thanks?order=7", &[]).expect("a hit");
    let plan =
        |lets_load: &dyn Fn(&str) -> bool| visit().answered(reply(200, Room::For(lets_load)), None, &mut Uuid::nil);
    let refused = plan(&|url| !url.starts_with("https://pixel.example/"));
    assert_eq!((refused.claims.len(), refused.unreached), (0, vec![0]));
    assert!(refused.decided.iter().any(|it| it.send == 0 && it.outcome == Outcome::NoClick));
    let allowed = plan(&|_| true);
    assert_eq!((allowed.claims.len(), allowed.unreached), (1, vec![]));
    assert_eq!(visit().origin(), ("https", "www.shop.de", None));
}

#[test]
fn what_counts_pixels_awaits_the_verdict_on_its_click() {
    let with_click = [("cookie", "_clicky=abc")];
    let plan = bought(&with_click, "/thanks?order=7");
    let awaits: Vec<bool> = plan.rows.iter().map(|row| row.awaits_verdict).collect();
    assert_eq!(awaits, [true, false], "only where pixels stand behind the postback");
    let edits = |site| begin(site, &Method::GET, "/thanks?order=7", &with_click).expect("a hit").may_edit_page();
    let mut optimistic = shop();
    optimistic.networks[0].optimistic = true;
    let unsealed = SiteRules { seal: None, ..shop() };
    assert!(edits(shop()) && !edits(optimistic.clone()) && !edits(unsealed));
    let plan = answer(begin(optimistic, &Method::GET, "/thanks?order=7", &with_click), 200);
    assert!(!plan.rows.iter().any(|row| row.awaits_verdict));
    let mut from_server = shop();
    from_server.conversions[0].triggers[0].caller = Caller::Server(vec![]);
    let plan = answer(begin(from_server, &Method::GET, "/thanks?order=7", &with_click), 200);
    assert!(!plan.rows.iter().any(|row| row.awaits_verdict), "another server has no browser");
}

#[test]
fn only_pages_that_can_show_something_are_asked_about_late_verdicts() {
    let carried = [("cookie", "_tl_sync=x"), ("accept", "text/html")];
    let asks = |site: SiteRules, method, headers: &[(&'static str, &str)]| {
        begin(site, &method, "/any", headers).is_some_and(|visit| visit.may_show_late() && visit.may_edit_page())
    };
    assert!(asks(shop(), Method::GET, &carried));
    assert!(!asks(shop(), Method::POST, &carried) && !asks(shop(), Method::HEAD, &carried));
    assert!(!asks(shop(), Method::GET, &carried[..1]), "no page is asked for");
    assert!(!asks(shop(), Method::GET, &carried[1..]), "no cookie");
    assert!(!asks(shop(), Method::GET, &[carried[0], carried[1], ("sec-purpose", "prefetch")]));
    let mut plain = shop();
    plain.networks[0].sync = None;
    assert!(!asks(plain, Method::GET, &carried));
    for mode in [Mode::Observe, Mode::Off] {
        assert!(!asks(SiteRules { mode, ..shop() }, Method::GET, &carried), "{mode:?}");
    }
}

#[test]
fn the_late_cookie_needs_room() {
    let awaited = Awaited { event_id: EventId::new(Uuid::from_u128(1)), time: Timestamp::from_millis(1) };
    let late = LateSync::new([awaited]).expect("one");
    let visit = begin(shop(), &Method::GET, "/thanks", &[]).expect("a hit");
    let cookie = visit.late_cookie(&late, &[]).expect("room");
    assert!(cookie.starts_with("_tl_sync=") && cookie.ends_with("Domain=shop.de"), "{cookie}");
    assert_eq!(visit.late_cookie(&late, &["x".repeat(4000)]), None);
    assert!(visit.no_late_cookie().contains("Max-Age=0"), "{}", visit.no_late_cookie());
}
