//! Decoding of `log`: what is said about the process and its requests, and where.

use super::{decode::Field, file::Files};
use crate::{
    access::{AccessFormat, AccessRules, QueryRule, ToldTo},
    tracking::site::StoredAddress,
};

/// What is logged and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`.
    pub level: &'static str,
    /// Text or JSON.
    pub format: LogFormat,
    /// Who is told the ids of requests.
    pub request_id: ToldTo,
    /// A line for each request.
    pub access: Option<AccessRules>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines, one object a line.
    Json,
}

/// Reads `log`; visitors' addresses are written as they may be stored.
pub fn log(field: &Field<'_>, files: Files<'_>, client_ip: StoredAddress) -> Log {
    let default = Log::default();
    let Some(mut section) = field.section_with("level") else { return default };
    let log = Log {
        level: section.get("level").and_then(|field| field.choice(&LEVELS)).unwrap_or(default.level),
        format: section.get("format").and_then(|field| field.choice(&FORMATS)).unwrap_or(default.format),
        request_id: section.get("request_id").and_then(|field| field.choice(&TOLD_TO)).unwrap_or_default(),
        access: section.get("access").and_then(|field| access(&field, files, client_ip)),
    };
    section.finish();
    log
}

fn access(field: &Field<'_>, files: Files<'_>, client_ip: StoredAddress) -> Option<AccessRules> {
    let mut section = field.section()?;
    let file = section.require("file", "write `file: access.log`");
    let format = section.get("format").and_then(|field| field.choice(&ACCESS_FORMATS)).unwrap_or_default();
    let query = section.get("query").and_then(|field| field.choice(&QUERIES)).unwrap_or_default();
    section.finish();
    Some(AccessRules { file: files.path(&file?)?, format, query, client_ip })
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info", format: LogFormat::Text, request_id: ToldTo::default(), access: None }
    }
}

pub(super) const LEVELS: [(&str, &str); 5] =
    [("error", "error"), ("warn", "warn"), ("info", "info"), ("debug", "debug"), ("trace", "trace")];
pub(super) const FORMATS: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];
pub(super) const ACCESS_FORMATS: [(&str, AccessFormat); 2] =
    [("combined", AccessFormat::Combined), ("json", AccessFormat::Json)];
pub(super) const QUERIES: [(&str, QueryRule); 2] = [("drop", QueryRule::Drop), ("keep", QueryRule::Keep)];
pub(super) const TOLD_TO: [(&str, ToldTo); 3] =
    [("off", ToldTo::Nobody), ("upstream", ToldTo::Site), ("both", ToldTo::SiteAndVisitor)];
