//! Decoding of `events`: which sinks get event records, and what these show.

use std::sync::Arc;

use http::HeaderValue;
use url::{Host, Url};

use super::{
    decode::{Field, Section},
    file::Files,
    outbound,
    server::secret_text,
    tree::Kind,
    value,
};
use crate::{
    delivery::route::Route,
    events::{
        EventSettings, Level, Personal, SinkSettings,
        bigquery::{BigQuerySettings, Credentials, credentials::CredentialFile},
        file::FileSettings,
        webhook::WebhookSettings,
    },
};

/// What holds for all sinks.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The files of the configuration.
    pub files: Files<'a>,
    /// The way of requests that say nothing of theirs.
    pub route: &'a Route,
    /// Whether the log tells everything, and so do sinks that tell of preview visitors alone.
    pub is_verbose: bool,
}

/// Reads `events`.
pub fn events(field: &Field<'_>, around: Surroundings<'_>) -> EventSettings {
    let Some(mut section) = field.section() else { return EventSettings::default() };
    let mut sinks = Vec::new();
    let stdout = section.get("stdout").and_then(|field| field.choice(&LEVELS)).flatten();
    sinks.extend(stdout.map(|level| (level, SinkSettings::Stdout)));
    for (name, read) in SINKS {
        if let Some(field) = section.get(name)
            && let Some(mut inner) = field.section()
        {
            let level = inner.get("level").and_then(|field| field.choice(&LEVELS)).unwrap_or(Some(Level::Always));
            let sink = read(&field, &mut inner, around);
            inner.finish();
            sinks.extend(level.zip(sink));
        }
    }
    let personal = section.get("personal").and_then(|field| field.choice(&PERSONAL)).unwrap_or_default();
    section.finish();
    if around.is_verbose {
        sinks.iter_mut().for_each(|(level, _)| *level = Level::Always);
    }
    EventSettings { sinks, personal }
}

