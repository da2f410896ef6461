//! "Why was this sale not reported?", asked by people who were not there.

use std::collections::BTreeSet;

use serde_json::Value;
use throughline::tracking::conversion::Outcome;

use crate::support::{
    accounting::assert_accounts,
    await_fact,
    network::AdNetwork,
    origin::{Origin, nobody},
    proxy::Proxy,
    response::Response,
};

const OUTCOMES: &str = "throughline_conversions_total";
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const SECRET: &str = "a-key-that-nobody-may-see";

/// A shop with a rule for everything that can become of a hit.
struct Story {
    _origin: Origin,
    network: AdNetwork,
    proxy: Proxy,
}

impl Story {
    fn begins() -> Self {
        Self::with(AdNetwork::answering(["OK, canary@mail.example"]))
    }

    fn with(network: AdNetwork) -> Self {
        let origin = Origin::start().route("/thank-you/A-not_success", Response::new(404));
        let (site, pb) = (origin.address(), network.address());
        let config = format!(
            r#"sites:
  - name: shop
    upstream: "http://{site}"
    networks:
      own:
        click: {{ param: cid, cookie: _cid }}
        parameters: {{ plan: {{ required: true }} }}
        settings: {{ key: {{ secret: true }} }}
        key: "${{KEY}}"
        needs: [click_id]
        postback:
          url: "http://{pb}/pb"
          query: {{ o: "{{order_id}}", v: "{{value}}", c: "{{click_id}}", m: "{{email}}", h: "{{email|sha256}}", p: "{{plan}}", k: "{{key}}" }}
      rival: {{ click: {{ param: rid, cookie: _rid }}, postback: {{ url: "http://{pb}/rival" }} }}
    captures: [{{ name: checkout, path: /checkout, method: POST, fields: {{ email: form.email }} }}]
    conversions:
      - {{ name: purchase, path: "/thank-you/{{order_id}}", value: query.total, currency: EUR, email: journey.email, send: {{ own: {{ plan: basic }} }} }}
      - {{ name: course, path: "/course/{{order_id}}", after: checkout, send: {{ own: {{ plan: basic }} }} }}
      - {{ name: credited, path: "/credited/{{order_id}}", credit: last_paid_click, send: {{ own: {{ plan: basic }} }} }}
      - {{ name: plan, path: "/plan/{{order_id}}", send: {{ own: {{ plan: query.plan }} }} }}
      - {{ name: proved, path: "/proved/{{order_id}}", success_mark: "Your order is on its way", send: {{ own: {{ plan: basic }} }} }}
      - {{ name: trial, path: "/trial/{{order_id}}", shadow: true, send: {{ own: {{ plan: basic }} }} }}
  - name: quiet
    hosts: [quiet.example]
    upstream: "http://{site}"
    tracking: off
    networks: {{ own: {{ click: {{ param: cid, cookie: _cid }}, postback: {{ url: "http://{pb}/pb" }} }} }}
    conversions: [{{ name: purchase, path: "/thank-you/{{order_id}}", send: {{ own: {{ }} }} }}]
  - name: strict
    hosts: [strict.example]
    upstream: "http://{site}"
    consent: {{ require: ad_storage, from: [{{ header: x-consent, granted: "^1$", denied: "^0$" }}] }}
    networks: {{ own: {{ click: {{ param: cid, cookie: _cid }}, postback: {{ url: "http://{pb}/pb" }} }} }}
    conversions: [{{ name: purchase, path: "/thank-you/{{order_id}}", send: {{ own: {{ }} }} }}]
"#
        );
        let proxy = Proxy::with(&config).env("KEY", SECRET).start();
        Self { _origin: origin, network, proxy }
    }

    /// A buyer who came by an ad.
    fn buyer(&self) -> crate::support::visitor::Visitor {
        self.proxy.visitor().sending("Cookie", "_cid=click-1")
    }

