//! Decoding page by page, and its laws.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;

use super::*;
use crate::html::inject::{Injector, inject_whole};

/// A page, and the same as Node.js 20 compresses it with brotli.
const ORDER: &[u8] = include_bytes!("../../../tests/data/pages/order.html");
const ORDER_BR: &[u8] = include_bytes!("../../../tests/data/pages/order.html.br");
/// 100 MiB of zeros.
const BOMB_BR: &[u8] = include_bytes!("../../../tests/data/pages/bomb.br");

fn gzip(page: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(page).unwrap();
    encoder.finish().unwrap()
}

fn zstd(page: &[u8]) -> Vec<u8> {
    ::zstd::encode_all(page, 3).unwrap()
}

/// Brotli without compression: each piece is a meta-block (RFC 7932, section 9.2).
fn brotli(pieces: &[&[u8]]) -> Vec<u8> {
    let mut stream = Vec::new();
    let (mut bits, mut header) = (0_u32, 1);
    for piece in pieces.iter().flat_map(|piece| piece.chunks(1 << 16)) {
        bits |= ((piece.len() as u32 - 1) << 3 | 1 << 19) << header;
        stream.extend_from_slice(&bits.to_le_bytes()[..3]);
        stream.extend_from_slice(piece);
        (bits, header) = (0, 0);
    }
    stream.push(3 << header);
    stream
}

fn encoded(coding: Coding, page: &[u8]) -> Vec<u8> {
    match coding {
        Coding::Gzip => gzip(page),
        Coding::Brotli => brotli(&[page]),
        Coding::Zstd => zstd(page),
    }
}

const CODINGS: [Coding; 3] = [Coding::Gzip, Coding::Brotli, Coding::Zstd];

fn decoded<'a>(coding: Coding, chunks: impl Iterator<Item = &'a [u8]>) -> (Vec<u8>, Result<(), Fault>) {
    let mut decoder = Decoder::new(coding);
    let mut page = Vec::new();
    for chunk in chunks {
        let Decoded { bytes, fault } = decoder.write(chunk);
        assert!(bytes.len() <= MAX_CHUNK + STEP);
        page.extend(bytes);
        if let Some(fault) = fault {
            return (page, Err(fault));
        }
    }
    (page, decoder.finish())
}

fn whole(coding: Coding, stream: &[u8]) -> (Vec<u8>, Result<(), Fault>) {
    decoded(coding, std::iter::once(stream))
}

#[test]
fn a_page_comes_out_as_it_went_in() {
    for coding in CODINGS {
        for size in [1, 7, 4096, usize::MAX] {
            let stream = encoded(coding, ORDER);
            let (page, end) = decoded(coding, stream.chunks(size.min(stream.len())));
            assert_eq!((page == ORDER, end), (true, Ok(())), "{coding:?} by {size}");
        }
    }
    for size in [1, 7, 4096] {
        assert_eq!(decoded(Coding::Brotli, ORDER_BR.chunks(size)), (ORDER.to_vec(), Ok(())), "by {size}");
    }
}

#[test]
fn what_was_flushed_comes_out_with_its_chunk() {
    let mut decoder = Decoder::new(Coding::Gzip);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    for piece in ["<p>one", "<p>two", "<p>three"] {
        encoder.write_all(piece.as_bytes()).unwrap();
        encoder.flush().unwrap();
        assert_eq!(decoder.write(&std::mem::take(encoder.get_mut())).bytes, piece.as_bytes());
    }
    let mut decoder = Decoder::new(Coding::Zstd);
    let mut encoder = ::zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    for piece in ["<p>one", "<p>two", "<p>three"] {
        encoder.write_all(piece.as_bytes()).unwrap();
        encoder.flush().unwrap();
        assert_eq!(decoder.write(&std::mem::take(encoder.get_mut())).bytes, piece.as_bytes());
    }
    let mut decoder = Decoder::new(Coding::Brotli);
    let stream = brotli(&[b"<p>one", b"<p>two"]);
    let (first, second) = stream.split_at(3 + 6);
    assert_eq!(decoder.write(first).bytes, b"<p>one");
    assert_eq!(decoder.write(second).bytes, b"<p>two");
    assert_eq!(decoder.finish(), Ok(()));
}

