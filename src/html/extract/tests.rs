//! Fields and marks of whole pages, in the markup that shops print.

use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

mod shops;

fn html(css: &str) -> PageField {
    PageField::Html { css: css.to_owned(), attribute: None }
}

fn attribute(css: &str, name: &str) -> PageField {
    PageField::Html { css: css.to_owned(), attribute: Some(name.to_owned()) }
}

fn json_ld(path: &str) -> PageField {
    PageField::JsonLd(path.parse().unwrap())
}

fn data_layer(path: &str) -> PageField {
    PageField::DataLayer(path.parse().unwrap())
}

fn text_mark(text: &str) -> Mark {
    Mark::Text(text.to_owned())
}

fn read_chunks<'a>(
    rule: &Arc<PageRule>,
    charset: Option<&str>,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> PageReading {
    let mut extractor = Extractor::new(rule, charset);
    for chunk in chunks {
        extractor.write(chunk);
    }
    extractor.finish()
}

fn read(page: &str, fields: Vec<PageField>, marks: Vec<Mark>) -> PageReading {
    let rule = Arc::new(PageRule::new(fields, marks).unwrap());
    read_chunks(&rule, Some("utf-8"), [page.as_bytes()])
}

fn value(page: &str, field: PageField) -> Option<Value> {
    read(page, vec![field], Vec::new()).value(0).cloned()
}

fn is_marked(page: &str, mark: Mark) -> bool {
    read(page, Vec::new(), vec![mark]).has_mark(0)
}

#[test]
fn the_extractor_may_move_between_threads() {
    const fn is_shared<T: Send + Sync>() {}
    is_shared::<Extractor>();
    is_shared::<PageRule>();
}

#[test]
fn the_text_of_the_first_element_counts() {
    for (page, css, expected) in [
        ("<b>1</b><b>2</b>", "b", Some("1")),
        ("<p class='a b'> Order\n <i>no.</i>&nbsp;<b>&#35;12</b> </p>", "p.a", Some("Order no.\u{a0}#12")),
        ("<div id=x>1<script>2</script><style>3</style><!-- 4 --><noscript>5</noscript>6</div>", "#x", Some("16")),
        ("<div id=x>1<br>2<div>3</div>4</div>", "#x", Some("1 2 3 4")),
        ("<div id=x>1<span>2</span>3</div>", "#x", Some("123")),
        ("<div id=x><div id=x>1</div>2</div>3", "#x", Some("1 2")),
        ("<td class=x>12<td>34", "td.x", Some("12")),
        ("<table><tr><td class=x>12<tr><td>34</table>", "td.x", Some("12")),
        ("<ul><li class=x>1<ul><li>2</ul>3<li>4</ul>", "li.x", Some("1 2 3")),
        ("<p class=x>1<br>2<p>3", "p.x", Some("1 2")),
        ("<div><p class=x>1</div>2", "p.x", Some("1")),
        ("<div><span class=x>1</div>2", "span.x", Some("1")),
        ("<table><tr><td>Total</td><td class=x>12,50&nbsp;&euro;</td></tr></table>", ".x", Some("12,50\u{a0}\u{20ac}")),
        ("<title>Order&nbsp;7</title>", "title", Some("Order\u{a0}7")),
        ("<script id=x type='application/json'>{\"a\":\"&amp;\"}</script>", "#x", Some("{\"a\":\"&amp;\"}")),
        ("<b>  </b><b>2</b>", "b", None),
        ("<img id=x>7", "#x", None),
        ("<b id=x>12", "#x", None),
        ("<b id=x>12</b", "#x", None),
        ("<script>'<b id=x>1</b>'</script>", "#x", None),
        ("<!-- <b id=x>1</b> -->", "#x", None),
        ("<b>1</b>", "i", None),
    ] {
        assert_eq!(value(page, html(css)), expected.map(Value::from), "{css} in {page}");
    }
}

#[test]
fn attributes_are_decoded() {
    for (page, css, name, expected) in [
        ("<b id=x data-order-number='A&amp;1'>2</b>", "#x", "data-order-number", Some("A&1")),
        ("<input name=total value=\"12&euro;\">", "input[name=total]", "value", Some("12\u{20ac}")),
        ("<a href='/o?id=1&copy=2&amp;x=3'>", "a", "href", Some("/o?id=1&copy=2&x=3")),
        ("<b id=x>", "#x", "title", None),
        ("<b title=''><b title=1>", "b", "title", None),
        ("<b><b title=1>", "b", "title", None),
        ("<b TITLE=1>", "b", "title", Some("1")),
        ("<b title='1", "b", "title", None),
    ] {
        assert_eq!(value(page, attribute(css, name)), expected.map(Value::from), "{css} in {page}");
    }
}

#[test]
fn a_long_text_is_cut() {
    let page = format!("<p id=x>{}", "\u{e9} ".repeat(10_000));
    let Some(Value::String(text)) = value(&page, html("#x")) else { panic!() };
    assert!((4_000..=4_096).contains(&text.len()));
}

