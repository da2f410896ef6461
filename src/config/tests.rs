//! Configurations and what is said of them: mistakes as data, and the files that we ship.
//!
//! Each `tests/data/config/NAME.txt` is a configuration, a line `----`, and what is said of it. With
//! `UPDATE=1` in the environment the second part is written anew; look at the difference before you
//! commit it.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use super::*;

mod decoded;
mod shown;

/// Files with this ending in a folder of the repository, sorted.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension() == Some(OsStr::new(ending)));
    files.sort();
    files
}

pub(super) fn shipped() -> Vec<PathBuf> {
    let folders = ["conf", "conf/examples", "conf/examples/shops", "conf/examples/agency"];
    folders.map(|folder| files(folder, "yaml")).concat()
}

#[expect(clippy::disallowed_methods, reason = "tests read the files they speak of")]
pub(super) fn text(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn load(file: &Path) -> Config {
    Config::load(file, Environment::Ignored).unwrap_or_else(|error| panic!("{error}"))
}

/// What `check` says of a text, without the name of the file.
fn said(text: &str) -> String {
    let file = Path::new("tests/data/config/throughline.yaml");
    let problems = match Config::parse(file, text, Environment::Process) {
        Ok(config) => config.warnings,
        Err(error) => error.problems,
    };
    let lines = problems.iter().map(|problem| {
        let line = problem.to_string();
        line.strip_prefix("tests/data/config/throughline.yaml:").unwrap_or(&line).to_owned() + "\n"
    });
    let lines: String = lines.collect();
    if lines.is_empty() { "in order\n".to_owned() } else { lines }
}

/// Without the warning that consent isn't spoken of.
pub(super) fn without_consent(said: &str) -> String {
    let kept = said.split_inclusive('\n').filter(|line| !line.contains("consent.require isn't written"));
    let kept: String = kept.collect();
    if kept.is_empty() { "in order\n".to_owned() } else { kept }
}

/// Lines of both texts, those that differ marked.
fn difference(expected: &str, found: &str) -> String {
    let found_lines: BTreeSet<&str> = found.lines().collect();
    let expected_lines: BTreeSet<&str> = expected.lines().collect();
    let missing = expected.lines().filter(|line| !found_lines.contains(line)).map(|line| format!("  - {line}\n"));
    let unexpected = found.lines().filter(|line| !expected_lines.contains(line)).map(|line| format!("  + {line}\n"));
    missing.chain(unexpected).collect()
}

/// The cases: each with its file, the configuration, and what is said of it.
pub(super) fn cases() -> Vec<(PathBuf, String, String)> {
    let read = |file: PathBuf| {
        let case = text(&file);
        let (input, said) = case.split_once("----\n").unwrap_or_else(|| panic!("{}: no `----`", file.display()));
        (file, input.to_owned(), said.to_owned())
    };
    let cases: Vec<_> = files("tests/data/config", "txt").into_iter().map(read).collect();
    assert!(cases.len() >= 40, "the cases are gone");
    cases
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the cases are rewritten on demand")]
fn every_mistake_is_told_with_its_place_and_remedy() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut differences = String::new();
    for (file, input, expected) in cases() {
        let found = said(&input);
        // The cases leave out what they are not about.
        let is_of_consent = file.file_stem().is_some_and(|name| name.to_string_lossy().starts_with("consent_"));
        let found = if is_of_consent { found } else { without_consent(&found) };
        if update {
            fs::write(&file, format!("{input}----\n{found}")).unwrap();
        } else if found != expected {
            let name = file.file_name().unwrap_or_default().display();
            differences.extend([format!("{name}\n"), difference(&expected, &found)]);
        }
    }
    assert!(differences.is_empty(), "said otherwise (- expected, + found):\n{differences}");
}

#[test]
fn every_file_that_we_ship_is_in_order() {
    for file in shipped() {
        let config = load(&file);
        // An example that is warned of teaches what should not be done.
        let is_minimal = file.ends_with("conf/minimal.yaml");
        let is_meant =
            |message: &str| message.contains("order id") || is_minimal && message.contains("consent.require");
        let odd: Vec<_> = config.warnings.iter().filter(|warning| !is_meant(&warning.message)).collect();
        assert!(odd.is_empty(), "{odd:?}");
    }
}

#[test]
fn without_the_environment_no_variable_is_in_the_way() {
    let configuration = "{ listen: [${A}, { address: ${A}, tls: { cert: ${A}, key: ${A} }, probe: ${A} },
            { address: ${A}, redirect: ${A}, proxy_protocol: true }], max_page_delay: ${A}, threads: ${A}, privacy: { client_ip: ${A} },
        log: { level: ${A}, format: ${A}, request_id: ${A}, access: { file: ${A}, format: ${A}, query: ${A} } },
        limits: { header_timeout: ${A}, max_header_bytes: ${A}, max_connections: ${A} },
        trusted_proxies: ${A}, secret: ${A},
        events: { stdout: ${A}, personal: ${A}, file: { path: ${A}, level: ${A}, max_size: ${A}, keep: ${A} },
            bigquery: { project: ${A}, dataset: ${A}, table: ${A}, credentials: ${A}, endpoint: ${A} },
            webhook: { url: ${A}, token: ${A}, allow_private: ${A}, proxy: ${A} } },
        admin: { listen: ${A}, token: ${A} }, state: { path: ${A}, postgres: { url: ${A}, ca: ${A} } }, sites: [
        { name: ${A}, hosts: ${A}, upstream: { servers: [${A}, { url: ${A}, weight: ${A} }, 'https://a'], host: ${A},
            health: { path: ${A}, interval: ${A} }, proxy_protocol: ${A}, via: ${A}, read_timeout: ${A},
            tls: { ca: ${A}, sni: ${A}, verify: ${A}, client_cert: { cert: ${A}, key: ${A} } } },
          recognise_by: ${A}, channels: [${A}, { param: ${A}, is: ${A} }, { param: a, is: { regex: ${A} } }],
          captures: [{ name: ${A}, path: ${A}, key: ${A}, fields: { a: ${A} } }],
          csp: ${A}, endpoint: ${A}, strip_click_params: ${A}, error_pages: { 502: ${A} } },
        { name: none, hosts: none.example, upstream: { url: ${A}, tls: { ca: none.pem } } }, { name: ${A}, hosts: [${A}], upstream: ${A} },
        { name: shop, upstream: 'http://127.0.0.1:1', networks: {
            ingenious: { domain: ${A}, advertiser_id: ${A} }, exoclick: { click: { param: ${A}, ttl: ${A} } },
            mine: { click: { param: mid }, optimistic: ${A}, postback: { url: ${A} },
                batch: { at: ${A}, max: ${A}, max_size: ${A}, failed: { list: ${A}, id: ${A}, code: ${A}, retry: ${A} } } }, yours: { preset: ${A} } },
          conversions: [{ name: purchase, path: /x, order_id: query.o, value: ${A}, dedup_window: ${A},
            send: { ingenious: { sid: ${A} }, exoclick: { goal: ${A} }, mine: {}, yours: { goal: x } } },
            { name: ${A}, path: ${A}, status: ${A}, order_id: query.o, send: { mine: {} } },
            { name: paid, triggers: [{ path: ${A}, caller: server, from_addresses: ${A}, when: { query.a: ${A} } },
                { path: /x, caller: ${A}, method: ${A} }], order_id: path.o, after: ${A}, within: ${A}, credit: ${A},
              success_mark: ${A}, failure_mark: [${A}], decimal_mark: ${A}, items: ${A}, email: ${A},
              value: { from: ${A}, minus: ${A}, minor: ${A} }, send: { mine: {} } }] }] }";
    Config::parse(Path::new("a.yaml"), configuration, Environment::Ignored).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn the_explained_file_says_nothing_but_the_defaults() {
    let [explained, minimal] = ["conf/throughline.yaml", "conf/minimal.yaml"].map(|file| load(Path::new(file)).server);
    assert_eq!(explained, minimal);
}

