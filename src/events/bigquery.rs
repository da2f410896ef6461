//! Records as rows of a Google `BigQuery` table, by its streaming API.
//!
//! `tabledata.insertAll` (cloud.google.com/bigquery/docs/reference/rest/v2/tabledata/insertAll,
//! 2026-11): each row carries an id by which Google recognises a repeat for about a minute, wrong rows
//! are named one by one, and the others of the same request are taken.

use std::{fmt, io, sync::Arc};

use http::{
    HeaderMap, HeaderValue, Method,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use serde::Deserialize;
use url::Url;

use super::{
    courier::{self, Courier, Fate, Parcel, Report, joined},
    feed::Inbox,
};
use crate::{
    delivery::{
        client::{Client, Reply},
        retry::retry_after,
        route::Route,
    },
    store::clock,
    tracking::postback::Postback,
};

pub mod credentials;

pub use credentials::Credentials;
use credentials::Tokens;

/// Which table, and who writes to it.
#[derive(Clone, PartialEq, Eq)]
pub struct BigQuerySettings {
    /// Where its rows are inserted.
    pub url: Url,
    /// Who we are.
    pub credentials: Credentials,
    /// The way there.
    pub route: Arc<Route>,
}

impl BigQuerySettings {
    /// Google's own address, without the slash at its end.
    pub const ENDPOINT: &str = "https://bigquery.googleapis.com/bigquery/v2";

    /// Where the rows of a table are inserted, if `endpoint` can have anything below it.
    #[must_use]
    pub fn insert_all(mut endpoint: Url, [project, dataset, table]: [&str; 3]) -> Option<Url> {
        endpoint.path_segments_mut().ok()?.pop_if_empty().extend([
            "projects",
            project,
            "datasets",
            dataset,
            "tables",
            table,
            "insertAll",
        ]);
        Some(endpoint)
    }
}

impl fmt::Debug for BigQuerySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BigQuerySettings").field("url", &self.url.path()).finish_non_exhaustive()
    }
}

/// Makes the client, and what its thread does.
pub(super) fn prepare(settings: &BigQuerySettings, inbox: Inbox) -> io::Result<Box<dyn FnOnce() + Send>> {
    let client = courier::client(&settings.route)?;
    let settings = settings.clone();
    courier::work(inbox, move || BigQuery { url: settings.url, tokens: Tokens::new(settings.credentials), client })
}

struct BigQuery {
    url: Url,
    tokens: Tokens,
    client: Client,
}

impl Courier for BigQuery {
    async fn deliver(&mut self, parcels: &[Parcel]) -> Report {
        let reply = match self.insert(parcels).await {
            // A token that was good may have been revoked: another one is tried at once.
            Ok(reply) if reply.status == UNAUTHORIZED => {
                self.tokens.discard();
                self.insert(parcels).await
            }
            other => other,
        };
        match reply {
            Ok(reply) => judged(&reply, parcels.len()),
            Err(why) => Report::later(None, why),
        }
    }
}

impl BigQuery {
    async fn insert(&mut self, parcels: &[Parcel]) -> Result<Reply, String> {
        let token = self.tokens.token().await?;
        let headers = [(CONTENT_TYPE, HeaderValue::from_static("application/json")), (AUTHORIZATION, token)];
        let request = Postback {
            method: Method::POST,
            url: self.url.clone(),
            headers: HeaderMap::from_iter(headers),
            body: body(parcels).into_bytes(),
        };
        let sent = self.client.send(request).await;
        sent.map_err(|reason| format!("no answer: {}", reason.as_str()))
    }
}

fn body(parcels: &[Parcel]) -> String {
    let rows = joined(parcels, |Parcel { id, json, .. }, out| {
        // Both are JSON already: hyphens and hex digits, and an object.
        out.extend(["{\"insertId\":\"", id.to_string().as_str(), "\",\"json\":", json, "}"]);
    });
    // A table that lacks a column gets the others; a wrong row does not keep right ones out.
    format!("{{\"skipInvalidRows\":true,\"ignoreUnknownValues\":true,\"rows\":[{rows}]}}")
}

/// The part of an answer that counts.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Answer {
    insert_errors: Vec<InsertErrors>,
    error: ErrorBody,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct InsertErrors {
    index: usize,
    errors: Vec<ErrorDetail>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorBody {
    message: String,
    errors: Vec<ErrorDetail>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorDetail {
    reason: String,
    location: String,
}

/// What an answer means for the rows of its request.
fn judged(reply: &Reply, count: usize) -> Report {
    let answer = reply.body.as_deref().and_then(|body| serde_json::from_slice::<Answer>(body).ok());
    let pause = reply.retry_after.as_deref().and_then(|header| retry_after(header, clock::now()));
    match (reply.status, answer) {
        (200..=299, Some(answer)) => of_each(&answer.insert_errors, count),
        // Google knows the rows again if they come a second time.
        (200..=299, None) => Report::later(pause, "the answer cannot be read"),
        // Payload too large, or no JSON: nothing that another attempt changes.
        (400 | 413, answer) => Report::all(Fate::Refused, count, named(reply.status, answer, Tell::Reason)),
        // Rights can be given and tables made, and then the same request will do.
        (401 | 403 | 404, answer) => Report::later(pause, named(reply.status, answer, Tell::All)),
        (_, answer) => Report::later(pause, named(reply.status, answer, Tell::Reason)),
    }
}

/// What became of each row of a request that was taken.
fn of_each(errors: &[InsertErrors], count: usize) -> Report {
    let mut report = Report::all(Fate::Delivered, count, String::new());
    for InsertErrors { index, errors } in errors {
        let Some(fate) = report.fates.get_mut(*index) else { continue };
        let is_temporary = errors.iter().all(|error| TEMPORARY.contains(&error.reason.as_str()));
        *fate = if is_temporary && !errors.is_empty() { Fate::Again } else { Fate::Refused };
        if let (true, Some(ErrorDetail { reason, location })) = (report.why.is_empty(), errors.first()) {
            // Their messages repeat values.
            report.why = format!("BigQuery refuses rows: {} in column `{}`", word(reason), word(location));
        }
    }
    report
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tell {
    /// The word alone: a message may repeat values of rows.
    Reason,
    /// The message, too: it is about the table and the account.
    All,
}

fn named(status: u16, answer: Option<Answer>, tell: Tell) -> String {
    let error = answer.unwrap_or_default().error;
    let reason = error.errors.first().map(|error| word(&error.reason)).unwrap_or_default();
    let message = if tell == Tell::All { error.message.chars().take(MAX_MESSAGE).collect() } else { String::new() };
    format!("BigQuery answers with status {status} {reason} {message}").trim_end().to_owned()
}

/// A word of Google's vocabulary, or as much of a stranger's text as looks like one.
fn word(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.')).take(40).collect()
}

const UNAUTHORIZED: u16 = 401;
/// cloud.google.com/bigquery/docs/error-messages, 2026-11. `stopped`: another row was wrong.
const TEMPORARY: [&str; 6] =
    ["stopped", "timeout", "backendError", "internalError", "rateLimitExceeded", "quotaExceeded"];
const MAX_MESSAGE: usize = 300;

#[cfg(test)]
mod tests;
