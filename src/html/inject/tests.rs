//! The rule on nasty documents, and its laws on all others.

use proptest::prelude::*;

use super::*;

/// What is inserted; `|` in a document of the table marks its place.
const INSERTION: &[u8] = b"<img src=\"https://a.example/?a=1&amp;b=2\" width=\"1\" height=\"1\" alt=\"\" hidden>";

/// Documents with `|` where the insertion belongs.
///
/// Each was once parsed with html5lib 1.1: the image is a live element inside `<body>` in all of them,
/// except those under [`DEAD`], where no place would be alive.
const LIVE: &[&str] = &[
    "<html><body><p>Hi</p>|</body></html>",
    "<html><body><p>Hi</p>|</BODY >\r\n</HTML >\r\n",
    "<html><body><p>Hi</p>|</body\n></html\n>\n",
    "<html><body><p>Hi</p>|</body class=x/></html lang=en>",
    "<html><body><p>Hi</p>|</body>\n<!-- end of body -->\n</html>\n<!-- cached 0.3 s -->\n",
    "<html><body><p>Hi</p>|</body><!--><!---><!----></html>",
    // No end tag at all, or none that is one.
    "<p>Hi</p>|",
    "Hi|",
    "<html><body><p>Hi</bodyx></html>|",
    "<html><body><p>Hi</ body></html>|",
    // The text in other places: something always follows it.
    "<body><script>document.write('</body></html>')</script><p>Hi</p>|</body></html>",
    "<body><p>Hi</p><script>document.write('</body></html>')</script>|",
    "<body><script>var end = '</body><!-- ';</script><p>Hi</p><!-- no end tag -->|",
    "<body><!-- </body></html> --><p>Hi</p>|",
    "<body><p>Hi</p></body></html><!-- was: </body> -->|",
    "<body><textarea></body></textarea><p>Hi</p>|</body>",
    "<body><input value=\"</body></html>\">|",
    "<body><input value=\"</body \"></html>|",
    "<body><iframe srcdoc=\"<body>x</body>\"></iframe>|</body></html>",
    "<body><title></body></title><noscript></body></noscript>x|</body></html>",
    // Content behind the end tag: browsers move it into the body, and the insertion with it.
    "<body><p>Hi</p></body><p>more</p></html>|",
    "<body><p>Hi</p></body></html><script>late()</script>|",
    "<body><p>Hi</p></body></html><!-- a > b -->|",
    "<body><p>Hi</p></body title=\"x\"></html>|",
    "<body><p>Hi</p></body></body></body>\n|</body></html>",
    "<body><p>1</p></body></html><html><body><p>2</p>|</body></html>",
    // Documents that break off: the insertion must not become a part of the torn tag.
    "<body><p>Hi</p>|</body></ht",
    "<body><p>Hi</p>|</body",
    "<body><p>Hi</p>|</body ",
    "<body><p>Hi</p>|</bo",
    "<body><p>Hi</p>|<",
    "<body><p>Hi</p>|</body><!",
    "<body><p>Hi</p>|</body></html><!-- never closed, not even by </body",
    "<body><p>Hi</p>|</body></html><!-- never closed",
];

/// Documents in which an image can't live anywhere behind the trouble; they must stay whole.
const DEAD: &[&str] = &[
    "<body><p>Hi</p></body><!-- never closed, but <p>tags</p> in it|",
    "<body><script>var end = '|</body>",
    "<body><!-- |</body></html>",
];

/// Documents that get nothing, and why.
const REFUSED: &[(&str, Untouchable)] = &[
    ("<html><frameset><frame src=\"a\"></frameset></html>", Untouchable::Frameset),
    (
        "<html><head><title>a <b</title><script>if (a<b) x('>')</script></head><FRAMESET\ncols=\"1,2\">",
        Untouchable::Frameset,
    ),
    ("<!-- <body> --><frameset rows=1><noframes><body>x</body></noframes></frameset>", Untouchable::Frameset),
    ("<!doctype html><html amp lang=en><body>x</body></html>", Untouchable::Amp),
    ("<!doctype html><html lang='en' \u{26a1}><body>x</body></html>", Untouchable::Amp),
    ("<html \u{26a1}\u{fe0f}><body>x</body></html>", Untouchable::Amp),
    ("<html AMP4ads=''><body>x</body></html>", Untouchable::Amp),
    ("<html><head><meta charset=iso-2022-jp></head><body>x</body></html>", Untouchable::Charset),
    (
        "<html><META content='text/html; charset=\"ISO-2022-JP\"' HTTP-EQUIV=Content-Type><body>x</body>",
        Untouchable::Charset,
    ),
    ("<?xml version='1.0' encoding='utf-7'?><html><body>x</body></html>", Untouchable::Charset),
    ("\u{0}<html><body>x</body></html>", Untouchable::Charset),
    ("<\0h\0t\0m\0l\0>\0", Untouchable::Charset),
    ("<script>var a = '<meta charset=utf-7>'</script><body>x</body>", Untouchable::Charset),
    (" \n", Untouchable::Empty),
];

