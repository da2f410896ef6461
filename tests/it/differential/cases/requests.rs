//! Requests: methods, paths, headers and bodies that must reach the site as they were sent.

use super::{Case, PAGE};
use crate::support::twin::{Ask, Reply, reply::Framing};

pub(super) fn cases() -> Vec<Case> {
    [methods(), bodies(), targets(), headers()].concat()
}

fn methods() -> Vec<Case> {
    let xml = "<?xml version=\"1.0\"?><propfind xmlns=\"DAV:\"/>";
    let mut cases: Vec<Case> = ["POST", "PUT", "PATCH", "DELETE", "PROPFIND", "REPORT", "PURGE", "X-CUSTOM"]
        .map(|method| {
            let ask = Ask::new(method, "/api").header("Content-Type", "application/xml").body(xml);
            Case::new(&format!("{method} with a body"), ask, Reply::echo())
        })
        .into();
    cases.extend(["DELETE", "OPTIONS", "TRACE", "PROPFIND", "MKCOL", "brew"].map(|method| {
        let reply = Reply::typed("text/plain", "done").header("Allow", "GET, POST");
        Case::new(&format!("{method} without a body"), Ask::new(method, "/api"), reply)
    }));
    cases.push(Case::new("OPTIONS *", Ask::new("OPTIONS", "*"), Reply::new(204)).only_http1());
    cases
}

fn bodies() -> Vec<Case> {
    let big: Vec<u8> = (0..3_000_000_u32).map(|index| index.to_le_bytes()[0]).collect();
    let post = || Ask::new("POST", "/form");
    let form = "application/x-www-form-urlencoded";
    vec![
        Case::new("a form", post().header("Content-Type", form).body("a=1&b=%20+&c"), Reply::echo()),
        Case::new(
            "a form that is answered with a page",
            post().header("Content-Type", form).body("a=1"),
            Reply::html(PAGE),
        )
        .page(),
        Case::new("an empty body", post().body(""), Reply::echo()),
        Case::new("a body of every byte", post().body((0..=255).collect::<Vec<u8>>()), Reply::echo()),
        Case::new("a body of 3 MB", post().body(&big), Reply::echo()),
        Case::new("a body in chunks", post().chunks("in several chunks", 3), Reply::echo()),
        Case::new("a body of 3 MB in chunks", post().chunks(&big, 60_000), Reply::echo()),
        Case::new(
            "a body in gzip",
            post().header("Content-Encoding", "gzip").body(b"\x1f\x8b\x08\0not really"),
            Reply::echo(),
        ),
        Case::new("a GET with a body", Ask::new("GET", "/search").body("{\"query\":1}"), Reply::echo()),
        Case::new(
            "a body that waits for leave",
            post().header("Expect", "100-continue").body("patience"),
            Reply::echo(),
        )
        .only_http1(),
    ]
}

fn targets() -> Vec<Case> {
    let targets = [
        "/",
        "/?",
        "/?&&",
        "/a%2Fb",
        "/a%2fb%5C",
        "/%00",
        "//",
        "//double//slash",
        "/a/../b",
        "/a/./b/",
        "/..%2f..%2f",
        "/a;params=1;x/b",
        "/a?b=c?d=e",
        "/a?b=/../c",
        "/a?redirect=http://other.example/",
        "/%zz",
        "/100%",
        "/a+b%20c",
        "/caf%C3%A9",
        "/*",
        "/~user/(a)'b'!$&,=:@",
        "/a|b",
        "/{a}",
        "/\"a\"",
        "/a?{}|~",
        "/index.php/path/info",
        "/.well-known/x",
        "/a?=&=1",
        "/a#",
        "/a%23b",
    ];
    let mut cases: Vec<Case> = targets
        .into_iter()
        .filter(|target| !target.contains('#'))
        .map(|target| Case::new(&format!("path {target}"), Ask::new("GET", target), Reply::typed("text/plain", "ok")))
        .collect();
    let long = format!("/{}?{}", "p".repeat(4000), "q".repeat(4000));
    cases.push(Case::new("a target of 8 KB", Ask::new("GET", &long), Reply::typed("text/plain", "ok")));
    for (name, target) in [
        ("odd characters in a query", "/a?\\^`[]'"),
        ("a raw quote in a query", "/a?b=\"c\""),
        ("raw angle brackets in a query", "/a?b=<c>"),
    ] {
        cases.push(Case::new(name, Ask::new("GET", target), Reply::typed("text/plain", "ok")).only_http1());
    }
    cases.push(Case::new("raw UTF-8 in a path", Ask::new("GET", "/caf\u{c3}\u{a9}"), Reply::typed("text/plain", "ok")));
    cases.push(Case::new(
        "raw UTF-8 in a query",
        Ask::new("GET", "/a?b=caf\u{c3}\u{a9}"),
        Reply::typed("text/plain", "ok"),
    ));
    cases.push(
        Case::new("raw Latin-1 in a path", Ask::new("GET", "/caf\u{e9}"), Reply::typed("text/plain", "ok"))
            .only_http1(),
    );
    let absolute = Ask::new("GET", "http://shop.example/absolute?a=b");
    cases.push(Case::new("an absolute target", absolute, Reply::typed("text/plain", "ok")).only_http1());
    cases
}

