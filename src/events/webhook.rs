//! Records as JSON lists to an address of the operator's: `POST`, `application/json`.
//!
//! Any 2xx takes them. What the server calls a mistake of ours is not repeated; everything else is,
//! so the same records may come twice.

use std::{fmt, io, sync::Arc};

use http::{
    HeaderMap, HeaderValue, Method,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use url::Url;

use super::{
    courier::{self, Courier, Fate, Parcel, Report, joined},
    feed::Inbox,
};
use crate::{
    delivery::{client::Client, retry::retry_after, route::Route},
    store::clock,
    tracking::postback::Postback,
};

/// Whom to send records to.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSettings {
    /// The whole address.
    pub url: Url,
    /// What is shown as `Authorization: Bearer …`.
    pub token: Option<HeaderValue>,
    /// The way there.
    pub route: Arc<Route>,
}

/// An address may hold a key.
impl fmt::Debug for WebhookSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookSettings").field("host", &self.url.host_str()).finish_non_exhaustive()
    }
}

/// Makes the client, and what its thread does.
pub(super) fn prepare(settings: &WebhookSettings, inbox: Inbox) -> io::Result<Box<dyn FnOnce() + Send>> {
    let client = courier::client(&settings.route)?;
    let settings = settings.clone();
    courier::work(inbox, move || Webhook { settings, client })
}

struct Webhook {
    settings: WebhookSettings,
    client: Client,
}

impl Courier for Webhook {
    async fn deliver(&mut self, parcels: &[Parcel]) -> Report {
        let list = joined(parcels, |parcel, out| out.push_str(&parcel.json));
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        if let Some(token) = &self.settings.token {
            headers.insert(AUTHORIZATION, token.clone());
        }
        let body = format!("[{list}]").into_bytes();
        let request = Postback { method: Method::POST, url: self.settings.url.clone(), headers, body };
        let reply = match self.client.send(request).await {
            Ok(reply) => reply,
            Err(reason) => return Report::later(None, format!("no answer: {}", reason.as_str())),
        };
        let why = format!("the server answers with status {}", reply.status);
        match reply.status {
            200..=299 => Report::all(Fate::Delivered, parcels.len(), why),
            // What these ask for can be put right, and then the same request will do.
            401 | 403 | 404 | 408 | 425 | 429 | 500..=599 => {
                let pause = reply.retry_after.as_deref().and_then(|header| retry_after(header, clock::now()));
                Report::later(pause, why)
            }
            _ => Report::all(Fate::Refused, parcels.len(), why),
        }
    }
}
