use proptest::prelude::*;

use super::*;

const PIXEL: &str = "https://s.net.example/tag.php?goal=1";

fn page() -> Page {
    Page::at("https", "shop.example", None)
}

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_str(value).expect("a value"));
    }
    headers
}

const ENFORCED: &str = "content-security-policy";
const REPORTED: &str = "content-security-policy-report-only";

fn allows(policy: &str, url: &str) -> bool {
    CspMode::Respect.lets_load(&headers(&[(ENFORCED, policy)]), &page(), url)
}

/// The one header line after its amendment, or `None` when it stays.
fn amended(policy: &str, urls: &[&str]) -> Option<String> {
    let changed = amended_for_pixels(&headers(&[(ENFORCED, policy)]), &page(), urls.iter().copied());
    let [(name, lines)] = changed.as_slice() else { return None };
    assert_eq!((name.as_str(), lines.len()), (ENFORCED, 1));
    Some(lines[0].to_str().expect("ASCII").to_owned())
}

fn framed(policy: &str) -> Option<String> {
    let changed = amended_for_own_frame(&headers(&[(ENFORCED, policy)]), &page(), "/.throughline/frame/x");
    Some(changed.first()?.1[0].to_str().expect("ASCII").to_owned())
}

#[test]
fn a_frame_of_our_own_is_let_load_by_what_governs_frames() {
    for (policy, lets) in [
        ("img-src 'none'", true),
        ("default-src 'none'", false),
        ("default-src 'self'", true),
        ("default-src *; frame-src https://other.example", false),
        ("frame-src 'self', child-src 'none'", false),
    ] {
        let headers = headers(&[(ENFORCED, policy)]);
        let lets_frame = |mode: CspMode| mode.lets_own_frame(&headers, &page(), "/.throughline/frame/x");
        assert_eq!(lets_frame(CspMode::Respect), lets, "{policy}");
        assert!(lets_frame(CspMode::Amend), "what is missing is added");
    }
    assert!(CspMode::Respect.lets_own_frame(&HeaderMap::new(), &page(), "/x"));
}

#[test]
fn sources_match_as_in_browsers() {
    for (source, url, matches) in [
        ("*", "https://a.example/", true),
        ("*", "http://a.example:81/", true),
        ("*", "data:image/gif,x", false),
        ("https:", "https://a.example/", true),
        ("HTTP:", "https://a.example/", true),
        ("https:", "http://a.example/", false),
        ("data:", "https://a.example/", false),
        ("data:", "data:image/gif,x", true),
        ("a.example", "https://a.example/x?y", true),
        ("A.Example", "https://a.example/", true),
        ("a.example", "http://a.example/", false), // the page is https
        ("a.example", "https://b.a.example/", false),
        ("a.example", "https://a.example:8443/", false),
        ("http://a.example", "https://a.example/", true),
        ("https://a.example", "http://a.example/", false),
        ("*.a.example", "https://b.a.example/", true),
        ("*.a.example", "https://c.b.A.example/", true),
        ("*.a.example", "https://a.example/", false),
        ("*.a.example", "https://ba.example/", false),
        ("https://*", "https://a.example/", true),
        ("https://*", "https://127.0.0.1/", false),
        ("https://127.0.0.1", "https://127.0.0.1/", true),
        ("a.example:*", "https://a.example:8443/", true),
        ("a.example:443", "https://a.example/", true),
        ("a.example:8443", "https://a.example:8443/", true),
        ("a.example:80", "https://a.example:8443/", false),
        ("https://a.example/p", "https://a.example/p", true),
        ("https://a.example/p", "https://a.example/p/q", false),
        ("https://a.example/p/", "https://a.example/p/q?r", true),
        ("https://a.example/p/", "https://a.example/p", false),
        ("https://a.example/", "https://a.example/anything", true),
        ("https://a.example/%70", "https://a.example/p", true),
        ("'self'", "https://shop.example/x", true),
        ("'SELF'", "https://shop.example/x", true),
        ("'self'", "https://shop.example:8443/x", false),
        ("'self'", "http://shop.example/x", false),
        ("'none'", "https://a.example/", false),
        ("'unsafe-inline'", "https://a.example/", false),
        ("'nonce-abc'", "https://a.example/", false),
        ("a.example,", "https://a.example/", false),
        ("a_b.example", "https://a_b.example/", false),
        ("https://", "https://a.example/", false),
        ("*.*.example", "https://a.b.example/", false),
        ("a.example:x", "https://a.example/", false),
        ("a.example/p?q", "https://a.example/p?q", false),
    ] {
        let url_parsed = Url::parse(url).expect("an address");
        assert_eq!(source::matches(source, &url_parsed, &page()), matches, "{source} and {url}");
    }
    let plain = Page::at("http", "shop.example", Some(8080));
    for (source, url, matches) in [
        ("'self'", "http://shop.example:8080/", true),
        ("'self'", "https://shop.example:8080/", true),
        ("'self'", "http://shop.example/", false),
        ("a.example", "http://a.example/", true),
        ("a.example", "https://a.example/", true),
    ] {
        assert_eq!(source::matches(source, &Url::parse(url).unwrap(), &plain), matches, "{source} and {url}");
    }
    assert!(source::matches(
        "'self'",
        &Url::parse("https://shop.example/").unwrap(),
        &Page::at("http", "Shop.example", Some(80))
    ));
}

