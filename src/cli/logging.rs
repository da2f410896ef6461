//! Where log lines go: to standard error, in the configured form.

use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Starts logging; a second call changes nothing.
pub(super) fn start(log: &Log) {
    let lines = tracing_subscriber::fmt().with_env_filter(filter(log)).with_writer(std::io::stderr).with_ansi(false);
    // Only the demo and tests call this twice.
    let _already_started = match log.format {
        LogFormat::Text => {
            let lines = lines.with_filter_reloading();
            let level = lines.reload_handle();
            lines.try_init().map(|()| keep(log, move |filter| level.reload(filter).unwrap_or_default()))
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_filter_reloading();
            let level = lines.reload_handle();
            lines.try_init().map(|()| keep(log, move |filter| level.reload(filter).unwrap_or_default()))
        }
    };
}

/// Writes from now on what another configuration wants written.
pub(super) fn follow(log: &Log) {
    let Some(logging) = LOGGING.get() else { return };
    (logging.set)(filter(log));
    if logging.format != log.format {
        tracing::warn!("`log.format` takes effect at a restart");
    }
}

/// How it was started.
struct Logging {
    format: LogFormat,
    set: Box<dyn Fn(EnvFilter) + Send + Sync>,
}

fn keep(log: &Log, set: impl Fn(EnvFilter) + Send + Sync + 'static) {
    LOGGING.get_or_init(|| Logging { format: log.format, set: Box::new(set) });
}

fn filter(log: &Log) -> EnvFilter {
    // Libraries that say more write down whole requests: click IDs, cookies, addresses of postbacks.
    let level = if matches!(log.level, "debug" | "trace") { "info" } else { log.level };
    // Pingora notes every broken connection of a visitor as an error; none of them is the operator's.
    let quiet = "pingora=off,pingora_core=off,pingora_proxy=off";
    EnvFilter::new(format!("{level},throughline={},{quiet}", log.level))
}

static LOGGING: OnceLock<Logging> = OnceLock::new();