#[test]
fn the_explained_file_has_every_key() {
    let explained = text(Path::new("conf/throughline.yaml"));
    let known: BTreeSet<String> = levels_that_are_known().into_iter().flat_map(|(_, keys)| keys).collect();
    assert!(known.len() > 50, "only {known:?}");
    let is_there = |key: &str| regex::Regex::new(&format!(r"\b{key}:")).unwrap().is_match(&explained);
    // A site's own name for itself, for the catalogue of networks.
    let documentation = ["description", "source", "verified", "examples"];
    let missing: Vec<_> = known.iter().filter(|key| !is_there(key) && !documentation.contains(&key.as_str())).collect();
    assert!(missing.is_empty(), "conf/throughline.yaml does not explain {missing:?}");
}

/// The keys of each map by the path that leads to it, as the remedy for an unknown one lists them.
pub(super) fn levels_that_are_known() -> Vec<(String, BTreeSet<String>)> {
    let unknown = "zzzzzzzzzzzzzzzzzzzz: 1";
    let configuration = format!(
        "{{ {unknown}, admin: {{ {unknown} }}, state: {{ {unknown}, postgres: {{ {unknown} }} }}, privacy: {{ {unknown} }}, delivery: {{ {unknown} }}, log: {{ {unknown}, access: {{ file: a, {unknown} }} }}, retention: {{ {unknown} }},
        events: {{ {unknown}, file: {{ {unknown} }}, bigquery: {{ {unknown} }}, webhook: {{ {unknown} }} }},
        limits: {{ {unknown} }}, listen: {{ address: '127.0.0.1:2', tls: {{ cert: c, key: k, {unknown} }}, {unknown} }},
        sites: [{{ {unknown}, upstream: {{ servers: [{{ url: 'https://127.0.0.1:1', {unknown} }}], {unknown},
                health: {{ path: /up, {unknown} }}, tls: {{ {unknown}, client_cert: {{ cert: c, key: k, {unknown} }} }} }}, cookie: {{ {unknown} }}, error_pages: {{ {unknown} }},
            consent: {{ {unknown}, require: {{ {unknown} }}, from: [{{ {unknown}, cookie: a, granted: a }}, {{ header: a, {unknown} }},
                {{ tcf: {{ {unknown} }} }}, {{ onetrust: {{ {unknown} }} }}, {{ cookiebot: {{ {unknown} }} }}, {{ complianz: {{ {unknown} }} }},
                {{ borlabs: {{ {unknown} }} }}, {{ iubenda: {{ {unknown} }} }}, {{ trustarc: {{ {unknown} }} }},
                {{ wp: {{ {unknown} }} }}, {{ cookieyes: {{ {unknown} }} }}, {{ usprivacy: {{ {unknown} }} }},
                {{ klaro: {{ services: a, {unknown} }} }}, {{ tarteaucitron: {{ services: a, {unknown} }} }},
                {{ axeptio: {{ vendors: a, {unknown} }} }}, {{ didomi: {{ vendors: a, {unknown} }} }}] }},
            networks: {{ mine: {{ {unknown}, click: {{ param: mid, {unknown} }}, delivery: {{ {unknown} }},
                settings: {{ a: {{ {unknown} }} }}, parameters: {{ a: {{ {unknown} }} }},
                postback: {{ url: 'https://net.example/', {unknown}, basic: {{ user: a, password: '{{p}}', {unknown} }},
                    oauth2: {{ {unknown} }}, sign: {{ {unknown} }} }}, tls: {{ {unknown} }},
                batch: {{ {unknown}, failed: {{ {unknown} }} }},
                verdict: [{{ is: delivered, {unknown} }}], sync: {{ pixels: [], {unknown} }} }} }},
            channels: [{{ param: a, {unknown} }}], captures: [{{ {unknown}, name: a, path: /a }}],
            conversions: [{{ {unknown}, name: a, path: {{ regex: /a, {unknown} }},
                when: {{ query.a: {{ regex: a, {unknown} }} }}, value: {{ from: query.a, {unknown} }},
                currency: {{ literal: EUR, {unknown} }}, email: {{ file: a, {unknown} }}, send: {{ mine: {{}} }} }},
                {{ name: b, triggers: [{{ {unknown}, path: /b }}], send: {{ mine: {{}} }} }}] }}] }}"
    );
    let error = Config::parse(Path::new("a.yaml"), &configuration, Environment::Ignored).unwrap_err();
    let index = regex::Regex::new(r"\[[0-9]+\]").unwrap();
    let level = |problem: &Problem| {
        let keys = problem.remedy.as_ref()?.strip_prefix("possible keys: ")?.split(", ").map(ToOwned::to_owned);
        let path = problem.path.trim_end_matches('z').trim_end_matches('.');
        // A source in place of a key.
        let path = index.replace_all(path, "[]").replace("query.a", "query");
        // The name of a setting that stands there, too.
        let keys = keys.filter(|key| key != "a");
        Some((path, keys.collect()))
    };
    error.problems.iter().filter_map(level).collect()
}