#[test]
fn the_first_directive_for_images_governs_and_the_default_stands_in() {
    for (policy, is_allowed) in [
        ("script-src 'none'", true),
        ("", true),
        ("sandbox allow-scripts; upgrade-insecure-requests", true),
        ("img-src *", true),
        ("img-src", false),
        ("img-src 'none'", false),
        ("IMG-SRC\thttps:", true),
        ("default-src 'self'", false),
        ("default-src 'none'; img-src https:", true),
        ("img-src https:; default-src 'none'", true),
        ("img-src 'self'; img-src *", false),
        ("default-src *; default-src 'none'", true),
        ("img-src-elem *; default-src 'none'", false),
        // Both policies of the line, and an invalid directive, which browsers pass over.
        ("img-src *, default-src 'none'", false),
        ("img-src *, script-src 'none'", true),
        (" ; ;; img-src *;", true),
    ] {
        assert_eq!(allows(policy, PIXEL), is_allowed, "{policy}");
    }
    let two = headers(&[(ENFORCED, "img-src *"), (ENFORCED, "img-src 'none'")]);
    assert!(!CspMode::Respect.lets_load(&two, &page(), PIXEL));
    let latin = HeaderValue::from_bytes(b"img-src \xe4.example; img-src *").expect("a value");
    let latin = HeaderMap::from_iter([(header::CONTENT_SECURITY_POLICY, latin)]);
    assert!(CspMode::Respect.lets_load(&latin, &page(), PIXEL), "the first is none");
}

#[test]
fn only_what_is_missing_is_added() {
    for (policy, becomes) in [
        ("img-src 'self'", Some("img-src 'self' https://s.net.example")),
        ("img-src  'self' ;script-src x ", Some("img-src  'self' https://s.net.example ;script-src x ")),
        ("img-src 'none'", Some("img-src https://s.net.example")),
        ("img-src 'NONE' ; a", Some("img-src https://s.net.example ; a")),
        ("img-src", Some("img-src https://s.net.example")),
        ("img-src;", Some("img-src https://s.net.example;")),
        ("Img-Src a; img-src b", Some("Img-Src a https://s.net.example; img-src b")),
        ("default-src 'none'", Some("default-src 'none'; img-src https://s.net.example")),
        (
            "default-src 'self' 'unsafe-inline' data: 'nonce-x' 'strict-dynamic' https://cdn.example; object-src 'none';",
            Some(
                "default-src 'self' 'unsafe-inline' data: 'nonce-x' 'strict-dynamic' https://cdn.example; \
                 img-src 'self' data: https://cdn.example https://s.net.example; object-src 'none';",
            ),
        ),
        (
            "default-src 'none', img-src 'self'",
            Some("default-src 'none'; img-src https://s.net.example, img-src 'self' https://s.net.example"),
        ),
        ("script-src 'self', img-src 'self'", Some("script-src 'self', img-src 'self' https://s.net.example")),
        ("img-src https:", None),
        ("img-src *.net.example", None),
        ("script-src 'none'", None),
        ("", None),
    ] {
        assert_eq!(amended(policy, &[PIXEL]).as_deref(), becomes, "{policy}");
    }
}

#[test]
fn each_host_is_added_once_and_no_wider_than_needed() {
    let urls = [
        "https://a.example/1",
        "https://a.example/2",
        "http://b.example:8080/?x",
        "https://cdn.example/3",
        "https://A.example/4",
    ];
    assert_eq!(
        amended("img-src https://cdn.example", &urls).as_deref(),
        Some("img-src https://cdn.example https://a.example http://b.example:8080")
    );
}

#[test]
fn reporting_policies_are_amended_and_every_line_stays_a_line() {
    let map = headers(&[(REPORTED, "img-src 'self'; report-uri /r"), (ENFORCED, "img-src *"), (REPORTED, "img-src *")]);
    let changed = amended_for_pixels(&map, &page(), [PIXEL]);
    let expected = ["img-src 'self' https://s.net.example; report-uri /r", "img-src *"].map(HeaderValue::from_static);
    assert_eq!(changed, [(header::CONTENT_SECURITY_POLICY_REPORT_ONLY, expected.to_vec())]);
    assert!(CspMode::Respect.lets_load(&map, &page(), PIXEL), "what only reports forbids nothing");
}

