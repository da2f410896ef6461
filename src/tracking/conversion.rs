//! Conversions: the rule, what was read for it, and what became of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use http::Method;

use super::{
    event::{Datum, Payload},
    matcher::{Condition, PathPattern},
    postback::PostbackRule,
    template::{Scope, Template, sha256},
    value::{RequestView, Value},
    verdict::StatusPattern,
};

/// What counts as a conversion, what is read for it, and who hears of it.
#[derive(Clone, Debug)]
pub struct ConversionRule {
    /// Its name.
    pub name: Arc<str>,
    /// The thank-you page.
    pub paths: Vec<PathPattern>,
    /// Methods of the request.
    pub methods: Vec<Method>,
    /// Statuses of the answer.
    pub status: Vec<StatusPattern>,
    /// Conditions on the request; all must hold.
    pub when: Vec<Condition>,
    /// What is read, in this order.
    pub fields: Vec<(String, Value)>,
    /// What tells two conversions apart.
    pub once_per: Option<Value>,
    /// How long a repeat counts as one.
    pub dedup_window: Duration,
    /// The networks that hear of it.
    pub send: Vec<SendRule>,
}

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

/// Names that a network's templates use, so that a row holds nothing else of the visitor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    raw: BTreeSet<String>,
    hashed: BTreeSet<String>,
}

/// What became of one hit for one network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// Tracking is off or only observes.
    Off,
    /// Fetched ahead of time.
    Prefetch,
    /// Not a page that somebody sees.
    NotDocument,
    /// The answer's status, or a condition, says it is no success.
    NotSuccess,
    /// None of the identifiers that the network needs.
    NoClick,
    /// A required parameter has no value.
    Incomplete,
    /// Known already.
    Duplicate,
    /// Certainly never written.
    Unstored,
    /// On disk.
    Queued,
}

impl Outcome {
    /// All outcomes in their order of precedence.
    pub const ALL: [Self; 9] = [
        Self::Off,
        Self::Prefetch,
        Self::NotDocument,
        Self::NotSuccess,
        Self::NoClick,
        Self::Incomplete,
        Self::Duplicate,
        Self::Unstored,
        Self::Queued,
    ];

    /// The metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Prefetch => "prefetch",
            Self::NotDocument => "not_document",
            Self::NotSuccess => "not_success",
            Self::NoClick => "no_click",
            Self::Incomplete => "incomplete",
            Self::Duplicate => "duplicate",
            Self::Unstored => "unstored",
            Self::Queued => "queued",
        }
    }
}

impl ConversionRule {
    /// Matches path and method; yields the named segments. HEAD counts as GET here, so that it gets
    /// an outcome instead of vanishing.
    #[must_use]
    pub fn matches(&self, method: &Method, raw_path: &str) -> Option<Vec<(String, String)>> {
        let named = self.paths.iter().find_map(|path| path.matches(raw_path))?;
        let asked = if method == Method::HEAD { &Method::GET } else { method };
        self.methods.contains(asked).then_some(named)
    }

    /// Whether an answer with this status counts. A part of a page (206) does so only where the rule
    /// names it: players and download managers ask for parts of anything.
    #[must_use]
    pub fn succeeds(&self, status: u16) -> bool {
        let named = StatusPattern::Exactly(status);
        self.status.iter().any(|pattern| *pattern == named || (status != 206 && pattern.matches(status)))
    }

    /// Reads all fields.
    #[must_use]
    pub fn read_fields(&self, request: RequestView<'_>) -> BTreeMap<String, String> {
        let mut fields = BTreeMap::new();
        for (name, value) in &self.fields {
            let text = value.read(request, &FieldNames(&fields));
            if let Some(text) = text.filter(|text| name != "value" || is_decimal(text)) {
                fields.insert(name.clone(), text);
            }
        }
        fields
    }

    /// The value that tells two conversions apart.
    #[must_use]
    pub fn read_once(&self, request: RequestView<'_>, fields: &BTreeMap<String, String>) -> Option<String> {
        self.once_per
            .as_ref()
            .and_then(|value| value.read(request, &FieldNames(fields)))
            .filter(|text| !text.is_empty())
    }
}

