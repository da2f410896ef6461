//! The tables, and how an older file becomes a newer one.
//!
//! `user_version` is MAJOR × 100 + MINOR. A minor step only adds, so that two versions can share one
//! file during a hand-over; a file of a newer major is refused.

use rusqlite::{Connection, TransactionBehavior};

use super::database::OpenError;

/// Marks a file as ours: `TLin` in ASCII.
pub(super) const APPLICATION_ID: i32 = 0x544c_696e;

/// Brings a file up to this version's schema.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), OpenError> {
    // Read again inside the transaction: another process may migrate at the same time.
    if version(connection)? == current() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = version(&transaction)?;
    let application: i32 = transaction.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let tables: i64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application != APPLICATION_ID && (tables > 0 || found != 0) {
        return Err(OpenError::Foreign);
    }
    if found / 100 > current() / 100 {
        return Err(OpenError::Newer { found });
    }
    for (version, sql) in MIGRATIONS.iter().filter(|(version, _)| *version > found) {
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", version)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.commit()?;
    Ok(())
}

fn version(connection: &Connection) -> rusqlite::Result<i32> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

const fn current() -> i32 {
    match MIGRATIONS.last() {
        Some((version, _)) => *version,
        None => 0,
    }
}

/// Whether a file has what came with a step; one of an older process may not have it yet.
pub(super) fn has(connection: &Connection, step: i32) -> rusqlite::Result<bool> {
    version(connection).map(|version| version >= step)
}

/// Brought `held`, `journeys` and `erased`.
pub(super) const WITH_JOURNEYS: i32 = 101;
/// Brought `attempts`, `audit`, `notices` and `hits`.
pub(super) const WITH_DESK: i32 = 102;
/// Brought what `hits` say beyond the outcome.
pub(super) const WITH_STORIES: i32 = 103;
/// Brought `lookup` and `deeds`.
pub(super) const WITH_LOOKUP: i32 = 104;

/// Each step with the version it leads to.
///
/// Every index is paid for by every conversion it holds, so there are few:
/// - `event_id` (unique) makes a repeated insert harmless and finds a row after a doubtful commit;
/// - `outbox_due` leads to the due rows of one destination, and gauges read nothing else. Rows that
///   are leased are not in it, so a conversion that is delivered at once never touches it;
/// - `outbox_dead` holds dead letters only, for their gauge and their expiry;
/// - `history_event` answers the pages that wait for a verdict. Event ids begin with their time, so a
///   new one goes to the end of the last page that is in memory anyway;
/// - `hits_event` joins a hit with its row, and finds what is to be emptied. It grows at its end, too, and
///   holds only hits of visitors who have agreed: no bot pays for it;
/// - `journeys_expiry` finds what is to be forgotten: personal values must not outlive their time by
///   however long a walk through the table takes. No conversion pays for it, only a capture;
/// - `lookup` is one itself: it leads from order ids and click IDs to events. Records of hits pay for it, beside
///   the pages; `lookup_event` removes what belongs to a record, and grows at its end;
/// - `deeds_event` leads from an event to what operators did to it, who pay for it.
///
/// `history`, `held`, `dedup`, `attempts`, `audit` and `hits` expire along their own keys and need none. Columns that scans read
/// stand before `payload`, so that scans never follow overflow pages.
const MIGRATIONS: &[(i32, &str)] =
    &[(100, FIRST), (WITH_JOURNEYS, JOURNEYS), (WITH_DESK, DESK), (WITH_STORIES, STORIES), (WITH_LOOKUP, LOOKUP)];

const FIRST: &str = "CREATE TABLE dedup (
    key BLOB PRIMARY KEY NOT NULL,
    event_id BLOB NOT NULL,
    accepted_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY,
    event_id BLOB NOT NULL UNIQUE,
    site TEXT NOT NULL,
    conversion TEXT NOT NULL,
    network TEXT NOT NULL,
    event_ms INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_ms INTEGER NOT NULL,
    lease TEXT,
    verdict TEXT,
    reason TEXT,
    settled_ms INTEGER,
    payload TEXT NOT NULL,
    last_answer TEXT
);
CREATE INDEX outbox_due ON outbox (site, network, next_ms, event_ms) WHERE lease IS NULL AND verdict IS NULL;
CREATE INDEX outbox_dead ON outbox (site, network, settled_ms) WHERE verdict IS NOT NULL;
CREATE TABLE history (
    event_id BLOB NOT NULL,
    site TEXT NOT NULL,
    conversion TEXT NOT NULL,
    network TEXT NOT NULL,
    event_ms INTEGER NOT NULL,
    settled_ms INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    verdict TEXT NOT NULL,
    reason TEXT,
    payload TEXT NOT NULL,
    last_answer TEXT
);
CREATE TABLE instance (id TEXT PRIMARY KEY NOT NULL, started_ms INTEGER NOT NULL) WITHOUT ROWID;";

