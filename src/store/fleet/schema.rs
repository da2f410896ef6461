//! The tables of a fleet, and how older ones become newer ones.
//!
//! The version is MAJOR × 100 + MINOR, as in the file of a node. A minor step only adds, so that nodes
//! of two versions can share the tables during a rollout; tables of a newer major are refused.
//!
//! Everything here and in the statements is SQL that `CockroachDB` and `YugabyteDB` also take: no
//! procedures, no sequences, no advisory locks.

use deadpool_postgres::ClientWrapper;

use super::FleetError;

/// Brings the tables up to this version; several nodes may do it at once.
pub(super) async fn migrate(client: &mut ClientWrapper) -> Result<(), FleetError> {
    let found = match version(client).await {
        Err(error) if error.is_missing_table() => None,
        found => found?,
    };
    if found.is_some_and(|found| found >= CURRENT && found / 100 == CURRENT / 100) {
        return Ok(());
    }
    if found.is_none() {
        begin(client).await?;
    }
    let transaction = client.transaction().await?;
    // Whoever comes second waits here, and then finds nothing to do.
    let row = transaction.query_one("SELECT version FROM throughline_schema WHERE one = 1 FOR UPDATE", &[]).await?;
    let found: i32 = row.try_get(0)?;
    if found / 100 > CURRENT / 100 {
        return Err(FleetError::refused(format!(
            "the database's tables were made by a newer version (schema {found}); run that version, or use another database"
        )));
    }
    for (version, sql) in MIGRATIONS.iter().filter(|(version, _)| *version > found) {
        transaction.batch_execute(sql).await?;
        transaction.execute("UPDATE throughline_schema SET version = $1 WHERE one = 1", &[version]).await?;
    }
    transaction.commit().await?;
    Ok(())
}

async fn version(client: &ClientWrapper) -> Result<Option<i32>, FleetError> {
    let row = client.query_opt("SELECT version FROM throughline_schema WHERE one = 1", &[]).await?;
    row.map(|row| row.try_get(0)).transpose().map_err(FleetError::from)
}

/// Makes the table that all migrations lock.
async fn begin(client: &ClientWrapper) -> Result<(), FleetError> {
    let made = client.batch_execute(SCHEMA).await.map_err(FleetError::from);
    match made {
        // `IF NOT EXISTS` is no protection against another session that makes it right now.
        Err(error) if error.is_made_twice() => {}
        made => made?,
    }
    client
        .execute("INSERT INTO throughline_schema (one, version) VALUES (1, 0) ON CONFLICT (one) DO NOTHING", &[])
        .await?;
    Ok(())
}

const CURRENT: i32 = 102;

const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS throughline_schema (one INT4 PRIMARY KEY, version INT4 NOT NULL)";

const MIGRATIONS: &[(i32, &str)] = &[(100, FIRST), (101, HITS), (CURRENT, LOOKUP)];

/// - `dedup` decides what counts once.
/// - `outbox` holds what is to be sent, dead letters, and what waits for a person (`missing`). `lease` is
///   the id of one attempt: whoever comes back with another one has lost the row. `settled_by` is the
///   attempt that last ended, so that a settlement whose answer was lost can be repeated. A row whose
///   consent was withdrawn while a node had it in its hands is marked by `withdrawn_ms`.
/// - `history` holds what is over.
/// - `attempts` keeps the answers of attempts that were followed by another: the last 20, each in its slot.
/// - `notices` tells the nodes what an operator did, for whichever takes one out first to count it;
///   `audit` tells people.
/// - `journeys` and `erased` (what the nodes must forget in their own files) are about visitors.
const FIRST: &str = "CREATE TABLE throughline_dedup (
    key BYTEA PRIMARY KEY,
    event_id UUID NOT NULL,
    accepted_ms INT8 NOT NULL,
    expires_ms INT8 NOT NULL
);
CREATE INDEX throughline_dedup_expiry ON throughline_dedup (expires_ms);
CREATE TABLE throughline_outbox (
    event_id UUID PRIMARY KEY,
    site TEXT NOT NULL,
    conversion TEXT NOT NULL,
    network TEXT NOT NULL,
    event_ms INT8 NOT NULL,
    attempts INT4 NOT NULL DEFAULT 0,
    next_ms INT8 NOT NULL,
    lease UUID,
    lease_node TEXT,
    lease_until_ms INT8,
    settled_by UUID,
    withdrawn_ms INT8,
    revived_ms INT8,
    missing TEXT,
    verdict TEXT,
    reason TEXT,
    settled_ms INT8,
    payload TEXT NOT NULL,
    last_answer TEXT
);
CREATE INDEX throughline_outbox_due ON throughline_outbox (site, network, next_ms)
    WHERE verdict IS NULL AND missing IS NULL AND withdrawn_ms IS NULL;