impl SendRule {
    /// What a row holds: the click IDs, what the templates use, and what describes the order.
    #[must_use]
    pub fn payload(
        &self,
        request: RequestView<'_>,
        fields: &BTreeMap<String, String>,
        context: &dyn Fn(&str) -> Option<String>,
        clicks: Vec<String>,
    ) -> Payload {
        let names = FieldNames(fields);
        let parameters = self
            .captured
            .iter()
            .filter_map(|(name, captured)| Some((name.clone(), captured.read(request, &names)?)))
            .collect();
        Payload { clicks, fields: self.wanted.select(fields, context), parameters }
    }

    /// Whether there is anything to report by.
    #[must_use]
    pub fn is_attributable(&self, names: &dyn Scope) -> bool {
        self.needs.iter().all(|group| group.iter().any(|name| has(names, name)))
    }

    /// Whether all required parameters have values.
    #[must_use]
    pub fn is_complete(&self, names: &dyn Scope) -> bool {
        self.required.iter().all(|name| has(names, name))
    }
}

impl Captured {
    fn read(&self, request: RequestView<'_>, names: &dyn Scope) -> Option<Datum> {
        let datum = match self {
            Self::One(value) => Datum::One(value.read(request, names)?),
            Self::Many(values) => Datum::Many(values.iter().filter_map(|value| value.read(request, names)).collect()),
        };
        (!datum.is_empty()).then_some(datum)
    }
}

fn has(names: &dyn Scope, name: &str) -> bool {
    names.lookup(name).is_some_and(|datum| !datum.is_empty())
}

impl Wanted {
    /// Adds the names that a template uses.
    pub fn add(&mut self, template: &Template) {
        for slot in template.slots() {
            let set = if slot.is_hashed() { &mut self.hashed } else { &mut self.raw };
            set.insert(slot.name.clone());
            self.raw.extend(slot.filter_names().into_iter().map(ToOwned::to_owned));
        }
    }

    /// Adds a name whose plain value is needed.
    pub fn add_name(&mut self, name: &str) {
        self.raw.insert(name.to_owned());
    }

    /// Adds a name that matters, but whose hash is enough.
    pub fn add_hashed(&mut self, name: &str) {
        self.hashed.insert(name.to_owned());
    }

    /// The wanted fields. One that only ever leaves as a hash is stored as that hash.
    fn select(
        &self,
        fields: &BTreeMap<String, String>,
        context: &dyn Fn(&str) -> Option<String>,
    ) -> BTreeMap<String, String> {
        let find = |name: &String| fields.get(name).cloned().or_else(|| context(name));
        let hashed = self.hashed.iter().filter_map(|name| Some((name.clone(), sha256(&find(name)?))));
        let raw = self.raw.iter().filter_map(|name| Some((name.clone(), find(name)?)));
        hashed.chain(raw).collect()
    }
}

/// Fields as names in templates.
pub struct FieldNames<'a>(pub &'a BTreeMap<String, String>);

impl Scope for FieldNames<'_> {
    fn lookup(&self, name: &str) -> Option<Datum> {
        self.0.get(name).cloned().map(Datum::One)
    }
}

/// Digits with at most one point: an amount that cannot be misread.
fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    plain(whole) && plain(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_amount_that_cannot_be_misread_is_one() {
        for amount in ["10", "0", "49.90", "-5.5"] {
            assert!(is_decimal(amount), "{amount}");
        }
        for doubt in ["1,5", "1.234.5", "10 EUR", ".5", "5.", "", "-", "1e3", "NaN"] {
            assert!(!is_decimal(doubt), "{doubt}");
        }
    }

    #[test]
    fn an_address_that_only_leaves_as_a_hash_is_stored_as_a_hash() {
        let mut wanted = Wanted::default();
        wanted.add(&Template::parse("{email|sha256}").expect("a template"));
        let fields = BTreeMap::from([("email".to_owned(), "a@b.example".to_owned())]);
        let selected = wanted.select(&fields, &|_| None);
        assert_eq!(selected.get("email"), Some(&sha256("a@b.example")));
        wanted.add(&Template::parse("{email}").expect("a template"));
        assert_eq!(wanted.select(&fields, &|_| None), fields, "asked for in the clear");
    }
}