#[expect(clippy::disallowed_methods, reason = "a test writes into a folder of its own")]
fn write(file: &Path, text: &str) {
    fs::write(file, text).unwrap();
}

#[test]
fn files_that_a_configuration_names_are_read_unless_the_environment_is_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let pair = || rcgen::generate_simple_self_signed(["shop.example".to_owned()]).unwrap();
    let (ours, other) = (pair(), pair());
    write(&folder.path().join("shop.pem"), &ours.cert.pem());
    write(&folder.path().join("shop.key"), &ours.signing_key.serialize_pem());
    write(&folder.path().join("other.key"), &other.signing_key.serialize_pem());
    write(&folder.path().join("502.html"), "<p>Back soon");
    let said = |key: &str, environment| {
        let text = format!(
            "listen: {{ address: 127.0.0.1:1, tls: {{ cert: shop.pem, key: shop.key }} }}
sites:
  - upstream: {{ url: 'https://a', tls: {{ ca: shop.pem, client_cert: {{ cert: shop.pem, key: {key} }} }} }}
    error_pages: {{ 502: 502.html }}\n"
        );
        Config::parse(&folder.path().join("a.yaml"), &text, environment)
    };
    let pages = said("shop.key", Environment::Process).unwrap().sites.remove(0).error_pages;
    assert_eq!(pages.get(&502).map(|page| &**page), Some(b"<p>Back soon".as_slice()));

    let problems = said("other.key", Environment::Process).unwrap_err().problems;
    let [problem] = problems.as_slice() else { panic!("{problems:?}") };
    assert_eq!((problem.place.line, problem.path.as_str()), (3, "sites[0].upstream.tls.client_cert.key"));
    assert!(problem.message.contains("is not the key of the first certificate"), "{problem}");

    assert!(said("nowhere.key", Environment::Process).is_err());
    assert!(said("nowhere.key", Environment::Ignored).is_ok());
}

