//! Ten minutes of an ordinary day: memory, descriptors and the log of the store stay what they were.
//!
//! One page of a hundred is a thank-you page; ten of a hundred in the first half, so that the caches
//! of the store are full when it is over. Resident memory is judged by its slope after that: each
//! sample is the lowest of its ten seconds, and the slope is the median over all pairs of samples
//! (Theil and Sen), so that neither a checkpoint nor a busy moment decides.

use std::{
    env, fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    accounting::assert_accounts,
    chaos::{Chaos, Mix},
    crowd::shop_of_its_own,
    load::{Ask, Pace, visits},
    proxy::Proxy,
    site::Site,
    tell,
};

/// What a process used at one moment.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Duration,
    memory: u64,
    descriptors: usize,
    log: u64,
}

/// How the samples moved.
#[derive(Clone, Copy, Debug)]
struct Drift {
    /// Bytes an hour.
    memory: f64,
    /// Highest after the warm-up, compared with its end.
    descriptors: isize,
    /// The largest log of the store.
    log: u64,
}

#[test]
fn an_ordinary_minute_leaves_nothing_behind() {
    let drift = soak(Pace { per_second: 200, lasting: Duration::from_secs(20) });
    // Half a minute says nothing about an hour, and a busy machine warms up for longer than half of it; a leak of
    // 5 KB for each page would be 3.6 GB.
    assert!(drift.memory < 2.5e9, "{drift:?}");
    assert_flat(drift);
}

#[test]
#[ignore = "takes ten minutes"]
fn ten_minutes_at_a_thousand_pages_a_second_leave_nothing_behind() {
    let wish = |name, usual| env::var(name).map_or(usual, |wish| wish.parse().expect("a number"));
    let (minutes, per_second) = (wish("THROUGHLINE_SOAK_MINUTES", 10), wish("THROUGHLINE_SOAK_RATE", 1_000));
    let drift = soak(Pace { per_second, lasting: Duration::from_mins(minutes.into()) });
    // The promise is less than 1 MB an hour. Ten minutes can't show that: allocators give memory back
    // when they like, by half a megabyte up or down. What they can show is eight bytes for each page.
    let bound = if minutes < 120 { 8.0 * 3_600_000.0 } else { 1_048_576.0 };
    assert!(drift.memory < bound, "{drift:?}");
    assert_flat(drift);
}

fn assert_flat(drift: Drift) {
    assert!(drift.descriptors <= 8, "{drift:?}");
    assert!(drift.log < 64 * 1024 * 1024, "{drift:?}");
}

/// Loads a proxy while it is watched.
fn soak(pace: Pace) -> Drift {
    let (site, network) = (Site::start(), Chaos::start(Mix::seeded(15)));
    let proxy = Proxy::with(&shop_of_its_own(site.address(), &network.address().to_string())).start();
    let over = AtomicBool::default();
    let samples = thread::scope(|scope| {
        let watch = scope.spawn(|| watch(&proxy, pace.lasting / 60, &over));
        let half = u64::from(pace.per_second) * pace.lasting.as_secs() / 2;
        let visits = visits(&[&proxy], pace, |number| match number % 100 {
            0 => Ask { proxy: 0, kind: "order", target: format!("/thank-you/{number}") },
            1..10 if number < half => Ask { proxy: 0, kind: "order", target: format!("/thank-you/{number}") },
            10 => Ask { proxy: 0, kind: "landing", target: format!("/?cid=c{number}") },
            _ => Ask { proxy: 0, kind: "page", target: format!("/catalogue/{number}") },
        });
        over.store(true, Ordering::SeqCst);
        assert_eq!(visits.errors(), Vec::<&str>::new());
        let slowest = visits.of(0, "page");
        tell(&format!(
            "{} pages of {} at {}/s; 99.9 % within {:?}",
            visits.count(),
            u64::from(pace.per_second) * pace.lasting.as_secs(),
            pace.per_second,
            slowest.within(999)
        ));
        watch.join().expect("the watch")
    });
    assert_accounts(&proxy);
    let drift = Drift::of(&samples);
    let last = samples.last().expect("a sample");
    let course: Vec<_> = samples.iter().map(|sample| format!("{:.1}", mega(sample.memory))).collect();
    tell(&format!("{:.2} MB resident; {drift:?}; {}", mega(last.memory), course.join(" ")));
    drift
}

