//! The database goes away, nodes go away: pages do not notice, and nothing is lost.

use super::*;

/// A page that waited for the database would take longer.
const QUICK: Duration = Duration::from_secs(2);

#[test]
fn while_the_database_is_away_pages_are_served_and_everything_is_sent_afterwards() {
    let database = Postgres::alone(&[]).database();
    let fleet = Fleet::of(2, AdNetwork::answering(["OK"]), database);
    landed(&fleet.nodes[0], "/?cid=abc").get("/thank-you/before");
    fleet.await_sum(VERDICTS, &[("verdict", "delivered")], 1);
    fleet.database.server().stop();
    for (index, node) in fleet.nodes.iter().enumerate() {
        for order in 0..3 {
            let mut visitor = landed(node, "/?cid=abc");
            let page = visitor.get(&format!("/thank-you/{index}-{order}"));
            assert!(page.status == 200 && page.is_complete());
            assert!(page.head_after < QUICK, "a page took {:?}", page.head_after);
        }
        node.await_metric("throughline_forward_pending", &[], 3);
        node.await_metric("throughline_fleet_up", &[], 0);
        let ready = node.admin("/readyz");
        let text = ready.text();
        assert!(ready.status == 200 && text.contains(r#""state":"away""#) && text.contains(r#""waiting":3"#), "{text}");
        assert!(!text.contains(crate::support::postgres::PASSWORD), "{text}");
    }
    // The same order at both nodes: who was first is decided when the database is back.
    for node in &fleet.nodes {
        landed(node, "/?cid=abc").get("/thank-you/both");
    }
    assert_eq!(fleet.network.received().len(), 1, "nothing is sent meanwhile");
    fleet.database.server().start();
    fleet.await_sum(OUTCOMES, &[("outcome", "queued")], 8);
    fleet.await_sum(OUTCOMES, &[("outcome", "duplicate")], 1);
    fleet.await_sum(VERDICTS, &[("verdict", "delivered")], 8);
    fleet.end();
    assert_eq!(fleet.network.received().len(), 8);
    assert!(!fleet.logs().contains(crate::support::postgres::PASSWORD), "{}", fleet.logs());
}

#[test]
fn what_a_killed_node_had_not_forwarded_is_forwarded_when_it_is_back() {
    let database = Postgres::alone(&[]).database();
    let mut fleet = Fleet::of(2, AdNetwork::answering(["OK"]), database);
    fleet.database.server().stop();
    for order in 0..3 {
        landed(&fleet.nodes[0], "/?cid=abc").get(&format!("/thank-you/{order}"));
    }
    fleet.nodes[0].kill();
    fleet.database.server().start();
    fleet.nodes[0].restart();
    fleet.await_sum(VERDICTS, &[("verdict", "delivered")], 3);
    fleet.nodes[0].await_metric(OUTCOMES, &[("outcome", "queued")], 3);
    assert_eq!(fleet.network.received().len(), 3);
}

#[test]
fn a_node_that_is_stopped_forwards_what_it_has() {
    let database = Postgres::alone(&[]).database();
    let mut fleet = Fleet::of(1, AdNetwork::answering([Response::reset()]), database);
    fleet.nodes[0].await_metric("throughline_fleet_up", &[], 1);
    fleet.database.server().stop();
    for order in 0..3 {
        landed(&fleet.nodes[0], "/?cid=abc").get(&format!("/thank-you/{order}"));
    }
    // Between two tries of the forwarder, which are seconds apart by now.
    fleet.nodes[0].await_metric("throughline_fleet_up", &[], 0);
    fleet.database.server().start();
    assert!(fleet.nodes[0].terminate().success());
    assert_eq!(fleet.database.sql("SELECT count(*) FROM throughline_outbox"), "3", "{}", fleet.logs());
    assert_eq!(
        fleet.database.sql("SELECT count(*) FROM throughline_outbox WHERE lease IS NOT NULL"),
        "0",
        "it has given back what it had leased"
    );
    let inspector = throughline::store::Inspector::open(&fleet.nodes[0].folder().join("state")).unwrap();
    assert!(inspector.list(&throughline::store::inspector::Filter::default()).unwrap().is_empty());
}

#[test]
fn another_node_sends_what_a_dead_one_had_in_its_hands() {
    // The first attempt hangs until its node is killed.
    let network = AdNetwork::answering([Response::hang(), "OK".into()]);
    let mut fleet = Fleet::of(2, network, Postgres::shared().database());
    landed(&fleet.nodes[0], "/?cid=abc").get("/thank-you/1");
    let first = fleet.network.await_received(1).remove(0);
    let holder = |fleet: &Fleet| fleet.database.sql("SELECT count(*) FROM throughline_outbox WHERE lease IS NOT NULL");
    assert_eq!(holder(&fleet), "1");
    // Whoever has it: both are killed, one comes back under another name and inherits nothing.
    fleet.nodes[0].kill();
    fleet.nodes[1].kill();
    fleet.nodes[1].restart();
    // Instead of a minute.
    fleet.database.sql("UPDATE throughline_outbox SET lease_until_ms = 0");
    fleet.nodes[1].await_metric(VERDICTS, &[("verdict", "delivered")], 1);
    let again = fleet.network.await_received(2).remove(1);
    assert_eq!(first.parameter("e"), again.parameter("e"), "under the same event id");
}
