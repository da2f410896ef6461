//! `throughline explain`: what would be done about one request, and why.
//!
//! The request goes through the same decisions as in the proxy; only nothing is carried out. The store
//! is neither read nor written, so whether an order is known already is left open, and so is what a
//! journey remembers, unless the options say.

use std::{io, net::IpAddr, path::Path, path::PathBuf, sync::Arc};

use clap::Args;
use http::{HeaderName, HeaderValue, Method};
use url::Url;
use uuid::Uuid;

use super::{Exit, check, complain, run, say};
use crate::{
    config::{Config, Environment, secrets},
    metrics::Metrics,
    proxy::runtime::{Names, SiteTable, TrackedSite},
    store::{Switched, bypass::Bypass},
    tracking::{journey::JourneyKeys, visitor::Seal},
};

mod account;
mod live;
mod mask;
mod question;
mod weigh;
mod why;
mod words;

use account::Account;
pub(super) use mask::Mask;
use question::Question;
pub(super) use weigh::rendered;

/// Options of `explain`.
#[derive(Debug, Args)]
pub struct Options {
    /// The address, as a visitor's browser asks for it: `https://shop.example/thank-you?order=1001`
    #[arg(value_parser = question::address)]
    url: Url,
    /// The method [default: GET, with `--data` POST]
    #[arg(long)]
    method: Option<Method>,
    /// A header of the request; without a `User-Agent`, that of a browser
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = question::header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// A cookie of the request
    #[arg(long = "cookie", value_name = "NAME=VALUE")]
    cookies: Vec<String>,
    /// The body of the request, or `@` and the file that it stands in
    #[arg(long, value_name = "BODY|@FILE")]
    data: Option<String>,
    /// What this body is [default: application/x-www-form-urlencoded]
    #[arg(long, requires = "data")]
    content_type: Option<HeaderValue>,
    /// Where the visitor is
    #[arg(long, default_value = "192.0.2.1")]
    address: IpAddr,
    /// A capture that this visitor has passed before
    #[arg(long, value_name = "CAPTURE")]
    passed: Vec<String>,
    /// A field that a capture has remembered of this visitor
    #[arg(long, value_name = "NAME=VALUE")]
    remembered: Vec<String>,
    /// The status of the site's answer
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(101..600))]
    status: u16,
    /// A header of the site's answer; without a `Content-Type`, it is a page
    #[arg(long = "response-header", value_name = "NAME: VALUE", value_parser = question::header)]
    response_headers: Vec<(HeaderName, HeaderValue)>,
    /// A file with the body of the site's answer
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
    /// Ask the site's own server for the answer; GET and HEAD alone
    #[arg(long, conflicts_with_all = ["page", "status", "response_headers", "data"])]
    live: bool,
    /// Take every ${NAME} for set and right
    #[arg(long)]
    no_environment: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn execute(file: &Path, options: &Options) -> Exit {
    let environment = if options.no_environment { Environment::Ignored } else { Environment::Process };
    let config = match Config::load(file, environment) {
        Ok(config) => config,
        Err(error) => {
            check::print(&error.problems);
            return Exit::Configuration;
        }
    };
    // Servers over TLS are prepared, too, though nobody connects to them unless told to.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let table = match SiteTable::new(&config, &Metrics::new()) {
        Ok(table) => table,
        Err(error) => {
            complain(&error.to_string());
            return Exit::Configuration;
        }
    };
    let mask = Mask::new(secrets::secrets(file, environment));
    match explained(&config, &table, &mask, options) {
        Ok(account) if options.json => say(&serde_json::json!(account).to_string()),
        Ok(account) => say(words::plain(&account).trim_end()),
        Err(error) => {
            complain(&error.to_string());
            return Exit::Failure;
        }
    }
    Exit::Success
}

fn explained(config: &Config, table: &SiteTable, mask: &Mask, options: &Options) -> io::Result<Account> {
    let mut question = Question::new(options)?;
    let index = table.find_host(question.host.as_bytes());
    let Some(site) = index.and_then(|index| config.sites.get(index)) else {
        return Ok(Account::of_no_site(&question));
    };
    if options.live {
        question.reply = live::ask(&site.upstream, &question)?;
    }
    let names = names(config)?;
    let site = Arc::new(TrackedSite::new(site, Some(&names), &Arc::new(Metrics::new())));
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

/// What the secret makes; a command makes none in the state folder, so one that is made up stands in.
fn names(config: &Config) -> io::Result<Names> {
    let known = run::secret::known(&config.server).unwrap_or_default();
    let made_up = [format!("{}{}", Uuid::new_v4(), Uuid::new_v4())];
    let secrets = if known.iter().any(|secret| secret.len() < 32) || known.is_empty() { &made_up[..] } else { &known };
    let texts = || secrets.iter().map(String::as_str);
    let seal = Seal::new(texts()).map_err(io::Error::other)?;
    let journeys = JourneyKeys::new(texts()).map_err(io::Error::other)?;
    Ok(Names { seal: Arc::new(seal), journeys: Arc::new(journeys) })
}
