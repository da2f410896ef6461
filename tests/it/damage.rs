//! A store that is damaged, gone or locked up: the site goes on, the books balance, nothing is deleted.

use std::{
    fs::{self, OpenOptions, Permissions},
    io::{Read, Seek, SeekFrom, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::support::{
    accounting::assert_accounts, await_fact, config::shop, network::AdNetwork, origin::Origin, proxy::Proxy,
};

const OUTCOMES: &str = "throughline_conversions_total";
const DELIVERED: &[(&str, &str)] = &[("verdict", "delivered")];
const FILE: &str = "throughline.sqlite";

struct Story {
    _origin: Origin,
    _network: AdNetwork,
    proxy: Proxy,
}

impl Story {
    /// A shop that has sold so many orders, all delivered.
    fn after(orders: u32) -> Self {
        let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
        let story = Self { proxy: Proxy::with(&shop(&origin, &network)).start(), _origin: origin, _network: network };
        for order in 0..orders {
            story.sells(&format!("old-{order}"));
        }
        story.proxy.await_metric("throughline_postbacks_total", DELIVERED, orders);
        story.proxy.await_settled();
        story
    }

    /// Sells, and yields how long the page's head took.
    fn sells(&self, order: &str) -> Duration {
        let mut visitor = self.proxy.visitor().sending("Cookie", "_exoclick_cid=abc");
        let page = visitor.get(&format!("/thank-you/{order}?total=1"));
        assert!(page.status == 200 && page.is_complete(), "{order}: {}", page.status);
        page.head_after
    }

    fn state(&self) -> PathBuf {
        self.proxy.folder().join("state")
    }

    fn file(&self) -> PathBuf {
        self.state().join(FILE)
    }

    fn await_ready(&self) {
        let answer = || self.proxy.admin("/readyz").text();
        await_fact(
            || answer().contains("\"state\":\"ready\"").then_some(()),
            || format!("a store that is ready, not {}\n{}", answer(), self.proxy.stderr()),
        );
    }

    /// What was set aside.
    fn set_aside(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.state()).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.to_string_lossy().contains(".corrupt-")).collect()
    }
}

/// Turns every bit around from a place on.
fn flip(file: &Path, from: u64, length: usize) {
    let mut file = OpenOptions::new().read(true).write(true).open(file).unwrap();
    let mut bytes = vec![0; length];
    file.seek(SeekFrom::Start(from)).unwrap();
    file.read_exact(&mut bytes).unwrap();
    bytes.iter_mut().for_each(|byte| *byte = !*byte);
    file.seek(SeekFrom::Start(from)).unwrap();
    file.write_all(&bytes).unwrap();
}

fn cut(file: &Path, length: u64) {
    OpenOptions::new().write(true).open(file).unwrap().set_len(length).unwrap();
}

#[test]
fn a_file_that_was_damaged_is_set_aside_at_the_next_start() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 5] = [
        ("a flipped bit in the magic", |file| flip(file, 3, 1)),
        ("a flipped page header", |file| flip(file, 4096, 12)),
        ("a flipped page", |file| flip(file, 8192, 4096)),
        ("cut within a page", |file| cut(file, 10_000)),
        ("cut to its first page", |file| cut(file, 4096)),
    ];
    for (damage, harm) in damages {
        let mut story = Story::after(3);
        assert!(story.proxy.terminate().success());
        let before = fs::metadata(story.file()).unwrap().len();
        harm(&story.file());
        let harmed = fs::metadata(story.file()).unwrap().len();
        assert!(before > 12_288, "{before}");
        story.proxy.restart();
        story.await_ready();
        let aside = story.set_aside();
        assert_eq!(aside.len(), 1, "{damage}: {aside:?}\n{}", story.proxy.stderr());
        assert_eq!(fs::metadata(&aside[0]).unwrap().len(), harmed, "{damage}: it is kept as it was");
        assert!(story.proxy.stderr().contains("set aside"), "{damage}: {}", story.proxy.stderr());
        story.proxy.await_metric("throughline_store_errors_total", &[("kind", "corrupt")], 1);
        story.sells("new");
        story.proxy.await_metric("throughline_postbacks_total", DELIVERED, 1);
        assert_accounts(&story.proxy);
    }
}

#[test]
fn a_log_that_was_lost_or_damaged_costs_no_page_and_no_order_after_it() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 3] = [
        ("deleted", |log| fs::remove_file(log).unwrap()),
        ("flipped", |log| flip(log, 40, 4000)),
        ("cut", |log| cut(log, 1000)),
    ];
    for (damage, harm) in damages {
        let mut story = Story::after(2);
        story.proxy.kill();
        let log = story.state().join(format!("{FILE}-wal"));
        assert!(fs::metadata(&log).unwrap().len() > 5000, "{damage}: the kill left a log");
        harm(&log);
        if let Err(error) = fs::remove_file(story.state().join(format!("{FILE}-shm"))) {
            panic!("{damage}: {error}");
        }
        story.proxy.restart();
        story.await_ready();
        story.sells("new");
        story.proxy.await_metric("throughline_postbacks_total", &[("verdict", "delivered")], 1);
        assert_accounts(&story.proxy);
    }
}

#[test]
fn a_file_deleted_beneath_a_running_proxy_is_made_anew() {
    let story = Story::after(1);
    for name in [FILE.to_owned(), format!("{FILE}-wal"), format!("{FILE}-shm")] {
        fs::remove_file(story.state().join(name)).unwrap();
    }
    story.sells("between");
    await_fact(|| story.file().exists().then_some(()), || format!("a new file; {}", story.proxy.stderr()));
    story.await_ready();
    story.sells("after");
    story.proxy.await_metric(OUTCOMES, &[("outcome", "queued")], 3);
    story.proxy.await_metric("throughline_postbacks_total", DELIVERED, 3);
    assert_accounts(&story.proxy);
}

#[test]
fn a_file_overwritten_beneath_a_running_proxy_takes_no_page_with_it() {
    let mut story = Story::after(5);
    let length = fs::metadata(story.file()).unwrap().len();
    flip(&story.file(), 4096, usize::try_from(length).unwrap() - 4096);
    for order in 0..20 {
        let took = story.sells(&format!("new-{order}"));
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
    // What of it is true only the next start can tell: the log may have healed the file, and then what
    // had not been settled is sent again.
    story.proxy.restart();
    story.await_ready();
    story.sells("after");
    story.proxy.await_metric(OUTCOMES, &[("outcome", "queued")], 1);
    story.proxy.await_settled();
    assert!(story.proxy.metric("throughline_postbacks_total", DELIVERED) > 0.5, "{}", story.proxy.stderr());
}

#[test]
fn a_file_of_the_wrong_owner_is_used_as_soon_as_it_can_be() {
    let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
    let mut proxy = Proxy::with(&shop(&origin, &network)).unprivileged().start();
    assert!(proxy.terminate().success());
    let file = proxy.folder().join("state").join(FILE);
    fs::set_permissions(&file, Permissions::from_mode(0o000)).unwrap();
    proxy.restart();
    let story = Story { proxy, _origin: origin, _network: network };
    let ready = story.proxy.admin("/readyz").text();
    assert!(ready.contains("degraded") && ready.contains("permissions"), "{ready}");
    story.sells("1");
    story.proxy.await_metric(OUTCOMES, &[("outcome", "unstored")], 1);
    assert_eq!(story.set_aside(), Vec::<PathBuf>::new(), "it is not damaged");
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    story.await_ready();
    story.sells("1");
    story.proxy.await_metric("throughline_postbacks_total", DELIVERED, 1);
    assert_accounts(&story.proxy);
}
