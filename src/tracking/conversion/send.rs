//! How one network hears of a conversion.

use std::{collections::BTreeMap, sync::Arc};

use super::{FieldNames, wanted::Wanted};
use crate::tracking::{
    basket::Basket,
    event::{Datum, Payload},
    postback::PostbackRule,
    template::Scope,
    value::{Value, View},
};

/// How one network hears of a conversion.
#[derive(Clone, Debug)]
pub struct SendRule {
    /// Which of the site's networks.
    pub network: usize,
    /// Takes precedence over the query and the cookie.
    pub click_id: Option<Value>,
    /// Parameters that are read from the visitor's request.
    pub captured: Vec<(String, Captured)>,
    /// Of each group one name must have a value, else there is nothing to report by.
    pub needs: Vec<Vec<String>>,
    /// Parameters that must have a value.
    pub required: Vec<String>,
    /// What the row must hold for the templates.
    pub wanted: Wanted,
    /// The request.
    pub postback: Arc<PostbackRule>,
}

/// A parameter that is read from the visitor's request.
#[derive(Clone, Debug)]
pub enum Captured {
    /// One value.
    One(Value),
    /// Several, each left out when it yields nothing.
    Many(Vec<Value>),
}

impl SendRule {
    pub(super) fn values(&self) -> impl Iterator<Item = &Value> {
        let captured = self.captured.iter().flat_map(|(_, captured)| match captured {
            Captured::One(value) => std::slice::from_ref(value),
            Captured::Many(values) => values,
        });
        self.click_id.iter().chain(captured)
    }

    /// What a row holds: the click IDs, what the templates use, and what describes the order.
    #[must_use]
    pub fn payload(
        &self,
        view: View<'_>,
        fields: &BTreeMap<String, String>,
        context: &dyn Fn(&str) -> Option<String>,
        clicks: Vec<String>,
    ) -> Payload {
        let names = FieldNames(fields);
        let parameters = self
            .captured
            .iter()
            .filter_map(|(name, captured)| Some((name.clone(), captured.read(view, &names)?)))
            .collect();
        Payload { clicks, fields: self.wanted.select(fields, context), parameters, ..Payload::default() }
    }

    /// Whether there is anything to report by.
    #[must_use]
    pub fn is_attributable(&self, names: &dyn Scope) -> bool {
        self.needs.iter().all(|group| group.iter().any(|name| has(names, name)))
    }

    /// The required parameters that have no value.
    #[must_use]
    pub fn missing(&self, names: &dyn Scope) -> Vec<String> {
        self.required.iter().filter(|name| !has(names, name)).cloned().collect()
    }

    /// Whether a click ID is all that it needs.
    #[must_use]
    pub fn needs_click_only(&self) -> bool {
        self.needs.iter().all(|group| group.iter().all(|name| matches!(name.as_str(), "click_id" | "click_ids")))
    }

    /// Adds the items of the order, as far as its templates use them.
    pub fn add_basket(&self, basket: &Basket, payload: &mut Payload) {
        for (name, column) in basket.columns() {
            if self.wanted.has(name) {
                payload.parameters.insert(name.to_owned(), column);
            }
        }
    }
}

impl Captured {
    fn read(&self, view: View<'_>, names: &dyn Scope) -> Option<Datum> {
        let datum = match self {
            Self::One(value) => Datum::One(value.read(view, names)?),
            Self::Many(values) => Datum::Many(values.iter().filter_map(|value| value.read(view, names)).collect()),
        };
        (!datum.is_empty()).then_some(datum)
    }
}

fn has(names: &dyn Scope, name: &str) -> bool {
    names.lookup(name).is_some_and(|datum| !datum.is_empty())
}