#[test]
fn marks_are_what_a_visitor_sees() {
    for (page, text, is_there) in [
        ("<h1>Thank you!</h1>", "Thank you", true),
        ("<h1>Thank\n   <b>you</b>!</h1>", "Thank you!", true),
        ("<h1>Th<b>an</b>k&nbsp;you!</h1>", "Thank you!", true),
        ("Thank<br>you", "Thank you", true),
        ("<p>Thank</p><p>you</p>", "Thank you", true),
        ("<p>Thank</p>you", "Thank you", true),
        ("K&ouml;szi &amp; bye", "K\u{f6}szi & bye", true),
        ("<title>Thank you</title>", "Thank you", true),
        ("Thank you", " Thank   you ", true),
        ("thank you", "Thank you", false),
        ("<p>Thank<p>you", "Thankyou", false),
        ("<script>Thank you</script>", "Thank you", false),
        ("<style>Thank you</style>", "Thank you", false),
        ("<!-- Thank you -->", "Thank you", false),
        ("<b title='Thank you'></b>", "Thank you", false),
        ("<noscript>Thank you</noscript>", "Thank you", false),
        ("Thank <!-- x -->you", "Thank you", true),
        ("", "Thank you", false),
    ] {
        assert_eq!(is_marked(page, text_mark(text)), is_there, "{text} in {page}");
    }
    assert!(is_marked("<div class='alert ok'>", Mark::Html(".ok".to_owned())));
    assert!(!is_marked("<div class='notok'><!-- <b class=ok> -->", Mark::Html(".ok".to_owned())));
}

#[test]
fn only_scripts_that_run_fill_the_data_layer() {
    for (tag, counts) in [
        ("<script>", true),
        ("<script type=''>", true),
        ("<SCRIPT TYPE='Text/JavaScript'>", true),
        ("<script type='text/javascript; charset=utf-8'>", true),
        ("<script type=module>", true),
        ("<script type=text/plain data-cookieconsent=statistics>", true),
        ("<script type=litespeed/javascript>", true),
        ("<script type=rocketlazyloadscript>", true),
        ("<script type='0123456789abcdef-text/javascript'>", true),
        ("<script src=x.js>", false),
        ("<script type=text/template>", false),
        ("<script type=application/json>", false),
        ("<script type=application/ld+json>", false),
        ("<script type=text/x-magento-init>", false),
        ("<!-- <script>", false),
        ("<textarea><script>", false),
    ] {
        let page = format!("{tag}dataLayer.push({{a: 1}})</script> -->");
        assert_eq!(value(&page, data_layer("a")).is_some(), counts, "{tag}");
    }
    let page = "<script type=' application/ld+json ; x=y'>{\"@type\":\"Order\",\"a\":1}</script>";
    assert_eq!(value(page, json_ld("a")), Some(json!(1)));
}

#[test]
fn unusable_selectors_say_why() {
    for (css, reason) in [
        ("b:has(i)", "nsupported"),
        ("li:nth-last-child(1)", "nsupported"),
        ("a + b", "`+`"),
        ("a ~ b", "`~`"),
        ("b::before", "nsupported"),
        ("", "empty"),
        ("b >", "angling"),
        ("b[", "nexpected"),
    ] {
        let error = PageRule::new(vec![html("b"), html(css)], Vec::new()).unwrap_err();
        assert_eq!(error.selector, css);
        assert!(error.reason.contains(reason) && error.reason.contains(":nth-child()"), "{css}: {error}");
        assert_eq!(PageRule::new(Vec::new(), vec![Mark::Html(css.to_owned())]).unwrap_err().selector, css);
    }
    assert!(PageRule::new(Vec::new(), vec![text_mark(" \n")]).is_err());
}

#[test]
fn bounds_are_kept_and_told() {
    let marks = || vec![text_mark("early"), text_mark("late")];
    for (page, gap) in [
        (format!("early{}late", " ".repeat(MAX_PAGE)), Gap::Length),
        (format!("early<a x='{}'>late", "y".repeat(3 << 20)), Gap::Memory),
        (format!("early{}late", "<div>".repeat(1 << 18)), Gap::Memory),
    ] {
        let rule = Arc::new(PageRule::new(vec![html("a b")], marks()).unwrap());
        let reading = read_chunks(&rule, None, page.as_bytes().chunks(16 << 10));
        assert_eq!(reading.gap(), Some(gap));
        assert!(!reading.is_complete());
        assert!(reading.has_mark(0) && !reading.has_mark(1), "{gap:?}");
    }
    let long = format!(
        "<script>dataLayer.push({{a: 1}})</script><script>{}</script><script>dataLayer.push({{b: 1}})</script>",
        " ".repeat(1 << 20)
    );
    let reading = read(&long, vec![data_layer("a"), data_layer("b")], Vec::new());
    assert_eq!((reading.value(0), reading.gap()), (Some(&json!(1)), Some(Gap::Scripts)));
    let large = format!("<script>dataLayer.push({{a: '{}', b: 1}})</script>", "x".repeat(MAX_VALUE));
    let reading = read(&large, vec![data_layer("a"), data_layer("b")], Vec::new());
    assert_eq!((reading.value(0), reading.value(1), reading.gap()), (None, Some(&json!(1)), Some(Gap::Value)));
    // What is found before a bound needs nothing beyond it.
    let found = format!("early late<b id=x>1</b>{}", "<div>".repeat(1 << 18));
    let rule = Arc::new(PageRule::new(vec![html("#x")], marks()).unwrap());
    for size in [1 << 12, found.len()] {
        let reading = read_chunks(&rule, None, found.as_bytes().chunks(size));
        assert!(reading.is_complete() && reading.value(0).is_some(), "by {size}");
    }
}

