//! The request that a network is sent, built from an event and the configuration in force.

use http::{HeaderMap, Method};
use url::Url;

use super::event::Event;

/// How one conversion is reported to one network: its rules with this site's settings.
#[derive(Clone, Debug)]
pub struct PostbackRule {}

/// A finished request.
#[derive(Clone, Debug)]
pub struct Postback {
    /// GET or POST.
    pub method: Method,
    /// The whole address.
    pub url: Url,
    /// Headers, authorization included.
    pub headers: HeaderMap,
    /// The body, empty for GET.
    pub body: Vec<u8>,
}

/// Why no request could be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unrenderable {
    /// The address came out wrong.
    #[error("the address of the postback is not a valid URL")]
    Url,
    /// A header value holds bytes that no header may hold.
    #[error("the header {0} has a value that HTTP does not allow")]
    Header(String),
}

impl PostbackRule {
    /// Builds the request for an event.
    pub fn render(&self, _event: &Event) -> Result<Postback, Unrenderable> {
        Err(Unrenderable::Url)
    }
}
