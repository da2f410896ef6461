//! An ad network in a bad week: real sockets, and a seeded share of every way to fail.
//!
//! What an attempt meets follows from the seed, its event id and how often that id has come before,
//! so a run repeats whatever the order of its requests. The ledger holds what only the network can
//! know: which events it took in, and which of its answers it sent to the last byte.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use super::{
    SOCKET_TIMEOUT, await_fact,
    response::wait_until_gone,
    server::{Request, lock, reset},
};

/// A listener on loopback that fails as its mix says; stops accepting when dropped.
#[derive(Debug)]
pub(crate) struct Chaos {
    address: SocketAddr,
    desk: Arc<Desk>,
}

/// How a request may be treated instead of a plain 200.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// 500, 502, 503 or 504; nothing was taken in.
    ServerError,
    /// Reset instead of an answer; nothing was taken in.
    ResetBefore,
    /// Taken in, but the answer is reset within its head.
    CutHead,
    /// Taken in, but the answer is reset within its body.
    CutBody,
    /// Taken in; the answer's body comes a byte at a time, for longer than anyone waits.
    Drip,
    /// Taken in; the answer's body never ends.
    Endless,
    /// Taken in; the answer comes when the client has given up.
    Late,
    /// Nothing ever comes, and nothing was taken in.
    Hang,
}

/// How often each fault happens.
#[derive(Clone, Debug)]
pub(crate) struct Mix {
    seed: u64,
    /// Of a hundred thousand attempts, so many.
    shares: Vec<(Fault, u64)>,
    most: usize,
}

/// What happened, by event id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger(BTreeMap<String, Vec<Attempt>>);

/// One request about one event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    /// What it met; `None` is a plain 200.
    pub(crate) fault: Option<Fault>,
    /// Whether an answer of 200 was sent to its last byte.
    pub(crate) whole: bool,
}

type Ids = dyn Fn(&Request) -> Vec<String> + Send + Sync;

/// What all connections share.
struct Desk {
    mix: Mix,
    ids: Box<Ids>,
    ledger: Mutex<Ledger>,
    requests: AtomicUsize,
    calm: AtomicBool,
    stopped: AtomicBool,
}

impl Chaos {
    /// Starts one that finds the event id in the query's parameter `e`.
    pub(crate) fn start(mix: Mix) -> Self {
        Self::knowing(mix, |request| request.parameter("e").map(str::to_owned).into_iter().collect())
    }

    /// Starts one that finds the ids of the events of a request by `ids`; the first decides the fault.
    pub(crate) fn knowing(mix: Mix, ids: impl Fn(&Request) -> Vec<String> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let desk = Desk {
            mix,
            ids: Box::new(ids),
            ledger: Mutex::default(),
            requests: AtomicUsize::default(),
            calm: AtomicBool::default(),
            stopped: AtomicBool::default(),
        };
        let chaos = Self { address: listener.local_addr().unwrap(), desk: Arc::new(desk) };
        let desk = Arc::clone(&chaos.desk);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if desk.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let desk = Arc::clone(&desk);
                // An error here is the peer's leaving, which is not ours to judge.
                thread::spawn(move || desk.serve(stream).ok());
            }
        });
        chaos
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on every request gets its plain 200.
    pub(crate) fn calms_down(&self) {
        self.desk.calm.store(true, Ordering::SeqCst);
    }

    /// A copy of the ledger of this moment.
    pub(crate) fn ledger(&self) -> Ledger {
        lock(&self.desk.ledger).clone()
    }

    /// How many requests came so far; costs nothing, unlike the ledger.
    pub(crate) fn requests(&self) -> usize {
        self.desk.requests.load(Ordering::SeqCst)
    }

    /// How many different events were taken in so far.
    pub(crate) fn taken(&self) -> usize {
        lock(&self.desk.ledger).0.values().filter(|attempts| attempts.iter().any(|attempt| attempt.is_taken())).count()
    }

    /// Waits until so many different events were taken in.
    pub(crate) fn await_taken(&self, count: usize) {
        await_fact(|| (self.taken() >= count).then_some(()), || format!("{count} events, got {}", self.taken()));
    }
}

impl Drop for Chaos {
    fn drop(&mut self) {
        self.desk.stopped.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, which then closes the listener.
        drop(TcpStream::connect(self.address));
    }
}

impl Mix {
    /// No fault at all, until some are added.
    pub(crate) const fn seeded(seed: u64) -> Self {
        Self { seed, shares: Vec::new(), most: usize::MAX }
    }

