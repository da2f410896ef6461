//! What a destination adds to its requests: the way they leave by, and the token they carry.

use std::{fmt, sync::Arc};

use url::Url;

use super::{mask::Mask, route::Route};

/// How requests to one network get there.
#[derive(Clone, Debug, Default)]
pub struct Outbound {
    /// The way.
    pub route: Arc<Route>,
    /// Where its access tokens come from, if it asks for any.
    pub token: Option<Arc<TokenRule>>,
    /// What is masked in its answers.
    pub mask: Mask,
}

/// How access tokens are obtained (OAuth 2.0, RFC 6749).
///
/// With a refresh token by that (section 6), else by the credentials alone (section 4.4).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TokenRule {
    /// Who gives them out.
    pub url: Url,
    /// Who we are.
    pub client_id: String,
    /// Our password.
    pub client_secret: Option<String>,
    /// What the token is to allow, in several words.
    pub scope: Option<String>,
    /// For whom it is to be.
    pub audience: Option<String>,
    /// What was given to us once and for all.
    pub refresh_token: Option<String>,
    /// Where id and password stand in the request.
    pub credentials: Credentials,
}

/// Where id and password stand in a request for a token (RFC 6749, section 2.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Credentials {
    /// In the header `Authorization`.
    #[default]
    Header,
    /// In the body.
    Body,
}

impl fmt::Debug for TokenRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRule").field("url", &self.url.host_str()).finish_non_exhaustive()
    }
}