/// Documents that look a little like those, and are ordinary.
const NOT_REFUSED: &[&str] = &[
    // Not UTF-16, or it could not be read: HTML, 13.2.3.2, step 15 of the prescan.
    "<html><head><meta charset=utf-16></head><body>x|</body></html>",
    "<meta charset=utf-8><meta charset=iso-2022-jp><body>x|</body>",
    "\u{feff}<meta charset=iso-2022-jp><body>x|</body>",
    "<!-- <meta charset=iso-2022-jp> --><body>x|</body>",
    "<meta name=a content='text/html; charset=iso-2022-jp'><body>x|</body>",
    "<meta x='charset=iso-2022-jp'><body>x|</body>",
    "<body><script>var a = '<frameset>'</script>x|</body>",
    "<title><frameset></title><body>x|</body>",
    "<!-- <frameset> --><body>x|</body>",
    "<framesets><body>x|</body>",
    "<html ampere amp5><body>x|</body>",
    "<html lang='amp'><body>x|</body>",
    "<p title='<html amp>'>x|",
    "<body>< frameset><a<b c='>' =d=e x|",
];

#[test]
fn the_insertion_goes_where_a_browser_executes_it() {
    for marked in LIVE.iter().chain(DEAD) {
        let (before, after) = marked.split_once('|').unwrap();
        let document = [before, after].concat();
        let expected = [before.as_bytes(), INSERTION, after.as_bytes()].concat();
        assert_eq!(text(&inject_whole(document.as_bytes(), INSERTION)), text(&expected), "the rule: {marked}");
        for size in 1..=document.len() {
            let streamed = inject_chunks(document.as_bytes().chunks(size), INSERTION);
            assert_eq!(text(&streamed), text(&expected), "in chunks of {size}: {marked}");
        }
    }
}

#[test]
fn a_page_that_can_hold_no_image_passes_as_it_is() {
    for (document, reason) in REFUSED {
        assert_eq!(text(&inject_whole(document.as_bytes(), INSERTION)), *document, "the rule");
        for size in 1..=document.len() {
            let streamed = inject_chunks(document.as_bytes().chunks(size), INSERTION);
            assert_eq!(text(&streamed), *document, "in chunks of {size}");
            let mut injector = Injector::new();
            for chunk in document.as_bytes().chunks(size) {
                drop(injector.write(chunk));
            }
            assert_eq!(injector.obstacle(), Some(*reason), "{document} in chunks of {size}");
        }
        // Long ones are refused as soon as the beginning is known, and nothing is held from then on.
        let mut injector = Injector::new();
        let long = [document.as_bytes(), &[b' '; OPENING], b"</body>"].concat();
        let passed = injector.write(&long);
        assert_eq!(
            (injector.obstacle(), passed.keep == long.len()),
            match reason {
                Untouchable::Empty => (None, false),
                _ => (Some(*reason), true),
            }
        );
    }
}

#[test]
fn a_page_that_looks_a_little_like_one_of_those_is_edited() {
    for marked in NOT_REFUSED {
        let (before, after) = marked.split_once('|').unwrap();
        let document = [before, after].concat();
        for size in [1, 5, document.len()] {
            let streamed = inject_chunks(document.as_bytes().chunks(size), INSERTION);
            assert_eq!(text(&streamed), [before, &text(INSERTION), after].concat(), "in chunks of {size}");
        }
    }
}

