//! What would be done about one request, and why: for the command line and for the console.
//!
//! The request goes through the same decisions as in the proxy; only nothing is carried out. The store
//! is neither read nor written, so whether an order is known already is left open, and so is what a
//! journey remembers, unless the question says.

use std::{io, net::IpAddr, sync::Arc};

use http::{HeaderName, HeaderValue, Method};
use url::Url;
use uuid::Uuid;

use crate::{
    config::Config,
    events::Bus,
    metrics::Metrics,
    proxy::runtime::{Names, SiteTable, TrackedSite},
    store::{Switched, bypass::Bypass},
    tracking::{journey::JourneyKeys, visitor::Seal},
};

pub mod account;
mod live;
mod mask;
mod question;
mod request;
mod weigh;
mod why;
mod words;

pub use account::Account;
pub use mask::Mask;
pub use question::{LARGEST_BODY, address, header};
pub use request::request;
pub use words::plain;

use question::Question;

/// What somebody asks about: a request, and the answer that the site is said to give.
#[derive(Debug)]
pub struct Asked {
    /// The address, as a visitor's browser asks for it.
    pub url: Url,
    /// The method; GET, or POST if there is a body.
    pub method: Option<Method>,
    /// Headers of the request, in place of the usual ones.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Cookies, as `NAME=VALUE`.
    pub cookies: Vec<String>,
    /// The body of the request.
    pub body: Option<Vec<u8>>,
    /// What this body is; a form unless said otherwise.
    pub content_type: Option<HeaderValue>,
    /// Where the visitor is.
    pub address: IpAddr,
    /// Captures that this visitor has passed before.
    pub passed: Vec<String>,
    /// What captures have remembered of this visitor, as `NAME=VALUE`.
    pub remembered: Vec<String>,
    /// The status of the site's answer.
    pub status: u16,
    /// Headers of the site's answer, in place of the usual ones.
    pub response_headers: Vec<(HeaderName, HeaderValue)>,
    /// The body of the site's answer, if it is known.
    pub page: Option<Vec<u8>>,
    /// Whether the site's own server is asked for its answer.
    pub is_live: bool,
}

/// Tells what would be done; without names, those of this process are made up.
///
/// Blocks while the site's own server is asked.
///
/// # Errors
/// When the question makes no sense, or that server does not answer.
pub fn explained(
    config: &Config,
    table: &SiteTable,
    names: Option<&Names>,
    mask: &Mask,
    asked: &Asked,
) -> io::Result<Account> {
    let mut question = Question::new(asked)?;
    let index = table.find_host(question.host.as_bytes());
    let Some(site) = index.and_then(|index| config.sites.get(index)) else {
        return Ok(Account::of_no_site(&question));
    };
    if asked.is_live {
        question.reply = live::ask(&site.upstream, &question)?;
    }
    let made_up = if names.is_none() { Some(made_up()?) } else { None };
    let site = Arc::new(TrackedSite::new(site, names.or(made_up.as_ref()), &Arc::new(Metrics::new()), &Bus::default()));
    let switched = Bypass::list(&config.server.state);
    site.heed(switched.as_deref().unwrap_or_default());
    let mut account = weigh::account(&site.in_force(), &question, mask);
    account.notes.extend(match switched {
        Ok(all) => all.iter().filter(|it| it.target.site == *site.rules.name).map(bypassed).collect(),
        Err(error) => vec![format!("whether an operator bypasses the site is not known: {error}")],
    });
    Ok(account)
}

fn bypassed(bypass: &Bypass) -> String {
    let Bypass { target, tracking, until, .. } = bypass;
    let until = until.map_or_else(String::new, |until| format!(" until {}", until.rfc3339()));
    format!("an operator has switched tracking of {target} to `{}`{until}: see `throughline bypass`", tracking.as_str())
}

/// Names as any secret would make them: nothing that is told depends on it.
fn made_up() -> io::Result<Names> {
    let secret = format!("{}{}", Uuid::new_v4(), Uuid::new_v4());
    let seal = Seal::new([secret.as_str()]).map_err(io::Error::other)?;
    let journeys = JourneyKeys::new([secret.as_str()]).map_err(io::Error::other)?;
    Ok(Names { seal: Arc::new(seal), journeys: Arc::new(journeys) })
}
