//! What tracking may change, written down a second time: by the promise, not by the code.
//!
//! - A click ID in the address adds one cookie. An answer with it is kept from shared caches.
//! - A conversion without a click ID adds one insertion to a page. The answer is kept from caches,
//!   its length is open, what spoke of the old bytes goes, and browsers ask again before they show it again.
//! - The site is told who asks, and by whom.
//! - It is not asked conditionally when a click ID came, and for a whole, plain page when pixels may
//!   have to go into it.

use std::io::Read;

use super::cases::{Case, Page};
use crate::support::{
    config::{GOAL, HOSTS},
    jar::SetCookie,
    twin::{Ended, Fields, Heard, Seen, Transport},
};

/// How much the proxy has to do with an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Nothing.
    Passing,
    /// Every address has a click ID in it.
    Landing,
    /// Every page is a thank-you page.
    Converting,
}

impl Mode {
    /// What goes into the address.
    pub(super) fn parameter(self, fetch: &str) -> Option<String> {
        match self {
            Self::Passing => None,
            Self::Landing => Some("exotracker=abc123".into()),
            Self::Converting => Some(format!("order={fetch}")),
        }
    }

    /// What the visitor must see where this is what the site answers.
    pub(super) fn answer(self, case: &Case, direct: &Seen, got: &Seen, told: Option<[Transport; 2]>) -> Seen {
        let mut wanted = direct.clone();
        let is_visit = is_visit(case);
        let is_tls = told.is_some_and(|[visitor, _]| visitor.tls);
        // HTTP/2 says with the head that nothing follows.
        let is_empty = direct.body.is_empty() && told.is_some_and(|[_, site]| site.is_http2());
        match self {
            Self::Landing if is_visit && direct.status != 304 && has_query(case) => {
                wanted.headers.push(("set-cookie".into(), cookie_line(got, is_tls)));
                keep_from_caches(&mut wanted, &SHARED, "private");
            }
            Self::Converting if converts(case) && is_page(case, direct) && case.ask.method == "HEAD" => {
                // It says what GET would, and GET might get pixels.
                forget_bytes(&mut wanted, case);
                keep_from_caches(&mut wanted, &[&SHARED[..], &BROWSERS].concat(), "private, no-cache");
            }
            Self::Converting if is_visit && converts(case) && is_page(case, direct) && !is_empty => {
                forget_bytes(&mut wanted, case);
                keep_from_caches(&mut wanted, &[&SHARED[..], &BROWSERS].concat(), "private, no-cache");
                let page = decoded(direct);
                let page = match case.page {
                    Page::Plain | Page::Encoded => with_insertion(&page, got),
                    Page::No | Page::Inert | Page::Damaged => page,
                };
                if case.page == Page::Damaged && !leaves_in_gzip(case, direct) {
                    wanted.ended = Ended::CutOff;
                }
                // Two streams of gzip need not be the same to say the same.
                let is_same = leaves_in_gzip(case, direct) && decoded(got) == page;
                wanted.body = if is_same { got.body.clone() } else { page };
            }
            Self::Passing | Self::Landing | Self::Converting => {}
        }
        wanted
    }

    /// What the site must be asked where this is what the visitor sends.
    ///
    /// `told` are the two transports of a proxy, about which it tells the site; a mere relay tells nothing.
    pub(super) fn request(self, case: &Case, direct: &Heard, got: &Heard, told: Option<[Transport; 2]>) -> Heard {
        let mut wanted = direct.clone();
        let left_out: &[&str] = match self {
            Self::Landing if has_query(case) => &["if-none-match", "if-modified-since"],
            Self::Converting if converts(case) && is_for_a_page(case) => {
                &["if-none-match", "if-modified-since", "range", "if-range", "accept-encoding"]
            }
            Self::Passing | Self::Landing | Self::Converting => &[],
        };
        wanted.headers.retain(|(name, _)| !left_out.contains(&name.as_str()));
        if let Some([visitor, _]) = told {
            wanted.headers.extend(introduction(case, visitor, got));
            if visitor.is_http2() {
                join_cookies(&mut wanted.headers);
            }
        }
        wanted
    }
}

