//! A backup under load, and back from it.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use crate::support::{
    accounting::assert_accounts_with, await_fact, network::AdNetwork, origin::Origin, proxy::Proxy, response::Response,
    server::lock,
};

const OUTCOMES: &str = "throughline_conversions_total";

/// Orders at the same time.
const BUYERS: usize = 3;

#[test]
fn everything_accepted_before_a_backup_is_in_it() {
    let (origin, asked) = (Origin::start(), AtomicUsize::new(0));
    // Every third order is refused for now, so that the backup also has something to be sent.
    let is_open = Arc::new(AtomicBool::new(false));
    let open = Arc::clone(&is_open);
    let network = AdNetwork::judging(move |_| {
        let refuses = !open.load(Ordering::SeqCst) && asked.fetch_add(1, Ordering::SeqCst).is_multiple_of(3);
        Response::new(if refuses { 401 } else { 200 })
    });
    let config = format!(
        r#"sites:
  - upstream: "http://{}"
    networks: {{ own: {{ click: {{ param: cid }}, postback: {{ url: "http://{}/pb", query: {{ o: "{{order_id}}" }} }} }} }}
    conversions: [{{ name: purchase, path: "/thank-you/{{order_id}}", send: {{ own: {{ }} }} }}]
"#,
        origin.address(),
        network.address()
    );
    let mut proxy = Proxy::with(&config).start();
    let (noted, is_over) = (Mutex::new(BTreeSet::new()), AtomicBool::new(false));
    let file = proxy.folder().join("backup.sqlite");
    let before = thread::scope(|scope| {
        let (noted, is_over) = (&noted, &is_over);
        for buyer in 0..BUYERS {
            let mut visitor = proxy.visitor().on_one_connection().sending("Cookie", "_own_cid=abc");
            scope.spawn(move || {
                for number in 0.. {
                    if is_over.load(Ordering::SeqCst) {
                        return;
                    }
                    let order = format!("{buyer}-{number}");
                    let page = visitor.get(&format!("/thank-you/{order}"));
                    assert!(page.status == 200 && page.is_complete());
                    lock(noted).insert(order);
                }
            });
        }
        await_fact(|| (lock(noted).len() > 60).then_some(()), || "the shop sells".into());
        let before = lock(noted).clone();
        let backup = proxy.command(&["backup", file.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&[backup.stdout, backup.stderr].concat()).into_owned();
        assert!(backup.status.success() && said.contains("in order"), "{said}");
        let sold = lock(noted).len();
        await_fact(|| (lock(noted).len() > sold + 20).then_some(()), || "it goes on selling".into());
        is_over.store(true, Ordering::SeqCst);
        before
    });
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let again = proxy.command(&["backup", file.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(1), "it overwrites nothing");
    assert!(String::from_utf8_lossy(&again.stderr).contains("is there already"));

    // The disk is gone: what the guide says about coming back.
    proxy.kill();
    let state = proxy.folder().join("state");
    for name in ["throughline.sqlite", "throughline.sqlite-wal", "throughline.sqlite-shm"] {
        fs::remove_file(state.join(name)).unwrap();
    }
    fs::rename(&file, state.join("throughline.sqlite")).unwrap();
    is_open.store(true, Ordering::SeqCst);
    proxy.restart();
    assert!(proxy.admin("/readyz").text().contains("\"state\":\"ready\""), "{}", proxy.stderr());
    let inherited =
        throughline::store::Inspector::open(&state).unwrap().counts(throughline::store::clock::now()).unwrap();
    let mut visitor = proxy.visitor().on_one_connection().sending("Cookie", "_own_cid=abc");
    for order in &before {
        visitor.get(&format!("/thank-you/{order}"));
    }
    let count = u32::try_from(before.len()).unwrap();
    proxy.await_metric(OUTCOMES, &[("outcome", "duplicate")], count);
    assert!(proxy.metric(OUTCOMES, &[("outcome", "queued")]) < 0.5, "each of them was in the backup");
    // What the copy held unsent has a verdict or waits; nothing of it was counted by this process before.
    let inherited: u64 = inherited.iter().map(|it| it.pending).sum();
    if proxy.metric("throughline_postbacks_total", &[]) < 0.5 {
        assert_accounts_with(&proxy, u32::try_from(inherited).unwrap());
    }
}
