//! What is told about a request: the decision of each step, as it is printed and as JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use super::question::Question;

/// The decisions about one request.
#[derive(Debug, Default, Serialize)]
pub(super) struct Account {
    /// Method and address.
    pub(super) request: String,
    /// The site, if one has this host.
    pub(super) site: Option<String>,
    /// Whether somebody looks at a page.
    pub(super) visitor: &'static str,
    pub(super) consent: ConsentAccount,
    pub(super) clicks: Vec<ClickAccount>,
    pub(super) captures: Vec<CaptureAccount>,
    pub(super) conversions: Vec<ConversionAccount>,
    pub(super) pixels: PixelAccount,
    /// As they are sent; what we seal is left out.
    pub(super) set_cookies: Vec<String>,
    /// What is to be known beside.
    pub(super) notes: Vec<String>,
}

/// What the visitor has agreed to.
#[derive(Debug, Default, Serialize)]
pub(super) struct ConsentAccount {
    pub(super) decision: &'static str,
    pub(super) because: String,
    /// What each place says, in order.
    pub(super) signals: Vec<(String, &'static str)>,
    /// Where a network asks for something else.
    pub(super) networks: BTreeMap<String, &'static str>,
    /// Whether what this visitor left with us is forgotten.
    pub(super) withdraws: bool,
}

/// What became of a network's click ID.
#[derive(Debug, Serialize)]
pub(super) struct ClickAccount {
    pub(super) network: String,
    pub(super) param: String,
    /// The word of `clicks_total`, or nothing if none arrived.
    pub(super) result: Option<&'static str>,
    pub(super) because: String,
    /// In this request's query.
    pub(super) arrived: Vec<String>,
    /// In its cookie.
    pub(super) carried: Vec<String>,
}

/// What became of a capture.
#[derive(Debug, Serialize)]
pub(super) struct CaptureAccount {
    pub(super) name: String,
    /// The word of `captures_total`, or nothing if the request does not match.
    pub(super) result: Option<&'static str>,
    pub(super) because: String,
    pub(super) remembered: BTreeMap<String, String>,
}

/// What became of a conversion.
#[derive(Debug, Serialize)]
pub(super) struct ConversionAccount {
    pub(super) name: String,
    pub(super) matches: bool,
    /// Which trigger, or why none.
    pub(super) because: String,
    /// Named parts of the path.
    pub(super) path: BTreeMap<String, String>,
    pub(super) fields: Vec<FieldAccount>,
    /// What tells it from a repeat, if that has a value.
    pub(super) once_per: Option<String>,
    pub(super) networks: Vec<SendAccount>,
}

/// What was read for a field.
#[derive(Debug, Serialize)]
pub(super) struct FieldAccount {
    pub(super) name: String,
    /// The word of `fields_total`.
    pub(super) result: &'static str,
    pub(super) value: Option<String>,
    /// Where it stands, or where it was looked for.
    pub(super) from: String,
}

/// What a network hears of a conversion.
#[derive(Debug, Default, Serialize)]
pub(super) struct SendAccount {
    pub(super) network: String,
    /// The word of `conversions_total`, or `waits` while the page is not known.
    pub(super) outcome: &'static str,
    pub(super) because: String,
    pub(super) clicks: Vec<String>,
    /// What tells it from a repeat, and for how long.
    pub(super) told_apart_by: Option<String>,
    /// What goes to the outbox, as it would be sent.
    pub(super) postback: Option<PostbackAccount>,
    /// Pixels that go into the page in its place.
    pub(super) pixels: Vec<String>,
}

/// A request to a network; the event id and the time are made up.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct PostbackAccount {
    pub(in crate::cli) method: String,
    pub(in crate::cli) url: String,
    pub(in crate::cli) headers: Vec<(String, String)>,
    pub(in crate::cli) body: Option<String>,
}

/// What goes into the page.
#[derive(Debug, Default, Serialize)]
pub(super) struct PixelAccount {
    /// Whether the page can be edited: `yes`, or the word of `injections_total` why not.
    pub(super) page: &'static str,
    /// By network.
    pub(super) injected: Vec<(String, Vec<String>)>,
    /// Networks whose pixels it can't carry, and why.
    pub(super) refused: Vec<(String, String)>,
}

impl Account {
    /// The account of a request to a host that no site has.
    pub(super) fn of_no_site(question: &Question) -> Self {
        let note =
            format!("no site has the host {}: it is answered with 421 and counted as unknown_host", question.host);
        Self { request: question.line.clone(), notes: vec![note], ..Self::default() }
    }
}