CREATE INDEX throughline_outbox_rest ON throughline_outbox (site, network, settled_ms)
    WHERE verdict IS NOT NULL OR missing IS NOT NULL OR withdrawn_ms IS NOT NULL;
CREATE TABLE throughline_history (
    event_id UUID PRIMARY KEY,
    site TEXT NOT NULL,
    conversion TEXT NOT NULL,
    network TEXT NOT NULL,
    event_ms INT8 NOT NULL,
    settled_ms INT8 NOT NULL,
    attempts INT4 NOT NULL,
    settled_by UUID,
    verdict TEXT NOT NULL,
    reason TEXT,
    payload TEXT NOT NULL,
    last_answer TEXT
);
CREATE INDEX throughline_history_expiry ON throughline_history (settled_ms);
CREATE TABLE throughline_journeys (
    key BYTEA PRIMARY KEY,
    site TEXT NOT NULL,
    expires_ms INT8 NOT NULL,
    data TEXT NOT NULL
);
CREATE INDEX throughline_journeys_expiry ON throughline_journeys (expires_ms);
CREATE TABLE throughline_erased (
    journey BYTEA PRIMARY KEY,
    at_ms INT8 NOT NULL
);
CREATE INDEX throughline_erased_at ON throughline_erased (at_ms);
CREATE TABLE throughline_attempts (
    event_id UUID NOT NULL,
    slot INT4 NOT NULL,
    number INT4 NOT NULL,
    answer TEXT NOT NULL,
    PRIMARY KEY (event_id, slot)
);
CREATE TABLE throughline_notices (
    id UUID PRIMARY KEY,
    deed TEXT NOT NULL,
    site TEXT NOT NULL,
    network TEXT NOT NULL,
    count INT8 NOT NULL
);
CREATE TABLE throughline_audit (
    id UUID PRIMARY KEY,
    at_ms INT8 NOT NULL,
    who TEXT NOT NULL,
    action TEXT NOT NULL,
    arguments TEXT NOT NULL,
    count INT8 NOT NULL
);
CREATE INDEX throughline_audit_at ON throughline_audit (at_ms);";

/// One record for each hit and network, as the nodes wrote them down: `number` is the record's on its node,
/// so that one which is forwarded twice is here once.
const HITS: &str = "CREATE TABLE throughline_hits (
    node UUID NOT NULL,
    number INT8 NOT NULL,
    at_ms INT8 NOT NULL,
    site TEXT NOT NULL,
    conversion TEXT NOT NULL,
    network TEXT NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT,
    event_id UUID,
    order_id TEXT,
    clicks TEXT,
    value TEXT,
    currency TEXT,
    details TEXT,
    PRIMARY KEY (node, number, at_ms)
);
CREATE INDEX throughline_hits_at ON throughline_hits (at_ms);
CREATE INDEX throughline_hits_event ON throughline_hits (event_id) WHERE event_id IS NOT NULL;";

/// - `lookup` leads from order ids and click IDs, as hashes, to events; its keys come and go with the records of
///   hits.
/// - `deeds` are the rows that each entry of `audit` has touched.
const LOOKUP: &str = "CREATE TABLE throughline_lookup (
    key BYTEA NOT NULL,
    event_id UUID NOT NULL,
    at_ms INT8 NOT NULL,
    PRIMARY KEY (key, event_id)
);
CREATE INDEX throughline_lookup_event ON throughline_lookup (event_id);
CREATE INDEX throughline_lookup_at ON throughline_lookup (at_ms);
CREATE TABLE throughline_deeds (
    audit UUID NOT NULL,
    event_id UUID NOT NULL,
    at_ms INT8 NOT NULL,
    PRIMARY KEY (audit, event_id)
);
CREATE INDEX throughline_deeds_event ON throughline_deeds (event_id);
CREATE INDEX throughline_deeds_at ON throughline_deeds (at_ms);";
