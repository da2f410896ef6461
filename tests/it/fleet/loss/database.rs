//! The database dies in the middle of everything, and a node sleeps for longer than its leases last.

use super::*;

#[test]
fn a_database_that_dies_under_three_nodes_loses_no_order_and_takes_none_twice() {
    survive(4, Duration::from_secs(1));
}

#[test]
#[ignore = "takes five minutes"]
fn a_database_that_dies_a_hundred_times_loses_no_order_and_takes_none_twice() {
    survive(100, Duration::from_secs(2));
}

/// As after a power cut: nothing is written any more, and the server recovers when it starts.
fn survive(crashes: usize, life: Duration) {
    let stage = Stage::on(3, Kind::Fleet, Postgres::alone(&[]).database());
    let server = stage.database.server();
    let noted = stage.buying(|_| {
        for _ in 0..crashes {
            thread::sleep(life);
            server.crash();
            server.start();
        }
    });
    if crashes < 10 {
        // The full run waits for the minute after which a lease is over whose answer was lost.
        stage.database.sql("UPDATE throughline_outbox SET lease_until_ms = 0 WHERE lease IS NOT NULL");
    }
    let audit = stage.audit(&noted);
    tell(&format!("{crashes} crashes, {} orders noted", noted.len()));
    assert!(noted.len() > crashes * 5, "only {} orders in {crashes} crashes", noted.len());
    assert_eq!(audit, Audit::default());
}

#[test]
fn a_node_that_slept_for_longer_than_its_lease_changes_nothing_when_it_wakes() {
    let database = Postgres::shared().database();
    let (origin, pixel) = (Origin::start(), AdNetwork::answering(["pixel"]));
    // The first attempt hangs; its node falls asleep over it.
    let network = AdNetwork::answering([Response::hang(), "OK".into()]);
    let mut sleeper = node(&origin, &network, &pixel, &database).start();
    landed(&sleeper, "/?cid=abc").get("/thank-you/1");
    let first = network.await_received(1).remove(0);
    sleeper.signal("STOP");
    // Instead of a minute.
    database.sql("UPDATE throughline_outbox SET lease_until_ms = 0");
    let other = node(&origin, &network, &pixel, &database).start();
    other.await_metric(VERDICTS, &[("verdict", "delivered")], 1);
    let again = network.await_received(2).remove(1);
    assert_eq!(first.parameter("e"), again.parameter("e"), "under the same event id");
    let history = || database.sql("SELECT verdict, attempts, settled_ms FROM throughline_history");
    let before = history();

    sleeper.signal("CONT");
    // It ends what it has begun, as it believes, before it ends.
    assert!(sleeper.terminate().success());
    assert_eq!(history(), before);
    assert_eq!(database.sql("SELECT count(*) FROM throughline_outbox"), "0", "nothing is to be sent again");
    assert_eq!(network.received().len(), 2);
}
