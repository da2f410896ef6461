//! Compressed pages that cannot be decoded to their end: damaged, broken off, or larger than anything.

use std::{io::Write, net::SocketAddr};

use flate2::{Compression, write::DeflateEncoder};

use super::{INJECTIONS, ORDER, await_result, encoded, gunzipped, gzip, orders, start, zstd};
use crate::support::{
    accounting::assert_accounts,
    browser::Browser,
    config::{THANKS, shop},
    http::{Ending, Framing},
    network::AdNetwork,
    origin::{Origin, PAGE},
    proxy::Proxy,
};

/// 100 MiB of zeros.
const BOMB_BR: &[u8] = include_bytes!("../../data/pages/bomb.br");

/// Damaged streams of [`ORDER`], each with the least that must come out of it.
fn damaged() -> Vec<(&'static str, Vec<u8>, usize)> {
    let mut all = Vec::new();
    for (coding, body) in orders() {
        // zstd gives nothing before a block is whole, and this page is one block.
        let least = if coding == "zstd" { 0 } else { ORDER.len() / 4 };
        all.push((coding, body[..body.len() / 2].to_vec(), least));
        all.push((coding, body[..body.len() - 1].to_vec(), least));
        all.push((coding, ORDER.as_bytes().to_vec(), 0));
    }
    let mut flipped = gzip(ORDER.as_bytes());
    let middle = flipped.len() / 2;
    flipped[middle..middle + 20].fill(0xff);
    all.push(("gzip", flipped, ORDER.len() / 4));
    let mut wrong_sum = gzip(ORDER.as_bytes());
    let end = wrong_sum.len();
    wrong_sum[end - 8..end - 4].fill(0);
    all.push(("gzip", wrong_sum, ORDER.len()));
    all
}

#[test]
fn a_damaged_page_reaches_a_browser_as_a_damaged_page() {
    for (coding, body, least) in damaged() {
        for response in [encoded(coding, &body), encoded(coding, &body).chunked(7)] {
            let (_origin, proxy) = start(response);
            let mut visitor = proxy.visitor().sending("Accept-Encoding", "gzip, br, zstd").on_one_connection();
            let answer = visitor.get(THANKS);
            assert_eq!((answer.status, answer.header("content-encoding")), (200, Some("gzip")));
            assert!(answer.is_complete(), "the transfer itself: {:?}", answer.ending);
            let (page, is_whole) = gunzipped(&answer.body);
            assert!(!is_whole && page.len() >= least && !page.contains("<img"), "{} bytes of {coding}", page.len());
            await_result(&proxy, "corrupt");
            assert_eq!(visitor.get("/").text(), PAGE, "the connection is still in step");
            assert_accounts(&proxy);
        }
    }
}

#[test]
fn a_damaged_plain_page_is_delivered_as_far_as_it_goes_and_never_looks_complete() {
    for (coding, body, least) in damaged() {
        for response in [encoded(coding, &body), encoded(coding, &body).chunked(500), encoded(coding, &body).chunked(7)]
        {
            let (_origin, proxy) = start(response);
            let answer = proxy.visitor().get(THANKS);
            let what = format!("{} bytes of {coding}", body.len());
            assert_eq!((answer.status, &answer.ending), (200, &Ending::Truncated), "{what}");
            assert_eq!((answer.framing, answer.header("content-encoding")), (Framing::Chunked, None), "{what}");
            let page = answer.text();
            // Damage that the format can't see yet may come out as other bytes; only a checksum tells.
            let is_true = ORDER.starts_with(&page) || (coding == "gzip" && body.len() == gzip(ORDER.as_bytes()).len());
            assert!(is_true || body == ORDER.as_bytes(), "{what}: {page}");
            assert!(page.len() >= least && !page.contains("<img"), "{what}: {} bytes came out", page.len());
            await_result(&proxy, "corrupt");
            assert_eq!(proxy.visitor().get("/").text(), PAGE, "the proxy goes on");
            assert_accounts(&proxy);
        }
    }
}

#[test]
fn a_browser_shows_of_a_damaged_page_what_it_shows_of_it_without_us() {
    let mut browser = Browser::start();
    let window = browser.window();
    let mut damaged = damaged();
    // What comes out at all, and not as nothing but an error.
    damaged.retain(|(coding, _, least)| *least > 0 && *coding == "gzip");
    for (_, body, least) in damaged {
        let (origin, proxy) = start(encoded("gzip", &body));
        // Chromium itself asks for gzip.
        let mut seen = |address: SocketAddr| {
            let tab = browser.open(&window, &format!("http://{address}{THANKS}"));
            browser.text(&tab)
        };
        let (direct, ours) = (seen(origin.address()), seen(proxy.address()));
        assert_eq!(ours, direct);
        assert!(direct.len() > least / 3 && direct.starts_with("0\tArticle 0"), "{direct:.100}");
        await_result(&proxy, "corrupt");
    }
}

#[test]
fn a_compressed_page_that_the_site_breaks_off_is_delivered_as_far_as_it_goes() {
    let body = gzip(ORDER.as_bytes());
    let (_origin, proxy) = start(encoded("gzip", &body).reset_after(body.len() / 2));
    let answer = proxy.visitor().get(THANKS);
    assert_eq!(answer.status, 200);
    assert!(!answer.is_complete() && ORDER.starts_with(&answer.text()) && answer.body.len() > ORDER.len() / 4);
    await_result(&proxy, "interrupted");
}

/// gzip that says to be 10 GiB: a stretch of a mebibyte of zeros that stands on its own, again and again.
fn bomb() -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![0; 1 << 20]).unwrap();
    encoder.flush().unwrap();
    let stretch = encoder.get_ref().clone();
    let header = gzip(b"")[..10].to_vec();
    [header, stretch.repeat(10 << 10)].concat()
}

#[test]
fn a_bomb_is_given_up_within_a_bounded_memory() {
    let gzip_bomb = bomb();
    assert!((9_000_000..12_000_000).contains(&gzip_bomb.len()), "{} bytes of gzip", gzip_bomb.len());
    let page = vec![0; 100 << 20];
    let bombs = [("gzip", gzip_bomb), ("br", BOMB_BR.into()), ("zstd", zstd(&page))];
    for ((coding, body), accepted) in bombs.iter().flat_map(|bomb| [(bomb, "identity"), (bomb, "gzip")]) {
        let origin = Origin::start();
        // One worker, so that what the allocator keeps for each thread is counted once.
        let config = format!("threads: 1\n{}", shop(&origin, &AdNetwork::answering(["OK"])));
        let proxy = Proxy::with(&config).start();
        proxy.visitor().get("/");
        let before = proxy.peak_memory();
        for order in 1001..1009 {
            let path = format!("/thank-you/{order}");
            origin.change(&path, encoded(coding, body.clone()));
            let answer = proxy.visitor().sending("Accept-Encoding", accepted).get(&path);
            assert_eq!((answer.status, answer.is_complete()), (200, accepted == "gzip"), "{coding}");
            let (page, is_whole) = match accepted {
                "gzip" => gunzipped(&answer.body),
                _ => (answer.text(), false),
            };
            assert!(!is_whole && page.bytes().all(|byte| byte == 0) && page.len() <= 9 << 20, "{coding}");
        }
        let growth = proxy.peak_memory() - before;
        println!("{coding} for {accepted}: {} KiB more at the peak", growth >> 10);
        assert!(growth <= 64 << 20, "{coding}: {} MiB more", growth >> 20);
        proxy.await_metric(INJECTIONS, &[("result", "bomb")], 8);
        assert_accounts(&proxy);
    }
}
