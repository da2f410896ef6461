//! Orders that are paid elsewhere: the provider's server says so, and perhaps the buyer comes back.

use std::thread;

use crate::support::{
    accounting::assert_accounts,
    network::AdNetwork,
    origin::{Origin, PAGE},
    proxy::Proxy,
    server::Request,
    visitor::{Answer, Visitor},
};

const OUTCOMES: &str = "throughline_conversions_total";
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
/// One of the addresses that `PayPal` sends notifications from.
const PAYPAL: &str = "173.0.81.65";

/// The notification of a payment, as `PayPal` writes it.
fn notification(order: &str, status: &str) -> String {
    format!(
        "mc_gross=49.90&protection_eligibility=Eligible&payer_id=LPLWNMTBWMFAY&tax=0.00&payment_status={status}\
         &charset=windows-1252&first_name=J%E4ne&mc_currency=EUR&invoice={order}&payer_email=other%40example.com\
         &txn_id=61E67681CH3238416&txn_type=web_accept&ipn_track_id=a3e7f2"
    )
}

struct Story {
    network: AdNetwork,
    proxy: Proxy,
    origin: Origin,
}

impl Story {
    fn with(site: &str) -> Self {
        let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
        let config = format!(
            r#"trusted_proxies: [127.0.0.1]
sites:
  - upstream: "http://{}"
{site}
    networks:
      mine:
        click: {{ param: mid, cookie: _mid }}
        postback:
          url: "http://{}/pb"
          query:
            cid: "{{click_id}}"
            order: "{{order_id}}"
            value: "{{value}}"
            name: "{{name}}"
            email: "{{email}}"
            ip: "{{client_ip}}"
            agent: "{{user_agent}}"
            page: "{{page_url}}"
    captures:
      - {{ name: checkout, path: /checkout, method: POST, key: form.order, fields: {{ email: form.email }} }}
    conversions:
      - name: purchase
        triggers:
          - path: /thanks
          - path: /ipn
            method: POST
            caller: server
            from_addresses: [173.0.81.0/24]
            when: {{ form.payment_status: [Completed, Processed] }}
          - path: /stripe
            method: POST
            caller: server
            from_addresses: [173.0.81.0/24]
            when: {{ json./type: checkout.session.completed }}
          - path: /bank/return
            method: POST
            when: {{ form.result: paid }}
        order_id: [query.order, form.invoice, form.reference, json./data/object/client_reference_id]
        value: [form.mc_gross, query.total]
        email: journey.email
        fields: {{ name: form.first_name }}
        send: {{ mine: {{}} }}
"#,
            origin.address(),
            network.address()
        );
        let proxy = Proxy::with(&config).start();
        Self { network, proxy, origin }
    }

    fn start() -> Self {
        Self::with("    consent: { require: none }")
    }

    /// A visitor comes by an ad and goes to the checkout with an order.
    fn orders(&self, order: &str) -> Visitor {
        let mut visitor = self.proxy.visitor().sending("X-Forwarded-For", "203.0.113.77");
        visitor.lands(&format!("/?mid=click-of-{order}"));
        let form = format!("order={order}&email=buyer%40example.com");
        visitor.request("POST", "/checkout", &[FORM], &form);
        visitor
    }