/// HTTP/2 may send cookies in several fields, HTTP/1 may not, so that they may be joined (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut Fields) {
    let crumbs: Vec<&str> =
        headers.iter().filter(|(name, _)| name == "cookie").map(|(_, crumb)| crumb.as_str()).collect();
    let joined = crumbs.join("; ");
    headers.retain(|(name, _)| name != "cookie");
    headers.extend((!joined.is_empty()).then(|| ("cookie".into(), joined)));
}

/// What the proxy says of its visitor, exactly (RFC 7239; RFC 9110 section 7.6.3).
fn introduction(case: &Case, visitor: Transport, got: &Heard) -> Fields {
    let proto = if visitor.tls { "https" } else { "http" };
    let version = match (visitor.is_http2(), case.ask.is_http10) {
        (true, _) => "2",
        (false, true) => "1.0",
        (false, false) => "1.1",
    };
    let via = got.headers.iter().filter(|(name, _)| name == "via").map(|(_, value)| value.as_str()).next_back();
    let is_ours = |via: &&str| {
        let name = via.strip_prefix(version).and_then(|via| via.strip_prefix(" throughline-"));
        name.is_some_and(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    let via = via.filter(is_ours).map_or_else(|| format!("{version} throughline-…"), str::to_owned);
    let lines = [
        ("forwarded", format!("for=127.0.0.1;host=shop.example;proto={proto}")),
        ("via", via),
        ("x-forwarded-for", "127.0.0.1".into()),
        ("x-forwarded-host", "shop.example".into()),
        ("x-forwarded-proto", proto.into()),
    ];
    lines.map(|(name, value)| (name.into(), value)).into()
}

/// Whether somebody looks at the answer as a page.
fn is_visit(case: &Case) -> bool {
    case.ask.method != "HEAD" && is_for_a_page(case)
}

/// Whether it is asked for as one.
fn is_for_a_page(case: &Case) -> bool {
    let header = |wanted: &str| {
        let found = case.ask.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.as_str())
    };
    matches!(header("sec-fetch-dest"), None | Some("document")) && header("sec-purpose").is_none()
}

fn has_query(case: &Case) -> bool {
    case.ask.target != "*"
}

fn converts(case: &Case) -> bool {
    has_query(case) && matches!(case.ask.method.as_str(), "GET" | "POST" | "HEAD")
}

fn is_page(case: &Case, direct: &Seen) -> bool {
    case.page != Page::No && (200..=203).contains(&direct.status)
}

/// The cookie that the visitor got, if it is the right one; what is missing shows as a difference.
fn cookie_line(got: &Seen, is_tls: bool) -> String {
    let last = got.all("set-cookie").last().map(|line| (*line).to_owned()).unwrap_or_default();
    if !last.contains('=') {
        return "_exoclick_cid=abc123".into();
    }
    let cookie = SetCookie::parse(&last);
    let wanted: [(&str, &str); 6] = [
        ("path", "/"),
        ("domain", "shop.example"),
        ("max-age", "31536000"),
        ("httponly", ""),
        ("samesite", if is_tls { "None" } else { "Lax" }),
        ("secure", ""),
    ];
    let wanted = wanted.iter().filter(|(name, _)| is_tls || *name != "secure");
    let is_right = (cookie.name.as_str(), cookie.value.as_str()) == ("_exoclick_cid", "abc123")
        && cookie.attributes.len() == wanted.clone().count()
        && wanted.clone().all(|(name, value)| cookie.attribute(name) == Some(value));
    if is_right { last } else { format!("_exoclick_cid=abc123 with {:?}", wanted.collect::<Vec<_>>()) }
}

/// Takes out what speaks of the bytes that the site sent.
fn forget_bytes(wanted: &mut Seen, case: &Case) {
    let (in_gzip, is_encoded) = (leaves_in_gzip(case, wanted), is_encoded(wanted));
    wanted
        .headers
        .retain(|(name, _)| !(VALIDATORS.contains(&name.as_str()) || is_encoded && name == "content-encoding"));
    wanted.headers.extend(in_gzip.then(|| ("content-encoding".into(), "gzip".into())));
}

fn is_encoded(seen: &Seen) -> bool {
    seen.all("content-encoding").iter().any(|coding| *coding != "identity")
}

/// A page that came compressed leaves in gzip for whom that is right.
fn leaves_in_gzip(case: &Case, direct: &Seen) -> bool {
    let accepted = case.ask.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("accept-encoding"));
    is_encoded(direct) && accepted.is_some_and(|(_, codings)| codings.contains("gzip"))
}

