//! Several files as one tree: what stands where, and what is refused.

use std::{fs, path::Path};

use tempfile::TempDir;

use crate::config::{Config, Environment};

/// A folder with these files; the main one is `main.yaml`.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        write(&path, text);
    }
    folder
}

#[expect(clippy::disallowed_methods, reason = "a test writes into a folder of its own")]
fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}

fn load(folder: &TempDir) -> Result<Config, Vec<String>> {
    let result = Config::load(&folder.path().join("main.yaml"), Environment::Process);
    let prefix = format!("{}/", folder.path().display());
    result.map_err(|error| error.problems.iter().map(|problem| problem.to_string().replace(&prefix, "")).collect())
}

fn names(config: &Config) -> Vec<String> {
    config.sites.iter().map(|site| site.rules.name.to_string()).collect()
}

fn files(folder: &TempDir, config: &Config) -> Vec<String> {
    let name = |file: &Path| file.strip_prefix(folder.path()).unwrap().display().to_string();
    config.files().map(name).collect()
}

fn site(name: &str) -> String {
    format!(
        "sites: [{{ name: {name}, hosts: {name}.example, upstream: 'http://{name}', consent: {{ require: none }} }}]"
    )
}

#[test]
fn sites_are_one_list_in_the_order_of_files() {
    let main = format!("include: [sites/*.yaml, last.yaml]\n{}", site("main"));
    let nested = format!("include: below/*.yml\n{}", site("b"));
    let folder = folder(&[
        ("main.yaml", &main),
        ("sites/b.yaml", &nested),
        ("sites/a.yaml", &site("a")),
        ("sites/.a.yaml.swp.yaml", "not: [a configuration"),
        ("sites/a.yml", "neither"),
        ("sites/below/c.yml", &site("c")),
        ("last.yaml", &site("d")),
    ]);
    let config = load(&folder).unwrap();
    assert_eq!(names(&config), ["main", "a", "b", "c", "d"]);
    let read = ["main.yaml", "sites/a.yaml", "sites/b.yaml", "sites/below/c.yml", "last.yaml"];
    assert_eq!(files(&folder, &config), read);
}

#[test]
fn a_file_that_two_patterns_match_is_read_once() {
    let folder = folder(&[
        ("main.yaml", "include: [sites/b.yaml, 'sites/*.yaml', ./sites/../sites/a.yaml]"),
        ("sites/a.yaml", &site("a")),
        ("sites/b.yaml", &site("b")),
    ]);
    assert_eq!(names(&load(&folder).unwrap()), ["b", "a"]);
}

#[test]
fn a_folder_may_be_called_like_a_pattern() {
    let folder = folder(&[
        ("main.yaml", "include: '[x]*/main.yaml'"),
        ("x*/main.yaml", "include: '*/a.yaml'"),
        ("x*/s/a.yaml", &site("a")),
    ]);
    assert_eq!(names(&load(&folder).unwrap()), ["a"]);
}

#[test]
fn files_that_include_each_other_are_refused() {
    let folder = folder(&[
        ("main.yaml", &format!("include: a.yaml\n{}", site("main"))),
        ("a.yaml", "include: b.yaml"),
        ("b.yaml", "include: [a.yaml, main.yaml]"),
    ]);
    let said = load(&folder).unwrap_err();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].starts_with("b.yaml:1:11: include[0]: `"), "{said:?}");
    assert!(said.iter().all(|line| line.contains("includes itself")), "{said:?}");
}