/// `held` keeps what is not to be sent yet. `dedup_key` is a key that is still to be taken; `owner` is
/// the process whose page a candidate waits for.
///
/// `erased` tells the processes of this folder what they must forget; `is_counted` says that another
/// process has counted the verdict.
const JOURNEYS: &str = "CREATE TABLE held (
    event_id BLOB PRIMARY KEY NOT NULL,
    state TEXT NOT NULL,
    owner TEXT,
    site TEXT NOT NULL,
    conversion TEXT NOT NULL,
    network TEXT NOT NULL,
    event_ms INTEGER NOT NULL,
    key_taken INTEGER NOT NULL,
    dedup_key BLOB,
    dedup_window_ms INTEGER,
    needs_proof INTEGER NOT NULL DEFAULT 0,
    key_is_open INTEGER NOT NULL DEFAULT 0,
    missing TEXT NOT NULL DEFAULT '',
    payload TEXT NOT NULL
);
CREATE TABLE journeys (
    key BLOB PRIMARY KEY NOT NULL,
    site TEXT NOT NULL,
    expires_ms INTEGER NOT NULL,
    data TEXT NOT NULL
);
CREATE INDEX journeys_expiry ON journeys (expires_ms);
CREATE TABLE erased (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms INTEGER NOT NULL,
    is_counted INTEGER NOT NULL DEFAULT 0,
    event_id BLOB,
    journey BLOB
);
CREATE INDEX history_event ON history (event_id);";

/// `attempts` keeps those that were followed by another one; the last stands in its row. So a postback
/// that is delivered at once, as nearly all are, costs nothing here.
///
/// `revived_ms` is when an operator gave a conversion new time although it was too old. `notices` tells
/// the processes of this folder what an operator did, for their counters; `audit` tells people. `hits`
/// are those that left no row.
const DESK: &str = "CREATE TABLE attempts (
    event_id BLOB NOT NULL,
    number INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    status INTEGER,
    result TEXT NOT NULL,
    millis INTEGER NOT NULL,
    answer TEXT NOT NULL,
    PRIMARY KEY (event_id, number)
) WITHOUT ROWID;
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms INTEGER NOT NULL,
    who TEXT NOT NULL,
    action TEXT NOT NULL,
    arguments TEXT NOT NULL,
    count INTEGER NOT NULL
);
CREATE TABLE notices (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms INTEGER NOT NULL,
    deed TEXT NOT NULL,
    site TEXT NOT NULL,
    network TEXT NOT NULL,
    count INTEGER NOT NULL
);
CREATE TABLE hits (
    id INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    site TEXT NOT NULL,
    conversion TEXT NOT NULL,
    network TEXT NOT NULL,
    outcome TEXT NOT NULL
);
ALTER TABLE outbox ADD COLUMN revived_ms INTEGER;";

/// One record for each hit and network. Where nothing may be told of the visitor, all of this is empty but
/// the reason. `clicks` are parted by spaces, which no click ID has.
const STORIES: &str = "ALTER TABLE hits ADD COLUMN reason TEXT;
ALTER TABLE hits ADD COLUMN event_id BLOB;
ALTER TABLE hits ADD COLUMN order_id TEXT;
ALTER TABLE hits ADD COLUMN clicks TEXT;
ALTER TABLE hits ADD COLUMN value TEXT;
ALTER TABLE hits ADD COLUMN currency TEXT;
ALTER TABLE hits ADD COLUMN details TEXT;
CREATE INDEX hits_event ON hits (event_id) WHERE event_id IS NOT NULL;";

/// Keys go with their record, whichever version removes it or empties it; `unlisted` is the last record that
/// was there before the keys. `deeds` are the rows that each entry of `audit` has touched.
const LOOKUP: &str = "CREATE TABLE lookup (
    key BLOB NOT NULL,
    event_id BLOB NOT NULL,
    PRIMARY KEY (key, event_id)
) WITHOUT ROWID;
CREATE INDEX lookup_event ON lookup (event_id);
CREATE TRIGGER hits_gone AFTER DELETE ON hits WHEN old.event_id IS NOT NULL BEGIN
    DELETE FROM lookup WHERE event_id = old.event_id;
END;
CREATE TRIGGER hits_emptied AFTER UPDATE OF clicks ON hits WHEN new.clicks IS NULL AND new.event_id IS NOT NULL BEGIN
    DELETE FROM lookup WHERE event_id = new.event_id;
END;
CREATE TABLE unlisted (last INTEGER NOT NULL);
INSERT INTO unlisted (last) SELECT max(id) FROM hits HAVING max(id) IS NOT NULL;
CREATE TABLE deeds (
    id INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    event_id BLOB NOT NULL,
    audit INTEGER NOT NULL
);
CREATE INDEX deeds_event ON deeds (event_id);";