type Read = fn(&Field<'_>, &mut Section<'_>, Surroundings<'_>) -> Option<SinkSettings>;

fn file(_: &Field<'_>, section: &mut Section<'_>, around: Surroundings<'_>) -> Option<SinkSettings> {
    let path = section.require("path", "write `path: events.jsonl`");
    let max_size = section.get("max_size").and_then(|field| field.size_within(SIZES)).unwrap_or(DEFAULT_SIZE);
    let keep = section.get("keep").and_then(|field| field.number_within(0..=1000)).unwrap_or(DEFAULT_KEEP);
    let path = around.files.path(&path?)?;
    Some(SinkSettings::File(FileSettings { path, max_size, keep }))
}

fn bigquery(field: &Field<'_>, section: &mut Section<'_>, around: Surroundings<'_>) -> Option<SinkSettings> {
    let project = section.get("project").filter(|field| !is_empty(field));
    let dataset = section.require("dataset", "write the dataset's id: `dataset: tracking`");
    let table = section.require("table", "write the table's id: `table: events`");
    let credentials = section.get("credentials");
    let endpoint = section.get("endpoint");
    let route = route(field, section, around);
    let credentials = match &credentials {
        Some(field) => self::credentials(field).map(Credentials::File),
        None => Some(Credentials::Default),
    };
    let dataset =
        dataset.and_then(|field| id(&field, "a dataset", &|letter| letter.is_ascii_alphanumeric() || letter == '_'));
    let table =
        table.and_then(|field| id(&field, "a table", &|letter| letter.is_alphanumeric() || "_- ".contains(letter)));
    let project = match project {
        Some(field) => id(&field, "a project", &is_of_project),
        None => unwritten_project(field, credentials.as_ref(), around.files),
    };
    let endpoint = match endpoint {
        Some(field) => address(&field),
        None => Url::parse(BigQuerySettings::ENDPOINT).ok(),
    };
    let url = BigQuerySettings::insert_all(endpoint?, [&project?, &dataset?, &table?])?;
    Some(SinkSettings::BigQuery(Box::new(BigQuerySettings { url, credentials: credentials?, route })))
}

fn webhook(field: &Field<'_>, section: &mut Section<'_>, around: Surroundings<'_>) -> Option<SinkSettings> {
    let url = section.require("url", "write the whole address: `url: https://…`");
    let token = section.get("token");
    let route = route(field, section, around);
    let token = token.map(|field| bearer(&field));
    let url = url.and_then(|field| address(&field))?;
    // A token that is wrong was told of.
    let token = token.map_or(Some(None), |token| token.map(Some))?;
    Some(SinkSettings::Webhook(Box::new(WebhookSettings { url, token, route })))
}

/// `allow_private` and `proxy` mean what they mean under `delivery`.
fn route(field: &Field<'_>, section: &mut Section<'_>, around: Surroundings<'_>) -> Arc<Route> {
    section.know("allow_private");
    section.know("proxy");
    Arc::new(outbound::route(Some(field), None, around.route, around.files))
}

fn is_empty(field: &Field<'_>) -> bool {
    matches!(&field.node.kind, Kind::Scalar(scalar) if scalar.text.is_empty())
}

/// Reads a name that stands in an address.
fn id(field: &Field<'_>, what: &str, may_hold: &dyn Fn(char) -> bool) -> Option<String> {
    let text = field.text()?;
    if text.len() <= LONGEST_ID && text.chars().all(may_hold) {
        return Some(text.to_owned());
    }
    // Without the text itself, which may come from the environment.
    field.error(format!("this is not the id of {what}"), "write it as the console of Google Cloud shows it".to_owned());
    None
}

/// Lower-case letters, digits and hyphens; old ones begin with a domain and a colon.
fn is_of_project(letter: char) -> bool {
    letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-.:".contains(letter)
}

/// What the environment says, or the file with the credentials.
fn unwritten_project(field: &Field<'_>, credentials: Option<&Credentials>, files: Files<'_>) -> Option<String> {
    let of_file = || match credentials {
        Some(Credentials::File(file)) => file.project().map(ToOwned::to_owned),
        Some(Credentials::Default) | None => None,
    };
    let found = files.variable(PROJECT_VARIABLE).filter(|project| !project.is_empty()).or_else(of_file);
    let valid = found.filter(|project| project.chars().all(is_of_project) || !files.are_there());
    // Credentials that are wrong were told of, and may have named it.
    if valid.is_none() && credentials.is_some() {
        field.error("`project` is missing", format!("write `project: …`, or set the variable {PROJECT_VARIABLE}"));
    }
    valid
}

fn credentials(field: &Field<'_>) -> Option<CredentialFile> {
    let text = secret_text(field, "credentials", "GOOGLE_CREDENTIALS")?;
    let parsed = CredentialFile::parse(&text);
    parsed
        .inspect_err(|invalid| {
            field.error(invalid.to_string(), "write { file: PATH } of a file from Google Cloud".to_owned());
        })
        .ok()
}

/// Reads a whole address. It may hold a key, and is then written as a secret.
fn address(field: &Field<'_>) -> Option<Url> {
    let scalar = value::secret(field)?;
    let url = Url::parse(scalar.text.trim()).ok();
    let is_plain = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none()
    };
    let Some(url) = url.filter(is_plain) else {
        field
            .error("this is not an address", "write it whole, without user and password: https://HOST/PATH".to_owned());
        return None;
    };
    let is_near = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback() || address.is_private(),
        Some(Host::Ipv6(address)) => address.is_loopback() || address.is_unique_local(),
        Some(Host::Domain(_)) | None => false,
    };
    if url.scheme() == "http" && !is_near {
        field.warn("event records go there without protection", "write https".to_owned());
    }
    Some(url)
}

fn bearer(field: &Field<'_>) -> Option<HeaderValue> {
    let token = secret_text(field, "token", "EVENTS_TOKEN")?;
    let Ok(mut header) = HeaderValue::try_from(format!("Bearer {}", token.trim())) else {
        field.error("the token holds characters that no header can", None);
        return None;
    };
    header.set_sensitive(true);
    Some(header)
}

const SINKS: [(&str, Read); 3] = [("file", file), ("bigquery", bigquery), ("webhook", webhook)];
pub(super) const LEVELS: [(&str, Option<Level>); 3] =
    [("never", None), ("debug", Some(Level::Debug)), ("always", Some(Level::Always))];
pub(super) const PERSONAL: [(&str, Personal); 2] = [("mask", Personal::Mask), ("keep", Personal::Keep)];
const SIZES: std::ops::RangeInclusive<u64> = 64 << 10..=100 << 30;
const DEFAULT_SIZE: u64 = 100 << 20;
const DEFAULT_KEEP: u32 = 5;
/// cloud.google.com/bigquery/docs/datasets and /tables, 2026-11.
const LONGEST_ID: usize = 1024;
/// What Google's own libraries and services know it by.
const PROJECT_VARIABLE: &str = "GOOGLE_CLOUD_PROJECT";
