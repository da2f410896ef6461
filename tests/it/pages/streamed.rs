//! A page that its site sends in pieces arrives in pieces.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
};

use flate2::{Compression, write::GzEncoder};

use super::{await_result, gunzipped, gzip};
use crate::support::{
    SOCKET_TIMEOUT,
    config::{THANKS, shop},
    http::{Framing, Head},
    network::AdNetwork,
    origin::Origin,
    proxy::Proxy,
};

/// Brotli without compression, one meta-block for each piece (RFC 7932, section 9.2), and the last one.
fn brotli(pieces: &[&str]) -> Vec<Vec<u8>> {
    let first = |at| u32::from(at == 0);
    let block = |(at, piece): (usize, &&str)| {
        let header = ((u32::try_from(piece.len()).unwrap() - 1) << 3 | 1 << 19) << first(at);
        [&header.to_le_bytes()[..3], piece.as_bytes()].concat()
    };
    pieces.iter().enumerate().map(block).chain([vec![3]]).collect()
}

/// A site that sends each part of its page when it is told to.
struct Paced {
    address: SocketAddr,
    go: Sender<()>,
}

impl Paced {
    fn start(head: &'static str, parts: Vec<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (go, told) = channel();
        thread::spawn(move || Self::serve(&listener, head, &parts, &told));
        Self { address, go }
    }

    fn serve(listener: &TcpListener, head: &str, parts: &[Vec<u8>], told: &Receiver<()>) {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_nodelay(true).unwrap();
        Head::read(&mut BufReader::new(stream.try_clone().unwrap())).unwrap();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n{head}Transfer-Encoding: chunked\r\n\r\n")
            .unwrap();
        for part in parts {
            told.recv_timeout(SOCKET_TIMEOUT).expect("the visitor saw the part before");
            write!(stream, "{:x}\r\n", part.len()).unwrap();
            stream.write_all(part).unwrap();
            stream.write_all(b"\r\n").unwrap();
        }
        stream.write_all(b"0\r\n\r\n").unwrap();
    }

    fn proxy(&self) -> Proxy {
        let origin = Origin::start();
        let config = shop(&origin, &AdNetwork::answering(["OK"]));
        Proxy::with(&config.replace(&origin.address().to_string(), &self.address.to_string())).start()
    }
}

/// The next chunk of a body, nothing at its end.
fn next_chunk(stream: &mut BufReader<TcpStream>) -> Vec<u8> {
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    let mut chunk = vec![0; usize::from_str_radix(line.trim_end(), 16).unwrap() + 2];
    stream.read_exact(&mut chunk).unwrap();
    chunk.truncate(chunk.len() - 2);
    chunk
}

/// The pieces of a page, each flushed by its compressor.
fn flushed<W: Write>(pieces: &[&str], mut encoder: W, take: fn(&mut W) -> Vec<u8>) -> Vec<Vec<u8>> {
    let mut flush = |piece: &&str| {
        encoder.write_all(piece.as_bytes()).unwrap();
        encoder.flush().unwrap();
        take(&mut encoder)
    };
    pieces.iter().map(&mut flush).collect()
}

#[test]
fn a_page_that_is_streamed_arrives_piece_by_piece() {
    const PIECES: [&str; 4] = [
        "<!doctype html><html><body><h1>Thank you</h1>",
        "<p>We look for your parcel …",
        "<p>Found.",
        "</body></html>",
    ];
    let mut gzipped =
        flushed(&PIECES, GzEncoder::new(Vec::new(), Compression::default()), |it| std::mem::take(it.get_mut()));
    // An empty last block, and the check sum and length of a gzip stream made in one go.
    let whole = gzip(PIECES.concat().as_bytes());
    gzipped.push([&[3, 0], &whole[whole.len() - 8..]].concat());
    let mut zstandard =
        flushed(&PIECES, zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap(), |it| std::mem::take(it.get_mut()));
    // An empty last block (RFC 8878, section 3.1.1.2).
    zstandard.push(vec![1, 0, 0]);
    let plain = PIECES.iter().map(|piece| piece.as_bytes().to_vec()).collect();
    for (head, parts, accepted) in [
        ("", plain, "gzip"),
        ("Content-Encoding: gzip\r\n", gzipped.clone(), "gzip"),
        ("Content-Encoding: gzip\r\n", gzipped, "identity"),
        ("Content-Encoding: br\r\n", brotli(&PIECES), "gzip"),
        ("Content-Encoding: br\r\n", brotli(&PIECES), "identity"),
        ("Content-Encoding: zstd\r\n", zstandard.clone(), "gzip"),
        ("Content-Encoding: zstd\r\n", zstandard, "identity"),
    ] {
        let origin = Paced::start(head, parts);
        let proxy = origin.proxy();
        let mut visitor = proxy.visitor().sending("Accept-Encoding", accepted);
        // The head leaves before any part of the page is there.
        let mut open = visitor.open("GET", THANKS, &[], "").unwrap();
        assert_eq!((open.answer.status, open.answer.framing), (200, Framing::Chunked), "{head}");
        let is_gzip = open.answer.header("content-encoding") == Some("gzip");
        assert_eq!(is_gzip, accepted == "gzip" && !head.is_empty());
        let mut stream = Vec::new();
        let mut seen = |chunk: Vec<u8>| {
            stream.extend(chunk);
            if is_gzip { gunzipped(&stream).0 } else { String::from_utf8(stream.clone()).unwrap() }
        };
        for count in 1..=3 {
            origin.go.send(()).unwrap();
            // All of it is there before the next piece is sent.
            while seen(next_chunk(&mut open.stream)) != PIECES[..count].concat() {}
        }
        // The end is held until it is sure to be one.
        origin.go.send(()).unwrap();
        origin.go.send(()).ok();
        while let chunk @ [_, ..] = &next_chunk(&mut open.stream)[..] {
            seen(chunk.to_vec());
        }
        let page = seen(Vec::new());
        let end = page.strip_prefix(&PIECES[..3].concat()).unwrap();
        assert!(
            end.starts_with("<img") && end.ends_with(PIECES[3]) && end.matches("<img").count() == 11,
            "{head}: {end}"
        );
        await_result(&proxy, "injected");
    }
}
