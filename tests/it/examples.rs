//! The examples that are more than one site with one network: as we ship them, between stand-ins.
//!
//! Nothing is changed in them but addresses: of the site's servers, of the networks, and our own.

use std::{fs, path::Path};

use crate::support::{
    accounting::{assert_accounts, assert_accounts_of_fleet},
    network::AdNetwork,
    origin::{Origin, nobody},
    postgres::Postgres,
    proxy::{Proxy, Setup},
    visitor::Visitor,
};

const OUTCOMES: &str = "throughline_conversions_total";
/// A Cookiebot banner's cookie.
const GRANTED: &str =
    "CookieConsent={stamp:%27QUJD==%27%2Cnecessary:true%2Cmarketing:true%2Cmethod:%27explicit%27%2Cver:1}";
const DENIED: &str =
    "CookieConsent={stamp:%27QUJD==%27%2Cnecessary:true%2Cmarketing:false%2Cmethod:%27explicit%27%2Cver:1}";

/// An example's file with other addresses in it.
fn shipped(name: &str, replacements: &[(&str, &str)]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/examples").join(name);
    let mut text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    for (old, new) in replacements {
        assert!(text.contains(old), "{old:?} is gone from {name}");
        text = text.replace(old, new);
    }
    text
}

/// All networks in one, each at a path of its name.
fn networks() -> AdNetwork {
    AdNetwork::judging(|request| match request.path() {
        "/rokt" => crate::support::response::Response::new(200)
            .header("Content-Type", "application/json")
            .body(r#"{"data":{"unprocessedRecords":[]}}"#),
        _ => "OK".into(),
    })
}

/// The agency's files, with these servers behind the two sites.
fn agency(shop: &str, tickets: &str, network: &AdNetwork) -> Setup {
    let at = |path: &str| format!("postback: {{ url: \"http://{}/{path}\" }}\n", network.address());
    let exoclick = format!("    click: {{ param: exotracker }}\n    {}", at("exoclick"));
    let rokt = format!("    secret_key: ${{ROKT_SECRET}}\n    {}", at("rokt"));
    let main = shipped(
        "agency/throughline.yaml",
        &[
            ("listen: [0.0.0.0:80, \"[::]:80\"]\n", "listen: 127.0.0.1:0\n"),
            ("10.0.0.7:9180, token: ${THROUGHLINE_ADMIN_TOKEN}", "127.0.0.1:0"),
            ("/var/lib/throughline", "state"),
            ("    click: { param: exotracker }\n", &exoclick),
            ("    secret_key: ${ROKT_SECRET}\n", &rokt),
        ],
    );
    let setup = Proxy::with(&main).env("ROKT_PUBLIC", "rpub-1").env("ROKT_SECRET", "rsec-1");
    fs::create_dir(setup.folder().join("sites")).unwrap();
    setup
        .file("sorry.html", &shipped("agency/sorry.html", &[]))
        .file("sites/shop.html", &shipped("agency/sites/shop.html", &[]))
        .file("sites/shop.yaml", &shipped("agency/sites/shop.yaml", &[("http://10.0.1.10:8080", shop)]))
        .file("sites/tickets.yaml", &shipped("agency/sites/tickets.yaml", &[("http://10.0.1.20:8080", tickets)]))
}

#[test]
fn the_agencys_sites_share_accounts_and_differ_where_they_say_so() {
    let (shop, tickets, network) = (Origin::start(), Origin::start(), networks());
    let [shop, tickets] = [&shop, &tickets].map(|origin| format!("\"http://{}\"", origin.address()));
    let proxy = agency(&shop, &tickets, &network).start();

    // The banner of `defaults`, the accounts of the main file, the site of a file of its own.
    let mut visitor = proxy.visitor().host("www.shop.example").sending("Cookie", GRANTED);
    let landed = visitor.lands("/?exotracker=abc&tix=no");
    assert_eq!(landed.set_cookie("_exo_main_cid").map(|cookie| cookie.value), None, "the preset names the cookie");
    assert_eq!(landed.set_cookie("_exoclick_cid").map(|cookie| cookie.value), Some("abc".to_owned()));
    let mut visitor = visitor.sending("Cookie", &format!("{GRANTED}; _exoclick_cid=abc"));
    visitor.get("/thank-you/1001?total=49.90&email=alice%40example.com");
    let received = network.await_received(2);
    let at = |path: &str| received.iter().find(|request| request.path() == path).unwrap();
    assert_eq!(at("/exoclick").parameter("tag"), Some("abc"));
    assert!(String::from_utf8_lossy(&at("/rokt").body).contains("1001"));

    // Another banner and another parameter; the first site's banner says nothing here.
    let onetrust = "OptanonConsent=interactionCount=1&groups=C0001%3A1%2CC0004%3A1&AwaitingReconsent=false; OptanonAlertBoxClosed=2026-11-22T10:00:00.000Z";
    let mut visitor = proxy.visitor().host("tickets.example").sending("Cookie", GRANTED);
    assert!(visitor.lands("/?tix=def").set_cookies().is_empty());
    let mut visitor = proxy.visitor().host("tickets.example").sending("Cookie", onetrust);
    let landed = visitor.lands("/?exotracker=no&tix=def");
    assert_eq!(landed.set_cookie("_exoclick_cid").map(|cookie| cookie.value), Some("def".to_owned()));
    let mut visitor = visitor.sending("Cookie", &format!("{onetrust}; _exoclick_cid=def"));
    visitor.get("/de/gebucht/7?total=20");
    let received = network.await_received(3);
    assert_eq!(received[2].parameter("goal"), Some("00112233445566778899aabbccddeeff"));
    assert_eq!(received[2].parameter("tag"), Some("def"));
    proxy.await_settled();
    assert_accounts(&proxy);
}

#[test]
fn the_agencys_error_pages_stand_beside_the_files_that_name_them() {
    let (network, nobody) = (networks(), format!("\"http://{}\"", nobody()));
    let proxy = agency(&nobody, &nobody, &network).start();
    for (host, text) in [("shop.example", "Your basket is safe"), ("tickets.example", "We are working on it")] {
        let answer = proxy.visitor().host(host).get("/");
        assert_eq!(answer.status, 502);
        assert!(answer.text().contains(text), "{host}: {}", answer.text());
    }
}

#[test]
fn what_show_prints_of_the_agency_runs_as_one_file() {
    let (shop, network) = (Origin::start(), networks());
    let shop = format!("\"http://{}\"", shop.address());
    let setup = agency(&shop, &shop, &network);
    let shown = setup.command(&["show"]);
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(!shown.contains("include") && shown.contains("sites/shop.html"), "{shown}");
    fs::remove_file(setup.folder().join("sites/shop.yaml")).unwrap();
    let proxy = setup.file("throughline.yaml", &shown).start();
    let mut visitor = proxy.visitor().host("tickets.example").sending(
        "Cookie",
        "OptanonConsent=interactionCount=1&groups=C0004%3A1; OptanonAlertBoxClosed=2026-11-22T10:00:00.000Z",
    );
    assert!(visitor.lands("/?tix=def").set_cookie("_exoclick_cid").is_some());
}

/// The shop that asks first.
struct Asking {
    network: AdNetwork,
    proxy: Proxy,
    _origin: Origin,
}

impl Asking {
    fn start() -> Self {
        let (origin, network) = (Origin::start(), networks());
        let at = |path: &str| format!("postback: {{ url: \"http://{}/{path}\" }}", network.address());
        let text = shipped(
            "consent-required.yaml",
            &[
                ("listen: 0.0.0.0:80\n", ""),
                ("upstream: http://127.0.0.1:8080", &format!("upstream: \"http://{}\"", origin.address())),
                ("click: { param: exotracker }", &format!("click: {{ param: exotracker }}, {}", at("exoclick"))),
                ("advertiser_id: i12345678\n", &format!("advertiser_id: i12345678\n        {}\n", at("ingenious"))),
            ],
        );
        Self { proxy: Proxy::with(&text).start(), network, _origin: origin }
    }

    fn visitor(&self, cookie: &str) -> Visitor {
        let visitor = self.proxy.visitor();
        if cookie.is_empty() { visitor } else { visitor.sending("Cookie", cookie) }
    }

    fn outcomes(&self, outcome: &str, count: u32) {
        self.proxy.await_metric(OUTCOMES, &[("outcome", outcome)], count);
    }
}

#[test]
fn who_agrees_late_is_credited_to_the_ad_that_brought_them() {
    let story = Asking::start();
    assert!(story.visitor("").lands("/?exotracker=abc").set_cookies().is_empty());
    let mut visitor = story.visitor(GRANTED);
    let answer = visitor.request("GET", "/cart", &[("Referer", "http://shop.example/?exotracker=abc")], "");
    assert_eq!(answer.set_cookie("_exoclick_cid").map(|cookie| cookie.value), Some("abc".to_owned()));
    story.visitor(&format!("{GRANTED}; _exoclick_cid=abc")).get("/thank-you/1001?total=49.90");
    let received = story.network.await_received(2);
    let told = received.iter().find(|request| request.path() == "/exoclick").unwrap();
    assert_eq!((told.parameter("tag"), told.parameter("value")), (Some("abc"), Some("49.90")));
    story.outcomes("queued", 2);
    story.proxy.await_settled();
    assert_accounts(&story.proxy);
}

#[test]
fn who_refuses_or_sends_gpc_is_told_to_nobody() {
    let story = Asking::start();
    let refusing = story.visitor(DENIED);
    let opposing = story.visitor(GRANTED).sending("Sec-GPC", "1");
    for (index, mut visitor) in [refusing, opposing].into_iter().enumerate() {
        assert!(visitor.lands("/?exotracker=abc&iclid=def").set_cookies().is_empty());
        let page = visitor.get(&format!("/thank-you/{index}?total=49.90"));
        assert!(!page.text().contains("<img"), "{}", page.text());
    }
    story.outcomes("no_consent", 4);
    assert!(story.network.received().is_empty());
    assert_accounts(&story.proxy);
}

#[test]
fn who_came_by_cashback_need_not_agree() {
    let story = Asking::start();
    let mut visitor = story.visitor("");
    assert!(visitor.lands("/?exotracker=abc&sn=1").set_cookie("_exoclick_cid").is_some());
    visitor.get("/thank-you/1001?total=49.90&sn=1");
    assert_eq!(story.network.await_received(2).len(), 2);
    story.proxy.await_settled();
    assert_accounts(&story.proxy);
}

#[test]
fn the_fleet_counts_an_order_once_whichever_instance_serves_it() {
    let (origin, network) = (Origin::start(), networks());
    let database = Postgres::shared().database();
    let node = || {
        let postback =
            format!("click: {{ param: exotracker }}, postback: {{ url: \"http://{}/\" }}", network.address());
        let text = shipped(
            "fleet.yaml",
            &[
                ("listen: 0.0.0.0:8080\n", "listen: 127.0.0.1:0\n"),
                ("0.0.0.0:9180, token: ${THROUGHLINE_ADMIN_TOKEN}", "127.0.0.1:0"),
                ("/var/lib/throughline", "./state"),
                // The test's database is this machine's and has no certificate.
                (", ca: internal-ca.pem", ""),
                ("http://10.0.1.10:8080", &format!("\"http://{}\"", origin.address())),
                ("click: { param: exotracker }", &postback),
            ],
        );
        let secret = "a secret of more than thirty-two characters";
        Proxy::with(&text).env("THROUGHLINE_SECRET", secret).env("DATABASE_URL", &database.url()).start()
    };
    let nodes = [node(), node()];
    nodes.iter().for_each(|node| node.await_metric("throughline_fleet_up", &[], 1));
    for node in &nodes {
        let mut visitor = node.visitor().sending("Cookie", "_exoclick_cid=abc");
        visitor.get("/thank-you/1001?total=49.90");
        node.await_metric("throughline_forward_pending", &[], 0);
    }
    nodes.iter().for_each(Proxy::await_settled);
    assert_eq!(network.received().len(), 1, "one order");
    assert_accounts_of_fleet(&nodes);
}
