//! Operators look into a fleet and change it from whichever node they are at.

use super::*;
use crate::support::visitor::Answer;

#[test]
fn a_dead_letter_of_one_node_is_seen_and_sent_again_from_the_other() {
    let refusing = [Response::new(400).body("no such account"), Response::from("OK")];
    let fleet = Fleet::of(2, AdNetwork::answering(refusing), Postgres::shared().database());
    bought(&fleet.nodes[0], "A-1");
    fleet.await_sum(VERDICTS, &[("verdict", "rejected")], 1);
    let [_, other] = &fleet.nodes[..] else { unreachable!("two nodes") };
    for node in &fleet.nodes {
        let listed = node.outbox(&["list", "--state", "dead"]);
        assert!(listed.contains("rejected") && listed.lines().count() == 2, "{listed}");
    }
    let shown = other.outbox(&["show", "A-1"]);
    assert!(shown.contains("no such account") && shown.contains("attempt 1"), "{shown}");
    other.outbox(&["replay", "A-1"]);
    fleet.await_sum(VERDICTS, &[("verdict", "delivered")], 1);
    fleet.await_sum("throughline_replayed_total", &[], 1);
    let shown = fleet.nodes[0].outbox(&["show", "A-1"]);
    assert!(shown.contains("delivered") && shown.contains("attempt 2"), "{shown}");
    let audit = fleet.nodes[0].outbox(&["audit"]);
    assert!(audit.contains("replay") && audit.contains(": 1"), "{audit}");
}

#[test]
fn what_a_fleet_knows_of_a_person_is_shown_and_erased_from_any_node() {
    let fleet = Fleet::of_two();
    bought(&fleet.nodes[0], "A-1");
    fleet.await_sum(VERDICTS, &[("verdict", "delivered")], 1);
    let visitor = |arguments: &[&str]| {
        let output = fleet.nodes[1].command(&[&["visitor"], arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let shown = visitor(&["show", "--click", "abc"]);
    assert!(shown.contains("conversion") && shown.contains("purchase to own: delivered"), "{shown}");
    let erased = visitor(&["erase", "--click", "abc"]);
    assert!(erased.contains("the values of 1 conversions") && erased.contains("1 postbacks that own"), "{erased}");
    assert_eq!(visitor(&["show", "--click", "abc"]).trim(), "nothing is stored of this person");
}

fn bought(node: &Proxy, order: &str) -> Answer {
    landed(node, "/?cid=abc").get(&format!("/thank-you/{order}"))
}