    /// Three of ten attempts fail, most of them fast: those that are waited for would outlast a test.
    pub(crate) fn bad_week(seed: u64) -> Self {
        let fast = [(Fault::ServerError, 11_000), (Fault::ResetBefore, 9_500), (Fault::CutHead, 6_000)];
        let slow = [(Fault::Drip, 60), (Fault::Endless, 60), (Fault::Late, 60), (Fault::Hang, 60)];
        let mix = fast.into_iter().chain([(Fault::CutBody, 3_260)]).chain(slow);
        mix.fold(Self::seeded(seed), |mix, (fault, share)| mix.with(fault, share))
    }

    /// Adds a fault that meets so many of a hundred thousand attempts.
    pub(crate) fn with(mut self, fault: Fault, share: u64) -> Self {
        self.shares.push((fault, share));
        self
    }

    /// Lets no event fail more often than this, because the waits between attempts grow.
    pub(crate) const fn at_most(mut self, faults: usize) -> Self {
        self.most = faults;
        self
    }

    fn choose(&self, id: &str, before: &[Attempt]) -> Option<Fault> {
        if before.iter().filter(|attempt| attempt.fault.is_some()).count() >= self.most {
            return None;
        }
        let mut drawn = number((self.seed, id, before.len())) % SHARES;
        self.shares.iter().find_map(|(fault, share)| {
            let is_drawn = drawn < *share;
            drawn = drawn.saturating_sub(*share);
            is_drawn.then_some(*fault)
        })
    }
}

impl Desk {
    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(SOCKET_TIMEOUT))?;
        let mut reader = BufReader::new(stream.try_clone()?);
        while let Some(request) = Request::read(&mut reader)? {
            let ids = (self.ids)(&request);
            let fault = self.enter(&ids);
            let salt = number(&ids);
            match fault {
                None => {
                    stream.write_all(ANSWER)?;
                    self.note_whole(&ids);
                }
                Some(Fault::ServerError) => {
                    let status = [500, 502, 503, 504][usize::try_from(salt % 4).unwrap()];
                    write!(stream, "HTTP/1.1 {status} Trouble\r\nContent-Length: 0\r\n\r\n")?;
                }
                Some(Fault::Drip) => return drip(&mut stream),
                Some(Fault::Endless) => {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
                    loop {
                        stream.write_all(&[b'O'; 1024])?;
                    }
                }
                Some(Fault::Late) => {
                    thread::sleep(LATE);
                    return stream.write_all(ANSWER);
                }
                Some(Fault::Hang) => return wait_until_gone(&mut stream).map(drop),
                Some(Fault::ResetBefore) => return break_off(stream, reader, 0),
                Some(Fault::CutHead) => return break_off(stream, reader, ANSWER.len() / 2),
                Some(Fault::CutBody) => return break_off(stream, reader, ANSWER.len() - 1),
            }
        }
        Ok(())
    }

    /// Writes a request into the ledger before it is answered.
    fn enter(&self, ids: &[String]) -> Option<Fault> {
        self.requests.fetch_add(1, Ordering::SeqCst);
        let mut ledger = lock(&self.ledger);
        let is_calm = self.calm.load(Ordering::SeqCst);
        let before = ids.first().and_then(|id| ledger.0.get(id)).map_or(&[][..], Vec::as_slice);
        let fault = ids.first().filter(|_| !is_calm).and_then(|id| self.mix.choose(id, before));
        for id in ids {
            ledger.0.entry(id.clone()).or_default().push(Attempt { fault, whole: false });
        }
        fault
    }

    fn note_whole(&self, ids: &[String]) {
        let mut ledger = lock(&self.ledger);
        for id in ids {
            // Which of several attempts under way it was makes no difference to the count.
            let attempts = ledger.0.get_mut(id).into_iter().flatten();
            if let Some(attempt) = attempts.into_iter().find(|attempt| attempt.fault.is_none() && !attempt.whole) {
                attempt.whole = true;
            }
        }
    }
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("mix", &self.mix).finish_non_exhaustive()
    }
}

impl Ledger {
    /// Which of these events were never taken in.
    pub(crate) fn missing(&self, events: &BTreeSet<String>) -> Vec<String> {
        let is_taken =
            |id: &String| self.0.get(id).is_some_and(|attempts| attempts.iter().any(|attempt| attempt.is_taken()));
        events.iter().filter(|id| !is_taken(id)).cloned().collect()
    }

    /// How many requests came about events whose 200 had been sent to its last byte.
    pub(crate) fn repeats(&self) -> usize {
        let after_whole = |attempts: &[Attempt]| {
            attempts.iter().position(|attempt| attempt.whole).map_or(0, |first| attempts.len() - first - 1)
        };
        self.0.values().map(|attempts| after_whole(attempts)).sum()
    }

