//! Pages asked for at a steady pace, and how long each took.
//!
//! The pace does not wait for answers: a page that is asked for late because all visitors were
//! waiting counts from the moment it was due. That a visitor's own thread woke late does not count.
//! On a machine that can't keep the pace, it ends all the same, with fewer pages.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{origin::PAGE, proxy::Proxy, server::lock, visitor::Visitor};

/// So many pages a second for so long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) per_second: u32,
    pub(crate) lasting: Duration,
}

/// One page to ask for.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    /// Which of the proxies.
    pub(crate) proxy: usize,
    /// What its time is filed under.
    pub(crate) kind: &'static str,
    pub(crate) target: String,
}

/// What became of the pages of one kind at one proxy.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times {
    /// From when a page was due.
    sorted: Vec<Duration>,
    /// From when it was asked for.
    served: Vec<Duration>,
    /// Answers that were not the site's page, and why.
    pub(crate) errors: Vec<String>,
}

/// What became of all pages, by proxy and kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Visits(BTreeMap<(usize, &'static str), Times>);

/// How many visitors there are to keep the pace.
const VISITORS: usize = 48;

/// Asks for pages until the time is over; `what` says which, by its number.
pub(crate) fn visits(proxies: &[&Proxy], pace: Pace, what: impl Fn(u64) -> Ask + Sync) -> Visits {
    let all = Mutex::new(Visits::default());
    let (next, began) = (AtomicU64::new(0), Instant::now());
    let count = u64::from(pace.per_second) * pace.lasting.as_secs();
    let step = Duration::from_secs(1) / pace.per_second;
    thread::scope(|scope| {
        for _ in 0..VISITORS {
            scope.spawn(|| {
                let mut windows: Vec<Visitor> = proxies.iter().map(|proxy| visitor(proxy)).collect();
                let mut mine = Visits::default();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count || began.elapsed() > pace.lasting * 5 / 4 {
                        break;
                    }
                    let due = began + step * u32::try_from(number).expect("a number of pages");
                    let ask = what(number);
                    let is_late = wait_for(due);
                    let from = if is_late { due } else { Instant::now() };
                    mine.visit(&mut windows[ask.proxy], &ask, from);
                }
                lock(&all).add(mine);
            });
        }
    });
    let mut all = all.into_inner().unwrap();
    for times in all.0.values_mut() {
        times.sorted.sort_unstable();
        times.served.sort_unstable();
    }
    all
}

fn visitor(proxy: &Proxy) -> Visitor {
    proxy.visitor().on_one_connection().sending("Cookie", "_own_cid=abc")
}

/// Sleeps until then; whether it is past already.
fn wait_for(due: Instant) -> bool {
    let left = due.saturating_duration_since(Instant::now());
    thread::sleep(left);
    left.is_zero()
}

impl Visits {
    /// The pages of one kind at one proxy.
    pub(crate) fn of(&self, proxy: usize, kind: &'static str) -> &Times {
        self.0.get(&(proxy, kind)).expect("pages of this kind were asked for")
    }

    /// Every answer that was not the site's page.
    pub(crate) fn errors(&self) -> Vec<&str> {
        self.0.values().flat_map(|times| &times.errors).map(String::as_str).collect()
    }

    /// How many pages arrived.
    pub(crate) fn count(&self) -> usize {
        self.0.values().map(|times| times.sorted.len()).sum()
    }

    fn visit(&mut self, visitor: &mut Visitor, ask: &Ask, from: Instant) {
        let asked = Instant::now();
        let answer = visitor.try_request("GET", &ask.target, &[], "");
        let (took, served) = (from.elapsed(), asked.elapsed());
        let times = self.0.entry((ask.proxy, ask.kind)).or_default();
        match answer {
            Ok(answer) if answer.status == 200 && answer.is_complete() && answer.text_without_frame() == PAGE => {
                times.sorted.push(took);
                times.served.push(served);
            }
            Ok(answer) => times.errors.push(format!("{}: {} {:?}", ask.target, answer.status, answer.ending)),
            Err(error) => times.errors.push(format!("{}: {error}", ask.target)),
        }
    }

    fn add(&mut self, other: Self) {
        for (key, times) in other.0 {
            let ours = self.0.entry(key).or_default();
            ours.sorted.extend(times.sorted);
            ours.served.extend(times.served);
            ours.errors.extend(times.errors);
        }
    }
}

impl Times {
    /// The time within which so many of a thousand pages arrived.
    pub(crate) fn within(&self, per_mille: usize) -> Duration {
        ranked(&self.sorted, per_mille)
    }

    /// The same without the time that a page waited for a visitor to be free: on a machine that
    /// can't keep the pace, that is all there is.
    pub(crate) fn served_within(&self, per_mille: usize) -> Duration {
        ranked(&self.served, per_mille)
    }
}

fn ranked(sorted: &[Duration], per_mille: usize) -> Duration {
    let rank = (sorted.len() * per_mille).div_ceil(1000).max(1);
    sorted[rank - 1]
}

#[test]
fn a_time_is_found_by_its_rank() {
    let times = Times { sorted: (1..=2000).map(Duration::from_millis).collect(), ..Times::default() };
    let ranks = [500, 990, 999, 1000].map(|per_mille| times.within(per_mille).as_millis());
    assert_eq!(ranks, [1000, 1980, 1998, 2000]);
}