#[test]
fn what_cannot_be_added_is_not_let_in() {
    let map = headers(&[(ENFORCED, "default-src 'self'")]);
    for (url, lets) in [
        (PIXEL, true),
        ("https://[2001:db8::1]/p", false),
        ("https://a_b.example/p", false),
        ("ftp://a.example/p", false),
        ("no address", false),
    ] {
        assert_eq!(CspMode::Amend.lets_load(&map, &page(), url), lets, "{url}");
        assert!(!CspMode::Respect.lets_load(&map, &page(), url), "{url}");
        assert!(CspMode::Amend.lets_load(&HeaderMap::new(), &page(), url), "without a policy: {url}");
    }
}

#[test]
fn a_frame_of_the_page_s_own_is_let_in() {
    for (policy, becomes) in [
        ("frame-src https://a.example", Some("frame-src https://a.example 'self'")),
        ("frame-src 'none'; child-src 'self'", Some("frame-src 'self'; child-src 'self'")),
        ("child-src blob:", Some("child-src blob:; frame-src blob: 'self'")),
        ("default-src 'none'; img-src *", Some("default-src 'none'; frame-src 'self'; img-src *")),
        ("default-src 'self'", None),
        ("frame-src https:", None),
        ("img-src 'none'", None),
    ] {
        assert_eq!(framed(policy).as_deref(), becomes, "{policy}");
    }
}

fn source() -> impl Strategy<Value = String> {
    let keywords = prop::sample::select(vec![
        "'none'",
        "'self'",
        "*",
        "https:",
        "data:",
        "'unsafe-inline'",
        "'nonce-r4nd'",
        "a.example",
        "*.a.example",
        "https://b.example:8443",
        "http://a.example/p/",
        "x_y",
        "'NONE'",
    ]);
    prop_oneof![keywords.prop_map(ToOwned::to_owned), "[!-+\\--:<-~]{1,12}"]
}

fn directive() -> impl Strategy<Value = String> {
    let names = prop::sample::select(vec![
        "img-src",
        "IMG-src",
        "default-src",
        "script-src",
        "frame-src",
        "object-src",
        "upgrade-insecure-requests",
        "",
    ]);
    (names, prop::collection::vec(source(), 0..4), prop::sample::select(vec!["", " ", "\t", "  "]))
        .prop_map(|(name, sources, space)| format!("{space}{name} {}{space}", sources.join(" ")))
}

fn line() -> impl Strategy<Value = String> {
    let policy = prop::collection::vec(directive(), 0..5).prop_map(|directives| directives.join(";"));
    prop::collection::vec(policy, 1..3).prop_map(|policies| policies.join(","))
}

fn pixel() -> impl Strategy<Value = String> {
    "https?://[ab]{1,2}\\.(example|a\\.example)(:8443)?/(p/)?[a-z]{0,3}"
}

/// What is left of a policy when the directives that govern images are taken out.
fn others(line: &str) -> Vec<Vec<String>> {
    let is_other = |directive: &&str| {
        let name = directive.split_ascii_whitespace().next().unwrap_or_default();
        !name.eq_ignore_ascii_case("img-src")
    };
    line.split(',').map(|policy| policy.split(';').filter(is_other).map(|it| it.trim().to_owned()).collect()).collect()
}

proptest! {
    #[test]
    fn after_the_amendment_every_pixel_loads_and_no_other_host(
        line in line(),
        pixels in prop::collection::vec(pixel(), 1..4),
        other in "https?://(other|c\\.a)\\.test(:8443)?/(p/)?",
    ) {
        let map = headers(&[(ENFORCED, &line), (REPORTED, &line)]);
        let mut after = map.clone();
        for (name, lines) in amended_for_pixels(&map, &page(), pixels.iter().map(String::as_str)) {
            after.insert(name, lines[0].clone());
        }
        for pixel in &pixels {
            prop_assert!(CspMode::Respect.lets_load(&after, &page(), pixel), "{} {:?}", pixel, after);
        }
        prop_assert_eq!(
            CspMode::Respect.lets_load(&map, &page(), &other),
            CspMode::Respect.lets_load(&after, &page(), &other)
        );
        prop_assert_eq!(after.get(ENFORCED), after.get(REPORTED));
        let again = amended_for_pixels(&after, &page(), pixels.iter().map(String::as_str));
        prop_assert!(again.is_empty(), "{again:?}");
        let amended = after[ENFORCED].to_str().unwrap();
        prop_assert_eq!(others(&line), others(amended), "{}", amended);
    }

    #[test]
    fn a_policy_that_allows_all_stays_as_it_is(line in line(), pixel in pixel()) {
        let is_allowed = line.split(',').all(|policy| allows(policy, &pixel));
        prop_assert_eq!(amended(&line, &[&pixel]).is_none(), is_allowed);
    }

    #[test]
    fn no_policy_makes_it_panic(line in prop::collection::vec(any::<u8>(), 0..80)) {
        if let Ok(value) = HeaderValue::from_bytes(&line) {
            let map = HeaderMap::from_iter([(header::CONTENT_SECURITY_POLICY, value)]);
            let changed = amended_for_pixels(&map, &page(), [PIXEL]);
            prop_assert!(changed.len() < 2);
            prop_assert!(amended_for_own_frame(&map, &page(), "/x").len() < 2);
        }
    }
}