#[test]
fn members_and_frames_follow_one_another() {
    let two = |coding| [encoded(coding, b"<p>one"), encoded(coding, b"<p>two")].concat();
    for coding in [Coding::Gzip, Coding::Zstd] {
        for size in [1, 1000] {
            let stream = two(coding);
            assert_eq!(
                decoded(coding, stream.chunks(size)),
                (b"<p>one<p>two".to_vec(), Ok(())),
                "{coding:?} by {size}"
            );
        }
    }
}

#[test]
fn what_stands_behind_a_stream_is_ignored_as_in_browsers() {
    for behind in [&b"\n<!-- cached -->"[..], &[0; 100]] {
        for coding in [Coding::Gzip, Coding::Brotli] {
            for size in [1, 1000] {
                let stream = [&encoded(coding, b"<p>one"), behind].concat();
                assert_eq!(decoded(coding, stream.chunks(size)), (b"<p>one".to_vec(), Ok(())), "{coding:?} by {size}");
            }
        }
    }
    // Chromium refuses such a page, and so it is no page.
    let stream = [&zstd(b"<p>one"), &b"\n<!-- cached -->"[..]].concat();
    assert_eq!(whole(Coding::Zstd, &stream).1, Err(Fault::Corrupt));
}

#[test]
fn no_bytes_are_an_empty_page() {
    for coding in CODINGS {
        assert_eq!(decoded(coding, std::iter::empty()), (vec![], Ok(())));
        assert_eq!(whole(coding, b""), (vec![], Ok(())));
        assert_eq!(whole(coding, &encoded(coding, b"")), (vec![], Ok(())), "{coding:?}");
    }
}

#[test]
fn a_wrong_checksum_is_damage_behind_the_page() {
    let mut stream = gzip(ORDER);
    let at = stream.len() - 6;
    stream[at] ^= 1;
    assert_eq!(whole(Coding::Gzip, &stream), (ORDER.to_vec(), Err(Fault::Corrupt)));
}

#[test]
fn other_things_are_no_pages() {
    for coding in CODINGS {
        let (page, end) = whole(coding, b"<!doctype html><html><body><p>Hi</p></body></html>");
        assert_eq!(end, Err(Fault::Corrupt), "{coding:?}");
        assert!(page.len() < 64, "{coding:?}: {page:?}");
    }
}

#[test]
fn bombs_are_given_up_early() {
    let zeros = vec![0; 100 << 20];
    for (coding, stream) in
        [(Coding::Gzip, gzip(&zeros)), (Coding::Zstd, zstd(&zeros)), (Coding::Brotli, BOMB_BR.into())]
    {
        for size in [100, 64 << 10] {
            let (page, end) = decoded(coding, stream.chunks(size));
            assert_eq!(end, Err(Fault::Bomb), "{coding:?} by {size}");
            assert!(page.len() as u64 <= MAX_RATIO * stream.len() as u64 + GRACE + STEP as u64, "{coding:?}");
            assert!(page.len() <= MAX_CHUNK * stream.len().div_ceil(size) + STEP, "{coding:?}: {}", page.len());
        }
    }
}

#[test]
fn a_page_of_many_blanks_is_no_bomb() {
    let page = [b"<p>Hi".as_slice(), &vec![b' '; 1 << 19], b"</p>"].concat();
    for coding in CODINGS {
        assert_eq!(whole(coding, &encoded(coding, &page)).1, Ok(()), "{coding:?}");
    }
}

#[test]
fn a_page_may_be_large_but_not_too_large() {
    // Bytes that don't compress: only their number counts.
    let mut state = 1_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_le_bytes()[3]
    };
    let block: Vec<u8> = std::iter::repeat_with(&mut noise).take(1 << 16).collect();
    let header = |bits: u32| (((block.len() as u32 - 1) << 3 | 1 << 19) << bits).to_le_bytes();
    let mut decoder = Decoder::new(Coding::Brotli);
    let mut passed = 0_u64;
    for bits in std::iter::once(1).chain(std::iter::repeat(0)) {
        let Decoded { bytes, fault } = decoder.write(&[&header(bits)[..3], &block].concat());
        passed += bytes.len() as u64;
        if fault == Some(Fault::Bomb) {
            break;
        }
        assert!(fault.is_none() && passed <= MAX_PAGE);
    }
    assert!(passed > MAX_PAGE - (1 << 20), "{passed}");
}