fn headers() -> Vec<Case> {
    let get = || Ask::new("GET", "/a");
    let ok = || Reply::typed("text/plain", "ok");
    vec![
        Case::new("cookies of many kinds", get().header("Cookie", "a=1; b=\"2\"; c=%20; d; =e; a=2; f=\u{e9}"), ok()),
        Case::new("Cookie twice", get().header("Cookie", "a=1").header("Cookie", "b=2; c=3"), ok()),
        Case::new("a password", get().header("Authorization", "Basic dXNlcjpwYXNz"), ok()),
        Case::new(
            "conditions",
            get().header("If-None-Match", "\"1\", W/\"2\"").header("If-Modified-Since", DATE),
            ok(),
        ),
        Case::new(
            "conditions that are met",
            get().header("If-None-Match", "\"1\""),
            Reply::new(304).header("ETag", "\"1\""),
        ),
        Case::new(
            "a condition for a change",
            Ask::new("PUT", "/a").header("If-Match", "\"1\"").header("If-Unmodified-Since", DATE).body("x"),
            ok(),
        ),
        Case::new(
            "a range",
            get().header("Range", "bytes=0-5").header("If-Range", "\"1\""),
            Reply::typed("text/html", "<body>").status(206).header("Content-Range", "bytes 0-5/9"),
        ),
        Case::new("a range of a page", get().header("Range", "bytes=0-"), Reply::html(PAGE)).page(),
        Case::new(
            "odd headers",
            get()
                .header("X-Empty", "")
                .header("X-Latin", "\u{e9}\u{ff}")
                .header("x-LOW-high", "1")
                .header("X-Twice", "1")
                .header("X-Twice", "2"),
            ok(),
        ),
        Case::new("a header of 20 KB", get().header("X-Long", &"v".repeat(20_000)), ok()),
        Case::new("100 headers", (0..100).fold(get(), |ask, index| ask.header(&format!("X-Many-{index}"), "v")), ok()),
        Case::new(
            "no headers of browsers",
            get().without("User-Agent").without("Accept").without("Accept-Language").without("Accept-Encoding"),
            Reply::html(PAGE),
        )
        .page(),
        Case::new(
            "a script that asks",
            get()
                .without("Sec-Fetch-Dest")
                .header("Sec-Fetch-Dest", "empty")
                .header("X-Requested-With", "XMLHttpRequest")
                .header("Origin", "https://shop.example"),
            Reply::html(PAGE),
        ),
        Case::new("a prefetch", get().header("Sec-Purpose", "prefetch"), Reply::html(PAGE)),
        Case::new(
            "a browser that reloads",
            get()
                .header("Cache-Control", "no-cache")
                .header("Pragma", "no-cache")
                .header("Upgrade-Insecure-Requests", "1")
                .header("DNT", "1"),
            Reply::html(PAGE),
        )
        .page(),
        Case::new(
            "where it comes from",
            get().header("Referer", "https://ads.example/?a=b").header("Origin", "null"),
            Reply::html(PAGE),
        )
        .page(),
        Case::new(
            "a request that is traced",
            get().header("traceparent", "00-1-2-01").header("X-Request-Id", "7").header("baggage", "a=b"),
            ok(),
        ),
        Case::new("TE: trailers", get().header("TE", "trailers"), ok()),
        Case::new("HTTP/1.0", get().http10(), Reply::html(PAGE)).page().only_http1(),
        Case::new(
            "HTTP/1.0 and a page of unknown length",
            get().http10(),
            Reply::html(PAGE).framing(Framing::UntilClose),
        )
        .page()
        .only_http1(),
        Case::new("HTTP/1.0 that posts", Ask::new("POST", "/a").http10().body("x=1"), Reply::echo()).only_http1(),
    ]
}

const DATE: &str = "Sat, 21 Nov 2026 08:49:37 GMT";
