//! Lines of records: in the combined format of Apache and nginx, or as JSON.
//!
//! A record is always one line, whatever a visitor sent. Which parts of a request get here at all is
//! decided where the record is made.

use std::{io::Write as _, net::IpAddr, time::Duration};

use http::Version;
use serde::Serialize;
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};

use super::{
    AccessFormat, AccessRules,
    record::{Asked, Record, Text},
};
use crate::tracking::{personal, site::StoredAddress, timestamp::Timestamp};

/// Appends the line of a record, its end included.
pub(super) fn append(record: &Record, rules: &AccessRules, out: &mut Vec<u8>) {
    let client = record.client.map(|address| match rules.client_ip {
        StoredAddress::Full => address.to_canonical(),
        StoredAddress::Truncated => personal::truncate(address),
    });
    match rules.format {
        AccessFormat::Combined => combined(record, client, out),
        AccessFormat::Json => json(record, client, out),
    }
    out.push(b'\n');
}

/// `%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-agent}i"` (httpd.apache.org/docs/2.4/logs.html), with what nginx
/// does about bytes that are no text. Names of users are personal, and left out.
fn combined(record: &Record, client: Option<IpAddr>, out: &mut Vec<u8>) {
    // Writing to memory cannot fail, here and below.
    let _infallible = match client {
        Some(client) => write!(out, "{client}"),
        None => write!(out, "-"),
    };
    let _infallible = write!(out, " - - [{}] \"", common(record.time));
    let asked = record.asked.as_ref();
    match asked {
        Some(asked) => {
            escape(asked.text(Text::Method), out);
            out.push(b' ');
            escape(asked.text(Text::Target), out);
            let _infallible = write!(out, " {}", version(asked));
        }
        None => out.push(b'-'),
    }
    let _infallible = write!(out, "\" {:03} {} \"", record.status, record.bytes);
    escape(asked.and_then(|asked| asked.text(Text::Referer)), out);
    out.extend_from_slice(b"\" \"");
    escape(asked.and_then(|asked| asked.text(Text::UserAgent)), out);
    out.push(b'"');
}

/// As nginx's `ngx_http_log_escape` does it: quotes, backslashes and all that is not printable ASCII.
fn escape(text: Option<&[u8]>, out: &mut Vec<u8>) {
    let Some(text) = text else { return out.push(b'-') };
    for byte in text {
        match byte {
            b'"' | b'\\' | 0..=0x1f | 0x7f..=0xff => {
                let _infallible = write!(out, "\\x{byte:02X}");
            }
            plain => out.push(*plain),
        }
    }
}

/// The keys are the same in every line.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    request_id: Option<String>,
    client: Option<IpAddr>,
    site: Option<&'a str>,
    host: Option<String>,
    method: Option<String>,
    target: Option<String>,
    protocol: Option<&'static str>,
    status: u16,
    bytes: u64,
    seconds: f64,
    upstream: Option<&'a str>,
    upstream_seconds: Option<f64>,
    ending: &'static str,
    refused: Option<&'static str>,
    referer: Option<String>,
    user_agent: Option<String>,
}

fn json(record: &Record, client: Option<IpAddr>, out: &mut Vec<u8>) {
    let asked = record.asked.as_ref();
    let text = |which: Text| {
        let bytes = asked.and_then(|asked| asked.text(which))?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    };
    let line = Line {
        time: record.time.rfc3339(),
        request_id: record.request_id.as_ref().map(ToString::to_string),
        client,
        site: record.site.as_deref(),
        host: text(Text::Host),
        method: text(Text::Method),
        target: text(Text::Target),
        protocol: asked.map(version),
        status: record.status,
        bytes: record.bytes,
        seconds: rounded(record.took),
        upstream: record.server.as_deref(),
        upstream_seconds: record.server_took.map(rounded),
        ending: record.ending.as_str(),
        refused: record.refused,
        referer: text(Text::Referer),
        user_agent: text(Text::UserAgent),
    };
    let written = serde_json::to_writer(&mut *out, &line);
    debug_assert!(written.is_ok(), "all of it can be written as JSON");
}

/// Seconds to the microsecond.
#[expect(clippy::cast_precision_loss, reason = "exact for 285 years")]
fn rounded(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e6
}

fn version(asked: &Asked) -> &'static str {
    match asked.version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

fn common(time: Timestamp) -> String {
    let time = OffsetDateTime::from_unix_timestamp(time.as_millis().div_euclid(1000)).ok();
    time.and_then(|time| time.format(COMMON).ok()).unwrap_or_default()
}

const COMMON: &[BorrowedFormatItem<'_>] =
    format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000");

#[cfg(test)]
mod tests;
