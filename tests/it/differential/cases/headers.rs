//! Headers: many, long, twice, odd, and those that proxies like to touch.

use super::{Case, PAGE};
use crate::support::twin::Reply;

pub(super) fn cases() -> Vec<Case> {
    [sizes(), repeats(), odd(), cookies(), caching(), known(), locations()].concat()
}

fn page(name: &str, headers: &[(&str, &str)]) -> Case {
    let reply = headers.iter().fold(Reply::html(PAGE), |reply, (name, value)| reply.header(name, value));
    Case::get(name, reply).page()
}

fn sizes() -> Vec<Case> {
    let many = (0..150).fold(Reply::html(PAGE), |reply, index| reply.header(&format!("X-Many-{index}"), "v"));
    vec![
        page("a header of 8 KB", &[("X-Long", &"v".repeat(8_000))]),
        page("a header of 30 KB", &[("X-Long", &"v".repeat(30_000))]),
        Case::get("150 headers", many).page(),
    ]
}

fn repeats() -> Vec<Case> {
    vec![
        page("Link three times", &[("Link", "</a>; rel=next"), ("Link", "</b>, </c>"), ("link", "</d>; rel=\"x y\"")]),
        page("Vary twice", &[("Vary", "Accept-Encoding"), ("Vary", "Cookie, User-Agent")]),
        page("the same line twice", &[("X-Same", "1"), ("X-Same", "1")]),
        page("one name among others", &[("X-A", "1"), ("X-B", "2"), ("X-A", "3"), ("X-C", ""), ("X-A", "")]),
        page("Warning and Via", &[("Via", "1.1 inner (a, b)"), ("Warning", "110 - \"stale\""), ("Via", "1.0 outer")]),
    ]
}

fn odd() -> Vec<Case> {
    vec![
        page("an empty value", &[("X-Empty", ""), ("X-After", "1")]),
        page("bytes beyond ASCII", &[("X-Latin", "caf\u{e9} \u{80}\u{ff}"), ("X-Utf8", "\u{e2}\u{82}\u{ac}")]),
        page("a tab in a value", &[("X-Tab", "a\tb"), ("X-Spaces", "a   b")]),
        page("odd case of names", &[("x-lower", "1"), ("X-UPPER", "2"), ("x-MiXeD-CaSe", "3"), ("ETag", "\"1\"")]),
        page("odd names", &[("X!#$%&'*+-.^_`|~9", "1"), ("X_Under_Score", "2"), ("9", "3")]),
        page("quotes, commas and colons", &[("X-List", "a, \"b, c\", d;e=\"f\\\"g\":h"), ("X-Url", "http://a:1/?b#c")]),
        page("a value that looks like a line", &[("X-Line", "Set-Cookie: a=b; HTTP/1.1 200 OK")]),
    ]
}

fn cookies() -> Vec<Case> {
    vec![
        page(
            "five cookies",
            &[
                ("Set-Cookie", "PHPSESSID=abc; path=/"),
                (
                    "Set-Cookie",
                    "b=2; Domain=.shop.example; Secure; HttpOnly; SameSite=None; Partitioned; Priority=High",
                ),
                ("Set-Cookie", "c=; expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0"),
                ("Set-Cookie", "PHPSESSID=abc; path=/"),
                ("Set-Cookie", "z=\"a b, c\"; unknown; =odd"),
            ],
        ),
        page("a cookie that is none", &[("Set-Cookie", ""), ("Set-Cookie", "novalue"), ("Set-Cookie", "=;;;")]),
        page("a cookie named like ours", &[("Set-Cookie", "_exoclick_cid=theirs; Path=/; Domain=shop.example")]),
        page("a cookie with raw bytes", &[("Set-Cookie", "n=\u{e4}\u{f6}; path=/")]),
        page("a cookie of 4 KB", &[("Set-Cookie", &format!("big={}; path=/", "x".repeat(4080)))]),
        page("Set-Cookie2", &[("Set-Cookie2", "a=b; Version=1")]),
    ]
}

