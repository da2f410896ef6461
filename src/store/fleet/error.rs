//! Why the shared store did not answer, in words that show neither its address nor any value.

use std::error::Error as _;

use deadpool_postgres::{HookError, PoolError, TimeoutType};
use tokio_postgres::error::{DbError, SqlState};

/// Why the shared store did not answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FleetError {
    /// Nobody answers, or not in time.
    #[error("{0}")]
    Unreachable(String),
    /// It answers, and can't be used as it is: a person must change something.
    #[error("{reason}")]
    Refused {
        /// What is wrong and what to do.
        reason: String,
    },
    /// A statement failed.
    #[error("{0}")]
    Sql(SqlFailure),
}

/// A statement that failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the database says {}: {message}", code.code())]
pub struct SqlFailure {
    code: SqlState,
    message: String,
}

impl FleetError {
    /// Whether the same may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Refused { .. } => false,
            Self::Sql(failure) => ["08", "40", "53", "55", "57", "58"].contains(&failure.class()),
        }
    }

    /// Whether one of the rows of a batch is to blame, so that the others would succeed without it.
    #[must_use]
    pub fn is_about_a_value(&self) -> bool {
        match self {
            Self::Sql(failure) => ["21", "22", "23", "54"].contains(&failure.class()),
            Self::Unreachable(_) | Self::Refused { .. } => false,
        }
    }

    /// Whether another transaction was in the way and the same may be tried again at once.
    pub(super) fn is_conflict(&self) -> bool {
        matches!(self, Self::Sql(failure) if failure.code == SqlState::T_R_SERIALIZATION_FAILURE
            || failure.code == SqlState::T_R_DEADLOCK_DETECTED)
    }

    /// Whether a table is not there (any more).
    pub(super) fn is_missing_table(&self) -> bool {
        matches!(self, Self::Sql(failure) if failure.code == SqlState::UNDEFINED_TABLE)
    }

    /// Whether somebody else made the same table at the same time.
    pub(super) fn is_made_twice(&self) -> bool {
        matches!(self, Self::Sql(failure) if [
            SqlState::UNIQUE_VIOLATION, SqlState::DUPLICATE_TABLE, SqlState::DUPLICATE_OBJECT
        ].contains(&failure.code))
    }

    /// Whether the database can't be used for the time being, by any statement.
    pub(super) fn is_away(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Refused { .. } => true,
            Self::Sql(failure) => ["08", "53", "57", "58"].contains(&failure.class()),
        }
    }

    pub(super) fn refused(reason: impl Into<String>) -> Self {
        Self::Refused { reason: reason.into() }
    }

    pub(super) fn conflict(message: &str) -> Self {
        Self::Sql(SqlFailure { code: SqlState::T_R_SERIALIZATION_FAILURE, message: message.to_owned() })
    }

    /// Its answer took too long.
    pub(super) fn late() -> Self {
        Self::Unreachable("the database does not answer in time".to_owned())
    }
}

impl SqlFailure {
    fn class(&self) -> &str {
        self.code.code().get(..2).unwrap_or_default()
    }
}

impl From<tokio_postgres::Error> for FleetError {
    fn from(error: tokio_postgres::Error) -> Self {
        if let Some(error) = error.as_db_error() {
            return of_server(error);
        }
        // A statement that does not fit its table, or what it answers: no value is repeated.
        let what = error.to_string();
        if MISFITS.iter().any(|misfit| what.starts_with(misfit)) {
            return Self::Sql(SqlFailure { code: SqlState::INTERNAL_ERROR, message: what });
        }
        // What lies beneath says it best: refused, no such host, an unknown issuer.
        let mut cause = error.source();
        while let Some(deeper) = cause.and_then(std::error::Error::source) {
            cause = Some(deeper);
        }
        let why = cause.map_or_else(String::new, |cause| format!(": {cause}"));
        if what == "error performing TLS handshake" {
            return Self::refused(format!("no trusted connection to the database{why}"));
        }
        Self::Unreachable(format!("no connection to the database: {what}{why}"))
    }
}

impl From<PoolError> for FleetError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => error.into(),
            PoolError::PostCreateHook(HookError::Message(reason)) => Self::refused(reason),
            PoolError::Timeout(TimeoutType::Wait) => {
                Self::Unreachable("all connections to the database are busy".to_owned())
            }
            PoolError::Timeout(TimeoutType::Create | TimeoutType::Recycle) => Self::late(),
            PoolError::Closed | PoolError::NoRuntimeSpecified => {
                Self::Unreachable("connections to the database have ended".to_owned())
            }
        }
    }
}

/// What the server says, in our words where its own repeat names of the address.
fn of_server(error: &DbError) -> FleetError {
    let code = error.code();
    let reason = match code.code() {
        "28P01" => "the database refuses the user's password",
        "28000" => "the database refuses this user from here (pg_hba.conf decides), or asks for TLS: see `sslmode`",
        "3D000" => "the database server has no database of this name; make it with CREATE DATABASE",
        "42501" => "the database's user may not do this; it must own the schema, or be granted CREATE and USAGE on it",
        "25006" => "the database is read-only; the address must lead to the server that takes writes",
        "26000" | "42P05" => {
            "the database forgets prepared statements, as pgbouncer does when it pools by transactions; \
             let it pool by sessions, or connect without it"
        }
        _ => {
            let failure = SqlFailure { code: code.clone(), message: String::new() };
            // Messages of these classes repeat values.
            let message = match failure.class() {
                "21" | "22" | "23" => "a value was not taken".to_owned(),
                _ => error.message().to_owned(),
            };
            return FleetError::Sql(SqlFailure { message, ..failure });
        }
    };
    FleetError::refused(reason)
}

/// How errors begin that the driver finds in what it is told to send, and in what it is to read.
const MISFITS: [&str; 5] = [
    "error serializing parameter",
    "error deserializing column",
    "invalid column",
    "expected",
    "query returned an unexpected number",
];