/// The bytes that a browser would read, as far as they can be read.
pub(super) fn decoded(seen: &Seen) -> Vec<u8> {
    let mut plain = Vec::new();
    let coding = seen.all("content-encoding").first().map(|coding| coding.to_ascii_lowercase());
    let result = match coding.as_deref() {
        Some("gzip" | "x-gzip") => flate2::read::GzDecoder::new(&seen.body[..]).read_to_end(&mut plain),
        Some("br") => brotli_decompressor::Decompressor::new(&seen.body[..], 4096).read_to_end(&mut plain),
        Some("zstd") => zstd::stream::read::Decoder::new(&seen.body[..]).and_then(|mut it| it.read_to_end(&mut plain)),
        Some(_) | None => return seen.body.clone(),
    };
    // Damage ends the page where it is; what came before counts.
    drop(result);
    plain
}

fn keep_from_caches(wanted: &mut Seen, against: &[&str], restriction: &str) {
    let mut kept: Vec<String> = Vec::new();
    for line in wanted.all("cache-control") {
        kept.extend(directives(line).into_iter().filter(|directive| {
            let name = directive.split('=').next().unwrap_or_default().trim().to_ascii_lowercase();
            !against.contains(&name.as_str())
        }));
    }
    kept.push(restriction.into());
    let ours = ["cache-control", "surrogate-control", "cdn-cache-control"];
    wanted.headers.retain(|(name, _)| !ours.contains(&name.as_str()));
    wanted.headers.push(("cache-control".into(), kept.join(", ")));
    wanted.headers.push(("surrogate-control".into(), "no-store".into()));
    wanted.headers.push(("cdn-cache-control".into(), "no-store".into()));
}

/// Splits at commas outside of quotes.
fn directives(line: &str) -> Vec<String> {
    let mut quoted = false;
    let pieces = line.split(|character| {
        quoted ^= character == '"';
        character == ',' && !quoted
    });
    pieces.map(|piece| piece.trim().to_owned()).filter(|piece| !piece.is_empty()).collect()
}

/// The page with the pixels where the visitor got them, if it got them once and nothing else.
fn with_insertion(page: &[u8], got: &Seen) -> Vec<u8> {
    if page.trim_ascii().is_empty() {
        return page.to_vec();
    }
    let insertion = insertion();
    let got_page = decoded(got);
    let places: Vec<usize> = memchr::memmem::find_iter(&got_page, &insertion).collect();
    match (places.as_slice(), &got.ended) {
        ([at], _) if *at <= page.len() => [&page[..*at], &insertion, &page[*at..]].concat(),
        // A page that is cut off gets none.
        ([], Ended::CutOff) => page.to_vec(),
        _ => [page, &insertion].concat(),
    }
}

/// The pixels, by the network's documentation.
pub(super) fn insertion() -> Vec<u8> {
    let pixel = |host: &str| {
        format!(
            "<img src=\"https://{host}/tag.php?goal={GOAL}\" width=\"1\" height=\"1\" alt=\"\" hidden=\"\" \
             referrerpolicy=\"no-referrer-when-downgrade\" />"
        )
    };
    HOSTS.map(pixel).concat().into_bytes()
}

/// Directives for shared caches.
const SHARED: [&str; 4] = ["public", "private", "s-maxage", "proxy-revalidate"];

/// Directives that let a browser show a stored page, whose pixels would count a second time.
const BROWSERS: [&str; 5] = ["max-age", "no-cache", "immutable", "stale-while-revalidate", "stale-if-error"];

/// What speaks of the bytes that the site sent.
const VALIDATORS: [&str; 8] = [
    "content-length",
    "etag",
    "last-modified",
    "accept-ranges",
    "content-md5",
    "digest",
    "content-digest",
    "repr-digest",
];
