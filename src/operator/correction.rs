//! Completing an incomplete conversion: what an operator's values mean for it.

use std::collections::BTreeMap;

use super::Refusal;
use crate::{
    config::Config,
    store::{
        desk::{Corrected, Correction},
        inspector::{RowDetail, RowState},
        office::Office,
    },
    tracking::{
        click::ClickId,
        conversion::{ConversionRule, SendRule},
        event::{Dedup, DedupKey},
    },
};

/// Adds what the conversion with this event id, or with one that begins so, lacks.
///
/// Values are written as `order_id=1001`; `proof=yes` and `journey=yes` are assurances.
///
/// # Errors
/// When no conversion is meant, or several, or a value makes no sense for it.
pub fn complete(config: &Config, office: &Office, id: &str, values: &[String]) -> Result<Corrected, Refusal> {
    let rows = office.show(id).map_err(super::refusal)?;
    let rows: Vec<_> = rows.iter().filter(|row| row.summary.state == RowState::Incomplete).collect();
    let (row, event) = match rows.as_slice() {
        [row] => (*row, row.summary.event_id.ok_or("its event id is damaged")?),
        [] => return Err(format!("no incomplete conversion has the event id `{id}`")),
        [..] => {
            return Err(format!("several incomplete conversions are meant by `{id}`: write more of the event id"));
        }
    };
    let values = values.iter().map(|text| named(text)).collect::<Result<BTreeMap<_, _>, _>>()?;
    let correction = correction(config, row, &values)?;
    office.correct(event, &correction).map_err(super::refusal)
}

