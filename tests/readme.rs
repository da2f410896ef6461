//! README.md and the guides, kept to their word: commands run, configurations pass, tables are complete.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a document that does not hold should fail loudly, and it is run among real files"
)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
};

use tempfile::TempDir;
use throughline::{
    config::{Config, Environment},
    metrics::{
        Metrics,
        site::{Injection, SiteMetrics},
    },
    proxy::refusal::Refusal,
    tracking::{
        click::ClickResult,
        conversion::Outcome,
        verdict::{Rejection, Verdict},
        visit::CaptureResult,
    },
};

const BINARY: &str = env!("CARGO_BIN_EXE_throughline");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn document(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn readme() -> String {
    document("README.md")
}

/// The fenced blocks of a language in the README.
fn blocks(language: &str) -> Vec<String> {
    blocks_in(&readme(), language)
}

/// The fenced blocks of a language.
fn blocks_in(text: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("\n```") {
        let (head, body) = after.split_once('\n').expect("a line after the fence");
        let (block, after) = body.split_once("```").expect("a closed fence");
        if head == language {
            blocks.push(block.to_owned());
        }
        rest = after;
    }
    blocks
}

/// All commands of shell blocks, without their comments.
fn commands() -> Vec<String> {
    let lines = blocks("sh").into_iter().flat_map(|block| block.lines().map(ToOwned::to_owned).collect::<Vec<_>>());
    lines
        .map(|line| line.split(" #").next().unwrap_or_default().trim().to_owned())
        .filter(|it| !it.is_empty() && !it.starts_with('#'))
        .collect()
}

/// The rows of the table whose head begins so, as cells.
fn table(text: &str, head: &str) -> Vec<Vec<String>> {
    let (_, from) = text.split_once(&format!("\n| {head} |")).unwrap_or_else(|| panic!("no table `{head}`"));
    let rows = from.lines().skip(2).take_while(|line| line.starts_with('|'));
    let cells = |row: &str| {
        let row = row.trim_matches('|').replace("\\|", "\u{1}");
        row.split('|').map(|cell| cell.trim().replace('\u{1}', "|")).collect()
    };
    rows.map(cells).collect()
}

/// What a table of the troubleshooting guide explains: each with its meaning and its remedy.
fn explained(head: &str) -> Vec<String> {
    let rows = table(&document("conf/guides/troubleshooting.md"), head);
    for row in &rows {
        assert!(row.len() == 3 && row.iter().all(|cell| !cell.is_empty()), "{row:?}");
    }
    rows.into_iter().map(|row| row[0].trim_matches('`').to_owned()).collect()
}

/// A folder with the first configuration of the README.
fn folder() -> TempDir {
    let folder = TempDir::new().expect("a folder");
    fs::write(folder.path().join("throughline.yaml"), &blocks("yaml")[0]).unwrap();
    folder
}

fn run(arguments: &[&str], folder: &Path) -> Output {
    Command::new(BINARY).args(arguments).current_dir(folder).output().expect("the binary starts")
}

#[test]
fn its_configurations_pass_the_check() {
    let blocks = blocks("yaml");
    assert!(blocks.len() >= 2, "the configurations are gone");
    for block in blocks {
        let folder = TempDir::new().expect("a folder");
        fs::write(folder.path().join("throughline.yaml"), &block).unwrap();
        fs::write(folder.path().join("rokt.key"), "rsec-1\n").unwrap();
        let output = run(&["check", "--no-environment"], folder.path());
        assert!(output.status.success(), "{}\n{block}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn what_the_guides_write_into_a_site_passes_the_check() {
    let mut count = 0;
    for guide in ["conversions", "consent", "networks", "trying-out", "exoclick", "rokt", "ingenious", "clickmeter"] {
        for block in blocks_in(&document(&format!("conf/guides/{guide}.md")), "yaml") {
            let folder = TempDir::new().expect("a folder");
            let indented: String = block.lines().flat_map(|line| ["    ", line, "\n"]).collect();
            let consent = if block.starts_with("consent:") { "" } else { "    consent: { require: none }\n" };
            let networks = "    networks: { mine: { click: { param: a }, postback: { url: https://net.example/ } } }\n";
            let networks = if block.starts_with("networks:") { "" } else { networks };
            let site = format!("sites:\n  - upstream: http://127.0.0.1:8080\n{consent}{networks}{indented}");
            fs::write(folder.path().join("throughline.yaml"), &site).unwrap();
            let output = run(&["check", "--no-environment"], folder.path());
            assert!(output.status.success(), "{}\n{site}", String::from_utf8_lossy(&output.stderr));
            count += 1;
        }
    }
    assert!(count >= 3, "{count}");
}

#[test]
fn what_the_guide_for_operators_writes_at_the_top_passes_the_check() {
    let blocks =
        ["operations", "console"].map(|guide| blocks_in(&document(&format!("conf/guides/{guide}.md")), "yaml"));
    assert!(blocks.iter().all(|blocks| !blocks.is_empty()), "the configurations are gone");
    for block in blocks.into_iter().flatten() {
        let folder = TempDir::new().expect("a folder");
        let sites = "sites: [{ upstream: 'http://127.0.0.1:8080', consent: { require: none } }]\n";
        let whole = if block.contains("sites:") { block } else { format!("{block}\n{sites}") };
        fs::write(folder.path().join("throughline.yaml"), &whole).unwrap();
        let output = run(&["check", "--no-environment"], folder.path());
        assert!(output.status.success(), "{}\n{whole}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn what_the_guide_to_event_records_writes_passes_the_check() {
    let blocks = blocks_in(&document("conf/guides/events.md"), "yaml");
    assert!(blocks.len() >= 3, "the configurations are gone");
    for block in blocks {
        let folder = folder();
        let account =
            r#"{"type":"service_account","client_email":"a","private_key_id":"1","private_key":"k","project_id":"p"}"#;
        fs::write(folder.path().join("service-account.json"), account).unwrap();
        let whole = fs::read_to_string(folder.path().join("throughline.yaml")).unwrap() + &block;
        fs::write(folder.path().join("throughline.yaml"), &whole).unwrap();
        let output = run(&["check", "--no-environment"], folder.path());
        assert!(output.status.success(), "{}\n{whole}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_whole_configurations_of_a_guide_pass_the_check() {
    let blocks = blocks_in(&document("conf/guides/configuration.md"), "yaml");
    assert!(blocks.len() >= 3, "the configurations are gone");
    for block in blocks {
        let folder = TempDir::new().expect("a folder");
        fs::write(folder.path().join("throughline.yaml"), &block).unwrap();
        fs::create_dir(folder.path().join("sites")).unwrap();
        let site = "sites: [{ name: b, hosts: b.example, upstream: 'http://b', consent: { require: none } }]\n";
        fs::write(folder.path().join("sites/b.yaml"), site).unwrap();
        let output = run(&["check", "--deny-warnings"], folder.path());
        assert!(output.status.success(), "{}\n{block}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_schema_is_the_file_that_lies_beside_the_examples() {
    let printed = run(&["schema"], root());
    assert_eq!(String::from_utf8(printed.stdout).unwrap(), document("conf/throughline.schema.json"));
}

#[test]
fn its_commands_do_what_they_say() {
    let folder = folder();
    let commands = commands();
    assert!(commands.len() >= 5, "{commands:?}");
    for command in commands {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words.as_slice() {
            // These serve until they are told to stop: only their command line is looked at.
            ["throughline", arguments @ ("run" | "demo"), options @ ..] => accepts(arguments, options, folder.path()),
            ["cargo", "run", "--release", "--", name, options @ ..] => accepts(name, options, folder.path()),
            // Nothing has run here: no store, said in so many words.
            ["throughline", "outbox", rest @ ..] => {
                let output = run(&[&["outbox"], rest].concat(), folder.path());
                assert_eq!(output.status.code(), Some(1), "{command}");
                assert!(String::from_utf8_lossy(&output.stderr).contains("there is no store"), "{command}");
            }
            ["throughline", arguments @ ..] => {
                let output = run(arguments, folder.path());
                assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
            }
            ["tests/run", ..] => assert!(root().join("tests/run").exists()),
            ["curl", address] => {
                let route = address.strip_prefix("http://127.0.0.1:9180/").expect("the admin port's default");
                assert!(["metrics", "healthz", "readyz"].contains(&route), "{command}");
            }
            _ => panic!("this command is not looked at by any test: {command}"),
        }
    }
}

/// The command line is understood up to its end.
fn accepts(command: &str, options: &[&str], folder: &Path) {
    let output = run(&[&[command], options, &["--help"]].concat(), folder);
    assert!(output.status.success(), "{command} {options:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_table_of_commands_names_options_that_exist() {
    let rows = table(&readme(), "command");
    assert!(rows.len() >= 7);
    for row in rows {
        let line = row[0].trim_matches('`');
        let words: Vec<&str> = line.split(|c: char| c.is_whitespace() || "[]".contains(c)).collect();
        let is_name = |word: &&&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
        let path: Vec<&str> = words.iter().skip(1).take_while(is_name).copied().collect();
        let output = run(&[path.as_slice(), &["--help"]].concat(), root());
        let help = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{line}");
        for option in row.join(" ").split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')) {
            assert!(!option.starts_with("--") || help.contains(option), "{line}: no {option} in\n{help}");
        }
    }
}

#[test]
fn links_lead_to_files() {
    let guides = fs::read_dir(root().join("conf/guides")).unwrap();
    let guides = guides.map(|entry| Path::new("conf/guides").join(entry.unwrap().file_name()));
    let mut count = 0;
    for document_path in guides.chain([PathBuf::from("README.md")]) {
        let text = document(document_path.to_str().unwrap());
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|it| !it.contains("://")) {
            let file = root().join(&document_path).parent().unwrap().join(target);
            assert!(file.exists(), "{}: {target}", document_path.display());
            count += 1;
        }
    }
    assert!(count >= 9, "{count}");
}

#[test]
fn the_table_of_metrics_is_that_of_the_code() {
    let described = Metrics::DESCRIBED.iter().map(|(name, labels, help)| {
        let help = help.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
        vec![format!("`{name}`"), labels.join(", "), help]
    });
    assert_eq!(table(&document("conf/guides/metrics.md"), "metric"), described.collect::<Vec<_>>());
}

#[test]
fn what_metrics_really_prints_is_in_the_table() {
    let folder = folder();
    let config = Config::load(&folder.path().join("throughline.yaml"), Environment::Ignored).expect("a configuration");
    let metrics = Arc::new(Metrics::new());
    let site = SiteMetrics::new(&metrics, &config.sites[0].rules);
    site.answered(200);
    let rendered = metrics.render();
    let help: Vec<&str> = rendered.lines().filter_map(|line| line.strip_prefix("# HELP throughline_")).collect();
    assert!(help.len() >= 10, "{help:?}");
    let rows: BTreeSet<String> = table(&document("conf/guides/metrics.md"), "metric")
        .into_iter()
        .map(|row| format!("{} {}", row[0].trim_matches('`'), row[2]))
        .collect();
    for line in help {
        assert!(rows.contains(line), "the table lacks `{line}`");
    }
}

#[test]
fn every_outcome_and_verdict_is_explained() {
    assert_eq!(explained("outcome"), Outcome::ALL.map(Outcome::as_str));
    assert_eq!(explained("verdict"), Verdict::LABELS);
}

#[test]
fn everything_that_becomes_of_a_click_or_a_capture_is_explained() {
    assert_eq!(explained("click"), ClickResult::ALL.map(ClickResult::as_str));
    assert_eq!(explained("capture"), CaptureResult::ALL.map(CaptureResult::as_str));
}

#[test]
fn every_rejection_is_explained() {
    let all = [Rejection::Answer, Rejection::Status, Rejection::Redirect, Rejection::Unrenderable, Rejection::Poison];
    assert_eq!(explained("rejection"), all.map(Rejection::as_str));
}

#[test]
fn every_refusal_is_explained() {
    assert_eq!(explained("reason"), Refusal::ALL.map(Refusal::as_str));
}

#[test]
fn everything_that_becomes_of_a_pixel_is_explained() {
    assert_eq!(explained("result"), Injection::all().map(Injection::as_str).collect::<Vec<_>>());
}

#[test]
fn it_is_short() {
    assert!(readme().lines().count() < 200);
}
