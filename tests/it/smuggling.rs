//! One request in, one request out: whatever a visitor writes, the site never reads another request
//! into it than the visitor was understood to send.
//!
//! A site records the very bytes that reach it. They must be requests that every parser reads in the
//! same way, only such that were sent as requests, and every answer must belong to its question.

mod corpus;
mod parser;

use std::{
    collections::BTreeSet,
    io::{self, BufReader, ErrorKind},
    net::{Shutdown, SocketAddr},
    thread,
    time::Duration,
};

use crate::support::{
    SOCKET_TIMEOUT,
    http::{Body, Framing, Head, latin1},
    proxy::Proxy,
    raw_origin::{Connection, RawOrigin},
    relay::Relay,
};
use corpus::{CORPUS, Case, Expected, path};
use parser::{Habit, Rest};

/// A site that reads like this, keeps every connection open, and says in each answer what it understood.
fn site(habit: Habit) -> RawOrigin {
    RawOrigin::start(move |visitor| {
        let (mut stream, mut answered) = (Vec::new(), 0);
        loop {
            let some = visitor.some()?;
            if some.is_empty() {
                return Ok(());
            }
            stream.extend(some);
            let (requests, rest) = habit.read(&stream);
            for request in requests.iter().skip(answered) {
                visitor.send(answer(&request.line))?;
                if request.closes {
                    return Ok(());
                }
            }
            answered = requests.len();
            if let Rest::Malformed(_) = rest {
                return visitor.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            }
        }
    })
}

fn answer(line: &str) -> String {
    let body = if line.starts_with("HEAD ") { "" } else { line };
    format!("HTTP/1.1 200 OK\r\nX-Understood: {line}\r\nContent-Length: {}\r\n\r\n{body}", line.len())
}

/// What a visitor got on one connection.
#[derive(Debug, Default)]
struct Heard {
    /// The statuses of all answers.
    statuses: Vec<u16>,
    /// The requests that the site understood, answer by answer.
    understood: Vec<String>,
    /// What was wrong with the last answer.
    broken: Option<String>,
}

/// Sends the pieces, each after the answer to the one before, and listens until the end.
fn send(to: SocketAddr, pieces: &[&[u8]], method: &str, patience: Duration) -> Heard {
    let mut visitor = Connection::to(to);
    let stream = visitor.stream().try_clone().unwrap();
    stream.set_read_timeout(Some(patience)).unwrap();
    let mut pieces = pieces.iter();
    let mut send_next = || pieces.next().is_some_and(|piece| visitor.send(piece).is_ok());
    // Who refuses may close before all is written.
    send_next();
    // A server may take an end for a farewell; it is said only if nothing happens.
    let mut stream = BufReader::new(stream);
    let mut heard = Heard::default();
    loop {
        match io::BufRead::fill_buf(&mut stream) {
            Ok([]) => return heard,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if stream.get_ref().shutdown(Shutdown::Write).is_err() {
                    return heard;
                }
                continue;
            }
            Err(_) => return heard,
        }
        let head = match Head::read(&mut stream) {
            Ok(Some(head)) => head,
            Ok(None) => return heard,
            Err(error) => {
                heard.broken = Some(error.to_string());
                return heard;
            }
        };
        let status: u16 = head.start.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default();
        heard.statuses.push(status);
        heard.understood.extend(head.headers.get("x-understood").map(str::to_owned));
        let framing = head.answer_framing(status, method);
        Body::read(&mut stream, framing);
        if framing == Framing::UntilClose {
            return heard;
        }
        if status >= 200 {
            send_next();
        }
    }
}

/// Everything that is wrong with what became of a case: its lines, in words.
fn judge(case: &Case, number: usize, heard: &Heard) -> Vec<String> {
    let mut faults = Vec::new();
    let allowed = [case.line(number), format!("GET {}second", path(number)), format!("GET {}after", path(number))];
    for (understood, sent) in heard.understood.iter().zip(&allowed) {
        if understood != sent && !allowed.contains(understood) {
            faults.push(format!("an answer to {understood:?}, which was not asked"));
        }
    }
    let in_order: Vec<_> =
        heard.understood.iter().filter_map(|it| allowed.iter().position(|sent| sent == it)).collect();
    if !in_order.is_sorted() || in_order.len() != in_order.iter().collect::<BTreeSet<_>>().len() {
        faults.push(format!("answers out of step: {:?}", heard.understood));
    }
    faults.extend(heard.broken.iter().map(|how| format!("a broken answer: {how}")));
    let was_refused = heard.understood.is_empty() && heard.statuses.iter().all(|status| *status >= 400);
    match case.expected {
        Expected::Ours(_) if !WE_REFUSE => {}
        Expected::Refused | Expected::Ours(_) if !was_refused => faults.push(format!("not refused: {heard:?}")),
        Expected::Passed if heard.understood.first() != Some(&allowed[0]) => {
            faults.push(format!("not passed: {heard:?}"));
        }
        Expected::Refused | Expected::Ours(_) | Expected::Passed | Expected::Either => {}
    }
    faults
}

