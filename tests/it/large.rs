//! Bodies larger than anybody wants to keep: they pass, whole, and leave nothing behind in memory.
//!
//! They are made while they are sent and summed up where they arrive; nobody holds one.

use std::{
    fs, io,
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    await_fact,
    proxy::Proxy,
    raw_origin::{Connection, RawOrigin},
    tell,
};

const MIB: usize = 1 << 20;

/// What every run moves each way.
const LARGE: usize = 200 * MIB;

/// What `tests/run --full` moves each way.
const HUGE: usize = 1024 * MIB;

/// What a proxy may grow by: buffers of the connections, and pages that its allocator keeps.
const GROWTH: usize = 16 * MIB;

const PIECE: usize = 64 * 1024;

/// How a body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framed {
    ByLength,
    InChunks,
}

impl Framed {
    fn header(self, length: usize) -> String {
        match self {
            Self::ByLength => format!("Content-Length: {length}\r\n"),
            Self::InChunks => "Transfer-Encoding: chunked\r\n".into(),
        }
    }
}

/// The piece of a body that begins at this offset; all differ.
fn fill(piece: &mut [u8], offset: usize) {
    for (index, word) in piece.chunks_mut(8).enumerate() {
        let number = ((offset / 8 + index) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
        word.copy_from_slice(&number[..word.len()]);
    }
}

/// Sends a body without ever holding it.
fn send(to: &mut impl Write, length: usize, framed: Framed) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    for offset in (0..length).step_by(PIECE) {
        fill(&mut piece, offset);
        if framed == Framed::InChunks {
            write!(to, "{PIECE:x}\r\n")?;
        }
        to.write_all(&piece)?;
        if framed == Framed::InChunks {
            to.write_all(b"\r\n")?;
        }
    }
    if framed == Framed::InChunks { to.write_all(b"0\r\n\r\n") } else { Ok(()) }
}

/// Reads a body and compares every byte of it, without ever holding it.
fn check(from: &mut impl Read, length: usize, framed: Framed) -> io::Result<()> {
    let mut from = io::BufReader::with_capacity(PIECE, from);
    let (mut expected, mut got) = (vec![0; PIECE], vec![0; PIECE]);
    let (mut offset, mut left_in_chunk) = (0, if framed == Framed::ByLength { length } else { 0 });
    while offset < length {
        if left_in_chunk == 0 {
            left_in_chunk = chunk_size(&mut from)?;
        }
        // Pieces end where the sender's ended, so that each can be made again.
        let count = left_in_chunk.min(PIECE - offset % PIECE);
        let start = offset % PIECE;
        if start == 0 {
            fill(&mut expected, offset);
        }
        from.read_exact(&mut got[..count])?;
        if got[..count] != expected[start..start + count] {
            return Err(io::Error::other(format!("other bytes after {offset}")));
        }
        offset += count;
        left_in_chunk -= count;
        if framed == Framed::InChunks && left_in_chunk == 0 {
            from.read_exact(&mut [0; 2])?;
        }
    }
    if framed == Framed::InChunks && chunk_size(&mut from)? != 0 {
        return Err(io::Error::other("more than was sent"));
    }
    Ok(())
}

fn chunk_size(from: &mut impl io::BufRead) -> io::Result<usize> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)
}

/// A site that sends and takes large bodies.
fn site(length: usize) -> RawOrigin {
    RawOrigin::start(move |visitor| {
        // Byte by byte: what follows the head must not be kept.
        while let Some(head) = head_of(visitor.stream())? {
            let framed = if head.contains("chunked") { Framed::InChunks } else { Framed::ByLength };
            let mut stream = io::BufWriter::with_capacity(2 * PIECE, visitor.stream().try_clone()?);
            if head.starts_with("POST ") {
                let result =
                    check(visitor.stream(), length, framed).map_or_else(|error| error.to_string(), |()| "whole".into());
                write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{result}",
                    result.len()
                )?;
                return stream.flush();
            }
            write!(stream, "HTTP/1.1 200 OK\r\n{}\r\n", framed.header(length))?;
            send(&mut stream, length, framed)?;
            stream.flush()?;
        }
        Ok(())
    })
}

fn head_of(stream: &mut TcpStream) -> io::Result<Option<String>> {
    let (mut head, mut byte) = (String::new(), [0]);
    while !head.ends_with("\r\n\r\n") {
        if stream.read(&mut byte)? == 0 {
            return Ok(None);
        }
        head.push(char::from(byte[0]));
    }
    Ok(Some(head))
}

