//! Values that decode, and what is said of those that do not.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::*;

fn ignore<T>(_: T) {}

/// Parses `text`, hands its root to `read`, and gives back what was said.
fn said(text: &str, read: impl FnOnce(Field<'_>)) -> Vec<String> {
    let problems = Problems::default();
    let mut node = Node::parse("a.yaml", text, &problems).unwrap();
    node.expand_environment(&|name| (name == "SECRET").then(|| "hunter2".to_owned()), &problems);
    read(Field::root(&node, &problems));
    problems.into_sorted().iter().map(|problem| problem.to_string().replacen("a.yaml:", "", 1)).collect()
}

#[test]
fn a_section_knows_the_keys_that_were_asked_for() {
    let said = said("name: shop\npth: /x\nnull_key: ~\nwhatever: 1\n", |root| {
        let mut section = root.section().unwrap();
        assert_eq!(section.get("name").unwrap().text(), Some("shop"));
        assert!(section.get("path").is_none());
        assert!(section.get("null_key").is_none());
        assert!(section.contains("name") && !section.contains("null_key"));
        section.finish();
    });
    assert_eq!(
        said,
        [
            "2:1: pth: unknown key `pth`; did you mean `path`?",
            "4:1: whatever: unknown key `whatever`; possible keys: name, path, null_key",
        ]
    );
}

#[test]
fn a_required_key_is_missed_where_it_belongs() {
    let said = said("sites:\n  - name: shop\n    goal:\n", |root| {
        let mut section = root.section().unwrap();
        for site in section.get("sites").unwrap().list().unwrap() {
            let mut site = site.section().unwrap();
            assert!(site.require("upstream", "write `upstream: http://127.0.0.1:8080`").is_none());
            assert!(site.require("goal", "").is_none());
        }
    });
    assert_eq!(
        said,
        [
            "2:5: sites[0]: `upstream` is missing; write `upstream: http://127.0.0.1:8080`",
            "3:5: sites[0].goal: `goal` is empty",
        ]
    );
}

#[test]
fn an_open_map_gives_its_remaining_keys() {
    let said = said("{preset: exoclick, goal: g, gaol: ~}\n", |root| {
        let mut section = root.section().unwrap();
        section.get("preset");
        let rest: Vec<_> = section.take_rest().into_iter().map(|(key, field)| (key, field.text())).collect();
        assert_eq!(rest, [("goal", Some("g"))]);
        assert!(section.take_rest().is_empty());
        section.finish();
    });
    assert!(said.is_empty(), "{said:?}");
}

#[test]
fn nothing_counts_as_an_empty_map() {
    let said = said("defaults:\nnetworks: {exoclick: }\n", |root| {
        let entries = root.entries().unwrap();
        assert!(entries[0].1.entries().unwrap().is_empty());
        assert_eq!(entries[1].1.entries().unwrap()[0].1.path, "networks.exoclick");
    });
    assert!(said.is_empty(), "{said:?}");
}

#[test]
fn every_value_reads_as_an_operator_writes_it() {
    let said = said("[30d, 64KiB, on, No, truncate, 8080, x, {a: 1}]", |root| {
        let fields = root.list().unwrap();
        assert_eq!(fields[0].duration(), Some(Duration::from_hours(720)));
        assert_eq!(fields[1].size(), Some(65_536));
        assert_eq!((fields[2].switch(), fields[3].switch()), (Some(true), Some(false)));
        assert_eq!(fields[4].choice(&[("full", 1), ("truncate", 2)]), Some(2));
        assert_eq!(fields[5].parse::<u16>("a port"), Some(8080));
        assert_eq!(fields[6].one_or_many().len(), 1);
        assert_eq!(root.one_or_many().len(), 8);
        assert_eq!(fields[7].entries().unwrap()[0].1.path, "[7].a");
    });
    assert!(said.is_empty(), "{said:?}");
}

#[test]
fn a_value_that_does_not_fit_says_what_would() {
    for (text, read, expected) in [
        (
            "a: 30",
            (|f| ignore(f.duration())) as fn(&Field<'_>),
            "`30` lacks a unit; write `500ms`, `30s`, `15m`, `24h` or `30d`",
        ),
        ("a: soon", |f| ignore(f.duration()), "`soon` is not a duration; write `500ms`, `30s`, `15m`, `24h` or `30d`"),
        ("a: 99999d", |f| ignore(f.duration()), "`99999d` is too large"),
        ("a: 64K", |f| ignore(f.size()), "`64K` is not a size; write `500B`, `64KiB` or `1MiB`"),
        ("a: maybe", |f| ignore(f.switch()), "`maybe` is not a switch; write `true` or `false`"),
        (
            "a: ful",
            |f| ignore(f.choice(&[("full", 1), ("truncate", 2)])),
            "`ful` is none of `full`, `truncate`; did you mean `full`?",
        ),
        ("a: abc", |f| ignore(f.parse::<u16>("a port")), "`abc` is not a port"),
        ("a: ''", |f| ignore(f.text()), "the value is missing"),
        ("a: ~", |f| ignore(f.text()), "the value is missing"),
        ("a: [b]", |f| ignore(f.text()), "expected text, found a list"),
        ("a: {b: c}", |f| ignore(f.text()), "expected text, found a map"),
        ("a: {order_id}", |f| ignore(f.text()), "`{` begins a map where text belongs; quote this: '{order_id}'"),
        ("a: b", |f| ignore(f.list()), "expected a list, found `b`; write it as `[ … ]`"),
        (
            "a: b",
            |f| ignore(f.entries()),
            "expected a map of `key: value` lines, found `b`; write a space after the `:` of a key",
        ),
        (
            "a: b",
            |f| ignore(f.section_with("path")),
            "expected a map of `key: value` lines, found `b`; write `a: { path: … }`",
        ),
    ] {
        let said = said(text, |root| read(&root.entries().unwrap()[0].1));
        assert_eq!(said, [format!("1:4: a: {expected}")], "{text}");
    }
}

#[test]
fn a_root_that_is_no_map_is_told_so() {
    assert_eq!(
        said("- a\n", |root| ignore(root.section())),
        ["1:1: the file must be a map of `key: value` lines, found a list; write a space after the `:` of a key"]
    );
}

#[test]
fn a_map_of_lines_is_not_taken_for_a_placeholder() {
    let said = said("a:\n  order_id:\n", |root| ignore(root.entries().unwrap()[0].1.text()));
    assert_eq!(said, ["2:3: a: expected text, found a map"]);
}

#[test]
fn a_value_from_the_environment_never_stands_in_a_message() {
    let said = said("a: ${SECRET}\n", |root| {
        let field = &root.entries().unwrap()[0].1;
        ignore((field.duration(), field.switch(), field.choice(&[("Hunter2", 1)]), field.list()));
    });
    assert_eq!(said.len(), 4);
    for line in said {
        assert!(line.contains("environment variable SECRET"), "{line}");
        assert!(!line.contains("hunter") && !line.contains("did you mean"), "{line}");
    }
}

#[test]
fn an_unset_variable_is_told_once() {
    let said = said("a: ${UNSET}\n", |root| {
        let mut section = root.section().unwrap();
        let field = section.require("a", "").unwrap();
        ignore((field.text(), field.duration(), field.section()));
        section.finish();
    });
    assert_eq!(said, ["1:4: a: environment variable UNSET is not set (or empty)"]);
}

#[test]
fn a_secret_may_stand_in_a_file() {
    let read = |path: &Path| match path.to_str() {
        Some("./key") => Ok("s3cret\n".to_owned()),
        Some("./empty") => Ok("\n".to_owned()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    let text = "- {file: key}\n- plain\n- {file: none}\n- {file: empty}\n- {file: key, mode: x}\n- {}\n";
    let said = said(text, |root| {
        let secrets: Vec<_> = root.list().unwrap().iter().map(|f| f.secret_text(&read)).collect();
        let key = secrets[0].as_ref().unwrap();
        assert_eq!((key.text.as_str(), &key.origin), ("s3cret", &Origin::File("./key".into())));
        assert_eq!(secrets[1].as_ref().unwrap().origin, Origin::Written);
        assert!(secrets[2].is_none() && secrets[3].is_none() && secrets[5].is_none());
    });
    assert_eq!(
        said,
        [
            "3:10: [2].file: `./none` cannot be read: entity not found",
            "4:10: [3].file: `./empty` is empty",
            "5:15: [4].mode: unknown key `mode`; possible keys: file",
            "6:3: [5]: expected text, found a map",
        ]
    );
}
