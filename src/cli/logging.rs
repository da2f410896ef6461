//! Where log lines go: to standard error, in the configured form.

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Starts logging; a second call changes nothing.
pub(super) fn start(log: &Log) {
    // Pingora notes every broken connection of a visitor as an error; none of them is the operator's.
    let filter = EnvFilter::new(format!("{},pingora=off,pingora_core=off,pingora_proxy=off", log.level));
    let filter = if matches!(log.level, "debug" | "trace") { EnvFilter::new(log.level) } else { filter };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Only the demo and tests call this twice.
    let _already_started = match log.format {
        LogFormat::Text => lines.with_ansi(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
}
