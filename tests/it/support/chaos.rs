//! An ad network in a bad week: real sockets, and a seeded share of every way to fail.
//!
//! What an attempt meets follows from the seed, its event id and how often that id has come before,
//! so a run repeats whatever the order of its requests. The ledger holds what only the network can
//! know: which events it took in, and which of its answers it sent to the last byte.

use std::{
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

mod ledger;
mod mix;

use ledger::Attempt;
pub(crate) use ledger::Ledger;
use mix::number;
pub(crate) use mix::{Fault, Mix};

/// A listener on loopback that fails as its mix says; stops accepting when dropped.
#[derive(Debug)]
pub(crate) struct Chaos {
    address: SocketAddr,
    desk: Arc<Desk>,
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

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nOK";
/// Longer than any client of ours waits for an answer.
const LATE: Duration = Duration::from_secs(16);

#[cfg(test)]
mod tests {
    use super::{super::visitor::Visitor, mix::SHARES, *};

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
}
