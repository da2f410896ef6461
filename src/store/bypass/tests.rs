#![expect(clippy::disallowed_methods, reason = "a test damages the files of its own folder")]

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use tempfile::TempDir;

use super::*;
use crate::store::{ErrorKind, Inspector, Retention, Store, StoreObserver};

struct Silent;

impl StoreObserver for Silent {
    fn committed(&self, _: Duration, _: usize) {}
    fn failed(&self, _: ErrorKind) {}
    fn withdrawn(&self, _: &str, _: &str) {}
}

fn target(text: &str) -> Target {
    text.parse().expect("a target")
}

fn set(folder: &Path, text: &str, tracking: Halt, until: Option<Timestamp>) -> Done<Bypass> {
    Bypass::set(folder, &Actor::new("ada (uid 7)"), target(text), tracking, until).expect("written")
}

fn listed(folder: &Path) -> Vec<String> {
    let all = Bypass::list(folder).expect("readable");
    all.into_iter().map(|it| format!("{} {}", it.target, it.tracking.as_str())).collect()
}

#[test]
fn what_is_switched_stays_until_it_ends() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    assert!(listed(folder).is_empty(), "without a file");
    let now = clock::now();
    let _done = set(folder, "shop", Halt::Off, None);
    let _done = set(folder, "shop/exo", Halt::Observe, Some(now.plus(Duration::from_hours(1))));
    let _done = set(folder, "blog", Halt::Off, Some(now));
    assert_eq!(listed(folder), ["shop off", "shop/exo observe"], "one is over already");
    let _done = set(folder, "shop", Halt::Observe, None);
    assert_eq!(listed(folder), ["shop observe", "shop/exo observe"], "the later word counts");
    let ended = Bypass::end(folder, &Actor::new("ada"), &target("shop")).unwrap().result.expect("was switched");
    assert_eq!((ended.tracking, ended.who.as_str()), (Halt::Observe, "ada (uid 7)"));
    assert_eq!(listed(folder), ["shop/exo observe"]);
    assert_eq!(Bypass::end(folder, &Actor::new("ada"), &target("shop")).unwrap().result, None);
}

#[test]
fn the_file_is_nobody_elses_and_nothing_is_left_beside_it() {
    let folder = TempDir::new().unwrap();
    let _done = set(folder.path(), "shop", Halt::Off, None);
    let mode = fs::metadata(folder.path().join(FILE)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, [FILE, LOCK]);
    let nowhere = folder.path().join("nowhere");
    let refused = Bypass::set(&nowhere, &Actor::new("ada"), target("shop"), Halt::Off, None);
    assert!(matches!(refused, Err(BypassError::NoFolder(_))) && !nowhere.exists(), "it would be the wrong owner's");
}

#[test]
fn it_is_entered_in_the_audit_where_there_is_a_store() {
    let folder = TempDir::new().unwrap();
    assert!(set(folder.path(), "shop", Halt::Off, None).unaudited.is_some(), "no store yet");
    let store = Store::start(folder.path(), Retention::default(), std::sync::Arc::new(Silent));
    let until = Timestamp::from_millis(4_102_444_800_000);
    assert!(set(folder.path(), "shop/exo", Halt::Observe, Some(until)).unaudited.is_none());
    let ended = Bypass::end(folder.path(), &Actor::new("grace"), &target("shop")).unwrap();
    assert!(ended.unaudited.is_none());
    drop(store);
    let entries = Inspector::open(folder.path()).unwrap().audit(10).unwrap();
    let told: Vec<_> = entries.iter().map(|it| format!("{}: {} {}", it.who, it.action, it.arguments)).collect();
    assert_eq!(
        told,
        ["grace: bypass shop ended", "ada (uid 7): bypass shop/exo observe until 2100-01-01T00:00:00.000Z"]
    );
}

#[test]
fn a_file_of_somebody_else_switches_nothing_and_is_replaced() {
    let one = |site: &str, who: &str| {
        format!(r#"[{{"site":"{site}","network":null,"tracking":"off","since":1,"until":null,"who":"{who}"}}]"#)
    };
    let many = format!("[{}]", vec![one("shop", "ada").trim_matches(['[', ']']); MOST + 1].join(","));
    for text in [
        String::new(),
        "null".to_owned(),
        "{}".to_owned(),
        "[{}]".to_owned(),
        "\0\u{1}".to_owned(),
        one("a/b", "ada"),
        one("", "ada"),
        one(&"s".repeat(65), "ada"),
        one("shop", "\\u001b[31mada"),
        one("shop", "ada").replace("off", "on"),
        one("shop", "ada").replace(":1", ":1e99"),
        many,
        "[".repeat(100_000),
        " ".repeat(300_000),
    ] {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join(FILE), &text).unwrap();
        let error = Bypass::list(folder.path()).expect_err(&text);
        assert!(matches!(error, BypassError::Damaged { .. }), "{error}");
        let _done = set(folder.path(), "shop", Halt::Off, None);
        assert_eq!(listed(folder.path()), ["shop off"]);
    }
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join(FILE), one("shop", "ada")).unwrap();
    assert_eq!(listed(folder.path()), ["shop off"]);
    fs::remove_file(folder.path().join(FILE)).unwrap();
    fs::create_dir(folder.path().join(FILE)).unwrap();
    assert!(matches!(Bypass::list(folder.path()), Err(BypassError::Unreadable { .. })), "a folder is no file");
}

#[test]
fn several_who_switch_at_once_do_not_undo_each_other() {
    let folder = TempDir::new().unwrap();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let folder = folder.path();
            scope.spawn(move || drop(set(folder, &format!("site{number}"), Halt::Off, None)));
        }
    });
    assert_eq!(listed(folder.path()).len(), 8);
}

#[test]
fn a_target_is_a_site_or_a_network_of_it() {
    for text in ["shop", "shop/exo_de", "www.shop-1.example"] {
        assert_eq!(target(text).to_string(), text);
    }
    for text in ["", "/", "shop/", "/exo", "a/b/c", "shop exo", "ü", &"s".repeat(65)] {
        assert!(text.parse::<Target>().is_err(), "{text}");
    }
}