fn download(proxy: &Proxy, length: usize, framed: Framed) {
    let mut visitor = Connection::to(proxy.address());
    let hint = if framed == Framed::InChunks { "X-Framed: chunked\r\n" } else { "" };
    visitor.send(format!("GET / HTTP/1.1\r\nHost: shop.example\r\n{hint}\r\n")).unwrap();
    let head = head_of(visitor.stream()).unwrap().unwrap();
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains(framed.header(length).trim()), "{head}");
    check(visitor.stream(), length, framed).unwrap();
}

fn upload(proxy: &Proxy, length: usize, framed: Framed) {
    let mut visitor = Connection::to(proxy.address());
    visitor
        .send(format!("POST / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n{}\r\n", framed.header(length)))
        .unwrap();
    send(visitor.stream(), length, framed).unwrap();
    let head = head_of(visitor.stream()).unwrap().unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let mut result = String::new();
    visitor.stream().read_to_string(&mut result).unwrap();
    assert_eq!(result, "whole");
}

/// Resident memory now and at its highest, in bytes.
fn memory(proxy: &Proxy) -> (usize, usize) {
    let status = fs::read_to_string(format!("/proc/{}/status", proxy.pid())).unwrap();
    let value = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
    };
    (value("VmRSS:"), value("VmHWM:"))
}

fn all_pass_with_flat_memory(length: usize) {
    let origin = site(length);
    let proxy = Proxy::with(&origin.site()).start();
    for framed in [Framed::ByLength, Framed::InChunks] {
        for (what, pass) in [("down", download as fn(&Proxy, usize, Framed)), ("up", upload)] {
            let (before, _) = memory(&proxy);
            let start = Instant::now();
            pass(&proxy, length, framed);
            let (after, highest) = memory(&proxy);
            tell(&format!(
                "{} MiB {what} {framed:?} in {:?}: {} KiB before, {} KiB after, at most {} KiB",
                length / MIB,
                start.elapsed(),
                before / 1024,
                after / 1024,
                highest / 1024
            ));
            assert!(highest < before + GROWTH, "{what} {framed:?}: from {before} to {highest} bytes");
        }
    }
}

#[test]
fn two_hundred_megabytes_pass_each_way_with_flat_memory() {
    all_pass_with_flat_memory(LARGE);
}

#[test]
#[ignore = "takes a minute"]
fn a_gigabyte_passes_each_way_with_flat_memory() {
    all_pass_with_flat_memory(HUGE);
}

#[test]
fn a_visitor_who_reads_slowly_slows_the_site_down_and_costs_no_memory() {
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = sent.clone();
    let origin = RawOrigin::start(move |visitor| {
        head_of(visitor.stream())?;
        let stream = visitor.stream();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n")?;
        let mut piece = vec![0; PIECE];
        for offset in (0..LARGE).step_by(PIECE) {
            fill(&mut piece, offset);
            stream.write_all(&piece)?;
            counter.fetch_add(PIECE, std::sync::atomic::Ordering::SeqCst);
        }
        Ok(())
    });
    let proxy = Proxy::with(&origin.site()).start();
    let (before, _) = memory(&proxy);
    let mut visitor = Connection::to(proxy.address());
    visitor.send("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").unwrap();
    head_of(visitor.stream()).unwrap();
    // The site stops when all buffers on the way are full, long before the end.
    let mut last = 0;
    let stalled_at = await_fact(
        || {
            thread::sleep(Duration::from_millis(300));
            let now = sent.load(std::sync::atomic::Ordering::SeqCst);
            let has_stalled = now > 0 && now == std::mem::replace(&mut last, now);
            has_stalled.then_some(now)
        },
        || "the site to be slowed down".into(),
    );
    let (_, highest) = memory(&proxy);
    tell(&format!(
        "the site was stopped after {} KiB; the proxy grew by {} KiB",
        stalled_at / 1024,
        (highest - before) / 1024
    ));
    assert!(stalled_at < LARGE / 4, "{stalled_at} bytes are somewhere between");
    assert!(highest < before + GROWTH, "from {before} to {highest} bytes");
    check(visitor.stream(), LARGE, Framed::ByLength).unwrap();
    let (_, highest) = memory(&proxy);
    assert!(highest < before + GROWTH, "from {before} to {highest} bytes");
}
