//! What a search and a list read of a large store: seeks by keys, never a whole table.

use rusqlite::{Connection, params};
use tempfile::TempDir;

use super::{
    hits::{Part, select},
    search::{BY_KEY, by_id},
    *,
};
use crate::store::{
    database::Database,
    story::{HitFilter, HitRecord},
};

fn store() -> (TempDir, Connection) {
    let folder = TempDir::new().unwrap();
    let database = Database::open(folder.path(), crate::store::clock::now()).unwrap();
    (folder, database.connection)
}

fn plan(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let mut rows = statement.raw_query();
    let mut steps = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        steps.push(row.get::<_, String>("detail").unwrap());
    }
    steps
}

#[test]
fn no_search_reads_a_table_as_a_whole() {
    let (_folder, connection) = store();
    let by_events = |part| select(&connection, part, "details", "event_id IN (?1, ?2)").unwrap();
    let within = |part| select(&connection, part, "NULL", "site = ?1 AND key >= ?2 AND key <= ?3").unwrap();
    let mut searches = vec![
        by_events(Part::Rows),
        by_events(Part::Records),
        within(Part::Rows),
        within(Part::Records),
        BY_KEY.to_owned(),
        format!("SELECT * FROM ({}) WHERE event_id IN (?1, ?2)", row::all(&connection).unwrap()),
        "SELECT event_id FROM history WHERE rowid > ?1 AND rowid <= ?2 AND instr(payload, ?3) > 0".to_owned(),
        "DELETE FROM lookup WHERE event_id = ?1".to_owned(),
        "SELECT audit FROM deeds WHERE event_id = ?1".to_owned(),
    ];
    searches.extend(["outbox", "history", "held", "hits"].map(by_id));
    for sql in searches {
        let steps = plan(&connection, &sql);
        assert!(steps.iter().any(|step| step.starts_with("SEARCH")), "{sql}: {steps:#?}");
        for table in ["hits", "hit", "history", "outbox", "held", "lookup", "deeds"] {
            let scan = format!("SCAN {table}");
            let is_scan = |step: &&String| **step == scan || step.starts_with(&format!("{scan} "));
            assert_eq!(steps.iter().find(is_scan), None, "{sql}: {steps:#?}");
        }
    }
    // What the test would see of a table that is read.
    assert_eq!(plan(&connection, "SELECT event_id FROM history WHERE payload = ?1"), ["SCAN history"]);
}

/// Rows and records by turns, each a second older than the one before it.
fn fill(connection: &Connection, count: u64) {
    for nth in 0..count {
        let ms = i64::try_from(1_795_000_000_000 - nth * 1000).unwrap();
        let id = [&ms.to_be_bytes()[2..], &nth.to_be_bytes(), &[7, 7]].concat();
        let outcome = if nth % 2 == 0 { "queued" } else { "no_click" };
        let order = format!("A-{nth}");
        connection
            .execute(
                "INSERT INTO hits (id, at_ms, site, conversion, network, outcome, event_id, order_id)
                 VALUES (?1, ?2, 'shop', 'purchase', 'own', ?3, ?4, ?5)",
                params![i64::try_from(count - nth).unwrap(), ms, outcome, id, order],
            )
            .unwrap();
        if nth % 2 == 0 {
            let payload = format!(r#"{{"fields":{{"order_id":"{order}"}}}}"#);
            connection
                .execute(
                    "INSERT INTO history VALUES (?1, 'shop', 'purchase', 'own', ?2, ?2, 1, 'delivered', NULL, ?3, NULL)",
                    params![id, ms, payload],
                )
                .unwrap();
        }
    }
}

#[test]
fn a_list_is_in_order_of_time_over_many_slices() {
    let (folder, connection) = store();
    fill(&connection, 1000);
    let inspector = Inspector::open(folder.path()).unwrap();
    let listed = |filter: HitFilter| inspector.hits(&filter).unwrap();
    let orders = |hits: &[HitRecord]| hits.iter().map(|hit| hit.order_id.clone().unwrap()).collect::<Vec<_>>();
    let expected: Vec<_> = (0..1000).map(|nth| format!("A-{nth}")).collect();
    assert_eq!(orders(&listed(HitFilter::default())), expected);
    assert_eq!(orders(&listed(HitFilter { limit: Some(51), ..HitFilter::default() })), expected[..51]);
    let since = Some(crate::tracking::timestamp::Timestamp::from_millis(1_795_000_000_000 - 700_000));
    assert_eq!(orders(&listed(HitFilter { since, ..HitFilter::default() })), expected[..=700]);
    let unclicked = listed(HitFilter { outcome: Some("no_click".into()), limit: Some(3), ..HitFilter::default() });
    assert_eq!(orders(&unclicked), ["A-1", "A-3", "A-5"]);
}

#[test]
fn what_has_no_key_is_found_by_reading_if_there_is_time() {
    let (folder, connection) = store();
    fill(&connection, 300);
    let found = |text: &str| Inspector::open(folder.path()).unwrap().story(text).unwrap();
    for order in ["A-0", "A-1", "A-299"] {
        let found = found(order);
        assert_eq!((found.told.len(), found.is_whole), (1, true), "{order}");
    }
    assert_eq!(Inspector::open(folder.path()).unwrap().show("A-298").unwrap().len(), 1);
    let hurried = Search::new("A-1").read(&connection, Tables::Over, Some(crate::store::clock::instant())).unwrap();
    assert!(!hurried.is_whole && hurried.events.is_empty());
}