#[test]
fn the_head_knows_the_character_set_better_than_the_page() {
    let page = Page { coding: None, syntax: Syntax::Html, charset_is_known: true };
    let mut injector = Injector::of(&page);
    drop(injector.write(b"<meta charset=iso-2022-jp><body>x</body>"));
    assert_eq!(injector.obstacle(), None);
    let mut injector = Injector::of(&page);
    drop(injector.write(b"\xff\xfe<\0"));
    assert_eq!(injector.obstacle(), Some(Untouchable::Charset), "a mark in the bytes wins over both");
}

#[test]
fn xhtml_is_edited_before_its_body_end_or_not_at_all() {
    let page = Page { coding: None, syntax: Syntax::Xhtml, charset_is_known: false };
    for (marked, obstacle) in [
        ("<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'><body><p/>|</body></html>", None),
        ("<html><body><p/>|</body >\n<!-- x -->\n</html>\n", None),
        ("<html><frameset/><body>|</body></html>", None),
        ("<html><body><p/></BODY></html>|", Some(Untouchable::NoBodyEnd)),
        ("<h:html><h:body></h:body></h:html>|", Some(Untouchable::NoBodyEnd)),
        ("<html><body/></html>|", Some(Untouchable::NoBodyEnd)),
        ("<html><body><script><![CDATA[ </body> ]]></script></html>|", Some(Untouchable::NoBodyEnd)),
        ("<html><body></bo|", Some(Untouchable::NoBodyEnd)),
        ("<html><body></body |", Some(Untouchable::NoBodyEnd)),
        ("<html><body></body></html><?end?>|", Some(Untouchable::NoBodyEnd)),
        ("<?xml version='1.0' encoding='iso-2022-kr'?><html><body></body></html>|", Some(Untouchable::Charset)),
    ] {
        let (before, after) = marked.split_once('|').unwrap();
        let document = [before, after].concat();
        let insertion = if obstacle.is_none() { text(INSERTION) } else { String::new() };
        for size in [1, 5, document.len()] {
            let mut injector = Injector::of(&page);
            let mut sent = Vec::new();
            for chunk in document.as_bytes().chunks(size) {
                let Passed { before, keep } = injector.write(chunk);
                sent.extend_from_slice(&before);
                sent.extend_from_slice(&chunk[..keep]);
            }
            assert_eq!(injector.obstacle(), obstacle, "{marked}");
            sent.extend(injector.finish(INSERTION));
            assert_eq!(text(&sent), [before, &insertion, after].concat(), "in chunks of {size}");
        }
    }
}

#[test]
fn a_document_of_white_space_gets_nothing() {
    for document in ["", " ", "\r\n\t\x0c"] {
        assert_eq!(inject_whole(document.as_bytes(), INSERTION), document.as_bytes());
        assert_eq!(inject_chunks(document.as_bytes().chunks(1), INSERTION), document.as_bytes());
    }
}

#[test]
fn a_chunk_without_an_end_tag_passes_untouched() {
    let mut injector = Injector::new();
    let chunk = b"<p>bold <b>text</b></p><button>Buy</button><B></B>";
    assert_eq!(injector.write(chunk), Passed { before: vec![], keep: chunk.len() });
    assert_eq!(injector.held.capacity(), 0, "nothing is allocated before something is held");
}

#[test]
fn what_may_begin_an_end_tag_waits_for_the_next_chunk() {
    let mut injector = Injector::new();
    assert_eq!(injector.write(b"<p>Hi</p></bo"), Passed { before: vec![], keep: 9 });
    assert_eq!(injector.held(), b"</bo");
    assert_eq!(injector.write(b"x>"), Passed { before: b"</bo".to_vec(), keep: 2 });
    assert_eq!(injector.held(), b"");
}

#[test]
fn a_later_end_tag_releases_the_earlier_one() {
    let mut injector = Injector::new();
    assert_eq!(injector.write(b"x</body><!-- "), Passed { before: vec![], keep: 1 });
    assert_eq!(injector.write(b"</body>"), Passed { before: b"</body><!-- ".to_vec(), keep: 0 });
    assert_eq!(injector.finish(b""), b"</body>");
}