/// What printing can get wrong: nulls, quotes, texts that look like something else, layers.
pub(super) const ODD: &str = r##"
log: ~
listen:
  - { address: 127.0.0.1:8443, tls: { cert: shop.pem, key: shop.key }, probe: ~ }
  - localhost:8081
  - { address: "[::1]:8080", redirect: https, proxy_protocol: false }
limits: { max_connections: 7 }
sites:
  - upstream:
      servers: [https://a.example, { url: https://b.example:8443 }, { url: "https://[2001:db8::1]", weight: 7 }]
      health: { path: "/up?deep=1" }
      tls: { ca: ca.pem }
      host: upstream
      read_timeout: ~
    error_pages: { 502: 502.html }
    cookie: { same_site: strict, path: /shop }
    networks:
      exoclick: { click: { param: "#1" }, postback: { query: { value: null, '{{': "{{}}" } }, sync: ~ }
      ingenious: { domain: marketing.net.example, advertiser_id: 0012, click: { same_site: none } }
      mine:
        click: { param: "null" }
        needs: []
        postback:
          url: https://net.example/
          method: POST
          body: |
            two lines
            of "text": and # more
        verdict: [{ json: { /a: "empty", /b: empty, /c: '' , /d: yes }, is: delivered }]
    captures: [{ name: yes, path: /checkout, status: 303, key: json./order/~1id }]
    channels: [gclid, { param: "null", is: [yes, "~"] }]
    conversions:
      - name: purchase
        path: ["/thank-you/{order_id}", { regex: "/x: (?<order_id>.*)" }]
        value: ['query.a', 'query.b | regex("([0-9]+)")', html("#total"), 'html("a #b[lang|=de]")@data-x | regex("(.)")']
        success_mark: ['html(".done")', "Thank: you", { literal: 'html("x")' }]
        after: yes
        fields: { a: ' padded ', b: "- item", c: "tab\there", d: 'ümlaut ☃', e: '*', f: "it's", g: NO }
        send:
          exoclick: { goal: 0123456789abcdef0123456789abcdef }
          ingenious:
          mine: {}
"##;
