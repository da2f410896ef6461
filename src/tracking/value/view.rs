//! What sources can see: the visitor's request, the site's answer, the journey.

use std::collections::HashMap;

use http::HeaderMap;
use serde_json::Value as Json;

use super::source::PageSource;
use crate::tracking::{body::RequestBody, journey::Journey};

/// What was read of a page.
pub type PageValues = HashMap<PageSource, Json>;

/// The visitor's request, as far as its head shows it.
#[derive(Clone, Copy, Debug)]
pub struct RequestView<'a> {
    /// The query without its `?`, empty when there is none.
    pub query: &'a str,
    /// Named segments of the path that matched.
    pub path: &'a [(String, String)],
    /// All headers.
    pub headers: &'a HeaderMap,
}

/// Everything that is known at some moment; what has not come yet is `None`.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The head of the request.
    pub request: RequestView<'a>,
    /// Its body.
    pub body: Option<&'a RequestBody>,
    /// The headers of the answer.
    pub response: Option<&'a HeaderMap>,
    /// The JSON of the answer.
    pub answer: Option<&'a RequestBody>,
    /// What was read of the page.
    pub page: Option<&'a PageValues>,
    /// What is known of the visitor's journey.
    pub journey: Option<&'a Journey>,
}

impl<'a> From<RequestView<'a>> for View<'a> {
    fn from(request: RequestView<'a>) -> Self {
        Self { request, body: None, response: None, answer: None, page: None, journey: None }
    }
}