    /// How many requests there were.
    pub(crate) fn attempts(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// How many events there were.
    pub(crate) fn events(&self) -> usize {
        self.0.len()
    }

    /// How many requests met each fault.
    pub(crate) fn faults(&self) -> BTreeMap<Fault, usize> {
        let mut faults = BTreeMap::new();
        for fault in self.0.values().flatten().filter_map(|attempt| attempt.fault) {
            *faults.entry(fault).or_default() += 1;
        }
        faults
    }
}

impl Attempt {
    /// Whether the network has the event now.
    pub(crate) const fn is_taken(self) -> bool {
        !matches!(self.fault, Some(Fault::ServerError | Fault::ResetBefore | Fault::Hang))
    }
}

/// Resets the connection after so many bytes of the answer.
fn break_off(mut stream: TcpStream, reader: BufReader<TcpStream>, after: usize) -> io::Result<()> {
    stream.write_all(&ANSWER[..after])?;
    if after > 0 {
        // A reset overtakes bytes still under way; let them arrive, they are part of the fault.
        thread::sleep(Duration::from_millis(5));
    }
    drop(reader);
    reset(stream)
}

fn drip(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")?;
    for _ in 0..100 {
        stream.write_all(b"O")?;
        thread::sleep(Duration::from_millis(400));
    }
    Ok(())
}

/// The same number in every run.
fn number(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nOK";
const SHARES: u64 = 100_000;
/// Longer than any client of ours waits for an answer.
const LATE: Duration = Duration::from_secs(16);

#[cfg(test)]
mod tests {
    use super::{super::visitor::Visitor, *};

    fn asks(chaos: &Chaos, id: &str) -> Option<u16> {
        let answer = Visitor::at(chaos.address()).try_request("GET", &format!("/pb?e={id}"), &[], "");
        answer.ok().filter(super::super::visitor::Answer::is_complete).map(|answer| answer.status)
    }

    #[test]
    fn each_fault_is_what_it_says() {
        for (fault, seen, taken) in [
            (None, Some(200), true),
            (Some(Fault::ResetBefore), None, false),
            (Some(Fault::CutHead), None, true),
            (Some(Fault::CutBody), None, true),
        ] {
            let mix = fault.map_or(Mix::seeded(1), |fault| Mix::seeded(1).with(fault, SHARES));
            let chaos = Chaos::start(mix.at_most(1));
            assert_eq!(asks(&chaos, "a"), seen, "{fault:?}");
            assert_eq!((chaos.taken() == 1, chaos.ledger().repeats()), (taken, 0), "{fault:?}");
            assert_eq!(asks(&chaos, "a"), Some(200), "{fault:?} happens once");
            await_fact(|| (chaos.ledger().0["a"][1].whole).then_some(()), || "a whole answer".into());
        }
        let chaos = Chaos::start(Mix::seeded(1).with(Fault::ServerError, SHARES));
        assert!(asks(&chaos, "a").is_some_and(|status| status >= 500));
        chaos.calms_down();
        assert_eq!(asks(&chaos, "a"), Some(200));
    }

    #[test]
    fn a_week_is_as_bad_as_its_mix_and_the_same_again_for_the_same_seed() {
        let faults = |seed| {
            let mix = Mix::bad_week(seed);
            (0..20_000).map(|id| mix.choose(&id.to_string(), &[])).collect::<Vec<_>>()
        };
        let week = faults(7);
        let bad = week.iter().flatten().count();
        assert!((5_600..6_400).contains(&bad), "{bad} of 20,000 are not three of ten");
        assert!(week == faults(7) && week != faults(8));
    }

    #[test]
    fn the_ledger_knows_what_is_missing_and_what_came_again() {
        let attempt = |fault, whole| Attempt { fault, whole };
        let (taken, lost) = (attempt(None, true), attempt(Some(Fault::CutHead), false));
        let refused = attempt(Some(Fault::ServerError), false);
        let events = [
            ("once", vec![taken]),
            ("again because the answer was lost", vec![lost, taken]),
            ("again for no reason", vec![refused, taken, taken, taken]),
            ("refused", vec![refused]),
        ];
        let ledger = Ledger(events.into_iter().map(|(id, attempts)| (id.to_owned(), attempts)).collect());
        let expected = ["once", "refused", "never came"].map(str::to_owned).into();
        assert_eq!(ledger.missing(&expected), ["never came", "refused"]);
        assert_eq!((ledger.repeats(), ledger.attempts(), ledger.events()), (2, 8, 4));
    }
}
