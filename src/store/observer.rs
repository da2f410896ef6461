//! Who is told how the store fares: the metrics, in production.

use std::time::Duration;

use rusqlite::ErrorCode;

use crate::tracking::conversion::Outcome;

/// Hears about commits and failures, on the writer's thread.
pub trait StoreObserver: Send + Sync {
    /// A transaction with so many accepted rows is on disk.
    fn committed(&self, took: Duration, rows: usize);
    /// Something could not be opened or written.
    fn failed(&self, kind: ErrorKind);
    /// A postback ended before it was sent, because consent to it was withdrawn.
    fn withdrawn(&self, site: &str, network: &str);
    /// The system's clock was set.
    fn clock_jumped(&self) {}
    /// An operator ended so many postbacks that had no verdict.
    fn purged(&self, _site: &str, _network: &str, _count: u64) {}
    /// An operator put so many dead letters back, which will have another verdict.
    fn replayed(&self, _site: &str, _network: &str, _count: u64) {}
    /// So many records of hits were not written: too much was waiting.
    fn dropped(&self, _hits: u64) {}
    /// The store takes so many bytes on disk, its log included.
    fn sized(&self, _bytes: u64) {}
    /// The fleet has said what a provisional conversion is.
    fn decided(&self, _site: &str, _conversion: &str, _network: &str, _outcome: Outcome) {}
}

/// What went wrong, as a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The disk is full.
    Full,
    /// The file or its file system can't be written.
    Readonly,
    /// The disk fails.
    Io,
    /// Another process held the lock for too long.
    Busy,
    /// The file was damaged and has been set aside.
    Corrupt,
    /// The folder or the file can't be opened.
    Open,
    /// What a visit brought was not written: too much was waiting.
    Queue,
    /// What an operator has switched can't be read.
    Bypass,
    /// Anything else.
    Other,
}

impl ErrorKind {
    /// All kinds as metric labels, so that counters exist from the start.
    pub const LABELS: [&'static str; 9] =
        ["full", "readonly", "io", "busy", "corrupt", "open", "queue", "bypass", "other"];

    /// The metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Readonly => "readonly",
            Self::Io => "io",
            Self::Busy => "busy",
            Self::Corrupt => "corrupt",
            Self::Open => "open",
            Self::Queue => "queue",
            Self::Bypass => "bypass",
            Self::Other => "other",
        }
    }

    /// Classifies an error of `SQLite`.
    pub(super) fn of(error: &rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::ReadOnly) => Self::Readonly,
            Some(ErrorCode::SystemIoFailure) => Self::Io,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt,
            Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => Self::Open,
            _ => Self::Other,
        }
    }
}