fn named(text: &str) -> Result<(String, String), Refusal> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("`{text}` is not NAME=VALUE"))?;
    let value = value.trim();
    if name.is_empty() || value.is_empty() || value.len() > MAX_VALUE {
        return Err(format!("`{name}` needs a value of 1 to {MAX_VALUE} bytes"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// What the values mean for this row, by the configuration in force.
fn correction(config: &Config, row: &RowDetail, values: &BTreeMap<String, String>) -> Result<Correction, Refusal> {
    let (rule, send) = rules(config, row).ok_or("its site, conversion or network is no longer configured")?;
    let mut correction = Correction { provided: values.keys().cloned().collect(), ..Correction::default() };
    for (name, value) in values {
        match name.as_str() {
            // Assurances, not values.
            "proof" | "journey" => {}
            "click_id" => {
                let click = ClickId::parse(value).map_err(|_| format!("`{value}` is not a click ID"))?;
                correction.click = Some(click.as_str().to_owned());
            }
            "value" if !is_amount(value) => {
                return Err(format!("`{value}` is not an amount: write digits and at most one point"));
            }
            _ => drop(correction.fields.insert(name.clone(), value.clone())),
        }
    }
    // One that only ever leaves as a hash is stored as that hash.
    let wanted = send.wanted.select(&correction.fields, &|_| None);
    for (name, value) in &mut correction.fields {
        let is_known = row.summary.missing.contains(name)
            || row.payload.fields.contains_key(name)
            || row.payload.parameters.contains_key(name);
        match wanted.get(name) {
            Some(stored) => value.clone_from(stored),
            None if is_known || name == "order_id" => {}
            None => return Err(format!("nothing that {} is told depends on `{name}`", row.summary.network)),
        }
    }
    let it = &row.summary;
    correction.key = values.get("order_id").map(|order| Dedup {
        key: DedupKey::once(&it.site, &it.conversion, &it.network, order),
        window: rule.dedup_window,
    });
    Ok(correction)
}

fn rules<'a>(config: &'a Config, row: &RowDetail) -> Option<(&'a ConversionRule, &'a SendRule)> {
    let it = &row.summary;
    let site = &config.sites.iter().find(|site| *site.rules.name == *it.site)?.rules;
    let rule = site.conversions.iter().find(|rule| *rule.name == *it.conversion)?;
    let is_meant =
        |send: &&SendRule| site.networks.get(send.network).is_some_and(|network| *network.key == *it.network);
    Some((rule, rule.send.iter().find(is_meant)?))
}

/// Digits with at most one point: an amount that cannot be misread.
fn is_amount(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    plain(whole) && plain(fraction)
}

const MAX_VALUE: usize = 1024;

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::Arc};

    use tempfile::TempDir;

    use super::*;
    use crate::{
        config::Environment,
        store::{Accepted, ErrorKind, Hold, NewRow, Retention, Store, StoreObserver},
        tracking::{
            event::{Event, EventId, Payload},
            template::sha256,
            timestamp::Timestamp,
        },
    };

    struct Silent;

    impl StoreObserver for Silent {
        fn committed(&self, _: std::time::Duration, _: usize) {}
        fn failed(&self, _: ErrorKind) {}
        fn withdrawn(&self, _: &str, _: &str) {}
    }

    fn config(folder: &Path) -> Config {
        let text = format!(
            "{{ state: {{ path: '{}' }}, sites: [{{ upstream: 'http://127.0.0.1:1', networks: {{ mine: {{
                click: {{ param: mid }}, postback: {{ url: 'https://net.example/pb', query: {{
                    cid: '{{click_id}}', mail: '{{email|sha256}}', v: '{{value}}' }} }} }} }},
                conversions: [{{ name: purchase, path: /x, order_id: query.o, value: query.v, email: query.m, send: {{ mine: {{}} }} }}] }}] }}",
            folder.display()
        );
        Config::parse(Path::new("a.yaml"), &text, Environment::Ignored).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Stores a conversion that lacks something, and returns its event id.
    async fn lacking(store: &Store, network: &str, missing: &[&str]) -> String {
        let event = Event {
            id: EventId::new(uuid::Uuid::new_v4()),
            time: Timestamp::from_millis(1_795_253_400_000),
            site: "default".into(),
            conversion: "purchase".into(),
            network: network.into(),
            payload: Payload { clicks: vec!["abc".into()], ..Payload::default() },
        };
        let id = event.id.to_string();
        let missing = missing.iter().map(ToString::to_string).collect();
        let row = NewRow { event, key: None, hold: Some(Hold::Incomplete { missing }) };
        assert_eq!(store.accept(vec![row]).await.await.unwrap(), [Accepted::Queued]);
        id
    }

    fn set(config: &Config, id: &str, values: &[&str]) -> Result<Corrected, Refusal> {
        let actor = crate::store::audit::Actor::new("tests");
        let office = Office::open(&config.server.state, None, actor).unwrap();
        complete(config, &office, id, &values.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[tokio::test]
    async fn what_an_operator_adds_is_stored_as_a_page_would_have_it() {
        let folder = TempDir::new().unwrap();
        let (store, _fresh) = Store::start(folder.path(), Retention::default(), Arc::new(Silent));
        let config = config(folder.path());
        let id = lacking(&store, "mine", &["order_id", "email", "value"]).await;
        assert_eq!(
            set(&config, &id, &["order_id=1001"]),
            Ok(Corrected::Incomplete(vec!["email".into(), "value".into()]))
        );
        assert_eq!(set(&config, &id, &["email=A@b.example", "value=49.90"]), Ok(Corrected::Queued));
        let shown = store.inspect().show(&id).unwrap();
        assert_eq!(shown[0].summary.state, RowState::Pending);
        assert_eq!(shown[0].payload.fields["order_id"], "1001");
        assert_eq!(shown[0].payload.fields["email"], sha256("a@b.example"), "only its hash will be sent");
        assert_eq!(shown[0].payload.fields["value"], "49.90");
        let same = lacking(&store, "mine", &["order_id"]).await;
        assert_eq!(set(&config, &same, &["order_id=1001"]), Ok(Corrected::Duplicate), "it has the key of a page");
        assert_eq!(set(&config, &same, &["order_id=1002", "click_id=xyz"]), Ok(Corrected::Queued));
        assert_eq!(store.inspect().show(&same).unwrap()[0].payload.clicks, ["abc", "xyz"]);
    }

    #[tokio::test]
    async fn a_value_that_makes_no_sense_changes_nothing() {
        let folder = TempDir::new().unwrap();
        let (store, _fresh) = Store::start(folder.path(), Retention::default(), Arc::new(Silent));
        let config = config(folder.path());
        let id = lacking(&store, "mine", &["value"]).await;
        for (values, said) in [
            (["value=49,90"], "is not an amount"),
            (["value=1e3"], "is not an amount"),
            (["value="], "needs a value"),
            (["value"], "is not NAME=VALUE"),
            (["colour=red"], "nothing that mine is told depends on `colour`"),
            (["click_id=a b"], "is not a click ID"),
        ] {
            let refusal = set(&config, &id, &values).unwrap_err();
            assert!(refusal.contains(said), "{values:?}: {refusal}");
        }
        assert!(set(&config, "ffffffff", &["value=1"]).unwrap_err().contains("no incomplete conversion"));
        let parked = lacking(&store, "gone", &["value"]).await;
        assert!(set(&config, &parked, &["value=1"]).unwrap_err().contains("no longer configured"));
        assert_eq!(store.inspect().show(&id).unwrap()[0].summary.missing, ["value"]);
    }
}
