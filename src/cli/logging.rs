//! Where log lines go: to standard error, in the configured form.

use std::{
    fmt,
    io::{self, Write},
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use tracing::{Event, Subscriber};
use tracing_subscriber::{
    EnvFilter,
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{Format, Full, Json, Writer},
    },
    registry::LookupSpan,
};

use crate::config::{Log, LogFormat};

/// Starts logging; a second call changes nothing.
pub(super) fn start(log: &Log) {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter(log))
        .with_writer(|| Lines(io::stderr()))
        .with_ansi(false)
        .event_format(Form::default())
        .with_filter_reloading();
    let level = lines.reload_handle();
    // Only the demo and tests call this twice.
    if lines.try_init().is_ok() {
        IS_JSON.store(log.format == LogFormat::Json, Ordering::Relaxed);
        SET_FILTER.get_or_init(|| Box::new(move |filter| level.reload(filter).unwrap_or_default()));
    }
}

/// Writes from now on what another configuration wants written, as it wants it.
pub(super) fn follow(log: &Log) {
    if let Some(set_filter) = SET_FILTER.get() {
        IS_JSON.store(log.format == LogFormat::Json, Ordering::Relaxed);
        set_filter(filter(log));
    }
}

/// Writes each event in the form that is wanted by then.
struct Form {
    text: Format<Full>,
    json: Format<Json>,
}

impl Default for Form {
    fn default() -> Self {
        Self { text: Format::default(), json: Format::default().json().flatten_event(true) }
    }
}

impl<S, N> FormatEvent<S, N> for Form
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        if IS_JSON.load(Ordering::Relaxed) {
            self.json.format_event(context, writer, event)
        } else {
            self.text.format_event(context, writer, event)
        }
    }
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

type SetFilter = Box<dyn Fn(EnvFilter) + Send + Sync>;

/// Puts another filter in force, once there is one.
static SET_FILTER: OnceLock<SetFilter> = OnceLock::new();
static IS_JSON: AtomicBool = AtomicBool::new(false);

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
