//! What watches Throughline in Prometheus and Grafana: every query means metrics that exist.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use regex::Regex;
use serde_json::Value;
use throughline::metrics::Metrics;

use crate::support::{
    await_fact,
    config::{THANKS, shop},
    network::AdNetwork,
    origin::Origin,
    prometheus::Prometheus,
    proxy::Proxy,
};

#[test]
fn every_query_asks_for_metrics_and_labels_that_there_are() {
    let described: BTreeMap<&str, &[&str]> =
        Metrics::DESCRIBED.iter().map(|(name, labels, _)| (*name, *labels)).collect();
    let mut used = BTreeSet::new();
    for query in queries() {
        for (name, labels) in asked_for(&query) {
            let known = described.get(name.as_str()).unwrap_or_else(|| panic!("no metric `{name}`: {query}"));
            for label in labels {
                let is_known = known.contains(&label.as_str()) || ["instance", "job", "le"].contains(&label.as_str());
                assert!(is_known, "`{name}` has no label `{label}`: {query}");
            }
            used.insert(name);
        }
    }
    let unwatched: Vec<_> = described.keys().filter(|name| !used.contains(**name)).collect();
    assert_eq!(unwatched, UNWATCHED.iter().collect::<Vec<_>>(), "metrics that neither dashboard nor alerts show");
}

#[test]
fn a_query_for_what_is_not_there_is_noticed() {
    let query =
        r#"sum by (le) (rate(throughline_commit_seconds_bucket{sight="x", le!="1"}[5m])) / throughline_nothing"#;
    let found: Vec<_> = asked_for(query).collect();
    let labels = vec!["sight".to_owned(), "le".to_owned()];
    assert_eq!(found, [("commit_seconds".to_owned(), labels), ("nothing".to_owned(), vec![])]);
}

#[test]
fn alerts_fire_when_they_should_and_only_then() {
    let rules = conf("prometheus/alerts.yaml");
    for tests in TESTS {
        assert_eq!(failures(&rules, tests), 0, "{tests}");
    }
    // Without patience, alerts must be found to fire too early.
    let hasty = Regex::new("(?m)^ *for: .*$").unwrap().replace_all(&rules, "").into_owned();
    assert!(failures(&hasty, TESTS[0]) >= 4);
    // With half of the thresholds swapped, too.
    assert!(failures(&rules.replace(" > ", " < "), TESTS[1]) >= 4);
    for name in Regex::new("alert: (.*)").unwrap().captures_iter(&rules).map(|found| found[1].to_owned()) {
        let fires =
            TESTS.iter().any(|tests| conf(&format!("prometheus/{tests}")).contains(&format!("'{name}: fires'")));
        assert!(fires, "nothing shows that {name} fires");
    }
}

#[test]
fn every_query_runs_on_a_real_prometheus() {
    let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
    let proxy = Proxy::with(&shop(&origin, &network)).start();
    let prometheus = Prometheus::scraping(proxy.admin_address());
    let mut visitor = proxy.visitor();
    visitor.lands("/?exotracker=abc");
    visitor.get(THANKS);
    proxy.await_settled();
    await_fact(
        || prometheus.ask("min_over_time(up[3s]) == 1 and count_over_time(up[3s]) >= 2").pop(),
        || prometheus.log(),
    );
    for query in queries() {
        prometheus.ask(&for_all_of_a_minute(&query));
    }
    for (query, value) in [
        (r#"sum(throughline_conversions_total{outcome="queued"})"#, "1"),
        (r#"sum(throughline_postbacks_total{verdict="delivered"})"#, "1"),
        ("min(throughline_store_up)", "1"),
        ("sum(throughline_outbox_pending)", "0"),
        (r#"sum(throughline_clicks_total{result="accepted"})"#, "1"),
    ] {
        await_fact(
            || (prometheus.ask(query) == [value]).then_some(()),
            || format!("{query}: {:?}, not {value}", prometheus.ask(query)),
        );
    }
}

/// All queries of the dashboard and of the alerts.
fn queries() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&conf("grafana/throughline.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let mut queries: Vec<_> = targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect();
    let variables = dashboard["templating"]["list"].as_array().unwrap().iter();
    let inner = Regex::new(r"label_values\((.*), \w+\)").unwrap();
    queries.extend(variables.filter_map(|it| Some(inner.captures(it["definition"].as_str()?)?[1].to_owned())));
    assert!(queries.len() > 50, "{}", queries.len());
    let alerts = conf("prometheus/alerts.yaml");
    let block = Regex::new(r"(?m)^        expr: (?:\|\n((?:          .*\n)+)|(.*)\n)").unwrap();
    let found: Vec<_> = block
        .captures_iter(&alerts)
        .map(|found| found.get(1).or(found.get(2)).expect("a query").as_str().to_owned())
        .collect();
    assert_eq!(found.len(), alerts.matches("- alert: ").count());
    queries.extend(found);
    queries
}

/// The metrics in a query, each with the labels that it is chosen by.
fn asked_for(query: &str) -> impl Iterator<Item = (String, Vec<String>)> {
    let metric = Regex::new(r"throughline_(\w+)(?:\{([^}]*)\})?").unwrap();
    let label = Regex::new(r"(\w+)\s*[!=]").unwrap();
    let histogram = |name: &str| Metrics::DESCRIBED.iter().any(|(it, ..)| *it == name && name.ends_with("_seconds"));
    let found = metric.captures_iter(query).map(move |found| {
        let name = found[1].to_owned();
        let base = name.strip_suffix("_bucket").filter(|base| histogram(base)).map(ToOwned::to_owned);
        let labels = found.get(2).map_or("", |labels| labels.as_str());
        (base.unwrap_or(name), label.captures_iter(labels).map(|label| label[1].to_owned()).collect())
    });
    found.collect::<Vec<_>>().into_iter()
}

/// A query of the dashboard as Grafana asks it.
fn for_all_of_a_minute(query: &str) -> String {
    let query = query.replace("$__rate_interval", "1m").replace("$__interval", "1m").replace("$__range", "1m");
    query.replace("$site", ".*").replace("$network", ".*")
}

fn conf(path: &str) -> String {
    let file: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf").join(path);
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// How many expectations of a file of tests these rules do not meet.
fn failures(rules: &str, tests: &str) -> usize {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("alerts.yaml"), rules).unwrap();
    fs::write(folder.path().join(tests), conf(&format!("prometheus/{tests}"))).unwrap();
    let output = Command::new("promtool")
        .args(["test", "rules", tests])
        .current_dir(&folder)
        .output()
        .expect("promtool (Debian: apt-get install prometheus)");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.success(), !said.contains("FAILED"), "{said}");
    said.matches("expr: ").count()
}

const TESTS: [&str; 2] = ["alerts_test.yaml", "alerts_over_days_test.yaml"];

/// Metrics for the curious, whose meaning is in others that are shown.
const UNWATCHED: &[&str] = &[
    "admin_refused_total",
    "clock_jumps_total",
    "events_failures_total",
    "events_written_total",
    "outbox_incomplete",
    "refused_addresses_total",
    "untrusted_forwarded_total",
];
