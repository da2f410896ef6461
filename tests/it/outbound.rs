//! How postbacks leave: with tokens and signatures, by checked addresses, and without a trace of secrets.

use crate::support::{
    accounting::assert_accounts,
    config::{THANKS, shop_of},
    network::AdNetwork,
    origin::{Origin, nobody},
    proxy::{Proxy, Setup},
    response::Response,
    secure_origin::{SecureOrigin, Way},
    tls::Authority,
};

const VERDICTS: &str = "throughline_postbacks_total";
const SEND: &str = "          mine: { }";
const TOKEN: &str = "CANARY-token-1";
const PASSWORD: &str = "CANARY/client password";

/// A shop with one network of its own, `mine`, as its block says; a purchase is made when it runs.
fn shop(origin: &Origin, mine: &str) -> Setup {
    let block: String = mine.lines().flat_map(|line| ["        ", line, "\n"]).collect();
    let networks = format!("      mine:\n        click: {{ param: mid }}\n{block}");
    Proxy::with(&format!("log: {{ level: debug }}\n{}", shop_of(origin, &networks, SEND)))
}

fn buys(proxy: &Proxy) {
    let mut visitor = proxy.visitor();
    visitor.lands("/?mid=abc");
    visitor.get(THANKS);
}

#[test]
fn a_network_that_wants_access_tokens_gets_them_and_nobody_else_does() {
    let origin = Origin::start();
    let giver = AdNetwork::judging(|_| {
        Response::from(format!(r#"{{"access_token":"{TOKEN}","token_type":"bearer","expires_in":3600}}"#).as_str())
    });
    // It repeats everything that it was sent, as a test server of a network does.
    let network = AdNetwork::judging(|request| {
        Response::from(format!("OK {} {}", request.target, String::from_utf8_lossy(&request.raw_head)).as_str())
    });
    let block = format!(
        "settings: {{ password: {{ secret: true }} }}
password: ${{PASSWORD}}
postback:
  url: \"http://{}/pb\"
  query: {{ c: \"{{click_id}}\", k: \"{{password}}\" }}
  oauth2: {{ token_url: \"http://{}/token\", client_id: us, client_secret: \"{{password}}\" }}
verdict: [{{ body_starts: OK, is: delivered }}]",
        network.address(),
        giver.address()
    );
    // Proxies of the environment are nobody's choice here.
    let nowhere = format!("http://{}", nobody());
    let setup = shop(&origin, &block).env("PASSWORD", PASSWORD);
    let setup = ["http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"]
        .into_iter()
        .fold(setup, |setup, name| setup.env(name, &nowhere));
    let proxy = setup.start();
    buys(&proxy);
    let request = network.await_received(1).remove(0);
    assert_eq!(request.headers.get("authorization"), Some(format!("Bearer {TOKEN}").as_str()));
    assert_eq!(request.parameter("k"), Some("CANARY%2Fclient%20password"));
    proxy.await_metric(VERDICTS, &[("network", "mine"), ("verdict", "delivered")], 1);
    assert_eq!(giver.received().len(), 1);
    let id = proxy.outbox_list();
    let id = id.split_whitespace().find(|word| word.len() == 36).expect("an event id").to_owned();
    let shown = proxy.outbox(&["show", &id]);
    assert!(shown.contains("***") && shown.contains("c=abc"), "the answer is kept, masked: {shown}");
    let metrics = String::from_utf8_lossy(&proxy.admin("/metrics").body).into_owned();
    for place in [proxy.stderr(), metrics, proxy.outbox_list(), shown] {
        assert!(!place.to_lowercase().contains("canary"), "{place}");
    }
    assert_accounts(&proxy);
}

#[test]
fn a_network_finds_the_signature_that_it_would_make_itself() {
    let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
    let block = format!(
        "settings: {{ token: {{ secret: true }} }}
token: {{ file: token.txt }}
postback:
  url: \"http://{}/pb\"
  query: {{ c: \"{{click_id}}\", o: \"{{order_id}}\", v: \"{{value}}\", h: \"{{click_id|md5|upper}}\" }}
  sign: {{ over: \"{{order_id}}|{{value}}|{{token}}\", with: md5, query: hash }}",
        network.address()
    );
    let proxy = shop(&origin, &block).file("token.txt", "k3y\n").start();
    buys(&proxy);
    let request = network.await_received(1).remove(0);
    // echo -n 'abc' | md5sum; echo -n '1001|49.90|k3y' | md5sum
    let expected = "/pb?c=abc&o=1001&v=49.90&h=900150983CD24FB0D6963F7D28E17F72&hash=a8531090323776af3da2949390cdb8d9";
    assert_eq!(request.target, expected);
    proxy.await_metric(VERDICTS, &[("network", "mine"), ("verdict", "delivered")], 1);
    assert_accounts(&proxy);
}

#[test]
fn a_name_that_leads_into_our_own_network_is_not_connected_to() {
    let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
    let block = |more: &str| {
        format!(
            "settings: {{ tracker: {{ host: true }} }}
tracker: \"localhost:{}\"
{more}
postback: {{ url: \"http://{{tracker}}/pb\", query: {{ c: \"{{click_id}}\" }} }}",
            network.address().port()
        )
    };
    let proxy = shop(&origin, &block("")).start();
    buys(&proxy);
    proxy.await_metric("throughline_refused_addresses_total", &[("site", "default"), ("network", "mine")], 1);
    proxy.await_log("private or reserved addresses alone");
    assert!(proxy.stderr().contains("localhost"), "the host is named");
    assert!(proxy.outbox_list().contains("refused_address"), "{}", proxy.outbox_list());
    assert!(network.received().is_empty());
    assert_accounts(&proxy);

    let allowed = shop(&origin, &block("delivery: { allow_private: true }")).start();
    buys(&allowed);
    assert_eq!(network.await_received(1)[0].parameter("c"), Some("abc"));
}

#[test]
fn a_network_with_an_authority_of_its_own_sees_our_certificate() {
    let (origin, behind) = (Origin::start(), Origin::start().page("/pb", "OK"));
    let (authority, clients) = (Authority::new(), Authority::new());
    let network: SecureOrigin = Way::default().mutual_tls(&authority, &["127.0.0.1"], &clients).to(&behind);
    let ours = clients.certifies(&["us.example"]);
    let block = |tls: &str| {
        format!(
            "{tls}
postback: {{ url: \"https://127.0.0.1:{}/pb\", query: {{ c: \"{{click_id}}\" }} }}",
            network.port()
        )
    };
    let known = shop(&origin, &block("tls: { ca: ca.pem, client_cert: us.pem, client_key: us.key }"))
        .file("ca.pem", &authority.pem())
        .file("us.pem", &ours.cert)
        .file("us.key", &ours.key)
        .start();
    buys(&known);
    known.await_metric(VERDICTS, &[("network", "mine"), ("verdict", "delivered")], 1);
    assert_eq!(behind.requests().len(), 1);
    let unknown = shop(&origin, &block("")).start();
    buys(&unknown);
    unknown.await_metric("throughline_postback_attempts_total", &[("network", "mine"), ("result", "retry")], 1);
    assert!(unknown.outbox_list().contains("connect"), "{}", unknown.outbox_list());
    assert_eq!(behind.requests().len(), 1, "nothing is sent to whom we cannot verify");
}

#[test]
fn explain_shows_a_signed_request_without_its_secrets() {
    let origin = Origin::start();
    let block = "settings: { token: { secret: true } }
token: ${TOKEN}
postback:
  url: https://net.example/pb
  query: { c: \"{click_id}\" }
  bearer: \"{token}\"
  sign: { over: \"{request_url}{token}\", with: sha1, query: hash }";
    let setup = shop(&origin, block).env("TOKEN", TOKEN);
    let output =
        setup.command(&["explain", "http://shop.example/thank-you/1001?total=49.90", "--cookie", "_mine_cid=abc"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("/pb?c=abc&hash=***"), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(!said.contains(TOKEN), "{said}");
}