#[test]
fn there_are_bounds() {
    let many: Vec<(String, String)> =
        (0..1001).map(|index| (format!("many/{index:04}.yaml"), String::from("networks: {}"))).collect();
    let main = format!("include: [many/*.yaml]\n{}", site("main"));
    let mut all: Vec<(&str, &str)> = many.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    all.push(("main.yaml", &main));
    let said = load(&folder(&all)).unwrap_err();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("main.yaml:1:11: include[0]: more than 1000 files are included"), "{said:?}");

    all.pop();
    all.remove(0);
    all.push(("main.yaml", &main));
    assert_eq!(load(&folder(&all)).unwrap().files().count(), 1001);

    let (large, main) = (" ".repeat((1 << 20) + 1), format!("include: large.yaml\n{}", site("main")));
    let said = load(&folder(&[("main.yaml", &main), ("large.yaml", &large)])).unwrap_err();
    assert!(said[0].contains("cannot be read: it is larger than 1MiB"), "{said:?}");

    let deep: Vec<_> = (0..500).map(|index| format!("  key_{index}: a\n")).collect();
    let sites: Vec<_> = (0..2900).map(|index| format!("- {{ name: s{index} }}\n")).collect();
    let (deep, sites) = (deep.concat(), sites.concat());
    let said = load(&folder(&[("main.yaml", &format!("defaults:\n{deep}sites:\n{sites}"))])).unwrap_err();
    assert!(said.iter().any(|line| line.contains("more than 1,000,000 values")), "{:?}", said.first());
}

#[test]
fn a_problem_names_the_file_in_which_it_stands() {
    let folder = folder(&[
        ("main.yaml", &format!("include: [sites/*.yaml]\n{}", site("main"))),
        ("sites/a.yaml", "sites:\n  - name: a\n    hosts: main.example\n    upstream: http://a\n    csp: amand\n"),
        ("sites/b.yaml", &site("main")),
        ("sites/c.yaml", "sites:\n  - name: ${NO_SUCH_VARIABLE}\n"),
    ]);
    let said = load(&folder).unwrap_err();
    let starts = |start: &str| said.iter().any(|line| line.starts_with(start));
    assert!(starts("sites/a.yaml:5:10: sites[0].csp: `amand` is none of"), "{said:#?}");
    assert!(starts("sites/a.yaml:2:5: sites[0]: `main.example` belongs to the site at "), "{said:#?}");
    assert!(starts("sites/b.yaml:1:9: sites[0]: the site at "), "{said:#?}");
    assert!(starts("sites/c.yaml:2:11: sites[0].name: environment variable NO_SUCH_VARIABLE is not set"), "{said:#?}");
}

#[test]
fn paths_begin_in_the_folder_of_the_file_that_names_them() {
    let folder = folder(&[
        ("main.yaml", "include: sites/a.yaml\ndefaults: { error_pages: { 502: page.html, 504: page.html } }"),
        ("page.html", "main"),
        ("sites/page.html", "beside"),
        ("sites/key", "a secret of the site"),
        (
            "sites/a.yaml",
            "sites: [{ upstream: 'unix:app.sock', error_pages: { 502: page.html }, consent: { require: none },
            networks: { rokt: { account_id: 42, public_key: a, secret_key: { file: key } } } }]",
        ),
    ]);
    let config = load(&folder).unwrap();
    let site = &config.sites[0];
    let pages: Vec<&[u8]> = site.error_pages.values().map(|page| &page[..]).collect();
    assert_eq!(pages, [b"beside".as_slice(), b"main"]);
    assert_eq!(site.networks[0].settings["secret_key"], "a secret of the site");
    assert_eq!(*config.mask.masked(b"with a secret of the site"), *b"with ***");
    let shown = crate::config::show::show(&folder.path().join("main.yaml")).unwrap();
    for expected in ["502: sites/page.html", "504: page.html", "file: sites/key", "url: \"unix:sites/app.sock\""] {
        assert!(shown.contains(expected), "no {expected} in\n{shown}");
    }
    assert!(!shown.contains("include") && !shown.contains("defaults"), "{shown}");
    write(&folder.path().join("main.yaml"), &shown);
    let again = load(&folder).unwrap();
    assert_eq!(again.sites[0].error_pages, site.error_pages);
    assert_eq!(again.sites[0].upstream.servers[0].address, site.upstream.servers[0].address);
    assert_eq!(again.sites[0].networks[0].settings, site.networks[0].settings);
}

