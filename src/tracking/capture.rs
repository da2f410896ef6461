//! Captures: what is remembered of a journey before there is a conversion.

use std::sync::Arc;

use super::{
    trigger::TriggerRule,
    value::{Source, Value},
};

/// What is remembered, and on which pages.
#[derive(Clone, Debug)]
pub struct CaptureRule {
    /// Its name.
    pub name: Arc<str>,
    /// The requests that it looks at.
    pub trigger: TriggerRule,
    /// The order by which a payment provider's callback finds the journey again.
    pub key: Option<Value>,
    /// What is remembered.
    pub fields: Vec<(String, Value)>,
}

impl CaptureRule {
    /// All places that it reads, or looks at.
    #[must_use]
    pub fn sources(&self) -> Vec<&Source> {
        let conditions = self.trigger.when.iter().map(|condition| &condition.source);
        let values = self.fields.iter().map(|(_, value)| value).chain(&self.key);
        values.flat_map(Value::sources).chain(conditions).collect()
    }

    /// Whether anything has to be read of the answer's body.
    #[must_use]
    pub fn reads_body(&self) -> bool {
        self.sources().into_iter().any(Source::is_in_body)
    }
}
