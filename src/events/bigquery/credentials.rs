//! Who we are for Google, and the tokens that say so.
//!
//! A key of a service account signs tokens by itself; the metadata server of a virtual machine and the
//! exchange of a federated identity are asked for theirs. All of that, and when a token must be
//! renewed, is the business of Google's own crate; it signs with the TLS provider of the process.

use std::{fmt, time::Duration};

use google_cloud_auth::{
    build_errors::Error as BuildError,
    credentials::{
        AccessTokenCredentials, Builder, external_account, impersonated, service_account,
        service_account::AccessSpecifier, user_account,
    },
};
use http::HeaderValue;
use serde_json::Value as Json;
use tokio::time::timeout;

use super::word;

/// Who writes to the table.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Whoever this machine is: the file that `GOOGLE_APPLICATION_CREDENTIALS` names, what `gcloud` has
    /// left behind, or the metadata server.
    #[default]
    Default,
    /// Whom a file of Google's says.
    File(CredentialFile),
}

/// The content of a file with credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct CredentialFile {
    json: Json,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    ServiceAccount,
    ExternalAccount,
    Impersonated,
    User,
}

/// Why a text is no such file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCredentials {
    /// No JSON object.
    #[error("this is no file with Google credentials: it is not a JSON object")]
    Syntax,
    /// Of a type that is not known.
    #[error(
        "the credentials are of no known type: `type` must be service_account, external_account, impersonated_service_account or authorized_user"
    )]
    Type,
    /// A member is missing.
    #[error("the credentials lack `{0}`")]
    Missing(&'static str),
}

impl CredentialFile {
    /// Reads what Google Cloud hands out.
    ///
    /// # Errors
    /// Why it is nothing of the kind.
    pub fn parse(text: &str) -> Result<Self, InvalidCredentials> {
        let json: Json = serde_json::from_str(text).map_err(|_| InvalidCredentials::Syntax)?;
        let kind = json.as_object().ok_or(InvalidCredentials::Syntax)?.get("type").and_then(Json::as_str);
        let (kind, members): (_, &[&str]) = match kind {
            Some("service_account") => {
                (Kind::ServiceAccount, &["client_email", "private_key_id", "private_key", "project_id"])
            }
            Some("external_account") => {
                (Kind::ExternalAccount, &["audience", "subject_token_type", "token_url", "credential_source"])
            }
            Some("impersonated_service_account") => {
                (Kind::Impersonated, &["service_account_impersonation_url", "source_credentials"])
            }
            Some("authorized_user") => (Kind::User, &["client_id", "client_secret", "refresh_token"]),
            Some(_) | None => return Err(InvalidCredentials::Type),
        };
        match members.iter().find(|name| json.get(**name).is_none()) {
            Some(missing) => Err(InvalidCredentials::Missing(missing)),
            None => Ok(Self { json, kind }),
        }
    }

    /// The project that it belongs to, if it says so.
    #[must_use]
    pub fn project(&self) -> Option<&str> {
        self.json.get("project_id").and_then(Json::as_str).filter(|project| !project.is_empty())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("Default"),
            Self::File(_) => f.write_str("File(***)"),
        }
    }
}

impl fmt::Debug for CredentialFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CredentialFile({:?}, ***)", self.kind)
    }
}

/// Where tokens come from; to be used inside of a runtime.
pub(super) struct Tokens {
    credentials: Credentials,
    source: Option<AccessTokenCredentials>,
}

impl Tokens {
    pub(super) const fn new(credentials: Credentials) -> Self {
        Self { credentials, source: None }
    }

    /// The header that proves who we are, or why there is none.
    pub(super) async fn token(&mut self) -> Result<HeaderValue, String> {
        let source = match self.source.take() {
            Some(source) => source,
            None => built(&self.credentials).map_err(|error| told("the credentials cannot be used", &error))?,
        };
        let token = timeout(PATIENCE, source.access_token()).await;
        // What has failed is made anew next time: it would not try again by itself.
        let token = token.map_err(|_| "Google gave no token in time".to_owned())?;
        let token = token.map_err(|error| told("Google gave no token", &error))?;
        let header = HeaderValue::try_from(format!("Bearer {}", token.token));
        let mut header = header.map_err(|_| "Google gave a token that no header can hold".to_owned())?;
        header.set_sensitive(true);
        self.source = Some(source);
        Ok(header)
    }

    /// Forgets a token that was refused.
    pub(super) fn discard(&mut self) {
        self.source = None;
    }
}

fn built(credentials: &Credentials) -> Result<AccessTokenCredentials, BuildError> {
    let scopes = [SCOPE];
    let Credentials::File(CredentialFile { json, kind }) = credentials else {
        return Builder::default().with_scopes(scopes).build_access_token_credentials();
    };
    let json = json.clone();
    match kind {
        Kind::ServiceAccount => service_account::Builder::new(json)
            .with_access_specifier(AccessSpecifier::from_scopes(scopes))
            .build_access_token_credentials(),
        Kind::ExternalAccount => {
            external_account::Builder::new(json).with_scopes(scopes).build_access_token_credentials()
        }
        Kind::Impersonated => impersonated::Builder::new(json).with_scopes(scopes).build_access_token_credentials(),
        Kind::User => user_account::Builder::new(json).with_scopes(scopes).build_access_token_credentials(),
    }
}

/// What went wrong, without what a server may have repeated of the request: of its answer, the word alone.
fn told(what: &str, error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    let (text, answer) = text.split_once(", body=<").unwrap_or((&text, ""));
    let answer: Option<Json> = answer.rsplit_once('>').and_then(|(answer, _)| serde_json::from_str(answer).ok());
    let named = answer.as_ref().and_then(|answer| answer.get("error")?.as_str()).map(word).unwrap_or_default();
    let text: String = text.chars().take(MAX_ERROR).collect();
    format!("{what}: {text} {named}").trim_end().to_owned()
}

/// It lets nothing but rows in (developers.google.com/identity/protocols/oauth2/scopes#bigquery, 2026-11).
const SCOPE: &str = "https://www.googleapis.com/auth/bigquery.insertdata";
const PATIENCE: Duration = Duration::from_secs(20);
const MAX_ERROR: usize = 200;
