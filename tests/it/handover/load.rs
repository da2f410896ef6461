//! Hand-overs while visitors keep buying and operators keep asking.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rusqlite::Connection as Database;

use crate::support::{
    await_fact,
    chaos::{Chaos, Mix},
    crowd::shop_of_its_own,
    origin::PAGE,
    proxy::Proxy,
    server::{Request, lock},
    site::Site,
    tell,
    visitor::Visitor,
};

/// Visitors who buy at the same time: those who keep their connection, and those who never do.
const KEEPERS: usize = 4;
const OTHERS: usize = 4;

#[test]
fn five_hand_overs_under_load_fail_no_request_and_lose_no_order() {
    assert_hand_overs(5, 40);
}

#[test]
#[ignore = "takes minutes"]
fn a_hundred_hand_overs_under_load_fail_no_request_and_lose_no_order() {
    assert_hand_overs(100, 200);
}

/// Hands over so often, each time after so many more orders.
fn assert_hand_overs(rounds: usize, orders: usize) {
    let (site, records) = (Site::start(), Arc::new(Records::default()));
    let notes = Arc::clone(&records);
    let network = Chaos::knowing(Mix::seeded(1), move |request: &Request| {
        let parameter = |name| request.parameter(name).expect("a postback of this story").to_owned();
        lock(&notes.0).entry(parameter("o")).or_default().insert(parameter("e"));
        vec![parameter("o")]
    });
    let mut proxy = Proxy::with(&shop_of_its_own(site.address(), &network.address().to_string())).start();
    let public = Public::enter(&proxy);
    for round in 1..=rounds {
        public.await_orders(round * orders);
        let mut former = proxy.succeed();
        assert_eq!(former.await_end().code(), Some(0), "round {round}: {}", former.stderr());
        assert!(!former.stderr().contains("ERROR"), "round {round}: {}", former.stderr());
    }
    public.await_orders((rounds + 1) * orders);
    let (ordered, asked) = public.leave();
    proxy.await_settled();
    tell(&format!("{rounds} hand-overs, {} orders, {asked} questions of operators, nothing failed", ordered.len()));
    let records = lock(&records.0);
    assert_eq!(records.keys().cloned().collect::<BTreeSet<_>>(), ordered, "every order is reported");
    let twice: Vec<_> = records.iter().filter(|(_, events)| events.len() > 1).collect();
    assert!(twice.is_empty(), "no order under two event ids: {twice:?}");
    assert_eq!(network.requests(), ordered.len(), "and none is sent twice");
    let store = Database::open(proxy.folder().join("state/throughline.sqlite")).unwrap();
    let count = |sql: &str| store.query_row(sql, [], |row| row.get::<_, u32>(0)).unwrap() as usize;
    assert_eq!(count("SELECT count(*) FROM history WHERE verdict = 'delivered'"), ordered.len());
    assert_eq!(count("SELECT count(*) FROM outbox"), 0);
    assert_eq!(count("SELECT count(*) FROM instance"), 1, "who has ended has said so");
}

/// Under which event ids each order came.
#[derive(Default)]
struct Records(Mutex<BTreeMap<String, BTreeSet<String>>>);

/// Visitors who buy and operators who ask, all of whom expect an answer to every request.
struct Public {
    leaving: Arc<AtomicBool>,
    orders: Arc<AtomicUsize>,
    failures: Arc<Mutex<Vec<String>>>,
    buyers: Vec<JoinHandle<BTreeSet<String>>>,
    operator: JoinHandle<usize>,
}

impl Public {
    fn enter(proxy: &Proxy) -> Self {
        let (leaving, orders) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let failures: Arc<Mutex<Vec<String>>> = Arc::default();
        let buyer = |number: usize| {
            let visitor = proxy.visitor().sending("Cookie", "_own_cid=abc");
            let mut visitor = if number < KEEPERS { visitor.on_one_connection() } else { visitor };
            let (leaving, orders, failures) = (leaving.clone(), orders.clone(), failures.clone());
            thread::spawn(move || {
                let mut mine = BTreeSet::new();
                while !leaving.load(Ordering::SeqCst) {
                    let order = format!("{number}-{}", mine.len());
                    check(&mut visitor, &format!("/thank-you/{order}"), PAGE, &failures);
                    check(&mut visitor, "/catalogue", PAGE, &failures);
                    mine.insert(order);
                    orders.fetch_add(1, Ordering::SeqCst);
                }
                mine
            })
        };
        let buyers = (0..KEEPERS + OTHERS).map(buyer).collect();
        let operator = {
            let (mut operator, leaving, failures) = (proxy.operator(), leaving.clone(), failures.clone());
            thread::spawn(move || {
                let mut asked = 0;
                while !leaving.load(Ordering::SeqCst) {
                    check(&mut operator, "/healthz", "ok\n", &failures);
                    check(&mut operator, "/readyz", "\"ready\":true", &failures);
                    check(&mut operator, "/metrics", "throughline_build_info", &failures);
                    asked += 3;
                    thread::sleep(Duration::from_millis(5));
                }
                asked
            })
        };
        Self { leaving, orders, failures, buyers, operator }
    }

    /// Waits until so many orders were made in all, and nothing has failed.
    fn await_orders(&self, count: usize) {
        await_fact(
            || {
                assert_eq!(*lock(&self.failures), Vec::<String>::new());
                (self.orders.load(Ordering::SeqCst) >= count).then_some(())
            },
            || format!("{count} orders"),
        );
    }

    /// Yields the orders, and how often the operator has asked.
    fn leave(self) -> (BTreeSet<String>, usize) {
        self.leaving.store(true, Ordering::SeqCst);
        let orders = self.buyers.into_iter().flat_map(|buyer| buyer.join().expect("a buyer")).collect();
        let asked = self.operator.join().expect("an operator");
        assert_eq!(*lock(&self.failures), Vec::<String>::new());
        (orders, asked)
    }
}

/// Asks for a page and notes when it is not the one.
fn check(visitor: &mut Visitor, target: &str, content: &str, failures: &Mutex<Vec<String>>) {
    let failure = match visitor.try_request("GET", target, &[], "") {
        Ok(answer) if answer.status == 200 && answer.is_complete() && answer.text_without_frame().contains(content) => {
            return;
        }
        Ok(answer) => format!("{target}: {} {:?} {:.300}", answer.status, answer.ending, answer.text()),
        Err(error) => format!("{target}: {error}"),
    };
    lock(failures).push(failure);
}
