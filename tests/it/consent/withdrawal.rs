//! A visitor who agreed says no: what was kept goes, and what waits is not sent.

use throughline::{
    store::inspector::Filter,
    tracking::{
        late::{Awaited, LateSync},
        visitor::Seal,
    },
};

use crate::support::{
    accounting::assert_accounts,
    await_fact,
    config::{GOAL, shop_of, with_site_key},
    network::AdNetwork,
    origin::Origin,
    proxy::Proxy,
    response::Response,
};

use super::{CONSENT, FROM, SECRET, Story, THANKS, checks_out, choosing, config};

#[test]
fn what_was_stored_and_what_waits_goes_with_the_consent() {
    let story = Story::with(&format!("require: ad_storage, {FROM}"), AdNetwork::answering([Response::reset()]));
    let mut visitor = choosing(story.proxy.visitor(), "yes");
    visitor.lands("/?exotracker=abc");
    checks_out(&mut visitor);
    visitor.get(THANKS);
    story.counted("throughline_outbox_pending", ("network", "exoclick"), 1);
    story.network.await_received(1);
    assert!(story.knows("a@shop.example"));
    let mut visitor = choosing(visitor, "no");
    let answer = visitor.get("/cart");
    for name in ["_exoclick_cid", "_tl"] {
        let erased = answer.set_cookie(name).unwrap_or_else(|| panic!("{name} stays"));
        assert_eq!((erased.value.as_str(), erased.attribute("max-age")), ("", Some("0")));
        assert_eq!((erased.attribute("domain"), erased.attribute("path")), (Some("shop.example"), Some("/")), "{name}");
        assert_eq!(visitor.cookie(name), None);
    }
    assert!(visitor.get("/cart").set_cookies().is_empty(), "there is nothing left to delete");
    story.counted("throughline_outbox_pending", ("network", "exoclick"), 0);
    story.counted("throughline_postbacks_total", ("verdict", "withdrawn"), 1);
    await_fact(
        || (story.known_of("a@shop.example").journeys.is_empty()).then_some(()),
        || "the journey is forgotten".into(),
    );
    assert!(!story.knows("a@shop.example"), "nor does the ended postback name anybody");
    assert!(story.proxy.metric(CONSENT, &[("decision", "denied")]) > 0.5);
    assert_accounts(&story.proxy);
}

#[test]
fn another_visitors_purchase_is_sent_all_the_same() {
    let story = Story::with(
        &format!("require: ad_storage, {FROM}"),
        AdNetwork::judging(
            |request| if request.parameter("tag") == Some("mine") { Response::reset() } else { "OK".into() },
        ),
    );
    let mut mine = choosing(story.proxy.visitor(), "yes");
    mine.lands("/?exotracker=mine");
    mine.get("/thank-you/1");
    story.counted("throughline_outbox_pending", ("network", "exoclick"), 1);
    choosing(mine, "no").get("/");
    let mut yours = choosing(story.proxy.visitor(), "yes");
    yours.lands("/?exotracker=yours");
    yours.get("/thank-you/2");
    story.counted("throughline_postbacks_total", ("verdict", "withdrawn"), 1);
    story.counted("throughline_postbacks_total", ("verdict", "delivered"), 1);
    assert_accounts(&story.proxy);
}

#[test]
fn cookies_are_deleted_by_the_attributes_that_they_were_set_with() {
    for (cookie, domain, path, is_secure) in [
        ("domain: host, path: /shop, secure: false", None, "/shop", false),
        ("domain: shop.example, path: /, secure: true, same_site: none", Some("shop.example"), "/", true),
        ("domain: auto", Some("shop.example"), "/", false),
    ] {
        let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
        let config = config(&origin, &network, &format!("require: ad_storage, {FROM}"));
        let proxy = Proxy::with(&with_site_key(&config, &format!("cookie: {{ {cookie} }}"))).start();
        let mut visitor = choosing(proxy.visitor().host("www.shop.example"), "yes");
        let mut set = visitor.lands("/shop/?exotracker=abc").set_cookies();
        let pairs: Vec<String> = set.iter().map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
        let cookies = format!("my_consent=no; {}", pairs.join("; "));
        let mut visitor = proxy.visitor().host("www.shop.example").sending("Cookie", &cookies);
        let mut erased = visitor.get("/shop/").set_cookies();
        assert!(set.len() >= 2, "{set:?}");
        // A cookie that was never there may be deleted, too.
        erased.retain(|erased| set.iter().any(|cookie| cookie.name == erased.name));
        for cookies in [&mut set, &mut erased] {
            cookies.sort_by(|one, other| one.name.cmp(&other.name));
            for cookie in cookies {
                assert_eq!((cookie.attribute("domain"), cookie.attribute("path")), (domain, Some(path)), "{cookie:?}");
                assert_eq!(cookie.attribute("secure").is_some(), is_secure, "{cookie:?}");
                cookie.value.clear();
                cookie.attributes.remove("max-age");
            }
        }
        assert_eq!(set, erased);
    }
}

#[test]
fn the_hidden_frame_shows_no_pixels_to_whoever_refused_meanwhile() {
    let (origin, network) = (Origin::start(), AdNetwork::answering(["ERROR: Tag is invalid!"]));
    let networks = format!(
        r#"      exoclick: {{ click: {{ param: exotracker }}, postback: {{ url: "http://{0}/tag.php" }}, sync: {{ pixels: ["http://{0}/pixel"] }} }}"#,
        network.address()
    );
    let config = shop_of(&origin, &networks, &format!("          exoclick: {{ goal: {GOAL} }}"));
    let config = with_site_key(&config, &format!("consent: {{ require: ad_storage, {FROM} }}"));
    let proxy = Proxy::with(&format!("secret: ${{SEAL}}\n{config}")).env("SEAL", SECRET).start();
    let mut visitor = choosing(proxy.visitor(), "yes");
    visitor.lands("/?exotracker=forged");
    visitor.get(THANKS);
    proxy.await_metric("throughline_postbacks_total", &[("verdict", "invalid_click")], 1);
    let inspector = throughline::store::Inspector::open(&proxy.folder().join("state")).unwrap();
    let row = inspector.list(&Filter::default()).unwrap().remove(0);
    let awaited = Awaited { event_id: row.event_id.unwrap(), time: row.time };
    let token = LateSync::new([awaited]).unwrap().token(&Seal::new([SECRET]).unwrap(), "default");
    let frame = format!("/.throughline/frame/{token}");
    for word in ["no", "perhaps"] {
        let mut refusing = proxy.visitor().sending("Cookie", &format!("my_consent={word}"));
        assert!(!refusing.get(&frame).text().contains("<img"), "{word}");
    }
    assert!(!proxy.visitor().get(&frame).text().contains("<img"), "without any choice");
    assert!(visitor.get(&frame).text().contains("<img"), "whoever still agrees sees them");
    assert_accounts(&proxy);
}
