//! An instance that was alone becomes a node: what it has goes along.

use std::fs;

use super::*;

#[test]
fn what_waits_and_what_was_accepted_goes_along_into_a_fleet() {
    let (origin, database) = (Origin::start(), Postgres::shared().database());
    let pixel = Arc::new(AdNetwork::answering(["pixel"]));
    // The second order meets a network that breaks off, and waits.
    let network = AdNetwork::answering(["OK".into(), Response::reset(), "OK".into()]);
    let alone = configuration(&origin, &network, &pixel, "state: { path: ./state }");
    let mut proxy = Proxy::with(&alone).env("SEAL", SECRET).env("DATABASE_URL", &database.url()).start();
    let mut visitor = landed(&proxy, "/?cid=abc");
    visitor.get("/thank-you/sent");
    proxy.await_metric(VERDICTS, &[("verdict", "delivered")], 1);
    visitor.request(
        "POST",
        "/checkout",
        &[("Content-Type", "application/x-www-form-urlencoded")],
        "email=a%40b.example",
    );
    visitor.get("/thank-you/waiting");
    network.await_received(2);
    assert!(proxy.terminate().success());

    let state = "state: { path: ./state, postgres: { url: \"${DATABASE_URL}\" } }";
    fs::write(proxy.folder().join("throughline.yaml"), configuration(&origin, &network, &pixel, state)).unwrap();
    proxy.restart();
    let other = node(&origin, &network, &pixel, &database).start();
    let fleet = Fleet { nodes: vec![proxy, other], network, _pixel: pixel, _origin: origin, database };
    fleet.await_sum(VERDICTS, &[("verdict", "delivered")], 1);
    let orders: Vec<_> =
        fleet.network.await_received(3).iter().map(|request| request.parameter("o").unwrap().to_owned()).collect();
    assert_eq!(orders, ["sent", "waiting", "waiting"]);
    fleet.await_sum(OUTCOMES, &[("outcome", "queued")], 0);
    await_fact(
        || (fleet.database.sql("SELECT count(*) FROM throughline_dedup") == "2").then_some(()),
        || fleet.database.sql("SELECT * FROM throughline_dedup"),
    );
    await_fact(
        || (fleet.database.sql("SELECT count(*) FROM throughline_journeys") != "0").then_some(()),
        || fleet.logs(),
    );
    // At the node that never heard of either.
    visitor.goes_to(fleet.nodes[1].address());
    for order in ["sent", "waiting", "new"] {
        visitor.get(&format!("/thank-you/{order}"));
    }
    fleet.await_sum(OUTCOMES, &[("outcome", "duplicate")], 2);
    let last = fleet.network.await_received(4).remove(3);
    assert_eq!((last.parameter("o"), last.parameter("mail")), (Some("new"), Some("a%40b.example")));
    fleet.await_sum(VERDICTS, &[("verdict", "delivered")], 2);
}