/// Samples until the day is over.
fn watch(proxy: &Proxy, every: Duration, over: &AtomicBool) -> Vec<Sample> {
    let began = Instant::now();
    let mut samples = Vec::new();
    while !over.load(Ordering::SeqCst) {
        let mut lowest = u64::MAX;
        let until = Instant::now() + every;
        while Instant::now() < until {
            lowest = lowest.min(proxy.memory());
            thread::sleep(every.min(Duration::from_millis(250)));
        }
        let log = fs::metadata(proxy.folder().join("state/throughline.sqlite-wal"));
        samples.push(Sample {
            at: began.elapsed(),
            memory: lowest,
            descriptors: fs::read_dir(format!("/proc/{}/fd", proxy.pid())).expect("it runs").count(),
            log: log.map_or(0, |log| log.len()),
        });
    }
    samples
}

impl Drift {
    /// The first half is warm-up: caches fill, and the allocator learns what it needs.
    fn of(samples: &[Sample]) -> Self {
        let steady = &samples[samples.len() / 2..];
        let mut slopes: Vec<f64> = steady
            .iter()
            .enumerate()
            .flat_map(|(index, one)| steady[index + 1..].iter().map(|other| slope(one, other)))
            .collect();
        slopes.sort_by(f64::total_cmp);
        let descriptors = |samples: &[Sample]| samples.iter().map(|sample| sample.descriptors).max().unwrap_or(0);
        Self {
            memory: slopes[slopes.len() / 2],
            descriptors: descriptors(steady).cast_signed() - descriptors(&samples[..samples.len() / 2]).cast_signed(),
            log: samples.iter().map(|sample| sample.log).max().unwrap_or(0),
        }
    }
}

/// Bytes an hour between two samples.
fn slope(one: &Sample, other: &Sample) -> f64 {
    (mega(other.memory) - mega(one.memory)) * 1_048_576.0 * 3600.0 / other.at.abs_diff(one.at).as_secs_f64()
}

/// In mebibytes; the precision of a float is enough for that.
fn mega(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes / 1024).expect("less than four terabytes")) / 1024.0
}

#[test]
fn a_slow_leak_shows_through_the_noise() {
    let samples = |leak: u64| -> Vec<Sample> {
        let sample = |index: u64| Sample {
            at: Duration::from_secs(10 * index),
            // Noise of 300 KB up and down, and a checkpoint now and then.
            memory: 40_000_000
                + index * leak
                + index * 7919 % 13 * 25_000
                + u64::from(index.is_multiple_of(17)) * 4_000_000,
            descriptors: 60,
            log: 0,
        };
        (0..60).map(sample).collect()
    };
    assert!(Drift::of(&samples(0)).memory < 1_048_576.0);
    // 14 KB in ten seconds are 5 MB an hour.
    assert!(Drift::of(&samples(14_000)).memory > 1_048_576.0);
}

#[test]
fn descriptors_that_stay_open_show() {
    let proxy = Proxy::with("sites: [{ upstream: \"http://127.0.0.1:9\" }]").start();
    let (over, began) = (AtomicBool::default(), Instant::now());
    let samples = thread::scope(|scope| {
        let watch = scope.spawn(|| watch(&proxy, Duration::from_millis(100), &over));
        let mut open = Vec::new();
        while began.elapsed() < Duration::from_secs(3) {
            open.push(std::net::TcpStream::connect(proxy.address()).unwrap());
            thread::sleep(Duration::from_millis(30));
        }
        over.store(true, Ordering::SeqCst);
        watch.join().expect("the watch")
    });
    assert!(Drift::of(&samples).descriptors > 8, "{samples:?}");
}
