//! `throughline cookies`: the cookies that sites set through us, as a cookie policy names them.

use std::path::Path;

use clap::Args;
use serde::Serialize;

use super::{Exit, check, say};
use crate::{
    config::{Config, Environment, HostPattern, Site},
    tracking::{
        consent::{PendingClick, Requirement},
        cookie::SetCookie,
        network::{NetworkRules, SyncPages},
        preview::{LONGEST_PREVIEW, Preview},
        site::SiteRules,
    },
};

/// Options of `cookies`.
#[derive(Debug, Args)]
pub struct Options {
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// One cookie of a site.
#[derive(Debug, Serialize)]
struct CookieAccount {
    site: String,
    name: String,
    purpose: String,
    set_when: &'static str,
    /// In seconds; nothing for one that goes when the browser is closed.
    lifetime: Option<u64>,
    attributes: String,
    needs_consent: bool,
}

pub(super) fn execute(file: &Path, options: &Options) -> Exit {
    // Names and lifetimes are no secrets, and need none.
    let config = match Config::load(file, Environment::Ignored) {
        Ok(config) => config,
        Err(error) => {
            check::print(&error.problems);
            return Exit::Configuration;
        }
    };
    let cookies: Vec<CookieAccount> = config.sites.iter().flat_map(cookies_of).collect();
    if options.json {
        say(&serde_json::json!(cookies).to_string());
    } else if cookies.is_empty() {
        say("no site sets a cookie");
    } else {
        cookies.iter().for_each(print);
    }
    Exit::Success
}

fn print(cookie: &CookieAccount) {
    let lifetime = cookie.lifetime.map_or_else(|| "until the browser is closed".to_owned(), written);
    say(&format!("{}  (site {})", cookie.name, cookie.site));
    say(&format!("  purpose     {}", cookie.purpose));
    say(&format!("  set when    {}", cookie.set_when));
    say(&format!("  lifetime    {lifetime}"));
    say(&format!("  attributes  {}", cookie.attributes));
    say(&format!("  consent     {}\n", if cookie.needs_consent { "needed" } else { "not asked for" }));
}

fn written(seconds: u64) -> String {
    let units = [(86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
    let unit = units.into_iter().find(|(unit, _)| seconds.is_multiple_of(*unit));
    let (count, name) = unit.map_or((seconds, "second"), |(unit, name)| (seconds / unit, name));
    format!("{count} {name}{}", if count == 1 { "" } else { "s" })
}

fn cookies_of(site: &Site) -> Vec<CookieAccount> {
    let rules = &site.rules;
    let host = site.hosts.first().map_or("", |host| match host {
        HostPattern::Exact(host) => host.as_str(),
        HostPattern::Below(suffix) => suffix.trim_start_matches('.'),
    });
    let asks = rules.consent.require != Requirement::None;
    let asks_for =
        |network: &NetworkRules| network.consent.as_ref().map_or(asks, |requirement| *requirement != Requirement::None);
    let account = |cookie: &SetCookie, purpose: String, set_when: &'static str, needs_consent: bool| {
        let line = cookie.line("", host, true);
        of_line(rules, cookie.name(), &line, purpose, set_when, needs_consent)
    };
    let mut all: Vec<CookieAccount> = Vec::new();
    for network in &rules.networks {
        if let Some(known) = all.iter_mut().find(|known| known.name == network.cookie.name()) {
            known.needs_consent |= asks_for(network);
            continue;
        }
        let key = &network.key;
        let purpose = format!("Keeps the number by which {key} recognises the ad that brought the visitor.");
        all.push(account(&network.cookie, purpose, "a visitor arrives from an ad", asks_for(network)));
    }
    for network in &rules.networks {
        if let Some(SyncPages::All { marker }) = network.sync.as_ref().map(|sync| &sync.pages) {
            let purpose = format!("Remembers that {} has been shown its pixels, so that it is not again.", network.key);
            all.push(account(marker, purpose, "a page with these pixels is shown", asks_for(network)));
        }
    }
    if !rules.conversions.is_empty() || rules.needs_journeys() {
        let purpose = "Recognises a visitor, sealed: an order is counted once, and found with the ad it came from.";
        let when = if rules.needs_journeys() {
            "something is remembered of a visitor, or a conversion has neither an order nor a click"
        } else {
            "a conversion has neither an order nor a click to be told apart by"
        };
        all.push(account(&rules.visitor_cookie, purpose.to_owned(), when, asks));
    }
    let may_be_late = |network: &NetworkRules| !network.optimistic && network.counted_pixels().is_some();
    if !rules.conversions.is_empty() && rules.networks.iter().any(may_be_late) {
        let purpose = "Names conversions, sealed, that an ad network has yet to answer for; not the visitor.";
        let when = "a conversion is reported";
        all.push(account(&rules.late_cookie, purpose.to_owned(), when, asks));
    }
    if rules.consent.pending == PendingClick::Hold && (asks || rules.networks.iter().any(asks_for)) {
        let purpose = "Holds the number of an ad, sealed, until the visitor has chosen; then it is kept or deleted.";
        let line = rules.hold_cookie.session_line("", host, true);
        let when = "a visitor arrives from an ad and has not chosen yet";
        all.push(of_line(rules, rules.hold_cookie.name(), &line, purpose.to_owned(), when, false));
    }
    if rules.consent.bridge {
        let line = rules.consent_cookie.line("", host, true);
        let purpose = "Remembers what the visitor has chosen in the consent banner: granted or denied.";
        let when = "the banner reports a choice";
        all.push(of_line(rules, rules.consent_cookie.name(), &line, purpose.to_owned(), when, false));
    }
    let preview = Preview::cookie(LONGEST_PREVIEW);
    let purpose = "Shows an operator, sealed, what is decided about their own visits; visitors never get it.";
    let when = "somebody opens a link made with `throughline preview`";
    all.push(account(&preview, purpose.to_owned(), when, false));
    all
}

/// Reads a `Set-Cookie` line, so that what is told is what is sent.
fn of_line(
    rules: &SiteRules,
    name: &str,
    line: &str,
    purpose: String,
    set_when: &'static str,
    needs_consent: bool,
) -> CookieAccount {
    let attributes: Vec<&str> = line.split("; ").skip(1).collect();
    let lifetime = attributes.iter().find_map(|it| it.strip_prefix("Max-Age=")?.parse().ok());
    CookieAccount {
        site: rules.name.to_string(),
        name: name.to_owned(),
        purpose,
        set_when,
        lifetime,
        attributes: attributes.join("; "),
        needs_consent,
    }
}
