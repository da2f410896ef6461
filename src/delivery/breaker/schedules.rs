//! The breaker among threads, in many random orders.
//!
//! The worker asks on one thread and hears the ends of its requests in whatever order they come. Here
//! each request is a thread of its own, so every order of asking, ending and time passing is possible.

use shuttle::{
    rand::{Rng, thread_rng},
    sync::{Arc, Mutex},
    thread,
};

use super::{recent::FAILURES, *};
use crate::store::clock;

const CONCURRENCY: usize = 8;
const THREADS: usize = 4;

/// What the threads share: the breaker, its clock, and a record of its own of what is under way.
struct World {
    breaker: Breaker,
    now: Instant,
    /// Requests of the probe or of a step of the ramp.
    on_trial: usize,
}

impl World {
    fn new() -> Self {
        let now = clock::instant();
        let mut breaker = Breaker::new(CONCURRENCY, now);
        // Two failures away from opening, so that the threads are many enough.
        for _ in 0..FAILURES - 2 {
            let pass = breaker.begin(now).expect("it is closed");
            breaker.end(pass, Sign::Failed, now);
        }
        Self { breaker, now, on_trial: 0 }
    }

    /// Notes a request that has begun, and checks that there is a place for it.
    fn begun(&mut self) -> bool {
        let BreakerState::HalfOpen { places, .. } = self.breaker.state() else { return false };
        self.on_trial += 1;
        assert!(self.on_trial <= places, "{} requests, {places} places", self.on_trial);
        true
    }

    /// A new time begins for what is under way when it opens or closes.
    fn ended(&mut self, was_on_trial: bool, pass: Pass, sign: Sign) {
        let epoch = self.breaker.epoch;
        if was_on_trial && pass.epoch == epoch {
            self.on_trial = self.on_trial.saturating_sub(1);
        }
        self.breaker.end(pass, sign, self.now);
        if self.breaker.epoch != epoch || matches!(self.breaker.state(), BreakerState::Closed { .. }) {
            self.on_trial = 0;
        }
    }
}

fn any_sign() -> Sign {
    match thread_rng().gen_range(0..8) {
        0..=2 => Sign::Good,
        3..=5 => Sign::Failed,
        6 => Sign::Refused,
        _ => Sign::None,
    }
}

/// Asks and begins in one piece, as the worker does.
fn in_one_piece(world: &Mutex<World>) -> Option<(Pass, bool)> {
    let mut world = world.lock().unwrap();
    let now = world.now;
    let pass = world.breaker.begin(now)?;
    let is_on_trial = world.begun();
    Some((pass, is_on_trial))
}

/// The seeded bug: somebody else may begin between the question and the deed.
fn in_two_pieces(world: &Mutex<World>) -> Option<(Pass, bool)> {
    {
        let world = world.lock().unwrap();
        if !world.breaker.admits(world.now) {
            return None;
        }
    }
    let mut world = world.lock().unwrap();
    if let State::HalfOpen(stage) = &mut world.breaker.state {
        stage.under_way += 1;
    } else {
        let now = world.now;
        let pass = world.breaker.begin(now)?;
        let is_on_trial = world.begun();
        return Some((pass, is_on_trial));
    }
    let epoch = world.breaker.epoch;
    let is_on_trial = world.begun();
    Some((Pass { epoch }, is_on_trial))
}

fn schedule(begin: fn(&Mutex<World>) -> Option<(Pass, bool)>) {
    let world = Arc::new(Mutex::new(World::new()));
    let requests: Vec<_> = (0..THREADS)
        .map(|_| {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                for _ in 0..4 {
                    if let Some((pass, is_on_trial)) = begin(&world) {
                        // Under way.
                        thread::yield_now();
                        world.lock().unwrap().ended(is_on_trial, pass, any_sign());
                    } else {
                        world.lock().unwrap().now += LONGEST_PAUSE / 2;
                    }
                }
            })
        })
        .collect();
    requests.into_iter().for_each(|request| request.join().unwrap());
    let mut world = world.lock().unwrap();
    world.now += LONGEST_PAUSE;
    let now = world.now;
    assert!(world.breaker.begin(now).is_some(), "stuck: {:?}", world.breaker.state());
}

#[test]
fn no_order_of_events_lets_a_second_probe_through() {
    shuttle::check_random(|| schedule(in_one_piece), 500);
}

#[test]
#[ignore = "10,000 orders take a while"]
fn no_order_of_many_more_lets_a_second_probe_through() {
    shuttle::check_random(|| schedule(in_one_piece), 10_000);
    shuttle::check_pct(|| schedule(in_one_piece), 10_000, 3);
}

#[test]
#[should_panic(expected = "requests")]
fn asking_and_beginning_in_two_pieces_is_found_out() {
    shuttle::check_random(|| schedule(in_two_pieces), 500);
}