#[test]
fn an_end_that_is_too_long_is_released_and_the_document_gets_its_insertion_at_the_end() {
    for (blanks, is_held) in [(MAX_HELD - 7, true), (MAX_HELD - 6, false), (1 << 20, false)] {
        let document = [b"<p>Hi</p></body>", vec![b' '; blanks].as_slice()].concat();
        let at = if is_held { 9 } else { document.len() };
        let (before, after) = document.split_at(at);
        let expected = [before, INSERTION, after].concat();
        assert_eq!(inject_whole(&document, INSERTION), expected, "{blanks} blanks");
        for size in [1, 7, 4096, 1 << 16] {
            assert_eq!(inject_chunks(document.chunks(size), INSERTION), expected, "{blanks} blanks by {size}");
        }
    }
}

#[test]
fn after_an_end_that_is_too_long_a_later_end_tag_counts_again() {
    let blanks = " ".repeat(2 * MAX_HELD);
    let document = format!("<p>Hi</p></body>{blanks}</body></html>");
    let streamed = inject_chunks(document.as_bytes().chunks(1000), INSERTION);
    let expected = format!("<p>Hi</p></body>{blanks}{}</body></html>", text(INSERTION));
    assert_eq!(text(&streamed), expected);
}

#[test]
fn an_empty_insertion_leaves_exactly_the_held_bytes() {
    let mut injector = Injector::new();
    assert_eq!(injector.write(b"x</body>\n</html>").keep, 1);
    assert_eq!(injector.finish(b""), b"</body>\n</html>");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_chunking_gives_the_same_bytes(document in documents(), sizes in chunk_sizes()) {
        let streamed = inject_chunks(cut(&document, &sizes), INSERTION);
        prop_assert_eq!(text(&streamed), text(&inject_whole(&document, INSERTION)));
    }

    #[test]
    fn without_the_insertion_the_page_is_the_original(document in documents(), sizes in chunk_sizes()) {
        let mut streamed = inject_chunks(cut(&document, &sizes), INSERTION);
        if let Some(at) = memchr::memmem::find(&streamed, INSERTION) {
            streamed.drain(at..at + INSERTION.len());
        }
        prop_assert_eq!(streamed, document);
    }

    #[test]
    fn any_bytes_pass(document in proptest::collection::vec(any::<u8>(), 0..300), sizes in chunk_sizes()) {
        let streamed = inject_chunks(cut(&document, &sizes), INSERTION);
        prop_assert_eq!(streamed, inject_whole(&document, INSERTION));
    }
}

/// Documents made of the pieces that the rule speaks of, and of long runs of white space.
fn documents() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => proptest::sample::select(vec![
            "</body", "</BoDy", "</body>", "</body >", "</bodyx>", "</html", "</HTML>", "</html lang=en>", "<!--", "-->",
            "--", "-", "<!", "<", "</", "</b", "</B>", ">", "/", "\"", "'", "x", "!", "<p>", "<script>", "</script>",
            "\u{e4}", "\0", "<frameset>", "<html amp>", "<meta charset=utf-7>", "\u{feff}",
        ]).prop_map(str::to_owned),
        3 => proptest::sample::select(vec![" ", "\n", "\t"]).prop_map(str::to_owned),
        1 => (0..MAX_HELD + 100).prop_map(|length| " ".repeat(length)),
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat().into_bytes())
}

fn chunk_sizes() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![proptest::collection::vec(1..12_usize, 1..20), proptest::collection::vec(1..9000_usize, 1..20),]
}

/// Cuts a document into chunks of these sizes, over and over.
fn cut<'a>(mut document: &'a [u8], sizes: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    sizes.iter().cycle().map_while(move |size| {
        let (chunk, rest) = document.split_at((*size).min(document.len()));
        document = rest;
        (!chunk.is_empty()).then_some(chunk)
    })
}

/// The document as it leaves; checks what holds after each chunk.
fn inject_chunks<'a>(chunks: impl Iterator<Item = &'a [u8]>, insertion: &[u8]) -> Vec<u8> {
    let mut injector = Injector::new();
    let mut sent = Vec::new();
    let mut received = 0;
    for chunk in chunks {
        let Passed { before, keep } = injector.write(chunk);
        sent.extend_from_slice(&before);
        sent.extend_from_slice(&chunk[..keep]);
        received += chunk.len();
        assert_eq!(sent.len() + injector.held().len(), received, "each byte is either sent or held");
        assert!(injector.held().len() <= MAX_HELD, "{} bytes held", injector.held().len());
    }
    sent.extend(injector.finish(insertion));
    sent
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