/// Sends the whole corpus and yields each fault, beginning with the name of its case.
fn run(to: SocketAddr, origin: &RawOrigin) -> Vec<String> {
    let mut faults = Vec::new();
    for (number, case) in cases() {
        let known: Vec<usize> = origin.recorded().iter().map(Vec::len).collect();
        let method = case.seen.split(' ').next().unwrap();
        let follower = format!("GET {}after HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n", path(number));
        let (bytes, follower) = (case.bytes(number), follower.as_bytes());
        let heard = match case.expected {
            Expected::Passed => send(to, &[&bytes, follower], method, SOCKET_TIMEOUT),
            Expected::Refused | Expected::Ours(_) | Expected::Either => {
                send(to, &[&[&bytes, follower].concat()], method, PATIENCE)
            }
        };
        let mut found = judge(case, number, &heard);
        // Another visitor, perhaps over the connection to the site that the case has used.
        let probe = format!("GET /probe-{number} HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n");
        let heard = send(to, &[probe.as_bytes()], "GET", SOCKET_TIMEOUT);
        if heard.understood != [format!("GET /probe-{number}")] {
            found.push(format!("the next visitor got {heard:?}"));
        }
        for (connection, stream) in origin.recorded().iter().enumerate() {
            let known = known.get(connection).copied().unwrap_or_default();
            found.extend(judge_site(case, number, &stream[known..]));
        }
        faults.extend(found.into_iter().map(|fault| format!("{}: {fault}", case.name)));
    }
    faults
}

fn cases() -> impl Iterator<Item = (usize, &'static Case)> {
    CORPUS
        .iter()
        .enumerate()
        .filter(|(_, case)| WE_REFUSE || !matches!(case.expected, Expected::Ours("no_host" | "malformed" | "bare_lf")))
}

/// What is wrong with the bytes that reached the site because of a case, whoever reads them.
fn judge_site(case: &Case, number: usize, stream: &[u8]) -> Vec<String> {
    let is_refused = match case.expected {
        Expected::Refused => true,
        Expected::Ours(_) => WE_REFUSE,
        Expected::Passed | Expected::Either => false,
    };
    let own = path(number);
    let mut allowed = vec![format!("GET /probe-{number}")];
    if !is_refused {
        allowed.extend([case.line(number), format!("GET {own}second"), format!("GET {own}after")]);
    }
    let mut faults = Vec::new();
    for habit in [Habit::Strict, Habit::LengthWins, Habit::ChunksWin] {
        let (requests, rest) = habit.read(stream);
        let uninvited = requests.iter().filter(|request| !allowed.contains(&request.line));
        faults.extend(uninvited.map(|request| format!("the site ({habit:?}) saw {:?}", request.line)));
        if let Rest::Malformed(why) = rest {
            faults.push(format!("the site ({habit:?}) saw {why}: {:?}", latin1(stream)));
        }
    }
    faults
}

/// Whether the proxy itself refuses what Pingora lets pass.
const WE_REFUSE: bool = true;

/// How long a server is given to end a connection by itself on which it perhaps waits for more.
const PATIENCE: Duration = Duration::from_millis(200);

#[test]
fn no_request_of_the_corpus_is_read_by_the_site_as_another_one() {
    assert!(CORPUS.len() >= 60);
    thread::scope(|scope| {
        for habit in [Habit::Strict, Habit::LengthWins, Habit::ChunksWin] {
            scope.spawn(move || {
                let origin = site(habit);
                let proxy = Proxy::with(&origin.site()).start();
                let faults = run(proxy.address(), &origin);
                assert!(faults.is_empty(), "{} faults of {}:\n{}", faults.len(), CORPUS.len(), faults.join("\n"));
                let ours = cases().filter_map(|(_, case)| match case.expected {
                    Expected::Ours(reason) if WE_REFUSE => Some(reason),
                    Expected::Refused | Expected::Ours(_) | Expected::Passed | Expected::Either => None,
                });
                for reason in ours.collect::<BTreeSet<_>>() {
                    assert!(proxy.metric("throughline_refused_total", &[("reason", reason)]) > 0.0, "{reason}");
                }
            });
        }
    });
}

/// The negative control: a relay that repairs nothing, before sites of all habits.
#[test]
fn the_judge_sees_what_a_naive_relay_lets_through() {
    let faulty = |habit| {
        let origin = site(habit);
        let relay = Relay::to(origin.address());
        run(relay.address(), &origin)
    };
    let (length_wins, chunks_win) = thread::scope(|scope| {
        let length_wins = scope.spawn(|| faulty(Habit::LengthWins));
        let chunks_win = faulty(Habit::ChunksWin);
        (length_wins.join().unwrap(), chunks_win)
    });
    let caught = |faults: &[String], name: &str, what: &str| {
        faults.iter().any(|fault| fault.starts_with(&format!("{name}: ")) && fault.contains(what))
    };
    for name in ["CL then TE, chunks end early", "TE then CL, chunks end early", "TE in capitals and CL"] {
        assert!(caught(&chunks_win, name, "smuggled"), "{name}\n{}", chunks_win.join("\n"));
    }
    assert!(caught(&length_wins, "CL short, chunks longer", "smuggled"), "{}", length_wins.join("\n"));
    for faults in [&length_wins, &chunks_win] {
        let names: BTreeSet<_> =
            faults.iter().filter_map(|fault| fault.split_once(": ")).map(|(name, _)| name).collect();
        assert!(names.len() >= 60, "only {} of {} cases were caught", names.len(), CORPUS.len());
        for well_formed in ["a length", "chunks", "no body"] {
            let of_it = faults.iter().filter(|fault| fault.starts_with(&format!("{well_formed}: ")));
            assert!(!names.contains(well_formed), "{:?}", of_it.collect::<Vec<_>>());
        }
    }
}