#[test]
fn a_zstd_window_is_what_browsers_allow() {
    let windowed = |log| {
        let mut encoder = ::zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(log).unwrap();
        encoder.write_all(ORDER).unwrap();
        encoder.finish().unwrap()
    };
    assert_eq!(whole(Coding::Zstd, &windowed(23)).1, Ok(()));
    assert_eq!(whole(Coding::Zstd, &windowed(24)).1, Err(Fault::Corrupt));
}

#[test]
fn a_client_may_refuse_what_is_not_encoded() {
    let refuses = |lines: &[&str]| {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("accept-encoding", line.parse().unwrap());
        }
        refuses_identity(&headers)
    };
    for lines in [vec!["identity;q=0, gzip"], vec!["gzip, *;q=0"], vec!["gzip", "IDENTITY ; Q=0.000"], vec!["*;q=0.0"]]
    {
        assert!(refuses(&lines), "{lines:?}");
    }
    for lines in [
        vec![],
        vec![""],
        vec!["gzip, br"],
        vec!["gzip;q=0"],
        vec!["identity;q=0.1, *;q=0"],
        vec!["*;q=0", "identity"],
        vec!["identity;q=, identity"],
        vec!["*;q=1"],
    ] {
        assert!(!refuses(&lines), "{lines:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn without_the_insertion_a_decoded_page_is_the_original(page in pages(), coding in codings(), sizes in sizes()) {
        let insertion = b"<img src=\"https://a.example/\" />";
        let (mut decoder, mut injector) = (Decoder::new(coding), Injector::new());
        let mut sent = Vec::new();
        for chunk in cut(&encoded(coding, &page), &sizes) {
            let Decoded { bytes, fault } = decoder.write(chunk);
            prop_assert_eq!(fault, None);
            let passed = injector.write(&bytes);
            sent.extend_from_slice(&passed.before);
            sent.extend_from_slice(&bytes[..passed.keep]);
        }
        prop_assert_eq!(decoder.finish(), Ok(()));
        sent.extend(injector.finish(insertion));
        prop_assert_eq!(&sent, &inject_whole(&page, insertion));
        if let Some(at) = memchr::memmem::find(&sent, insertion) {
            sent.drain(at..at + insertion.len());
        }
        prop_assert_eq!(sent, page);
    }

    #[test]
    fn a_page_that_is_cut_off_yields_its_beginning(page in pages(), coding in codings(), sizes in sizes(), at in any::<prop::sample::Index>()) {
        let stream = encoded(coding, &page);
        let cut_off = &stream[..at.index(stream.len())];
        let (beginning, end) = decoded(coding, cut(cut_off, &sizes));
        prop_assert!(page.starts_with(&beginning));
        prop_assert!(end.is_err() || cut_off.is_empty());
    }

    #[test]
    fn damage_never_panics_and_never_exceeds_the_bounds(
        page in pages(), coding in codings(), sizes in sizes(), at in any::<prop::sample::Index>(), flip in 1..=255_u8,
    ) {
        let mut stream = encoded(coding, &page);
        let at = at.index(stream.len());
        stream[at] ^= flip;
        let (came, _) = decoded(coding, cut(&stream, &sizes));
        prop_assert!(came.len() as u64 <= (stream.len() as u64 * MAX_RATIO).max(GRACE) + STEP as u64);
    }

    #[test]
    fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..2000), coding in codings(), sizes in sizes()) {
        let (page, _) = decoded(coding, cut(&noise, &sizes));
        prop_assert!(page.len() as u64 <= (noise.len() as u64 * MAX_RATIO).max(GRACE) + STEP as u64);
    }
}

fn codings() -> impl Strategy<Value = Coding> {
    prop::sample::select(CODINGS.to_vec())
}

fn pages() -> impl Strategy<Value = Vec<u8>> {
    let piece =
        prop::sample::select(vec!["<p>", "text ", "</body>", "</html>", "<!-- x -->", "</bo", "\u{e4}", " ", "\n"]);
    let run = (piece, 1..40_usize).prop_map(|(piece, times)| piece.repeat(times));
    prop::collection::vec(run, 1..30).prop_map(|runs| runs.concat().into_bytes())
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(1..200_usize, 1..10)
}

fn cut<'a>(mut stream: &'a [u8], sizes: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    sizes.iter().cycle().map_while(move |size| {
        let (chunk, rest) = stream.split_at((*size).min(stream.len()));
        stream = rest;
        (!chunk.is_empty()).then_some(chunk)
    })
}