    /// Runs `conversions` with these arguments: how it ended, what it said, what it complained of.
    fn conversions(&self, arguments: &[&str]) -> (bool, String, String) {
        let output = self.proxy.command(&[&["conversions"], arguments].concat());
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.success(), text(output.stdout), text(output.stderr))
    }

    fn says(&self, arguments: &[&str]) -> String {
        let (succeeds, said, complaint) = self.conversions(arguments);
        assert!(succeeds, "{arguments:?}: {complaint}");
        said
    }

    /// Waits until so many hits are written down, and yields them as an export has them.
    fn await_hits(&self, count: usize) -> Vec<Value> {
        self.proxy.await_metric(OUTCOMES, &[], u32::try_from(count).unwrap());
        self.proxy.await_settled();
        let hits = || -> Vec<Value> {
            self.says(&["export", "--format", "json"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        // The records are written within about a second.
        let is_whole = |hits: &Vec<Value>| hits.len() == count && hits.iter().all(|hit| hit["outcome"] != "");
        await_fact(|| Some(hits()).filter(is_whole), || format!("{count} hits, not {:#?}", hits()))
    }
}

/// What somebody who asks has in hand, and what both doors answer.
struct Answer {
    /// What is asked for; without anything in hand, the outcome's list.
    asked: Option<&'static str>,
    /// The reason and the remedy, at the command line and in the console.
    both: &'static [&'static str],
    /// What only the command line says in these words.
    told: &'static [&'static str],
}

/// Another outcome is explained here, or this does not compile.
fn answer(outcome: Outcome) -> Answer {
    let (asked, both, told): (_, &[&str], &[&str]) = match outcome {
        Outcome::Off => ("", &["off", "set `tracking: on`"], &[]),
        Outcome::NoConsent => ("", &["the visitor refused, or has not chosen", "consent.md"], &[]),
        Outcome::Prefetch => ("A-prefetch", &["the browser fetched ahead of time"], &["to do: nothing"]),
        Outcome::NotDocument => ("A-not_document", &["HEAD, an image", "another `path`"], &[]),
        Outcome::Bot => ("A-bot", &["a crawler", "use a browser"], &[]),
        Outcome::NotSuccess => ("A-not_success", &["(status 404)", "compare `status` and `when`"], &[]),
        Outcome::NotPreceded => ("A-not_preceded", &["(checkout)", "captures under `after`"], &[]),
        Outcome::NotCredited => (
            "A-not_credited",
            &["(later: rival)", "first-click", "`credit: last_paid_click` asks for it"],
            &["by rival, which earned it"],
        ),
        Outcome::NoClick => ("A-no_click", &["(needs click_id)", "compare `click.param` with your ad links"], &[]),
        Outcome::Incomplete => {
            ("A-incomplete", &["lacks plan", "`throughline outbox set ID NAME=VALUE` completes it"], &[])
        }
        Outcome::Unproven => ("A-unproven", &["(success_mark)", "nothing for failed orders"], &[]),
        Outcome::Shadow => {
            ("A-shadow", &["the rule is only tried out", "remove the key", "c=click-1&p=basic&k=***"], &["would send"])
        }
        Outcome::Held => ("A-held", &["a visitor who previews the site", "trying-out.md", "o=A-held"], &["would send"]),
        Outcome::Duplicate => {
            ("A-queued", &["the same conversion was accepted before", "really one per order?"], &["duplicate"])
        }
        Outcome::Unstored => (
            "A-unstored",
            &["it could not be written", "disk full, read-only, wrong owner"],
            &["outcome      unstored"],
        ),
        Outcome::Queued => ("A-queued", &["delivered", "click-1"], &["attempt 1", "click-1  from cookie._cid"]),
    };
    Answer { asked: Some(asked).filter(|asked| !asked.is_empty()), both, told }
}

impl Story {
    /// Has a visitor ask for a page in a way that ends so.
    fn plays(&self, outcome: Outcome) {
        let asks = |path: &str| {
            self.buyer().get(&format!("{path}/A-{}", outcome.as_str()));
        };
        match outcome {
            Outcome::Off => {
                self.proxy.visitor().host("quiet.example").get("/thank-you/A-off");
            }
            Outcome::NoConsent => {
                let mut refuser = self.proxy.visitor().host("strict.example").sending("Cookie", "_cid=refused-1");
                refuser.get("/thank-you/A-no_consent");
            }
            Outcome::Prefetch => {
                self.buyer().sending("Sec-Purpose", "prefetch").get("/thank-you/A-prefetch");
            }
            Outcome::NotDocument => {
                self.buyer().sending("Sec-Fetch-Dest", "image").get("/thank-you/A-not_document");
            }
            Outcome::Bot => {
                self.buyer().sending("User-Agent", "Googlebot/2.1").get("/thank-you/A-bot");
            }
            Outcome::NotSuccess => asks("/thank-you"),
            Outcome::NotPreceded => asks("/course"),
            Outcome::NotCredited => {
                let mut other = self.proxy.visitor();
                other.lands("/?cid=first-click");
                other.lands("/?rid=later-click");
                other.get("/credited/A-not_credited");
            }
            Outcome::NoClick => {
                self.proxy.visitor().get("/thank-you/A-no_click");
            }
            Outcome::Incomplete => asks("/plan"),
            Outcome::Unproven => asks("/proved"),
            Outcome::Shadow => asks("/trial"),
            Outcome::Held => {
                let link = self.proxy.command(&["preview", "shop", "--hold"]).stdout;
                let link = String::from_utf8(link).unwrap();
                let mut operator = self.buyer();
                operator.get(link[link.find("/.throughline").expect("a link")..].trim());
                operator.get("/thank-you/A-held");
            }
            Outcome::Queued => {
                asks("/thank-you");
                self.proxy.await_metric(OUTCOMES, &[("outcome", "queued")], 1);
                self.proxy.await_settled();
            }
            Outcome::Duplicate => {
                self.buyer().get("/thank-you/A-queued");
                self.proxy.await_metric(OUTCOMES, &[("outcome", "duplicate")], 1);
            }
            Outcome::Unstored => self.without_its_store(|| {
                asks("/thank-you");
                self.proxy.await_metric(OUTCOMES, &[("outcome", "unstored")], 1);
                let page = self.sees("A-unstored");
                assert!(page.contains("it could not be written"), "it is known before it is written: {page}");
            }),
        }
    }

