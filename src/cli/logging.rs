//! Where log lines go: to standard error, in the configured form.

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Starts logging; a second call changes nothing.
pub(super) fn start(log: &Log) {
    // Libraries that say more write down whole requests: click IDs, cookies, addresses of postbacks.
    let level = if matches!(log.level, "debug" | "trace") { "info" } else { log.level };
    // Pingora notes every broken connection of a visitor as an error; none of them is the operator's.
    let quiet = "pingora=off,pingora_core=off,pingora_proxy=off";
    let filter = EnvFilter::new(format!("{level},throughline={},{quiet}", log.level));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Only the demo and tests call this twice.
    let _already_started = match log.format {
        LogFormat::Text => lines.with_ansi(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
}
