//! Visitors who buy one thing after another, and note what they were thanked for.

use std::{
    collections::BTreeSet,
    hash::{BuildHasher, Hasher, RandomState},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{proxy::Proxy, visitor::Visitor};

/// Visitors who buy until they are told to leave.
#[derive(Debug)]
pub(crate) struct Crowd {
    leaving: Arc<AtomicBool>,
    noted: Arc<AtomicUsize>,
    visitors: Vec<JoinHandle<BTreeSet<String>>>,
}

impl Crowd {
    /// So many visitors, who know the proxy's new address after a restart.
    pub(crate) fn enter(proxy: &Proxy, visitors: usize) -> Self {
        let (leaving, noted) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let enter = |_| {
            let (visitor, leaving, noted) = (proxy.visitor(), Arc::clone(&leaving), Arc::clone(&noted));
            thread::spawn(move || buy(visitor, &leaving, &noted))
        };
        Self { visitors: (0..visitors).map(enter).collect(), leaving, noted }
    }

    /// How many orders were noted so far.
    pub(crate) fn noted(&self) -> usize {
        self.noted.load(Ordering::SeqCst)
    }

    /// Yields the orders that were noted.
    pub(crate) fn leave(self) -> BTreeSet<String> {
        self.leaving.store(true, Ordering::SeqCst);
        self.visitors.into_iter().flat_map(|visitor| visitor.join().expect("a visitor")).collect()
    }
}

/// One order after another, each until its page has arrived; every eighth page is reloaded at once.
fn buy(visitor: Visitor, leaving: &AtomicBool, all: &AtomicUsize) -> BTreeSet<String> {
    let name = RandomState::new().build_hasher().finish();
    let mut visitor = visitor.on_one_connection().sending("Cookie", "_own_cid=abc");
    let mut noted = BTreeSet::new();
    let mut number = 0;
    while !leaving.load(Ordering::SeqCst) {
        let order = format!("{name:x}-{number}");
        let page = visitor.try_request("GET", &format!("/thank-you/{order}"), &[], "");
        if page.is_ok_and(|page| page.status == 200 && page.is_complete()) {
            if number % 8 == 0 {
                drop(visitor.try_request("GET", &format!("/thank-you/{order}"), &[], ""));
            }
            noted.insert(order);
            all.fetch_add(1, Ordering::SeqCst);
            number += 1;
        } else {
            // Between two lives of the proxy nobody answers; the same order is tried again.
            thread::sleep(Duration::from_millis(5));
        }
    }
    noted
}

/// A shop with a network of its own, which hears of event id (`e`), order (`o`) and click (`c`).
///
/// Both addresses may also be names with a port.
pub(crate) fn shop_of_its_own(site: SocketAddr, network: &str) -> String {
    format!(
        r#"sites:
  - upstream: "http://{site}"
    networks:
      own:
        click: {{ param: cid }}
        postback: {{ url: "http://{network}/pb", query: {{ e: "{{event_id}}", o: "{{order_id}}", c: "{{click_id}}" }} }}
    conversions:
      - name: purchase
        path: "/thank-you/{{order_id}}"
        send: {{ own: {{ }} }}
"#
    )
}

/// A duration up to `longest`, different in every run.
pub(crate) fn random(longest: Duration) -> Duration {
    let share = RandomState::new().build_hasher().finish() % 1000;
    longest * u32::try_from(share).expect("less than a thousand") / 1000
}
