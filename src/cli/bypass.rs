//! `throughline bypass`: switches tracking of a site off for a while, past the configuration.
//!
//! It works on the state folder alone, so it works while the proxy is down, too; a running one notices
//! within two seconds. What is queued is delivered all the same.

use std::{path::Path, time::Duration};

use clap::Args;
use serde_json::json;

use super::{Exit, actor, complain, say, with_config};
use crate::{
    config::{Config, Environment, units},
    store::{
        bypass::{Bypass, Done, Halt, Target},
        clock,
    },
    tracking::timestamp::Timestamp,
};

/// Options of `bypass`.
#[derive(Debug, Args)]
pub struct Options {
    /// A site, or SITE/NETWORK; without it, what is bypassed is listed
    target: Option<Target>,
    /// How long, as in `30m` or `2d` [default: until it is ended]
    #[arg(long = "for", value_name = "TIME", value_parser = length, requires = "target", conflicts_with = "end")]
    length: Option<Duration>,
    /// Evaluate everything, but change and send nothing
    #[arg(long, requires = "target", conflicts_with = "end")]
    observe: bool,
    /// End it: tracking acts as configured
    #[arg(long, requires = "target")]
    end: bool,
    /// As JSON, one object a line
    #[arg(long, conflicts_with = "target")]
    json: bool,
}

pub(super) fn execute(file: &Path, options: Options) -> Exit {
    // Names and the folder are no secrets, and need none.
    with_config(file, Environment::Ignored, |config| match options.target {
        None => list(config, options.json),
        Some(target) if options.end => end(config, &target),
        Some(target) => {
            let tracking = if options.observe { Halt::Observe } else { Halt::Off };
            begin(config, target, tracking, options.length)
        }
    })
}

fn list(config: &Config, as_json: bool) -> Result<Exit, String> {
    let all = Bypass::list(&config.server.state).map_err(|error| error.to_string())?;
    if all.is_empty() && !as_json {
        say("nothing is bypassed");
    }
    for bypass in all {
        if as_json {
            say(&json!(bypass).to_string());
        } else {
            let Bypass { target, tracking, since, until, who } = bypass;
            let (tracking, since, until) = (tracking.as_str(), since.rfc3339(), end_in_words(until));
            say(&format!("{target}  {tracking}  {until}  (since {since}, by {who})"));
        }
    }
    Ok(Exit::Success)
}

fn begin(config: &Config, target: Target, tracking: Halt, length: Option<Duration>) -> Result<Exit, String> {
    check(config, &target)?;
    let until = length.map(|length| clock::now().plus(length));
    let done = Bypass::set(&config.server.state, &actor::current(), target, tracking, until);
    let Bypass { target, tracking, until, .. } = told(config, done.map_err(|error| error.to_string())?);
    say(&format!(
        "{target} is bypassed (tracking: {}) {}; what is queued is still delivered",
        tracking.as_str(),
        end_in_words(until)
    ));
    Ok(Exit::Success)
}

/// Names that are not configured any more can be ended, too.
fn end(config: &Config, target: &Target) -> Result<Exit, String> {
    let done = Bypass::end(&config.server.state, &actor::current(), target).map_err(|error| error.to_string())?;
    match told(config, done) {
        Some(_) => say(&format!("{target} is not bypassed any more: tracking acts as configured")),
        None => return Err(format!("{target} is not bypassed")),
    }
    Ok(Exit::Success)
}

/// Says what is to be known beside what was done.
fn told<T>(config: &Config, done: Done<T>) -> T {
    if let Some(error) = done.unaudited {
        complain(&format!("done, but not entered in the audit: {error}"));
    }
    if config.server.fleet.is_some() {
        complain("this holds for the node with this state folder alone: do the same on the others");
    }
    done.result
}

fn check(config: &Config, target: &Target) -> Result<(), String> {
    let names = |names: Vec<&str>| names.join(", ");
    let Some(site) = config.sites.iter().find(|site| *site.rules.name == target.site) else {
        let sites = config.sites.iter().map(|site| &*site.rules.name).collect();
        return Err(format!("no site is called `{}`; there is {}", target.site, names(sites)));
    };
    let Some(key) = &target.network else { return Ok(()) };
    let keys = || site.rules.networks.iter().map(|network| &*network.key);
    if keys().any(|known| known == key) {
        return Ok(());
    }
    Err(format!("the site `{}` has no network `{key}`; it has {}", target.site, names(keys().collect())))
}

fn end_in_words(until: Option<Timestamp>) -> String {
    until.map_or_else(|| "until it is ended".to_owned(), |until| format!("until {}", until.rfc3339()))
}

/// Reads how long something is to last.
pub(super) fn length(text: &str) -> Result<Duration, &'static str> {
    let length = units::duration(text).map_err(|_| "write a time like `30m`, `1h` or `2d`")?;
    if length.is_zero() { Err("it would be over at once") } else { Ok(length) }
}