    /// The provider's server calls.
    fn calls(&self, target: &str, from: &str, media: &str, body: &str) -> Answer {
        let length = body.len();
        let request = format!(
            "POST {target} HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: PayPal IPN ( https://www.paypal.com/ipn )\r\n\
             X-Forwarded-For: {from}\r\nContent-Type: {media}\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        self.proxy.visitor().sends_raw(request.as_bytes()).unwrap()
    }

    fn notifies(&self, order: &str, status: &str) -> Answer {
        self.calls("/ipn", PAYPAL, FORM.1, &notification(order, status))
    }

    fn outcome(&self, outcome: &str, count: u32) {
        self.proxy.await_metric(OUTCOMES, &[("outcome", outcome)], count);
    }

    /// Everything is sent and accounted for; yields what was told.
    fn end(&self) -> Vec<Request> {
        self.proxy.await_settled();
        assert_accounts(&self.proxy);
        self.network.received()
    }
}

/// What a postback says of the buyer, who was at the checkout.
fn assert_tells_of_the_buyer(told: &Request, order: &str) {
    assert_eq!(told.parameter("order"), Some(order));
    assert_eq!(told.parameter("cid"), Some(format!("click-of-{order}").as_str()));
    assert_eq!(told.parameter("ip"), Some("203.0.113.0"), "the buyer's, truncated");
    let agent = told.parameter("agent").unwrap_or_default().replace("%20", " ").replace("%2F", "/").replace("%3B", ";");
    assert_eq!(agent.replace("%3A", ":"), BROWSER);
    assert_eq!(told.parameter("email"), Some("buyer%40example.com"), "as typed at the checkout");
}

#[test]
fn a_paid_order_is_reported_although_the_buyer_never_comes_back() {
    let story = Story::start();
    story.orders("A-7");
    let answer = story.notifies("A-7", "Completed");
    assert_eq!((answer.status, answer.text().as_str()), (200, PAGE));
    assert!(answer.set_cookies().is_empty(), "a server gets no cookies: {:?}", answer.set_cookies());
    assert_eq!(story.origin.last().body, notification("A-7", "Completed").as_bytes(), "byte for byte");
    story.network.await_received(1);
    let told = story.end().remove(0);
    assert_tells_of_the_buyer(&told, "A-7");
    assert_eq!(told.parameter("value"), Some("49.90"));
    assert_eq!(told.parameter("name"), Some("J%C3%A4ne"), "windows-1252");
    assert_eq!(told.parameter("page"), None, "the callback is no page of the buyer's");
}

#[test]
fn a_buyer_who_comes_back_is_counted_once_whoever_is_first() {
    let story = Story::start();
    let mut buyer = story.orders("A-1");
    story.notifies("A-1", "Processed");
    story.outcome("queued", 1);
    assert_eq!(buyer.get("/thanks?order=A-1&total=49.90").status, 200);
    story.outcome("duplicate", 1);
    let mut buyer = story.orders("A-2");
    buyer.get("/thanks?order=A-2&total=49.90");
    story.outcome("queued", 2);
    story.notifies("A-2", "Completed");
    story.notifies("A-2", "Completed");
    story.outcome("duplicate", 3);
    let told = story.end();
    assert_eq!(told.len(), 2);
    for order in ["A-1", "A-2"] {
        let of_order: Vec<_> = told.iter().filter(|told| told.parameter("order") == Some(order)).collect();
        assert_eq!(of_order.len(), 1, "{order}");
        assert_tells_of_the_buyer(of_order[0], order);
    }
}

#[test]
fn a_buyer_and_the_provider_at_the_same_time_are_one_conversion() {
    let story = Story::start();
    let buyers: Vec<(String, Visitor)> =
        (0..6).map(|order| format!("B-{order}")).map(|it| (it.clone(), story.orders(&it))).collect();
    thread::scope(|scope| {
        for (order, mut buyer) in buyers {
            let story = &story;
            let same = order.clone();
            scope.spawn(move || buyer.get(&format!("/thanks?order={order}")));
            scope.spawn(move || story.notifies(&same, "Completed"));
        }
    });
    story.outcome("queued", 6);
    story.outcome("duplicate", 6);
    assert_eq!(story.end().len(), 6);
}

#[test]
fn who_is_not_the_provider_reports_nothing() {
    let story = Story::start();
    story.orders("A-7");
    story.calls("/ipn", "198.51.100.9", FORM.1, &notification("A-7", "Completed"));
    story.outcome("not_success", 1);
    assert!(story.end().is_empty());
}

#[test]
fn an_order_that_is_not_paid_yet_is_reported_when_it_is() {
    let story = Story::start();
    story.orders("A-7");
    for (unpaid, seen) in [("Pending", 1), ("Denied", 2), ("completed", 3)] {
        story.notifies("A-7", unpaid);
        story.outcome("not_success", seen);
    }
    assert!(story.network.received().is_empty());
    story.notifies("A-7", "Completed");
    story.outcome("queued", 1);
    assert_eq!(story.end().len(), 1);
}

#[test]
fn an_order_that_nobody_remembers_has_no_click() {
    let story = Story::start();
    story.orders("A-7");
    story.notifies("A-8", "Completed");
    story.outcome("no_click", 1);
    // Without an order there is nothing to join by.
    story.calls("/ipn", PAYPAL, FORM.1, "payment_status=Completed&mc_gross=1.00");
    story.outcome("no_click", 2);
    assert!(story.end().is_empty());
}

#[test]
fn a_providers_json_reports_an_order() {
    let story = Story::start();
    story.orders("A-7");
    let event = |kind: &str| {
        format!(
            r#"{{"id": "evt_1", "object": "event", "type": "{kind}",
               "data": {{"object": {{"id": "cs_1", "client_reference_id": "A-7", "amount_total": 4990}}}}}}"#
        )
    };
    let media = "application/json; charset=utf-8";
    story.calls("/stripe", PAYPAL, media, &event("checkout.session.expired"));
    story.outcome("not_success", 1);
    story.calls("/stripe", PAYPAL, media, &event("checkout.session.completed"));
    story.outcome("queued", 1);
    story.network.await_received(1);
    assert_tells_of_the_buyer(&story.end()[0], "A-7");
}