    /// Does something while the state folder is not there.
    fn without_its_store(&self, act: impl FnOnce()) {
        let await_state = |state: &str| {
            let readiness = || self.proxy.operator().get("/readyz").text();
            let said = format!("\"state\":\"{state}\"");
            let is_so = || readiness().split("\"store\"").nth(1).is_some_and(|it| it.contains(&said)).then_some(());
            await_fact(is_so, readiness);
        };
        let (state, aside) = (self.proxy.folder().join("state"), self.proxy.folder().join("aside"));
        std::fs::rename(&state, &aside).unwrap();
        std::fs::write(&state, "in the way").unwrap();
        await_state("degraded");
        act();
        std::fs::remove_file(&state).unwrap();
        std::fs::rename(&aside, &state).unwrap();
        await_state("ready");
    }

    /// What the console says when somebody searches for this, as it is read.
    fn sees(&self, text: &str) -> String {
        self.reads(&format!("/console/search?q={text}"))
    }

    fn reads(&self, page: &str) -> String {
        let answer = self.proxy.operator().get(page);
        assert_eq!(answer.status, 200, "{page}: {}", answer.text());
        as_read(&answer.text())
    }
}

/// A page without its tags.
fn as_read(page: &str) -> String {
    let mut text = String::new();
    for part in page.split('<') {
        text.push_str(part.split_once('>').map_or(part, |(_, text)| text));
    }
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")]
        .into_iter()
        .fold(text, |text, (entity, char)| text.replace(entity, char))
}

#[test]
fn every_outcome_can_be_explained_afterwards() {
    let story = Story::begins();
    // What ends all others comes last.
    let (last, others): (Vec<_>, Vec<_>) = Outcome::ALL.into_iter().partition(|it| *it == Outcome::Unstored);
    let after = |outcome: &Outcome| *outcome == Outcome::Duplicate;
    let (repeats, firsts): (Vec<_>, Vec<_>) = others.into_iter().partition(after);
    for outcome in firsts.into_iter().chain(repeats).chain(last) {
        story.plays(outcome);
    }
    let hits = story.await_hits(Outcome::ALL.len());
    let seen: BTreeSet<&str> = hits.iter().filter_map(|hit| hit["outcome"].as_str()).collect();
    assert_eq!(seen, BTreeSet::from(Outcome::ALL.map(Outcome::as_str)));

    for outcome in Outcome::ALL {
        let (word, Answer { asked, both, told }) = (outcome.as_str(), answer(outcome));
        let listed = story.says(&["list", "--outcome", word]);
        assert_eq!(listed.matches("Z  ").count(), 1, "{listed}");
        let (said, seen) = match asked {
            Some(asked) => (story.says(&["show", asked]), story.sees(asked)),
            None => (listed, story.reads(&format!("/console/search?outcome={word}"))),
        };
        for phrase in both {
            assert!(said.contains(phrase), "{word}: {phrase:?} in\n{said}");
            // The console sets code in type, and writes words of ours as people do.
            let phrase = phrase.replace('`', "");
            let is_seen = seen.contains(&phrase) || seen.contains(&phrase.replace('_', " "));
            assert!(is_seen, "{word}: {phrase:?} in the console's\n{seen}");
        }
        for phrase in told {
            assert!(said.contains(phrase), "{word}: {phrase:?} in\n{said}");
        }
        assert!(said.lines().count() < 40, "one screen: {said}");
        assert!(!said.contains(SECRET) && !seen.contains(SECRET), "{said}\n{seen}");
    }
    assert_accounts(&story.proxy);
}

