//! What is told about a request: the decision of each step, as it is printed and as JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use super::question::Question;

/// The decisions about one request.
#[derive(Debug, Default, Serialize)]
pub struct Account {
    /// Method and address.
    pub request: String,
    /// The site, if one has this host.
    pub site: Option<String>,
    /// Whether somebody looks at a page.
    pub visitor: &'static str,
    pub consent: ConsentAccount,
    pub clicks: Vec<ClickAccount>,
    pub captures: Vec<CaptureAccount>,
    pub conversions: Vec<ConversionAccount>,
    pub pixels: PixelAccount,
    /// As they are sent; what we seal is left out.
    pub set_cookies: Vec<String>,
    /// What is to be known beside.
    pub notes: Vec<String>,
}

/// What the visitor has agreed to.
#[derive(Debug, Default, Serialize)]
pub struct ConsentAccount {
    pub decision: &'static str,
    pub because: String,
    /// What each place says, in order.
    pub signals: Vec<(String, &'static str)>,
    /// Where a network asks for something else.
    pub networks: BTreeMap<String, &'static str>,
    /// Whether what this visitor left with us is forgotten.
    pub withdraws: bool,
}

/// What became of a network's click ID.
#[derive(Debug, Serialize)]
pub struct ClickAccount {
    pub network: String,
    pub param: String,
    /// The word of `clicks_total`, or nothing if none arrived.
    pub result: Option<&'static str>,
    pub because: String,
    /// In this request's query.
    pub arrived: Vec<String>,
    /// In its cookie.
    pub carried: Vec<String>,
}

/// What became of a capture.
#[derive(Debug, Serialize)]
pub struct CaptureAccount {
    pub name: String,
    /// The word of `captures_total`, or nothing if the request does not match.
    pub result: Option<&'static str>,
    pub because: String,
    pub remembered: BTreeMap<String, String>,
}

/// What became of a conversion.
#[derive(Debug, Serialize)]
pub struct ConversionAccount {
    pub name: String,
    pub matches: bool,
    /// Which trigger, or why none.
    pub because: String,
    /// Named parts of the path.
    pub path: BTreeMap<String, String>,
    pub fields: Vec<FieldAccount>,
    /// What tells it from a repeat, if that has a value.
    pub once_per: Option<String>,
    pub networks: Vec<SendAccount>,
}

/// What was read for a field.
#[derive(Debug, Serialize)]
pub struct FieldAccount {
    pub name: String,
    /// The word of `fields_total`.
    pub result: &'static str,
    pub value: Option<String>,
    /// Where it stands, or where it was looked for.
    pub from: String,
}

/// What a network hears of a conversion.
#[derive(Debug, Default, Serialize)]
pub struct SendAccount {
    pub network: String,
    /// The word of `conversions_total`, or `waits` while the page is not known.
    pub outcome: &'static str,
    pub because: String,
    pub clicks: Vec<String>,
    /// What tells it from a repeat, and for how long.
    pub told_apart_by: Option<String>,
    /// What goes to the outbox, as it would be sent.
    pub postback: Option<PostbackAccount>,
    /// Pixels that go into the page in its place.
    pub pixels: Vec<String>,
}

/// A request to a network; the event id and the time are made up.
#[derive(Debug, Serialize)]
pub struct PostbackAccount {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<String>,
}

/// What goes into the page.
#[derive(Debug, Default, Serialize)]
pub struct PixelAccount {
    /// Whether the page can be edited: `yes`, or the word of `injections_total` why not.
    pub page: &'static str,
    /// By network.
    pub injected: Vec<(String, Vec<String>)>,
    /// Networks whose pixels it can't carry, and why.
    pub refused: Vec<(String, String)>,
}

impl Account {
    /// The account of a request to a host that no site has.
    pub(super) fn of_no_site(question: &Question) -> Self {
        let note =
            format!("no site has the host {}: it is answered with 421 and counted as unknown_host", question.host);
        Self { request: question.line.clone(), notes: vec![note], ..Self::default() }
    }
}
