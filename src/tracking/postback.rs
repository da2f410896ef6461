//! The request that a network is sent, built from an event and the configuration in force.
//!
//! Nothing that came from a visitor can choose where the request goes: scheme, host and port stand in
//! the configuration, and values in the path are escaped so that they stay inside their segment.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use url::Url;

use self::signature::Unsigned;
use super::{
    event::{Datum, Event},
    template::{Encoding, Scope, Template},
};

mod address;
mod authorization;
mod batch;
mod body;
mod names;
mod signature;

use address::push_extra;
pub use address::{UrlRule, render_pairs};
pub use authorization::Authorization;
pub use batch::{Batch, BatchRule, NotJoined};
pub use body::{BodyRule, ExtraPlace, JsonRule};
pub use names::{BUILT_INS, ConfiguredNames, EventNames, ITEM_BUILT_INS, Identity, REQUEST_BUILT_INS};
pub use signature::{SIGNED, SignPlace, SignRule};

/// How one conversion is reported to one network: its rules with this site's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostbackRule {
    /// The network's part.
    pub request: RequestRule,
    /// Names that stand for values of the configuration.
    pub names: ConfiguredNames,
    /// Further names under `send.NETWORK.extra`, in the order they were written.
    pub extra: Vec<String>,
}

/// What a network's file says of its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRule {
    /// GET or POST.
    pub method: Method,
    /// The address up to the query.
    pub url: UrlRule,
    /// Query parameters in wire order.
    pub query: Vec<(String, Template)>,
    /// Headers.
    pub headers: Vec<(HeaderName, Template)>,
    /// How it proves who sends it.
    pub authorization: Authorization,
    /// The body.
    pub body: BodyRule,
    /// Where further parameters go.
    pub extra: ExtraPlace,
    /// The checksum over all of it.
    pub sign: Option<SignRule>,
}

/// A finished request.
#[derive(Clone)]
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
    /// The address came out wrong, or a value would change the structure of its path.
    #[error("the address of the postback is not a valid URL")]
    Url,
    /// A header value holds bytes that no header may hold.
    #[error("the header {0} has a value that HTTP does not allow")]
    Header(String),
    /// A value that is signed is missing.
    #[error("the postback cannot be signed: a value or a key is missing")]
    Signature,
}

impl PostbackRule {
    /// Builds the request for an event.
    pub fn render(&self, event: &Event) -> Result<Postback, Unrenderable> {
        let names = EventNames::new(&self.names, &event.payload, Identity::of(event));
        let extra = self.extra_values(&names);
        let mut pairs = render_pairs(&self.request.query, &names);
        if matches!(self.request.extra, ExtraPlace::Query) {
            push_extra(&mut pairs, &extra);
        }
        let mut url = Url::parse(&self.request.url.render(&names, &pairs)?).map_err(|_| Unrenderable::Url)?;
        let mut headers = self.headers(&names)?;
        let body = self.request.body.render(&names, &self.request.extra, &extra);
        if let Some((content_type, _)) = body {
            headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static(content_type));
        }
        let mut body = body.map(|(_, text)| text.into_bytes()).unwrap_or_default();
        if let Some(sign) = &self.request.sign {
            sign.sign(&names, Unsigned { url: &mut url, headers: &mut headers, body: &mut body })?;
        }
        Ok(Postback { method: self.request.method.clone(), url, headers, body })
    }

    fn extra_values<'a>(&'a self, names: &EventNames<'_>) -> Vec<(&'a str, String)> {
        self.extra
            .iter()
            .filter_map(|name| match names.lookup(&format!("extra.{name}"))? {
                Datum::One(text) => Some((name.as_str(), text)),
                Datum::Many(texts) => Some((name.as_str(), texts.join(","))),
            })
            .collect()
    }

    fn headers(&self, names: &EventNames<'_>) -> Result<HeaderMap, Unrenderable> {
        let mut headers = HeaderMap::new();
        for (name, template) in &self.request.headers {
            if let Some(text) = template.render(names, Encoding::Raw) {
                let mut value = HeaderValue::try_from(text).map_err(|_| Unrenderable::Header(name.to_string()))?;
                value.set_sensitive(name == header::AUTHORIZATION || self.names.holds_secret(template));
                headers.insert(name.clone(), value);
            }
        }
        if let Some(credentials) = self.request.authorization.render(names) {
            let mut value = HeaderValue::try_from(credentials)
                .map_err(|_| Unrenderable::Header(header::AUTHORIZATION.to_string()))?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        Ok(headers)
    }
}

/// Secrets and personal values may stand anywhere in it, so little of it is shown.
impl fmt::Debug for Postback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postback")
            .field("method", &self.method)
            .field("host", &self.url.host_str())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