#[test]
fn what_operators_do_to_many_is_told_of_each() {
    let story = Story::begins();
    let orders = ["B-1", "B-2", "B-3"];
    for order in orders {
        story.buyer().get(&format!("/plan/{order}"));
    }
    story.await_hits(orders.len());
    let purged = story.proxy.command(&["outbox", "purge", "--state", "incomplete", "--site", "shop", "--yes"]);
    assert!(purged.status.success(), "{purged:?}");
    let events: Vec<String> = story
        .says(&["export", "--format", "json"])
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["event_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(events.len(), orders.len());
    for event in events {
        let said = story.says(&["show", &event]);
        assert!(said.contains("purge --site shop --state incomplete  (and 2 more)"), "{said}");
        let seen = story.sees(&event);
        assert!(seen.contains("did purge --site shop --state incomplete to 3 rows"), "{seen}");
    }
}

#[test]
fn of_visitors_who_have_not_agreed_nothing_is_written_down() {
    let story = Story::begins();
    let mut refuser = story.proxy.visitor().host("strict.example").sending("Cookie", "_cid=refused-1");
    refuser.get("/thank-you/SECRET-1");
    refuser.request("GET", "/thank-you/SECRET-2", &[("X-Consent", "0")], "");
    story.proxy.visitor().host("quiet.example").get("/thank-you/SECRET-3?cid=refused-1");
    for hit in story.await_hits(3) {
        let known: BTreeSet<&str> = hit
            .as_object()
            .unwrap()
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, _)| name.as_str())
            .collect();
        let told = ["attempts", "conversion", "event_time", "network", "outcome", "site"];
        let with_reason = hit["outcome"] == "off" && hit["reason"] == "off";
        let told: BTreeSet<&str> = told.into_iter().chain(with_reason.then_some("reason")).collect();
        assert_eq!(known, told, "{hit}");
    }
    let (succeeds, _, complaint) = story.conversions(&["show", "SECRET-1"]);
    assert!(!succeeds && complaint.contains("had not agreed"), "{complaint}");
    let mut files = story.proxy.folder().join("state").read_dir().unwrap().map(|file| file.unwrap().path());
    assert!(files.all(|file| {
        let bytes = std::fs::read(&file).unwrap_or_default();
        !String::from_utf8_lossy(&bytes).contains("refused-1") && !String::from_utf8_lossy(&bytes).contains("SECRET-")
    }));
}

#[test]
fn a_story_tells_everything_but_what_is_personal() {
    let story = Story::begins();
    let mut buyer = story.proxy.visitor();
    buyer.lands("/?cid=click-7");
    buyer.request("POST", "/checkout", &[FORM], "email=CANARY%40mail.example");
    buyer.get("/thank-you/A-7?total=49.90");
    story.network.await_received(1);
    story.await_hits(1);
    let by_order = await_fact(
        || Some(story.says(&["show", "A-7"])).filter(|said| said.contains("landing")),
        || story.says(&["show", "A-7"]),
    );
    for phrase in [
        "purchase of shop for own: delivered",
        "landing      cid=click-7 of own",
        "capture      checkout",
        "hit          purchase: the site answered 200",
        "consent      not_required",
        "journey      found by cookie",
        "clicks       click-7  from cookie._cid",
        "order_id     A-7  from path.order_id",
        "value        49.90  from query.total",
        "currency     EUR  from the configuration",
        "email        ***  from journey.email, captured 20",
        "outcome      queued",
        "attempt 1    200 delivered",
        "OK, ***",
        "verdict      delivered",
        "request      GET http://",
        "o=A-7&v=49.90&c=click-7&m=***&h=***&p=basic&k=***",
    ] {
        assert!(by_order.contains(phrase), "{phrase:?} in\n{by_order}");
    }
    assert_eq!(by_order, story.says(&["show", "click-7"]), "the same by the click");
    let told: Value = serde_json::from_str(&story.says(&["show", "A-7", "--json"])).unwrap();
    let event = told["hit"]["event_id"].as_str().unwrap().to_owned();
    assert_eq!(by_order, story.says(&["show", &event[..18]]), "the same by the beginning of the event id");
    let times: Vec<_> = told["scenes"].as_array().unwrap().iter().filter_map(|scene| scene["at"].as_str()).collect();
    assert!(times.is_sorted() && times.len() > 8, "in order of time: {times:?}");
    for hidden in ["canary", "CANARY", SECRET] {
        assert!(!by_order.contains(hidden) && !told.to_string().contains(hidden), "{hidden}");
    }
    assert_accounts(&story.proxy);
}