#[test]
fn a_page_that_breaks_off_yields_what_it_had() {
    let page = "<b id=a>1</b><script>dataLayer.push({v: 12.5}); dataLayer.push({v: 99";
    let reading = read(page, vec![html("#a"), data_layer("v")], vec![text_mark("1")]);
    assert_eq!((reading.value(0), reading.value(1)), (Some(&json!("1")), Some(&json!(12.5))));
    assert!(reading.has_mark(0) && reading.is_complete());
}

#[test]
fn an_empty_rule_reads_nothing() {
    let rule = Arc::new(PageRule::new(Vec::new(), Vec::new()).unwrap());
    assert!(rule.is_empty());
    let reading = read_chunks(&rule, None, [&b"<b>"[..]; 3]);
    assert!(reading.is_complete() && reading.value(0).is_none() && !reading.has_mark(0));
}

#[test]
fn values_appear_in_no_debug_output() {
    let mut extractor = Extractor::new(&Arc::new(PageRule::new(vec![html("b")], Vec::new()).unwrap()), None);
    extractor.write(b"<b>secret</b>");
    let mut shown = format!("{extractor:?}");
    write!(shown, "{:?}", extractor.finish()).unwrap();
    assert!(!shown.contains("secret"), "{shown}");
}

/// Pieces out of which pages are put together that a parser may stumble over.
const PIECES: [&str; 24] = [
    "<p class=x>",
    "</p>",
    "<b id=a title='&amp",
    ";&eur",
    "o;'>",
    "</b>",
    "Thank ",
    "&nb",
    "sp;you",
    "<br/>",
    "<!--",
    "-->",
    "<script>",
    "</script>",
    "dataLayer.push({a:",
    "'\\u00e9', b: {c: [1, ",
    "x]}})",
    "\u{20ac}",
    "<script type=application/ld+json>",
    "{\"@type\":\"Order\",\"n\":[1]}",
    "<ul><li>",
    "</ul>",
    "<textarea>",
    " \n",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_reading_is_the_same_for_every_chunking(
        pieces in proptest::collection::vec(proptest::sample::select(&PIECES[..]), 0..40),
        cuts in proptest::collection::vec(1_usize..20, 1..20),
        charset in proptest::sample::select(&[None, Some("utf-8"), Some("shift_jis")][..]),
    ) {
        let page = pieces.concat();
        let fields = vec![
            html(".x"), html("b"), attribute("#a", "title"), html("li"), data_layer("a"), data_layer("b.c"), json_ld("n"),
        ];
        let marks = vec![text_mark("Thank you"), text_mark("\u{20ac}"), Mark::Html("p b".to_owned())];
        let rule = Arc::new(PageRule::new(fields, marks).unwrap());
        let whole = read_chunks(&rule, charset, [page.as_bytes()]);
        let mut rest = page.as_bytes();
        let chunks = std::iter::from_fn({
            let mut cuts = cuts.iter().cycle();
            move || {
                let (chunk, after) = rest.split_at(rest.len().min(*cuts.next()?));
                rest = after;
                (!chunk.is_empty()).then_some(chunk)
            }
        });
        let chunked = read_chunks(&rule, charset, chunks);
        prop_assert_eq!(&whole.values, &chunked.values);
        prop_assert_eq!(&whole.marks, &chunked.marks);
        prop_assert_eq!(whole.gap, chunked.gap);
    }

    #[test]
    fn no_bytes_make_it_panic(page in proptest::collection::vec(any::<u8>(), 0..400), script in "[ -~]{0,200}") {
        let fields = vec![html("*"), attribute("*", "id"), json_ld("a"), data_layer("a")];
        let rule = Arc::new(PageRule::new(fields, vec![text_mark("a")]).unwrap());
        let script = format!("<script>dataLayer.push({{{script}</script><script type=application/ld+json>{script}</script>");
        for page in [&page[..], script.as_bytes()] {
            drop(read_chunks(&rule, None, page.chunks(7)));
        }
    }
}
