//! What became of a hit at one node is told at every other.

use super::*;

#[test]
fn every_node_tells_the_stories_of_all() {
    let fleet = Fleet::of_two();
    let mut visitor = landed(&fleet.nodes[0], "/?cid=abc");
    visitor.get("/thank-you/1");
    visitor.goes_to(fleet.nodes[1].address());
    visitor.get("/thank-you/1");
    fleet.nodes[1].visitor().sending("X-Consent", "0").sending("Cookie", "_own_cid=never").get("/thank-you/2");
    fleet.await_sum(OUTCOMES, &[], 3);
    fleet.await_sum(VERDICTS, &[("verdict", "delivered")], 1);
    fleet.end();
    await_fact(
        || (fleet.database.sql("SELECT count(*) FROM throughline_hits") == "3").then_some(()),
        || fleet.database.sql("SELECT outcome, event_id FROM throughline_hits"),
    );
    let says = |node: &Proxy, arguments: &[&str]| {
        let output = node.command(&[&["conversions"], arguments].concat());
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    for node in &fleet.nodes {
        let listed = says(node, &["list"]);
        for outcome in ["queued        delivered", "duplicate     -", "no_consent    -"] {
            assert_eq!(listed.matches(outcome).count(), 1, "{outcome} in\n{listed}");
        }
        assert_eq!(says(node, &["export", "--outcome", "duplicate", "--format", "json"]).lines().count(), 1);
        let told = says(node, &["show", "1"]);
        for phrase in
            ["purchase of shop for own: delivered", "duplicate", "cid=abc of own", "consent      granted, by header"]
        {
            assert!(told.contains(phrase), "{phrase} in\n{told}");
        }
        assert!(says(node, &["show", "never"]).contains("nothing is known"));
    }
    // A record that is handed over again is the same one.
    let numbers = fleet.database.sql("SELECT count(DISTINCT node) FROM throughline_hits");
    assert_eq!(numbers, "2");
    let erased = fleet.nodes[0].command(&["visitor", "erase", "--order", "1"]);
    assert!(erased.status.success(), "{}", String::from_utf8_lossy(&erased.stderr));
    assert!(says(&fleet.nodes[1], &["show", "1"]).contains("nothing is known"));
    assert_eq!(says(&fleet.nodes[1], &["export", "--format", "json"]).lines().count(), 3, "that they were stays");
}