#[test]
fn an_export_is_a_spreadsheet_that_runs_nothing() {
    let story = Story::begins();
    let orders = ["%3D1%2B1", "%40sum", "plain%2C%22quoted%22", "-5", "two%0D%0Alines"];
    for order in orders {
        story.buyer().get(&format!("/thank-you/{order}?total=10"));
    }
    story.await_hits(orders.len());
    let csv =
        story.says(&["export", "--since", "1d", "--site", "shop", "--network", "own", "--conversion", "purchase"]);
    assert!(csv.contains("\r\n") && csv.starts_with("event_time,settled_time,site,conversion,network,order_id,"));
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let names: Vec<_> = reader.headers().unwrap().iter().map(ToOwned::to_owned).collect();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let column = |name: &str| -> BTreeSet<String> {
        let place = names.iter().position(|it| it == name).unwrap_or_else(|| panic!("{name} in {names:?}"));
        rows.iter().map(|row| row[place].to_owned()).collect()
    };
    // A line end is no part of an order id.
    let expected = ["'=1+1", "'@sum", "plain,\"quoted\"", "-5", ""];
    assert_eq!(column("order_id"), BTreeSet::from(expected.map(String::from)));
    assert_eq!(column("value"), BTreeSet::from(["10".to_owned()]));
    assert_eq!(column("verdict"), BTreeSet::from(["delivered".to_owned()]));
    assert_eq!(column("click_id"), BTreeSet::from(["click-1".to_owned()]));
    let listed = story.says(&["list"]);
    assert!(!listed.contains('\r'), "a stranger's text stays in its line: {listed}");
    for nothing in [["--since", "2999-01-01"], ["--until", "2026-01-01"], ["--site", "strict"], ["--outcome", "bot"]] {
        assert_eq!(story.says(&[&["list"], &nothing[..]].concat()), "nothing here\n", "{nothing:?}");
    }
    assert_eq!(story.says(&["export", "--limit", "2", "--format", "json"]).lines().count(), 2);
    let (succeeds, _, complaint) = story.conversions(&["list", "--since", "yesterday"]);
    assert!(!succeeds && complaint.contains("2026-11-01"), "{complaint}");
}

#[test]
fn whoever_is_erased_leaves_no_story() {
    let story = Story::begins();
    story.buyer().get("/thank-you/A-1?total=10");
    story.buyer().get("/proved/A-1");
    story.buyer().get("/proved/B-1");
    let before = story.await_hits(3);
    assert!(before.iter().all(|hit| hit["order_id"].is_string()), "{before:#?}");
    let said = story.proxy.command(&["visitor", "show", "--order", "A-1"]);
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(said.contains("purchase to own: delivered") && said.contains("proved to own: unproven"), "{said}");
    let exported = story.proxy.command(&["visitor", "export", "--order", "A-1"]);
    let exported: Value = serde_json::from_slice(&exported.stdout).unwrap();
    assert_eq!(exported["hits"].as_array().map(Vec::len), Some(2), "{exported}");
    let said = story.proxy.command(&["visitor", "erase", "--order", "A-1"]);
    let said = String::from_utf8([said.stdout, said.stderr].concat()).unwrap();
    assert!(said.contains("what was written down of 1 other hits"), "{said}");
    let orders: Vec<_> = story.await_hits(3).iter().map(|hit| hit["order_id"].clone()).collect();
    assert_eq!(orders.iter().filter(|order| order.is_null()).count(), 2, "that they were stays: {orders:?}");
    let (succeeds, ..) = story.conversions(&["show", "A-1"]);
    assert!(!succeeds);
    assert!(story.says(&["show", "B-1"]).contains("unproven"));
    assert_accounts(&story.proxy);
}

#[test]
fn a_network_that_cannot_be_reached_is_in_the_story() {
    let mut story = Story::begins();
    story.proxy.terminate();
    let file = story.proxy.folder().join("throughline.yaml");
    let config = std::fs::read_to_string(&file).unwrap();
    let config = config.replace(&story.network.address().to_string(), &nobody().to_string());
    std::fs::write(&file, config).unwrap();
    story.proxy.restart();
    story.buyer().get("/thank-you/A-1");
    let said = await_fact(
        || Some(story.conversions(&["show", "A-1"]).1).filter(|said| said.contains("waits")),
        || story.conversions(&["show", "A-1"]).2,
    );
    assert!(said.contains("purchase of shop for own: queued (connect)"), "{said}");
    assert!(said.contains("attempt 1    connect") && said.contains("waits        until 20"), "{said}");
}
