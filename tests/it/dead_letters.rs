//! What an operator does about conversions that were not delivered, beside a proxy that goes on.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
};

use serde_json::Value;

use crate::support::{
    accounting::{assert_accounts, assert_accounts_with},
    await_fact,
    network::AdNetwork,
    origin::Origin,
    proxy::Proxy,
    response::Response,
};

const VERDICTS: &str = "throughline_postbacks_total";
const OUTCOMES: &str = "throughline_conversions_total";

/// A shop, a network that answers with a status, and the proxy between them.
struct Story {
    _origin: Origin,
    network: AdNetwork,
    status: Arc<AtomicU16>,
    proxy: Proxy,
}

impl Story {
    /// A network, known as `old`, that answers with this status; `more` stands in its block.
    fn with(status: u16, more: &str) -> Self {
        let (origin, status) = (Origin::start(), Arc::new(AtomicU16::new(status)));
        let answer = Arc::clone(&status);
        let network = AdNetwork::judging(move |_| Response::new(answer.load(Ordering::SeqCst)));
        let config = format!(
            r#"sites:
  - upstream: "http://{}"
    networks:
      old:
        click: {{ param: cid, cookie: _cid }}
        {more}
        postback: {{ url: "http://{}/pb", query: {{ e: "{{event_id}}", t: "{{event_time}}", o: "{{order_id}}", m: "{{email}}" }} }}
    conversions:
      - name: purchase
        path: "/thank-you/{{order_id}}"
        email: query.email
        send: {{ old: {{ }} }}
"#,
            origin.address(),
            network.address()
        );
        Self { proxy: Proxy::with(&config).start(), _origin: origin, network, status }
    }

