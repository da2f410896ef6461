//! `throughline visitor`: what is stored of one person, to show, to hand out, to erase.

use std::path::Path;

use clap::{Args, Subcommand};
use http::{HeaderMap, HeaderValue, header};
use serde_json::{Value, json};

use super::{Exit, run, say, with_office};
use crate::{
    config::{Config, Environment},
    store::{
        desk::Receipt,
        inspector::{Known, KnownHit, KnownJourney, Person, RowDetail},
        office::Office,
    },
    tracking::{
        journey::{Identifier, JourneyKey, JourneyKeys},
        timestamp::Timestamp,
        visitor::{Seal, VISITOR_COOKIE},
    },
};

/// Options of `visitor`.
#[derive(Debug, Args)]
pub struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists what is stored of a person, without the values
    Show(Who),
    /// Writes everything that is stored of a person, as JSON
    Export(Who),
    /// Erases what is stored of a person, and says what was beyond reach
    Erase(Who),
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Who {
    /// An e-mail address
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// A click ID
    #[arg(long, value_name = "ID")]
    click: Option<String>,
    /// An order id
    #[arg(long, value_name = "ID")]
    order: Option<String>,
    /// The value of the cookie `_tl` in the visitor's browser
    #[arg(long, value_name = "VALUE")]
    cookie: Option<String>,
}

pub(super) fn execute(file: &Path, options: &Options) -> Exit {
    let (Command::Show(who) | Command::Export(who) | Command::Erase(who)) = &options.command;
    // Only journeys' keys need the secrets.
    let needs_secrets = who.order.is_some() || who.cookie.is_some();
    let environment = if needs_secrets { Environment::Process } else { Environment::Ignored };
    with_office(file, environment, |config, office| {
        answer(config, office, &options.command, who).map(|()| Exit::Success)
    })
}

/// Does it, or says why not.
fn answer(config: &Config, office: &Office, command: &Command, who: &Who) -> Result<(), String> {
    let person = who.person(config)?;
    let known = office.find(&person).map_err(|error| error.to_string())?;
    match command {
        Command::Show(_) => show(&known),
        Command::Export(_) => say(&exported(&known).to_string()),
        Command::Erase(_) => {
            let receipt = office.erase(&known, who.kind()).map_err(|error| error.to_string())?;
            acknowledge(&config.server.state, config.server.fleet.is_some(), &receipt);
        }
    }
    Ok(())
}

impl Who {
    /// By what they are looked for, for the audit.
    const fn kind(&self) -> &'static str {
        let Self { email, click, order, cookie: _ } = self;
        if email.is_some() {
            "--email"
        } else if click.is_some() {
            "--click"
        } else if order.is_some() {
            "--order"
        } else {
            "--cookie"
        }
    }

    fn person(&self, config: &Config) -> Result<Person, String> {
        if let Some(email) = &self.email {
            return Ok(Person::Email(email.clone()));
        }
        if let Some(click) = &self.click {
            return Ok(Person::Click(click.clone()));
        }
        let secrets =
            run::secret::known(&config.server).map_err(|error| format!("the secret can't be read: {error}"))?;
        let secrets = || secrets.iter().map(String::as_str);
        let keys = JourneyKeys::new(secrets()).map_err(|error| error.to_string())?;
        let of_all_sites = |identifier: Identifier<'_>| -> Vec<JourneyKey> {
            config.sites.iter().flat_map(|site| keys.all(&site.rules.name, identifier)).collect()
        };
        if let Some(order) = &self.order {
            return Ok(Person::Order(order.clone(), of_all_sites(Identifier::Order(order))));
        }
        let value = self.cookie.as_deref().unwrap_or_default();
        let line = HeaderValue::try_from(format!("{VISITOR_COOKIE}={value}"));
        let headers = HeaderMap::from_iter(line.ok().map(|line| (header::COOKIE, line)));
        let seal = Seal::new(secrets()).map_err(|error| error.to_string())?;
        let visitor = seal.open(&headers).ok_or("this is no cookie of ours, or its secret is no longer configured")?;
        Ok(Person::Cookie(of_all_sites(Identifier::Visitor(visitor))))
    }
}

fn show(known: &Known) {
    if known.rows.is_empty() && known.journeys.is_empty() && known.hits.is_empty() {
        return say("nothing is stored of this person");
    }
    for row in &known.rows {
        let it = &row.summary;
        let fields: Vec<_> =
            row.payload.fields.keys().chain(row.payload.parameters.keys()).map(String::as_str).collect();
        let state = it.verdict.as_deref().unwrap_or_else(|| it.state.as_str());
        let clicks = row.payload.clicks.len();
        say(&format!(
            "conversion  {}  {}  {} {} to {}: {state}; clicks: {clicks}; values: {}",
            it.event_id.map(|id| id.to_string()).unwrap_or_default(),
            it.time.rfc3339(),
            it.site,
            it.conversion,
            it.network,
            listed(&fields),
        ));
    }
    known.hits.iter().for_each(|hit| say(&hit_line(hit)));
    for KnownJourney { key, site, expires, journey } in &known.journeys {
        let fields: Vec<_> = journey.fields.keys().map(String::as_str).collect();
        let clicks = journey.clicks.len();
        say(&format!(
            "journey     {key}  until {}  {site}; clicks: {clicks}; values: {}",
            expires.rfc3339(),
            listed(&fields)
        ));
    }
}