#[test]
fn a_site_lies_over_the_defaults_and_removes_by_null() {
    let folder = folder(&[(
        "main.yaml",
        "defaults:
  consent: { require: ad_storage, from: [tcf] }
  cookie: { same_site: strict, path: /shop }
  error_pages: ~
  strip_click_params: true
  networks:
    exoclick: { click: { param: a, ttl: 7d }, postback: { query: { value: '7' } } }
    ingenious: { domain: net.example, advertiser_id: i1 }
sites:
  - name: a
    hosts: a.example
    upstream: http://a
    cookie: { path: / }
    strip_click_params: ~
    networks: { exoclick: { click: { ttl: 8d }, postback: { query: { value: ~ } } }, ingenious: ~ }
  - name: b
    hosts: b.example
    upstream: http://b
    consent: ~
    networks: { exo_b: { preset: exoclick, click: { param: b, cookie: _b } } }
",
    )]);
    let config = load(&folder).unwrap();
    let [a, b] = config.sites.as_slice() else { panic!() };
    let keys = |site: &crate::config::Site| site.networks.iter().map(|it| it.rules.key.to_string()).collect::<Vec<_>>();
    assert_eq!(
        (keys(a), keys(b)),
        (vec!["exoclick".to_owned()], vec!["exoclick".into(), "ingenious".into(), "exo_b".into()])
    );
    let days = |days: u64| std::time::Duration::from_hours(24 * days);
    assert_eq!((a.networks[0].rules.click_ttl, b.networks[0].rules.click_ttl), (days(8), days(7)));
    let query = |site: &crate::config::Site| {
        site.networks[0].request.query.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(query(a), ["goal", "tag"], "the null removes from the network's file, too");
    assert_eq!(query(b), ["goal", "value", "tag"]);
    assert_eq!((a.rules.strip_click_params, b.rules.strip_click_params), (false, true));
    assert_eq!((a.rules.consent.signals.len(), b.rules.consent.signals.len()), (1, 0));
    let line = a.rules.visitor_cookie.line("x", "a.example", true);
    assert!(line.contains("SameSite=Strict") && line.contains("Path=/;"), "{line}");
}

#[test]
fn a_site_lies_over_its_account_and_that_over_the_networks_file() {
    let folder = folder(&[
        ("main.yaml", "include: more.yaml
defaults: { networks: { team: { click: { ttl: 9d } } } }
networks:
  exo_main: { preset: exoclick, click: { param: a, ttl: 7d }, postback: { query: { value: ~ } } }
sites:
  - { name: a, hosts: a.example, upstream: 'http://a', consent: { require: none }, networks: { exo_main: } }
  - { name: b, hosts: b.example, upstream: 'http://b', consent: { require: none }, networks: { exo_main: { click: { ttl: ~, param: b } }, team: ~ } }"),
        ("more.yaml", "networks: { team: { preset: exoclick, click: { param: t, cookie: _t, ttl: 8d } } }"),
    ]);
    let config = load(&folder).unwrap();
    let [a, b] = config.sites.as_slice() else { panic!() };
    let clicks = |site: &crate::config::Site| {
        let click = |it: &crate::config::Network| {
            (it.rules.key.to_string(), it.rules.click.param.clone(), it.rules.click_ttl.as_secs() / 86400)
        };
        site.networks.iter().map(click).collect::<Vec<_>>()
    };
    assert_eq!(clicks(a), [("team".to_owned(), "t".to_owned(), 9), ("exo_main".into(), "a".into(), 7)]);
    assert_eq!(
        clicks(b),
        [("exo_main".to_owned(), "b".to_owned(), 30)],
        "a null removes what lies below, the file's 365 days included"
    );
    assert!(a.networks[1].request.query.iter().all(|(name, _)| name != "value"));
    let shown = crate::config::show::show(&folder.path().join("main.yaml")).unwrap();
    write(&folder.path().join("main.yaml"), &shown);
    let again = load(&folder).unwrap();
    assert_eq!((clicks(&again.sites[0]), clicks(&again.sites[1])), (clicks(a), clicks(b)), "{shown}");
}
