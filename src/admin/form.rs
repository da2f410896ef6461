//! What operators send: pairs of a query or of a form, bounded, and forms only with their session's proof.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use url::form_urlencoded;

use super::{
    door::{Guest, equal},
    frame,
};

/// Pairs of names and values.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads a query or the body of a form; pairs beyond the first thousand are left out.
    pub(super) fn parse(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).take(MOST).map(|(name, value)| (name.into(), value.into())).collect())
    }

    /// The first value of this name without white space around it, if it is not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    /// All values of this name that are not empty.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.iter().filter(move |(other, _)| *other == name).map(|(_, value)| value)
    }

    /// The value as it was sent.
    pub(super) fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value)
    }

    /// All pairs whose value is not empty.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.trim())).filter(|(_, value)| !value.is_empty())
    }
}

/// The fields of a form that one of our own pages has sent for this operator.
#[derive(Debug)]
pub(super) struct Submitted(pub(super) Fields);

impl<S: Send + Sync> FromRequest<S> for Submitted {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let guest = request.extensions().get::<Guest>().cloned();
        let body = Bytes::from_request(request, state).await.map_err(IntoResponse::into_response)?;
        let fields = Fields::parse(&body);
        let is_ours = guest.is_some_and(|guest| match &guest.csrf {
            Some(csrf) => equal(csrf.as_bytes(), fields.text(CSRF).as_bytes()),
            // No browser adds a token of its own to a stranger's form.
            None => true,
        });
        if is_ours {
            Ok(Self(fields))
        } else {
            Err(frame::refusal(StatusCode::FORBIDDEN, "This form is from another session. Go back, reload, try again."))
        }
    }
}

/// The field that shows whose form it is.
pub(super) const CSRF: &str = "csrf";
/// More than any of our forms has.
const MOST: usize = 1000;
