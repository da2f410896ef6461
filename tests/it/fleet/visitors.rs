//! Visitors come out at one node or the other, and it makes no difference.

use throughline::store::{Inspector, inspector::Filter};

use super::*;
use crate::support::visitor::Answer;

const FORM: [(&str, &str); 1] = [("Content-Type", "application/x-www-form-urlencoded")];

#[test]
fn what_two_nodes_accept_is_delivered_once_each() {
    let fleet = Fleet::of_two();
    for (index, node) in fleet.nodes.iter().enumerate() {
        for order in 0..5 {
            landed(node, "/?cid=abc").get(&format!("/thank-you/{index}-{order}"));
        }
    }
    fleet.await_sum(VERDICTS, &[("verdict", "delivered")], 10);
    fleet.await_sum(OUTCOMES, &[("outcome", "queued")], 10);
    fleet.end();
    let mut orders: Vec<_> =
        fleet.network.received().iter().map(|request| request.parameter("o").unwrap().to_owned()).collect();
    orders.sort_unstable();
    orders.dedup();
    assert_eq!((orders.len(), fleet.network.received().len()), (10, 10));
    assert_eq!(fleet.database.sql("SELECT count(*) FROM throughline_history WHERE verdict = 'delivered'"), "10");
    for node in &fleet.nodes {
        assert_eq!(node.outbox_list().matches("delivered").count(), 10, "every node shows the fleet's");
        let own = Inspector::open(&node.folder().join("state")).unwrap().list(&Filter::default()).unwrap();
        assert!(own.is_empty(), "a node keeps nothing of what its fleet has: {own:?}");
        assert!(node.admin("/readyz").text().contains(r#""fleet":{"state":"ready"}"#));
        assert!(node.metric("throughline_fleet_up", &[]) > 0.5);
    }
}

#[test]
fn the_same_order_at_both_nodes_is_one_conversion_and_one_duplicate() {
    let fleet = Fleet::of_two();
    let mut visitor = landed(&fleet.nodes[0], "/?cid=abc");
    for order in 0..4 {
        visitor.goes_to(fleet.nodes[0].address());
        visitor.get(&format!("/thank-you/{order}"));
        visitor.goes_to(fleet.nodes[1].address());
        visitor.get(&format!("/thank-you/{order}"));
        // A reload at either node, weeks later for all they know.
        visitor.get(&format!("/thank-you/{order}"));
    }
    fleet.await_sum(OUTCOMES, &[("outcome", "queued")], 4);
    fleet.await_sum(OUTCOMES, &[("outcome", "duplicate")], 8);
    fleet.await_sum(VERDICTS, &[("verdict", "delivered")], 4);
    fleet.end();
    assert_eq!(fleet.network.received().len(), 4);
}

#[test]
fn what_was_typed_at_one_node_is_known_at_the_other() {
    let fleet = Fleet::of_two();
    let mut visitor = landed(&fleet.nodes[0], "/?cid=abc");
    visitor.request("POST", "/checkout", &FORM, "email=jane%40shop.example");
    await_fact(
        || {
            let typed = "SELECT count(*) FROM throughline_journeys WHERE data LIKE '%jane%'";
            (fleet.database.sql(typed) != "0").then_some(())
        },
        || fleet.logs(),
    );
    visitor.goes_to(fleet.nodes[1].address());
    visitor.get("/thank-you/1");
    let postback = fleet.network.await_received(1).remove(0);
    assert_eq!(postback.parameter("mail"), Some("jane%40shop.example"));
    fleet.end();
}

#[test]
fn a_pixel_that_was_shown_at_one_node_is_not_shown_at_the_other() {
    let fleet = Fleet::of_two();
    let shown = |answer: &Answer| answer.text().contains("<img");
    let mut visitor = fleet.nodes[0].visitor().sending("X-Consent", "1");
    assert!(shown(&visitor.get("/lead/1")), "who has no click is synced");
    visitor.goes_to(fleet.nodes[1].address());
    assert!(!shown(&visitor.get("/lead/1")), "the network would count it a second time");
    assert!(shown(&visitor.get("/lead/2")), "another order is another conversion");
    fleet.await_sum(OUTCOMES, &[("outcome", "duplicate")], 1);
    fleet.end();
}

#[test]
fn a_hidden_frame_learns_its_verdict_at_any_node_and_shows_its_pixel_once() {
    let network = AdNetwork::answering(["ERROR: Tag is invalid!"]);
    let fleet = Fleet::of(2, network, Postgres::shared().database());
    let mut visitor = landed(&fleet.nodes[0], "/?exotracker=forged");
    let frame = visitor.get("/lead/1").frame().expect("a frame that awaits the verdict");
    fleet.await_sum(VERDICTS, &[("verdict", "invalid_click")], 1);
    let mut other = fleet.nodes[1].visitor().sending("X-Consent", "1");
    let framed = other.get(&frame);
    assert!(framed.text().contains("/pixel?"), "{}\n{}", framed.text(), fleet.logs());
    assert!(!visitor.get(&frame).text().contains("<img"), "the other node has shown it");
    fleet.end();
}

#[test]
fn what_is_withdrawn_at_one_node_is_sent_by_none() {
    let network = AdNetwork::answering([Response::reset()]);
    let fleet = Fleet::of(2, network, Postgres::shared().database());
    let mut visitor = landed(&fleet.nodes[0], "/?cid=abc");
    visitor.request("POST", "/checkout", &FORM, "email=jane%40shop.example");
    visitor.get("/thank-you/1");
    fleet.network.await_received(1);
    let journeys = || fleet.database.sql("SELECT count(*) FROM throughline_journeys");
    await_fact(|| (journeys() != "0").then_some(()), || fleet.logs());
    let mut visitor = visitor.sending("X-Consent", "0");
    visitor.goes_to(fleet.nodes[1].address());
    visitor.get("/cart");
    fleet.await_sum(VERDICTS, &[("verdict", "withdrawn")], 1);
    await_fact(|| (journeys() == "0").then_some(()), || fleet.logs());
    fleet.end();
    let kept = fleet.database.sql("SELECT count(*) FROM throughline_history WHERE payload <> '{}'");
    assert_eq!(kept, "0", "what ended names nobody");
    // The node that had remembered the visitor has heard of it.
    let state = fleet.nodes[0].folder().join("state");
    let known = || {
        let inspector = throughline::store::Inspector::open(&state).unwrap();
        inspector.find(&throughline::store::inspector::Person::Email("jane@shop.example".into())).unwrap()
    };
    await_fact(|| known().journeys.is_empty().then_some(()), || format!("{:?}", known().journeys.len()));
}
