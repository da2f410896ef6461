//! What visitors of a shop do, and what must come of it: the table.

use std::{collections::BTreeMap, fs, path::Path};

use memchr::memmem;
use serde::Deserialize;
use serde_json::Value;

use crate::support::response::Response;

/// The pages, and the table of them.
pub(super) const PAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/pages/shops");

/// One visitor's way.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    /// Also the click ID that the visitor comes with.
    pub(super) name: String,
    /// The file in `conf/examples/shops`, without its ending.
    pub(super) recipe: String,
    /// What is special about it.
    pub(super) about: String,
    #[serde(default = "usual_host")]
    pub(super) host: String,
    pub(super) steps: Vec<Step>,
}

/// One request with its answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    pub(super) method: String,
    pub(super) url: String,
    #[serde(default)]
    pub(super) from: Sender,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) body: String,
    pub(super) answer: Shown,
    /// Nothing where the request is no thank-you page.
    pub(super) expect: Option<Expected>,
}

/// Who asks.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Sender {
    /// The visitor's browser.
    #[default]
    Visitor,
    /// A payment provider's server, or the shop system's.
    Server,
}

/// What the shop answers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shown {
    pub(super) status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// A page beside the table.
    pub(super) file: Option<String>,
    #[serde(default)]
    body: String,
    #[serde(skip)]
    content: Vec<u8>,
}

/// What must come of a thank-you page.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Expected {
    /// Every network hears of this.
    Reported(Order),
    /// No network hears of it, for this reason.
    Outcome(String),
}

/// An order, as it must leave.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    #[serde(rename = "order_id")]
    pub(super) number: Option<String>,
    pub(super) value: Option<String>,
    pub(super) currency: Option<String>,
    #[serde(default)]
    pub(super) items: Vec<Item>,
    pub(super) email_sha256: Option<String>,
}

/// A line of a basket.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) price: String,
    pub(super) quantity: String,
}

impl Case {
    /// The same with the number of its order taken out of everything that is sent; `None` if it has none.
    pub(super) fn without_its_number(&self) -> Option<Self> {
        let number = self.steps.iter().find_map(|step| match step.expect.as_ref()? {
            Expected::Reported(order) => order.number.clone(),
            Expected::Outcome(_) => None,
        })?;
        let mut case = self.clone();
        for step in &mut case.steps {
            step.body = match serde_json::from_str(&step.body) {
                Ok(json) => nulled(json, &number).to_string(),
                Err(_) => step.body.replace(&number, ""),
            };
            let headers = step.headers.values_mut().chain(step.answer.headers.values_mut());
            for text in headers.chain([&mut step.url]) {
                *text = text.replace(&number, "");
            }
            step.answer.content = without(&step.answer.content, number.as_bytes());
        }
        Some(case)
    }
}

impl Shown {
    /// As a script for the origin.
    pub(super) fn response(&self) -> Response {
        let headers = self.headers.iter();
        headers
            .fold(Response::new(self.status), |response, (name, value)| response.header(name, value))
            .body(&self.content)
    }
}

/// The whole table, pages read.
pub(super) fn cases() -> Vec<Case> {
    let table = fs::read(Path::new(PAGES).join("expected.json")).unwrap();
    let mut cases: Vec<Case> = serde_json::from_slice(&table).unwrap_or_else(|error| panic!("expected.json: {error}"));
    for shown in cases.iter_mut().flat_map(|case| &mut case.steps).map(|step| &mut step.answer) {
        shown.content = match &shown.file {
            Some(file) => fs::read(Path::new(PAGES).join(file)).unwrap_or_else(|error| panic!("{file}: {error}")),
            None => shown.body.clone().into_bytes(),
        };
    }
    cases
}

/// The part of the table for one recipe.
pub(super) fn cases_of(recipe: &str) -> Vec<Case> {
    cases().into_iter().filter(|case| case.recipe == recipe).collect()
}

fn usual_host() -> String {
    "shop.example".to_owned()
}

/// A body that stays JSON: its value is `null` wherever it was the number.
fn nulled(json: Value, number: &str) -> Value {
    match json {
        Value::Object(members) => members.into_iter().map(|(name, value)| (name, nulled(value, number))).collect(),
        Value::Array(values) => values.into_iter().map(|value| nulled(value, number)).collect(),
        Value::Number(found) if found.to_string() == number => Value::Null,
        Value::String(text) => text.replace(number, "").into(),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => other,
    }
}

fn without(mut bytes: &[u8], word: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(bytes.len());
    while let Some(at) = memmem::find(bytes, word) {
        kept.extend_from_slice(&bytes[..at]);
        bytes = &bytes[at + word.len()..];
    }
    kept.extend_from_slice(bytes);
    kept
}
