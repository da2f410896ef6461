//! Conversions: what counts as one, and what is read for it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    amount::DecimalMark,
    basket::Basket,
    channel::Credit,
    event::Datum,
    personal,
    template::Scope,
    trigger::TriggerRule,
    value::{Money, Source, Value, View},
};

mod outcome;
mod send;
mod wanted;

pub use outcome::{FieldResult, Outcome};
pub use send::{Captured, SendRule};
pub use wanted::Wanted;

/// What counts as a conversion, what is read for it, and who hears of it.
#[derive(Clone, Debug)]
pub struct ConversionRule {
    /// Its name.
    pub name: Arc<str>,
    /// The requests that it looks at; whichever matches first.
    pub triggers: Vec<TriggerRule>,
    /// What the page must show.
    pub proof: Proof,
    /// The captures of which this journey must have passed one, and how long ago at most.
    pub after: Option<After>,
    /// What is read, in this order.
    pub fields: Vec<(String, Value)>,
    /// What stands before the fraction of a printed amount, where it could be read both ways.
    pub decimal_mark: DecimalMark,
    /// Where the items of the order stand.
    pub items: Option<Value>,
    /// What tells two conversions apart.
    pub once_per: Option<Value>,
    /// How long a repeat counts as one.
    pub dedup_window: Duration,
    /// Which clicks earn it.
    pub credit: Credit,
    /// The networks that hear of it.
    pub send: Vec<SendRule>,
    /// Whether it is only tried out: decided and shown, but never stored or sent.
    pub is_shadow: bool,
}

/// What a page must show to be believed.
#[derive(Clone, Debug, Default)]
pub struct Proof {
    /// One of these.
    pub success: Vec<Mark>,
    /// None of these.
    pub failure: Vec<Mark>,
}

/// Something in a page that tells what it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Mark {
    /// A text that a visitor can read.
    Text(String),
    /// An element that a CSS selector finds.
    Html(String),
}

/// What must have come before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct After {
    /// Captures, by name.
    pub captures: Vec<String>,
    /// The time between.
    pub within: Duration,
}

/// Something that could be misread, or is not what it must be.
struct Doubtful;

impl ConversionRule {
    /// Reads all fields, and says what became of each.
    #[must_use]
    pub fn read_fields(&self, view: View<'_>) -> (BTreeMap<String, String>, Vec<FieldResult>) {
        let mut fields = BTreeMap::new();
        let mut results = Vec::with_capacity(self.fields.len());
        for (name, value) in &self.fields {
            let read = self.read_field(name, value, view, &fields);
            results.push(match read {
                Ok(Some(text)) => {
                    fields.insert(name.clone(), text);
                    FieldResult::Found
                }
                Ok(None) => FieldResult::Missing,
                Err(_) => FieldResult::Doubtful,
            });
        }
        (fields, results)
    }

    fn read_field(
        &self,
        name: &str,
        value: &Value,
        view: View<'_>,
        fields: &BTreeMap<String, String>,
    ) -> Result<Option<String>, Doubtful> {
        let names = FieldNames(fields);
        let is_amount = name == "value" || matches!(value, Value::Amount(_));
        if is_amount {
            // The currency stands behind the value in the order of fields, and may be needed for it.
            let known = self.fields.iter().find(|(name, _)| name == "currency");
            let currency = known.and_then(|(_, value)| value.read(view, &names));
            let money = Money { mark: self.decimal_mark, currency: currency.as_deref() };
            return value
                .read_amount(view, &names, money)
                .transpose()
                .map(|amount| amount.map(|it| it.text()))
                .map_err(|_| Doubtful);
        }
        let Some(text) = value.read(view, &names) else { return Ok(None) };
        personal::normal(name, text).map(Some).ok_or(Doubtful)
    }

    /// The value that tells two conversions apart.
    #[must_use]
    pub fn read_once(&self, view: View<'_>, fields: &BTreeMap<String, String>) -> Option<String> {
        self.once_per.as_ref().and_then(|value| value.read(view, &FieldNames(fields))).filter(|text| !text.is_empty())
    }

    /// The items of the order.
    #[must_use]
    pub fn read_basket(&self, view: View<'_>) -> Basket {
        let none = FieldNames(&BTreeMap::new());
        let items = self.items.as_ref().and_then(|items| items.read_json(view, &none));
        items.map(|items| Basket::read(&items, self.decimal_mark)).unwrap_or_default()
    }

    /// Whether anything has to be read of the answer's body.
    #[must_use]
    pub fn reads_body(&self) -> bool {
        !self.proof.is_empty() || self.values().any(Value::is_in_body)
    }

    /// Whether what tells two conversions apart may stand in the answer's body.
    #[must_use]
    pub fn key_is_in_body(&self) -> bool {
        let Some(once) = &self.once_per else { return false };
        let names = once.names();
        let is_used = |name: &str| names.contains(&name);
        once.is_in_body() || self.fields.iter().any(|(name, value)| is_used(name) && value.is_in_body())
    }

    /// All places that are read for it.
    #[must_use]
    pub fn sources(&self) -> Vec<&Source> {
        let conditions = self.triggers.iter().flat_map(|trigger| &trigger.when).map(|condition| &condition.source);
        self.values().flat_map(Value::sources).chain(conditions).collect()
    }

    /// All values that are read for it.
    pub fn values(&self) -> impl Iterator<Item = &Value> {
        let own = self.fields.iter().map(|(_, value)| value).chain(&self.items).chain(&self.once_per);
        own.chain(self.send.iter().flat_map(SendRule::values))
    }
}

impl Proof {
    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.success.is_empty() && self.failure.is_empty()
    }

    /// Whether a page with these marks is proof.
    #[must_use]
    pub fn is_given(&self, has: impl Fn(&Mark) -> bool) -> bool {
        (self.success.is_empty() || self.success.iter().any(&has)) && !self.failure.iter().any(has)
    }
}

/// Fields as names in templates.
pub struct FieldNames<'a>(pub &'a BTreeMap<String, String>);

impl Scope for FieldNames<'_> {
    fn lookup(&self, name: &str) -> Option<Datum> {
        self.0.get(name).cloned().map(Datum::One)
    }
}
