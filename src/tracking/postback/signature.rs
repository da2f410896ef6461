//! A checksum over a whole request, by which a network knows that we have sent it.
//!
//! It is made when everything else of the request stands, over any text: values and a secret one after
//! the other, or the address or the body as they go onto the wire. A request is never sent without the
//! signature that its rule asks for.

use http::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::{Unrenderable, address::push_pair};
use crate::tracking::{
    digest::{Algorithm, Writing},
    event::Datum,
    template::{Encoding, Scope, Template, encode_component},
};

/// How a request is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignRule {
    /// What is signed; the names of [`SIGNED`] stand for parts of the request.
    pub over: Template,
    /// The checksum.
    pub with: Algorithm,
    /// Makes it an HMAC.
    pub key: Option<Template>,
    /// How it is written.
    pub writing: Writing,
    /// Stands before it.
    pub prefix: String,
    /// Where it goes.
    pub place: SignPlace,
}

/// Where a signature goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignPlace {
    /// Behind the query, under this name.
    Query(String),
    /// Behind the form, under this name.
    Form(String),
    /// Into this header.
    Header(HeaderName),
}

/// A request that only lacks its signature.
pub(super) struct Unsigned<'a> {
    pub(super) url: &'a mut Url,
    pub(super) headers: &'a mut HeaderMap,
    pub(super) body: &'a mut Vec<u8>,
}

impl SignRule {
    pub(super) fn sign(&self, names: &dyn Scope, request: Unsigned<'_>) -> Result<(), Unrenderable> {
        let Unsigned { url, headers, body } = request;
        let signed = Signed { names, url, body };
        let signature = self.signature(&signed).ok_or(Unrenderable::Signature)?;
        match &self.place {
            SignPlace::Query(name) => {
                let mut query = url.query().unwrap_or_default().to_owned();
                push_encoded(&mut query, name, &signature);
                url.set_query(Some(&query));
            }
            SignPlace::Form(name) => {
                let mut form = String::from_utf8_lossy(body).into_owned();
                push_encoded(&mut form, name, &signature);
                *body = form.into_bytes();
            }
            SignPlace::Header(name) => {
                let value = HeaderValue::try_from(signature).map_err(|_| Unrenderable::Header(name.to_string()))?;
                headers.insert(name.clone(), value);
            }
        }
        Ok(())
    }

    fn signature(&self, signed: &Signed<'_>) -> Option<String> {
        let text = self.over.render(signed, Encoding::Raw)?;
        let bytes = match &self.key {
            None => self.with.digest(text.as_bytes()),
            // A checksum with an empty key could be made by anybody.
            Some(key) => {
                let key = key.render(signed, Encoding::Raw).filter(|key| !key.is_empty())?;
                self.with.hmac(key.as_bytes(), text.as_bytes())
            }
        };
        Some(format!("{}{}", self.prefix, self.writing.text(&bytes)))
    }
}

fn push_encoded(pairs: &mut String, name: &str, value: &str) {
    let mut encoded = String::new();
    encode_component(value, &mut encoded);
    push_pair(pairs, name, &encoded);
}

/// The names of the event and those of its request.
struct Signed<'a> {
    names: &'a dyn Scope,
    url: &'a Url,
    body: &'a [u8],
}

impl Scope for Signed<'_> {
    fn lookup(&self, name: &str) -> Option<Datum> {
        let part = match name {
            "request_url" => self.url.as_str().to_owned(),
            "request_path" => self.url.path().to_owned(),
            "request_query" => self.url.query().unwrap_or_default().to_owned(),
            "request_body" => String::from_utf8_lossy(self.body).into_owned(),
            _ => return self.names.lookup(name),
        };
        Some(Datum::One(part))
    }
}

/// Names that stand for parts of the request, in what is signed alone: as they are before it is signed.
pub const SIGNED: [&str; 4] = ["request_url", "request_path", "request_query", "request_body"];