    fn answers(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    fn sells(&self, order: &str) {
        let mut visitor = self.proxy.visitor().sending("Cookie", "_cid=abc");
        assert_eq!(visitor.get(&format!("/thank-you/{order}?email=CANARY%40mail.example")).status, 200);
    }

    /// Waits for so many postbacks with a verdict, and until that is on disk, too.
    fn await_verdicts(&self, verdict: &str, count: u32) {
        self.proxy.await_metric(VERDICTS, &[("verdict", verdict)], count);
        self.proxy.await_settled();
    }

    /// Runs `outbox` with these arguments: how it ended, and all that it said.
    fn outbox(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.proxy.command(&[&["outbox"], arguments].concat());
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    }

    /// The same for what succeeds as soon as the worker lets go of a row.
    fn outbox_at_last(&self, arguments: &[&str]) -> String {
        await_fact(
            || Some(self.outbox(arguments)).filter(|(code, _)| *code == Some(0)),
            || format!("{arguments:?} succeeds, not {:?}", self.outbox(arguments)),
        )
        .1
    }
}

#[test]
fn dead_letters_are_sent_again_as_what_they_were() {
    let story = Story::with(400, "");
    story.sells("A-1");
    story.sells("A-2");
    story.await_verdicts("rejected", 2);
    let before = story.network.await_received(2);

    story.answers(200);
    let (code, said) = story.outbox(&["replay"]);
    assert!(code == Some(1) && said.contains("--all"), "{said}");
    let (code, said) = story.outbox(&["replay", "--verdict", "expired"]);
    assert_eq!((code, said.as_str()), (Some(0), "no dead letter is meant\n"));
    let (code, said) = story.outbox(&["replay", "--network", "old", "--newer-than", "1h"]);
    assert_eq!((code, said.as_str()), (Some(0), "2 dead letters will be sent again\n"));

    let all = story.network.await_received(4);
    for postback in &before {
        let same = all.iter().filter(|it| it.target == postback.target).count();
        assert_eq!(same, 2, "the same event id and time: {}", postback.target);
    }
    story.await_verdicts("delivered", 2);
    story.proxy.await_metric("throughline_replayed_total", &[("network", "old")], 2);
    assert_accounts(&story.proxy);

    let shown = story.outbox(&["show", "A-1", "--json"]).1;
    let shown: Value = serde_json::from_str(shown.trim()).unwrap();
    let statuses: Vec<_> = shown["tried"].as_array().unwrap().iter().map(|it| it["status"].as_u64()).collect();
    assert_eq!(statuses, [Some(400), Some(200)], "{shown}");
    let (_, text) = story.outbox(&["show", "A-1"]);
    assert!(text.contains("attempt 1") && text.contains(" 400 rejected, ") && text.contains("attempt 2"), "{text}");
    let audit = story.outbox(&["audit", "--json"]).1;
    let entry: Value = serde_json::from_str(audit.trim()).unwrap();
    assert_eq!((entry["action"].as_str(), entry["count"].as_u64()), (Some("replay"), Some(2)));
    assert_eq!(entry["arguments"].as_str(), Some("--network old --newer-than 1h"));
    assert!(entry["who"].as_str().unwrap().contains("uid"), "{entry}");
}

#[test]
fn what_is_too_old_is_sent_again_only_when_that_is_said() {
    let story = Story::with(400, "delivery: { max_age: 1s }");
    story.sells("A-1");
    story.await_verdicts("rejected", 1);
    story.answers(200);
    let said = await_fact(
        || Some(story.outbox(&["replay", "A-1"])).filter(|(code, _)| *code == Some(1)).map(|(_, said)| said),
        || "it is too old after a second".into(),
    );
    if said.contains("nothing can be done") {
        // This machine was so fast that the first look came within the second; then it was sent.
        return story.await_verdicts("delivered", 1);
    }
    assert!(said.contains("1 not: older than `max_age`"), "{said}");
    let (code, said) = story.outbox(&["replay", "A-1", "--even-if-old"]);
    assert_eq!((code, said.as_str()), (Some(0), "1 dead letter will be sent again\n"));
    story.await_verdicts("delivered", 1);
    assert_accounts(&story.proxy);
}

#[test]
fn what_is_purged_is_counted_by_the_running_proxy_and_never_sent() {
    let story = Story::with(503, "");
    story.sells("A-1");
    story.network.await_received(1);
    let (code, said) = story.outbox(&["purge", "--network", "old"]);
    assert!(code == Some(1) && said.contains("1 postback would never be sent; nothing was done: add --yes"), "{said}");
    let said = story.outbox_at_last(&["purge", "--network", "old", "--yes"]);
    assert!(said.contains("ended: 1 postback that waited, 0 dead letters"), "{said}");
    story.proxy.await_metric(VERDICTS, &[("verdict", "purged")], 1);
    assert_accounts(&story.proxy);
    story.answers(400);
    story.sells("A-1");
    story.proxy.await_metric(OUTCOMES, &[("outcome", "duplicate")], 1);
    // A dead letter has had its verdict; purging it gives it no other one in the counters.
    story.sells("A-2");
    story.await_verdicts("rejected", 1);
    let said = story.outbox_at_last(&["purge", "A-2"]);
    assert!(said.contains("ended: 0 postbacks that waited, 1 dead letter"), "{said}");
    story.proxy.await_metric("throughline_dead_letters", &[], 0);
    assert_accounts(&story.proxy);
    let list = story.outbox(&["list", "--verdict", "purged"]).1;
    assert!(list.contains("purged (rejected)") && list.lines().count() == 3, "{list}");
    assert_eq!(story.outbox(&["show", "A-2"]).0, Some(1), "the order id went with the values");
    let (_, audit) = story.outbox(&["audit"]);
    assert!(audit.contains("purge --network old: 1") && !audit.contains("A-2"), "{audit}");
}

#[test]
fn a_renamed_network_adopts_what_waits_under_its_old_name() {
    let mut story = Story::with(503, "");
    story.sells("A-1");
    let before = story.network.await_received(1).remove(0);
    let file = story.proxy.folder().join("throughline.yaml");
    let renamed = fs::read_to_string(&file).unwrap().replace("old:", "new:");
    fs::write(&file, renamed).unwrap();
    story.answers(200);
    story.proxy.restart();
    story.proxy.await_metric("throughline_outbox_parked", &[("network", "old")], 1);

    for (arguments, said) in [
        (["--network", "old", "newer"], "network `newer` is not configured"),
        (["--network", "older", "new"], "nothing waits under the network `older`"),
        (["--network", "new", "old"], "nothing waits under the network `new`"),
        (["--site", "old", "new"], "nothing waits under the site `old`"),
        (["--network", "new", "new"], "are the same"),
    ] {
        let (code, refusal) = story.outbox(&[&["reassign"], arguments.as_slice()].concat());
        assert!(code == Some(1) && refusal.contains(said), "{arguments:?}: {refusal}");
    }
    let said = story.outbox_at_last(&["reassign", "--network", "old", "new"]);
    assert_eq!(said, "1 row is now of `new`\n", "its dedup key has come along");
    let received = story.network.await_received(2);
    assert_eq!(received[1].target, before.target);
    story.proxy.await_metric(VERDICTS, &[("network", "new"), ("verdict", "delivered")], 1);
    story.sells("A-1");
    story.proxy.await_metric(OUTCOMES, &[("network", "new"), ("outcome", "duplicate")], 1);
    assert_accounts_with(&story.proxy, 1);
}

#[test]
fn a_command_that_makes_no_sense_changes_nothing() {
    let story = Story::with(200, "");
    story.sells("A-1");
    story.await_verdicts("delivered", 1);
    for (arguments, expected, said) in [
        (["replay", "A-1"].as_slice(), 1, "nothing can be done here to `A-1`, which is delivered"),
        (&["replay", "A-2"], 1, "no postback has the event id or order id `A-2`"),
        (&["replay", "--all", "--state", "pending"], 1, "nothing can be done here to what is pending"),
        (&["replay", "--all"], 0, "no dead letter is meant"),
        (&["purge"], 1, "which ones?"),
        (&["purge", "A-1"], 1, "nothing can be done here to `A-1`"),
        (&["purge", "--all", "--yes"], 0, "nothing is meant"),
        (&["purge", "--state", "settled", "--yes"], 1, "nothing can be done here to what is settled"),
        (&["reassign"], 2, "--network"),
        (&["reassign", "--network", "old"], 2, "2 values"),
        (&["list", "--verdict", "lost"], 2, "possible values"),
        (&["list", "--older-than", "2"], 2, "write an age like"),
        (&["audit"], 0, "nothing was changed"),
    ] {
        let (code, told) = story.outbox(arguments);
        assert!(code == Some(expected) && told.contains(said), "{arguments:?}: {code:?} {told}");
    }
    assert_accounts(&story.proxy);
}

#[test]
fn what_a_network_answers_is_stored_without_personal_values() {
    let (origin, network) =
        (Origin::start(), AdNetwork::answering([Response::new(400).body("no: CANARY@mail.example")]));
    let config = format!(
        r#"sites:
  - upstream: "http://{}"
    networks: {{ own: {{ click: {{ param: cid }}, postback: {{ url: "http://{}/pb", query: {{ m: "{{email}}" }} }} }} }}
    conversions: [{{ name: purchase, path: "/thank-you/{{order_id}}", email: query.email, send: {{ own: {{ }} }} }}]
"#,
        origin.address(),
        network.address()
    );
    let proxy = Proxy::with(&config).start();
    proxy.visitor().sending("Cookie", "_own_cid=abc").get("/thank-you/A-1?email=canary%40mail.example");
    proxy.await_metric(VERDICTS, &[("verdict", "rejected")], 1);
    proxy.await_settled();
    let inspector = throughline::store::Inspector::open(&proxy.folder().join("state")).unwrap();
    let row = inspector.show("A-1").unwrap().remove(0);
    assert_eq!(row.last_answer.unwrap().body, "no: ***");
    assert_eq!(row.attempts.len(), 1);
}

#[test]
fn each_hit_is_written_down() {
    let story = Story::with(200, "");
    story.sells("A-1");
    story.sells("A-1");
    let mut bot = story.proxy.visitor().sending("Cookie", "_cid=abc").sending("User-Agent", "Googlebot/2.1");
    bot.get("/thank-you/A-2");
    story.proxy.visitor().get("/thank-you/A-3");
    story.proxy.await_metric(OUTCOMES, &[], 4);
    let inspector = throughline::store::Inspector::open(&story.proxy.folder().join("state")).unwrap();
    let mut words = await_fact(
        || {
            Some(inspector.hits(&throughline::store::story::HitFilter::default()).unwrap())
                .filter(|hits| hits.len() == 4)
        },
        || format!("four records, not {:?}", inspector.hits(&throughline::store::story::HitFilter::default())),
    );
    words.sort_by(|one, other| one.outcome.cmp(&other.outcome));
    let words: Vec<_> =
        words.iter().map(|hit| (hit.conversion.as_str(), hit.network.as_str(), hit.outcome.as_str())).collect();
    assert_eq!(words, ["bot", "duplicate", "no_click", "queued"].map(|outcome| ("purchase", "old", outcome)));
    assert_accounts(&story.proxy);
}