/// What was written down of a hit beside its outcome.
fn hit_line(hit: &KnownHit) -> String {
    let KnownHit { event_id, time, site, conversion, network, outcome, order_id, clicks, value, currency, .. } = hit;
    let values = [("order_id", order_id), ("value", value), ("currency", currency)];
    let names: Vec<_> = values.into_iter().filter_map(|(name, value)| value.as_ref().map(|_| name)).collect();
    format!(
        "hit         {event_id}  {}  {site} {conversion} to {network}: {outcome}; clicks: {}; values: {}",
        time.rfc3339(),
        clicks.len(),
        listed(&names)
    )
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn exported(known: &Known) -> Value {
    let conversion = |RowDetail { summary: it, payload, last_answer, attempts }: &RowDetail| {
        json!({
            "event": it.event_id,
            "time": it.time.rfc3339(),
            "site": it.site,
            "conversion": it.conversion,
            "network": it.network,
            "state": it.state,
            "verdict": it.verdict,
            "settled": it.settled.map(Timestamp::rfc3339),
            "attempts": it.attempts,
            "stored": payload,
            "answer": last_answer,
            "tried": attempts,
        })
    };
    let journey = |KnownJourney { key, site, expires, journey }: &KnownJourney| json!({ "key": key, "site": site, "expires": expires.rfc3339(), "stored": journey });
    let hit = |hit: &KnownHit| {
        let KnownHit { event_id, time, site, conversion, network, outcome, order_id, clicks, value, currency, details } =
            hit;
        json!({
            "event": event_id,
            "time": time.rfc3339(),
            "site": site,
            "conversion": conversion,
            "network": network,
            "outcome": outcome,
            "stored": { "order_id": order_id, "clicks": clicks, "value": value, "currency": currency, "details": details },
        })
    };
    json!({
        "conversions": known.rows.iter().map(conversion).collect::<Vec<_>>(),
        "journeys": known.journeys.iter().map(journey).collect::<Vec<_>>(),
        "hits": known.hits.iter().map(hit).collect::<Vec<_>>(),
    })
}

fn acknowledge(folder: &Path, is_of_fleet: bool, receipt: &Receipt) {
    let Receipt { unsent, emptied, hits, journeys, sent } = receipt;
    say("erased:");
    say(&format!("  {unsent} conversions that were not sent, and will not be"));
    say(&format!("  the values of {emptied} conversions in the history"));
    say(&format!("  what was written down of {hits} other hits"));
    say(&format!("  {journeys} journeys"));
    say("kept: hashes by which the same orders are not counted again");
    say("not reached:");
    for (network, count) in sent {
        say(&format!("  {count} postbacks that {network} was sent"));
    }
    say("  a running proxy's memory, for up to a second");
    if is_of_fleet {
        say("  what a node has not forwarded yet, and what was over before it joined the fleet");
        say("  backups of the database and of the state folders, and the site's own records");
    } else {
        say("  backups of the state folder, and the site's own records");
    }
    let damaged = folder.read_dir().into_iter().flatten().filter_map(Result::ok);
    for file in damaged.filter(|file| file.file_name().to_string_lossy().contains(".corrupt-")) {
        say(&format!("  the damaged store {}", file.path().display()));
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;
    use uuid::Uuid;

    use super::*;

    const SECRET: &str = "a secret of more than thirty-two characters";
    const NOBODY: Who = Who { email: None, click: None, order: None, cookie: None };

    fn config(folder: &Path) -> Config {
        let path = folder.display();
        let text = format!(
            "{{ state: {{ path: '{path}' }}, secret: {{ file: '{path}/a' }}, sites: [
                {{ name: one, hosts: one.example, upstream: 'http://127.0.0.1:1' }},
                {{ name: two, hosts: two.example, upstream: 'http://127.0.0.1:1' }}] }}"
        );
        std::io::Write::write_all(&mut std::fs::File::create(folder.join("a")).unwrap(), SECRET.as_bytes()).unwrap();
        Config::parse(Path::new("a.yaml"), &text, Environment::Process).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn a_cookie_leads_to_the_journeys_of_every_site() {
        let folder = TempDir::new().unwrap();
        let config = config(folder.path());
        let visitor = Uuid::from_u128(7);
        let cookie = Some(Seal::new([SECRET]).unwrap().seal(visitor));
        let person = Who { cookie, ..NOBODY }.person(&config).unwrap();
        let keys = JourneyKeys::new([SECRET]).unwrap();
        let expected = ["one", "two"].map(|site| keys.visitor(site, visitor).unwrap());
        assert!(matches!(person, Person::Cookie(found) if found == expected));
        let forged = Who { cookie: Some(visitor.to_string()), ..NOBODY };
        assert!(forged.person(&config).unwrap_err().contains("no cookie of ours"));
    }

    #[test]
    fn an_order_leads_to_what_was_captured_under_it() {
        let folder = TempDir::new().unwrap();
        let person = Who { order: Some("1001".into()), ..NOBODY }.person(&config(folder.path())).unwrap();
        let key = JourneyKeys::new([SECRET]).unwrap().order("two", "1001").unwrap();
        assert!(matches!(person, Person::Order(order, keys) if order == "1001" && keys.contains(&key)));
    }

    #[test]
    fn a_command_makes_no_secret_of_its_own() {
        let folder = TempDir::new().unwrap();
        let mut config = config(folder.path());
        config.server.secrets.clear();
        let refusal = Who { order: Some("1001".into()), ..NOBODY }.person(&config).unwrap_err();
        assert!(refusal.contains("the secret can't be read"), "{refusal}");
        assert!(!folder.path().join("secret").exists());
    }
}
