//! Where log lines go: to standard error, in the configured form.

use std::{
    io::{self, Write},
    sync::OnceLock,
};

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Starts logging; a second call changes nothing.
pub(super) fn start(log: &Log) {
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter(log)).with_writer(|| Lines(io::stderr())).with_ansi(false);
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
    // What goes well between the exporter of traces and its collector is nobody's news.
    let traces = if level == "error" { "error" } else { "warn" };
    EnvFilter::new(format!("{level},throughline={},{quiet},opentelemetry={traces}", log.level))
}

/// Keeps each event on one line: an error of somebody else's may bring line ends along.
struct Lines<W>(W);

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = event.strip_suffix(b"\n").unwrap_or(event);
        if memchr::memchr2(b'\n', b'\r', text).is_none() {
            self.0.write_all(event)?;
        } else {
            let mut line = Vec::with_capacity(event.len() + 16);
            for byte in text {
                match byte {
                    b'\n' => line.extend_from_slice(b"\\n"),
                    b'\r' => line.extend_from_slice(b"\\r"),
                    other => line.push(*other),
                }
            }
            line.push(b'\n');
            self.0.write_all(&line)?;
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

static LOGGING: OnceLock<Logging> = OnceLock::new();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_is_in_it() {
        for (event, line) in [
            ("one\n", "one\n"),
            (
                "an error: bad\r\n2026-11-22T00:00:00Z ERROR forged\n",
                "an error: bad\\r\\n2026-11-22T00:00:00Z ERROR forged\n",
            ),
        ] {
            let mut lines = Lines(Vec::new());
            lines.write_all(event.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(lines.0).unwrap(), line);
        }
    }
}
