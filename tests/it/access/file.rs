//! The file of the access log: moved, missing, full, and closed at the end.

use std::{fs, thread};

use super::{file, logging, read};
use crate::support::{
    await_fact,
    config::shop,
    network::AdNetwork,
    origin::{Origin, PAGE},
    proxy::Proxy,
};

#[test]
fn no_line_is_lost_when_the_file_is_moved_away_under_load() {
    const VISITORS: usize = 4;
    const PAGES: usize = 150;
    let origin = Origin::start();
    let proxy = logging("", &origin, &AdNetwork::answering(["OK"])).start();
    let mut rotations = 0;
    thread::scope(|scope| {
        let visitors: Vec<_> = (0..VISITORS)
            .map(|visitor| {
                let mut browser = proxy.visitor().on_one_connection();
                scope.spawn(move || {
                    (0..PAGES).for_each(|page| assert_eq!(browser.get(&format!("/{visitor}/{page}")).status, 200));
                })
            })
            .collect();
        while visitors.iter().any(|visitor| !visitor.is_finished()) {
            await_fact(|| file(&proxy).exists().then_some(()), || "a file".into());
            fs::rename(file(&proxy), proxy.folder().join(format!("access.log.{rotations}"))).unwrap();
            proxy.signal("HUP");
            rotations += 1;
        }
    });
    let all = || -> Vec<String> {
        let names = (0..rotations).map(|number| format!("access.log.{number}")).chain(["access.log".to_owned()]);
        names.flat_map(|name| read(&proxy.folder().join(name)).lines().map(str::to_owned).collect::<Vec<_>>()).collect()
    };
    let count = VISITORS * PAGES;
    await_fact(|| (all().len() >= count).then_some(()), || format!("{count} lines, not {}", all().len()));
    let all = all();
    assert_eq!(all.len(), count);
    for visitor in 0..VISITORS {
        for page in 0..PAGES {
            let asked = format!("\"GET /{visitor}/{page} HTTP/1.1\"");
            assert_eq!(all.iter().filter(|line| line.contains(&asked)).count(), 1, "{asked}");
        }
    }
    proxy.await_metric("throughline_events_dropped_total", &[("sink", "access")], 0);
}

#[test]
fn a_missing_folder_and_a_full_disk_cost_lines_and_no_page() {
    let origin = Origin::start();
    let network = AdNetwork::answering(["OK"]);
    let config = format!("log: {{ access: {{ file: logs/access.log }} }}\n{}", shop(&origin, &network));
    let proxy = Proxy::with(&config).start();
    let dropped = [("sink", "access")];
    proxy.await_log("the access log cannot be written");
    let mut visitor = proxy.visitor();
    (0..3).for_each(|_| assert_eq!(visitor.get("/").text(), PAGE));
    proxy.await_metric("throughline_events_dropped_total", &dropped, 3);
    fs::create_dir(proxy.folder().join("logs")).unwrap();
    let file = proxy.folder().join("logs").join("access.log");
    await_fact(
        || {
            assert_eq!(visitor.get("/").text(), PAGE);
            (!read(&file).is_empty()).then_some(())
        },
        || "a line in the new folder".into(),
    );
    proxy.await_log("the access log is written again");
    let before = proxy.metric("throughline_events_dropped_total", &dropped);
    proxy.fill_the_disk();
    await_fact(
        || {
            assert_eq!(visitor.get("/").text(), PAGE);
            (proxy.metric("throughline_events_dropped_total", &dropped) > before).then_some(())
        },
        || "lost lines".into(),
    );
    proxy.make_room();
    let end = || read(&file).lines().last().map(str::to_owned);
    await_fact(
        || {
            assert_eq!(visitor.get("/again").text(), PAGE);
            end().is_some_and(|line| line.contains("GET /again ")).then_some(())
        },
        || format!("{:?} at the end", end()),
    );
    assert!(read(&file).lines().all(|line| line.starts_with("127.0.0.0 - - [")), "{}", read(&file));
}

#[test]
fn the_last_lines_are_written_before_the_end() {
    let origin = Origin::start();
    let mut proxy = logging("", &origin, &AdNetwork::answering(["OK"])).start();
    proxy.visitor().get("/last");
    assert_eq!(proxy.terminate().code(), Some(0));
    assert!(read(&file(&proxy)).contains("\"GET /last HTTP/1.1\""));
}