#[test]
fn a_callback_says_what_the_buyer_had_agreed_to() {
    let consent =
        "    consent: { require: ad_storage, from: [{ cookie: choice, granted: \"^yes\", denied: \"^no\" }] }";
    let story = Story::with(consent);
    for (order, choice) in [("A-1", "choice=no"), ("A-2", "choice=yes")] {
        let mut visitor = story.proxy.visitor().sending("X-Forwarded-For", "203.0.113.77");
        let landed = visitor.request("GET", &format!("/?mid=click-of-{order}"), &[("Cookie", choice)], "");
        let ours = landed
            .set_cookies()
            .into_iter()
            .flat_map(|cookie| ["; ".to_owned(), cookie.name, "=".to_owned(), cookie.value])
            .collect::<String>();
        let form = format!("order={order}&email=buyer%40example.com");
        visitor.request("POST", "/checkout", &[FORM, ("Cookie", &format!("{choice}{ours}"))], &form);
        story.notifies(order, "Completed");
    }
    story.outcome("no_consent", 1);
    story.outcome("queued", 1);
    story.network.await_received(1);
    assert_tells_of_the_buyer(&story.end()[0], "A-2");
}

#[test]
fn a_bank_that_sends_the_buyer_back_from_another_site_brings_no_cookies() {
    let story = Story::start();
    story.orders("A-7");
    // A form that another site sends: browsers leave out cookies with SameSite=Lax.
    let returned = |body: &str| {
        let mut buyer = story.proxy.visitor().sending("X-Forwarded-For", "203.0.113.77");
        let headers = [FORM, ("Sec-Fetch-Site", "cross-site"), ("Origin", "https://bank.example")];
        assert_eq!(buyer.request("POST", "/bank/return", &headers, body).text(), PAGE);
    };
    returned("reference=A-7&result=failed");
    story.outcome("not_success", 1);
    returned("reference=A-7&result=paid");
    story.outcome("queued", 1);
    returned("reference=A-8&result=paid");
    story.outcome("no_click", 1);
    story.network.await_received(1);
    assert_tells_of_the_buyer(&story.end()[0], "A-7");
}

#[test]
fn nobody_gets_another_buyers_clicks_by_the_number_of_an_order() {
    let story = Story::start();
    story.orders("A-7");
    // A link, and a form of the site's own: these bring the visitor's own cookies, if there are any.
    story.proxy.visitor().get("/thanks?order=A-7");
    story.outcome("no_click", 1);
    let own = [FORM, ("Sec-Fetch-Site", "same-origin")];
    story.proxy.visitor().request("POST", "/bank/return", &own, "reference=A-7&result=paid");
    story.outcome("no_click", 2);
    let mut other = story.proxy.visitor();
    other.lands("/");
    let cross = [FORM, ("Sec-Fetch-Site", "cross-site"), ("Cookie", "_mid=own")];
    other.request("POST", "/bank/return", &cross, "reference=A-9&result=paid");
    story.outcome("queued", 1);
    story.network.await_received(1);
    assert_eq!(story.end()[0].parameter("cid"), Some("own"));
}