fn caching() -> Vec<Case> {
    vec![
        page("a strong validator", &[("ETag", "\"abc\""), ("Last-Modified", "Sat, 21 Nov 2026 08:49:37 GMT")]),
        page("a weak validator", &[("ETag", "W/\"abc\""), ("Accept-Ranges", "bytes")]),
        page("a broken validator", &[("ETag", "abc"), ("Last-Modified", "yesterday")]),
        page(
            "Cache-Control of a CDN",
            &[("Cache-Control", "public, max-age=60, s-maxage=600, stale-while-revalidate=30"), ("Age", "12")],
        ),
        page("Cache-Control twice", &[("Cache-Control", "no-cache"), ("Cache-Control", "must-revalidate, max-age=0")]),
        page(
            "Cache-Control: no-store",
            &[("Cache-Control", "no-store, no-cache, private"), ("Pragma", "no-cache"), ("Expires", "0")],
        ),
        page(
            "Cache-Control: private with names",
            &[("Cache-Control", "max-age=5, private=\"set-cookie, x-user\", no-transform")],
        ),
        page("Cache-Control in odd spelling", &[("Cache-Control", "Public ,MAX-AGE=60,, S-MaxAge = 5")]),
        page(
            "headers for other caches",
            &[("Surrogate-Control", "max-age=600"), ("CDN-Cache-Control", "max-age=600"), ("Surrogate-Key", "a b")],
        ),
        page("Vary: *", &[("Vary", "*"), ("Expires", "Sat, 21 Nov 2026 08:49:37 GMT")]),
        page(
            "digests",
            &[
                ("Content-MD5", "Q2hlY2sgSW50ZWdyaXR5IQ=="),
                ("Digest", "sha-256=abc"),
                ("Repr-Digest", "sha-256=:abc=:"),
            ],
        ),
    ]
}

fn known() -> Vec<Case> {
    vec![
        page(
            "the server's own",
            &[
                ("Server", "Apache/2.4 (Debian) \"x\""),
                ("X-Powered-By", "PHP/5.3"),
                ("Date", "Sat, 21 Nov 2026 08:49:37 GMT"),
            ],
        ),
        page("a date of long ago", &[("Date", "Thu, 01 Jan 1970 00:00:00 GMT")]),
        page(
            "security",
            &[
                ("Strict-Transport-Security", "max-age=1; preload"),
                ("X-Frame-Options", "DENY"),
                ("X-Content-Type-Options", "nosniff"),
                ("Referrer-Policy", "no-referrer"),
                ("Permissions-Policy", "camera=()"),
            ],
        ),
        page(
            "isolation",
            &[
                ("Cross-Origin-Opener-Policy", "same-origin"),
                ("Cross-Origin-Embedder-Policy", "require-corp"),
                ("Origin-Agent-Cluster", "?1"),
            ],
        ),
        page("alternatives", &[("Alt-Svc", "h3=\":443\"; ma=86400"), ("Alt-Svc", "clear"), ("Accept-CH", "Sec-CH-UA")]),
        page(
            "CORS",
            &[
                ("Access-Control-Allow-Origin", "*"),
                ("Access-Control-Expose-Headers", "X-A, X-B"),
                ("Timing-Allow-Origin", "*"),
            ],
        ),
        page("Clear-Site-Data", &[("Clear-Site-Data", "\"cookies\", \"storage\"")]),
        page("Refresh", &[("Refresh", "5; url=/next?a=b")]),
        page(
            "languages and places",
            &[("Content-Language", "de, en"), ("Content-Location", "/a.de.html"), ("Content-Style-Type", "text/css")],
        ),
        page(
            "tracing",
            &[
                ("Server-Timing", "db;dur=53, app;dur=47.2"),
                ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
                ("X-Request-Id", "1"),
            ],
        ),
        page(
            "a page that asks others to keep away",
            &[("X-Robots-Tag", "noindex"), ("X-Accel-Buffering", "no"), ("NEL", "{\"report_to\":\"x\"}")],
        ),
        Case::get(
            "a Content-Security-Policy on a picture",
            Reply::typed("image/png", "x").header("Content-Security-Policy", "default-src 'none'"),
        ),
        page(
            "a forwarded answer",
            &[("X-Forwarded-For", "10.0.0.1"), ("Forwarded", "for=10.0.0.1"), ("X-Forwarded-Proto", "https")],
        ),
    ]
}

fn locations() -> Vec<Case> {
    let places = [
        "/relative",
        "other?a=b#fragment",
        "//other.example/x",
        "http://127.0.0.1:1/",
        "https://shop.example/a%20b?c=%E2%82%AC#d",
        "",
        "javascript:void(0)",
        "/caf\u{e9}",
    ];
    let to = |(index, place): (usize, &&str)| {
        Case::get(
            &format!("Location {index} <{}>", place.escape_default()),
            Reply::html(PAGE).status(302).header("Location", place),
        )
    };
    places.iter().enumerate().map(to).collect()
}
