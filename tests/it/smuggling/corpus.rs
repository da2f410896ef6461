//! What attackers send, and clumsy programs.
//!
//! In the texts `§` is the path of the case, `§smuggled` a path that no one may ever be asked for,
//! and `|` stands for CR LF.

use Expected::{Either, Ours, Passed, Refused};

/// What is to become of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// The site never sees it, and the connection ends.
    Refused,
    /// The same, by our own rule that is counted under this name.
    Ours(&'static str),
    /// The site sees it, as the one request that it is.
    Passed,
    /// Both are right.
    Either,
}

pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
    pub(super) expected: Expected,
    /// The method and the path under which the site may see it.
    pub(super) seen: &'static str,
}

impl Case {
    /// The bytes of case number `number`.
    pub(super) fn bytes(&self, number: usize) -> Vec<u8> {
        let text = self.text.replace('|', "\r\n").replace('§', &path(number));
        // Latin-1 on the wire, so that a case can hold any byte.
        text.chars().map(|it| u8::try_from(u32::from(it)).unwrap()).collect()
    }

    /// The line that the site may see.
    pub(super) fn line(&self, number: usize) -> String {
        self.seen.replace('§', &path(number))
    }
}

/// The path of case number `number`.
pub(super) fn path(number: usize) -> String {
    format!("/case{number:03}-")
}

const fn case(name: &'static str, expected: Expected, text: &'static str) -> Case {
    Case { name, text, expected, seen: "POST §" }
}

const fn get(name: &'static str, expected: Expected, text: &'static str) -> Case {
    Case { name, text, expected, seen: "GET §" }
}

const fn seen(seen: &'static str, case: Case) -> Case {
    Case { seen, ..case }
}

#[rustfmt::skip]
pub(super) const CORPUS: &[Case] = &[
    // Well-formed ones first: the judge must not condemn these.
    case("a length", Passed, "POST § HTTP/1.1|Host: shop.example|Content-Length: 34||GET §smuggled HTTP/1.1||"),
    case("chunks", Passed, "POST § HTTP/1.1|Host: shop.example|Transfer-Encoding: chunked||3|abc|0||"),
    get("no body", Passed, "GET § HTTP/1.1|Host: shop.example||"),

    // Transfer-Encoding against Content-Length (RFC 9112 section 6.3).
    case("CL then TE, chunks end early", Ours("te_and_cl"), "POST § HTTP/1.1|Host: shop.example|Content-Length: 42|Transfer-Encoding: chunked||0||GET §smuggled HTTP/1.1|X: |"),
    case("TE then CL, chunks end early", Ours("te_and_cl"), "POST § HTTP/1.1|Host: shop.example|Transfer-Encoding: chunked|Content-Length: 42||0||GET §smuggled HTTP/1.1|X: |"),
    case("CL short, chunks longer", Ours("te_and_cl"), "POST § HTTP/1.1|Host: shop.example|Content-Length: 4|Transfer-Encoding: chunked||28|GET §smuggled HTTP/1.1|X: y|||0||"),
    case("TE in capitals and CL", Ours("te_and_cl"), "POST § HTTP/1.1|Host: shop.example|TRANSFER-ENCODING: CHUNKED|Content-Length: 4||0||GET §smuggled HTTP/1.1|X: |"),
    case("both, lengths agree", Ours("te_and_cl"), "POST § HTTP/1.1|Host: shop.example|Content-Length: 5|Transfer-Encoding: chunked||0||"),
    case("TE xchunked", Refused, "POST § HTTP/1.1|Host: shop.example|Transfer-Encoding: xchunked||0||GET §smuggled HTTP/1.1|X: |"),
    case("TE xchunked and CL", Refused, "POST § HTTP/1.1|Host: shop.example|Content-Length: 5|Transfer-Encoding: xchunked||0||GET §smuggled HTTP/1.1|X: |"),
    case("TE chunked, identity", Refused, "POST § HTTP/1.1|Host: shop.example|Transfer-Encoding: chunked, identity||0||GET §smuggled HTTP/1.1|X: |"),
    case("TE identity", Refused, "POST § HTTP/1.1|Host: shop.example|Transfer-Encoding: identity||"),
    case("TE identity, chunked", Either, "POST § HTTP/1.1|Host: shop.example|Transfer-Encoding: identity, chunked||3|abc|0||"),
    case("TE gzip, chunked", Either, "POST § HTTP/1.1|Host: shop.example|Transfer-Encoding: gzip, chunked||3|abc|0||"),
    case("TE chunked, chunked", Either, "POST § HTTP/1.1|Host: shop.example|Transfer-Encoding: chunked, chunked||0||"),
    case("TE in two lines", Either, "POST § HTTP/1.1|Host: shop.example|Transfer-Encoding: chunked|Transfer-Encoding: chunked||0||"),
    case("TE chunked, then identity", Refused, "POST § HTTP/1.1|Host: shop.example|Transfer-Encoding: chunked|Transfer-Encoding: identity||0||GET §smuggled HTTP/1.1|X: |"),
    case("TE identity, then chunked", Either, "POST § HTTP/1.1|Host: shop.example|Transfer-Encoding: identity|Transfer-Encoding: chunked||3|abc|0||"),
    case("TE with much space", Either, "POST § HTTP/1.1|Host: shop.example|Transfer-Encoding:   \tchunked  ||3|abc|0||"),
    case("TE after a tab and CL", Ours("te_and_cl"), "POST § HTTP/1.1|Host: shop.example|Content-Length: 5|Transfer-Encoding:\tchunked||0||GET §smuggled HTTP/1.1|X: |"),
    case("TE after a vertical tab", Refused, "POST § HTTP/1.1|Host: shop.example|Transfer-Encoding:\u{b}chunked||0||GET §smuggled HTTP/1.1|X: |"),
    case("TE after a form feed", Refused, "POST § HTTP/1.1|Host: shop.example|Transfer-Encoding: \u{c}chunked||0||GET §smuggled HTTP/1.1|X: |"),
    case("TE in quotes", Refused, "POST § HTTP/1.1|Host: shop.example|Transfer-Encoding: \"chunked\"||0||GET §smuggled HTTP/1.1|X: |"),
    case("TE empty", Refused, "POST § HTTP/1.1|Host: shop.example|Transfer-Encoding: ||0||GET §smuggled HTTP/1.1|X: |"),
    case("TE with a parameter", Refused, "POST § HTTP/1.1|Host: shop.example|Transfer-Encoding: chunked;q=1||0||GET §smuggled HTTP/1.1|X: |"),
    case("TE folded", Refused, "POST § HTTP/1.1|Host: shop.example|Transfer-Encoding:| chunked||0||GET §smuggled HTTP/1.1|X: |"),
    case("TE folded into another field", Refused, "POST § HTTP/1.1|Host: shop.example|X: y| Transfer-Encoding: chunked|Content-Length: 5||0||GET §smuggled HTTP/1.1|X: |"),
    case("TE with a tab before the colon", Refused, "POST § HTTP/1.1|Host: shop.example|Transfer-Encoding\t: chunked||0||GET §smuggled HTTP/1.1|X: |"),
    case("TE with a space before the colon", Refused, "POST § HTTP/1.1|Host: shop.example|Content-Length: 5|Transfer-Encoding : chunked||0||GET §smuggled HTTP/1.1|X: |"),
    case("TE behind a bare CR", Refused, "POST § HTTP/1.1|Host: shop.example|X: y\rTransfer-Encoding: chunked|Content-Length: 5||0||GET §smuggled HTTP/1.1|X: |"),
    case("TE with an underscore is no TE", Either, "POST § HTTP/1.1|Host: shop.example|Content-Length: 5|Transfer_Encoding: chunked||0||"),
    case("TE with HTTP/1.0", Refused, "POST § HTTP/1.0|Host: shop.example|Transfer-Encoding: chunked||0||GET §smuggled HTTP/1.1|X: |"),
    case("TE and CL with HTTP/1.0", Refused, "POST § HTTP/1.0|Host: shop.example|Content-Length: 5|Transfer-Encoding: chunked||0||GET §smuggled HTTP/1.1|X: |"),
    case("TE of a high letter", Refused, "POST § HTTP/1.1|Host: shop.example|Transfer-Encoding: chun\u{e9}ed||0||GET §smuggled HTTP/1.1|X: |"),

    // Content-Length (RFC 9110 section 8.6).
    case("CL twice, differing", Refused, "POST § HTTP/1.1|Host: shop.example|Content-Length: 0|Content-Length: 32||GET §smuggled HTTP/1.1|X: y|||"),
    case("CL twice, the same", Either, "POST § HTTP/1.1|Host: shop.example|Content-Length: 3|Content-Length: 3||abc"),
    case("CL 3, 3", Either, "POST § HTTP/1.1|Host: shop.example|Content-Length: 3, 3||abc"),
    case("CL 5,6", Refused, "POST § HTTP/1.1|Host: shop.example|Content-Length: 5,6||abcdef"),
    case("CL +5", Refused, "POST § HTTP/1.1|Host: shop.example|Content-Length: +5||abcde"),
    case("CL -5", Refused, "POST § HTTP/1.1|Host: shop.example|Content-Length: -5||abcde"),
    case("CL 0x5", Refused, "POST § HTTP/1.1|Host: shop.example|Content-Length: 0x5||abcde"),
    case("CL 5 5", Refused, "POST § HTTP/1.1|Host: shop.example|Content-Length: 5 5||abcde"),
    case("CL 5.0", Refused, "POST § HTTP/1.1|Host: shop.example|Content-Length: 5.0||abcde"),
    case("CL empty", Refused, "POST § HTTP/1.1|Host: shop.example|Content-Length: ||GET §smuggled HTTP/1.1|X: y||"),
    case("CL of many digits", Refused, "POST § HTTP/1.1|Host: shop.example|Content-Length: 99999999999999999999999999||GET §smuggled HTTP/1.1|X: y||"),
    case("CL past 64 bits", Refused, "POST § HTTP/1.1|Host: shop.example|Content-Length: 18446744073709551621||abcde"),
    case("CL with leading zeros", Either, "POST § HTTP/1.1|Host: shop.example|Content-Length: 0000003||abc"),
    case("CL with a space before the colon", Refused, "POST § HTTP/1.1|Host: shop.example|Content-Length : 32||GET §smuggled HTTP/1.1|X: y||"),
    case("CL folded", Refused, "POST § HTTP/1.1|Host: shop.example|Content-Length:| 32||GET §smuggled HTTP/1.1|X: y||"),
    case("CL behind a NUL", Refused, "POST § HTTP/1.1|Host: shop.example|X: y\0Content-Length: 32||GET §smuggled HTTP/1.1|X: y||"),
    get("CL on GET", Passed, "GET § HTTP/1.1|Host: shop.example|Content-Length: 3||abc"),
    get("chunks on GET", Passed, "GET § HTTP/1.1|Host: shop.example|Transfer-Encoding: chunked||3|abc|0||"),
    get("a body on GET that is not announced", Passed, "GET § HTTP/1.1|Host: shop.example||GET §second HTTP/1.1|Host: shop.example||"),
    seen("HEAD §", get("CL on HEAD", Either, "HEAD § HTTP/1.1|Host: shop.example|Content-Length: 3||abc")),

    // Lines and bytes (RFC 9112 section 2.2).
    get("bare LF everywhere", Ours("bare_lf"), "GET § HTTP/1.1\nHost: shop.example\n\n"),
    get("bare LF after a field", Ours("bare_lf"), "GET § HTTP/1.1|Host: shop.example\nX: y||"),
    get("bare LF after the request line", Ours("bare_lf"), "GET § HTTP/1.1\nHost: shop.example||"),
    get("bare LF at the end of the head", Ours("bare_lf"), "GET § HTTP/1.1|Host: shop.example|\nGET §smuggled HTTP/1.1|Host: shop.example||"),
    case("bare LF hides a length", Ours("bare_lf"), "POST § HTTP/1.1|Host: shop.example|X: y\nContent-Length: 32||GET §smuggled HTTP/1.1|X: y|||"),
    get("bare CR after a field", Refused, "GET § HTTP/1.1|Host: shop.example\rX: y||"),
    get("bare CR in a value", Refused, "GET § HTTP/1.1|Host: shop.example|X: a\rb||"),
    get("NUL in a value", Refused, "GET § HTTP/1.1|Host: shop.example|X: a\0b||"),
    get("NUL in a name", Refused, "GET § HTTP/1.1|Host: shop.example|X\0Y: a||"),
    get("a space in a name", Refused, "GET § HTTP/1.1|Host: shop.example|X Y: a||"),
    get("no name", Refused, "GET § HTTP/1.1|Host: shop.example|: a||"),
    get("no colon", Refused, "GET § HTTP/1.1|Host: shop.example|XY||"),
    get("a folded value", Refused, "GET § HTTP/1.1|Host: shop.example|X: a| b||"),
    get("a first field that is folded", Refused, "GET § HTTP/1.1| Host: shop.example||"),
    get("an empty line first", Either, "|GET § HTTP/1.1|Host: shop.example||"),
    get("three empty lines first", Either, "|||GET § HTTP/1.1|Host: shop.example||"),

    // The request line (RFC 9112 section 3). Pingora percent-encodes what may not stand in a target.
    get("HTTP/0.9", Refused, "GET §|"),
    get("HTTP/2.0 in plain text", Refused, "GET § HTTP/2.0|Host: shop.example||"),
    get("HTTP/1.2", Refused, "GET § HTTP/1.2|Host: shop.example||"),
    get("HTTP/1.01", Refused, "GET § HTTP/1.01|Host: shop.example||"),
    get("http/1.1", Refused, "GET § http/1.1|Host: shop.example||"),
    get("no version", Refused, "GET § |Host: shop.example||"),
    get("something after the version", Refused, "GET § HTTP/1.1 HTTP/1.1|Host: shop.example||"),
    seen("GET §%20b", get("a space in the path", Either, "GET § b HTTP/1.1|Host: shop.example||")),
    seen("GET §%20HTTP/1.1%20x", get("a version in the path", Either, "GET § HTTP/1.1 x HTTP/1.1|Host: shop.example||")),
    get("a tab for a space", Refused, "GET\t§ HTTP/1.1|Host: shop.example||"),
    seen("GET %20§", get("two spaces", Either, "GET  § HTTP/1.1|Host: shop.example||")),
    seen("GE T%20§", get("a space in the method", Either, "GE T § HTTP/1.1|Host: shop.example||")),
    get("a colon in the method", Refused, "GE:T § HTTP/1.1|Host: shop.example||"),
    get("bare LF in the request line", Refused, "GET\n§ HTTP/1.1|Host: shop.example||"),
    seen("GET §%0Dx", get("bare CR in the path", Either, "GET §\rx HTTP/1.1|Host: shop.example||")),
    seen("GET §%00x", get("NUL in the path", Either, "GET §\0x HTTP/1.1|Host: shop.example||")),
    seen("GET http://shop.example§", get("absolute form", Either, "GET http://shop.example§ HTTP/1.1|Host: shop.example||")),
    seen("GET http://shop.example§", get("absolute form, another Host", Refused, "GET http://shop.example§ HTTP/1.1|Host: other.example||")),
    seen("GET http://shop.example/%20x§", get("absolute form with a space", Either, "GET http://shop.example/ x§ HTTP/1.1|Host: shop.example||")),
    get("absolute form with a user", Refused, "GET http://a@shop.example§ HTTP/1.1|Host: shop.example||"),
    get("absolute form with two authorities", Refused, "GET http://shop.example\\other.example§ HTTP/1.1|Host: shop.example||"),
    seen("CONNECT shop.example:80", get("CONNECT", Refused, "CONNECT shop.example:80 HTTP/1.1|Host: shop.example:80||")),
    seen("OPTIONS *", get("OPTIONS *", Either, "OPTIONS * HTTP/1.1|Host: shop.example||")),
    seen("GET x§", get("a target without a slash", Either, "GET x§ HTTP/1.1|Host: shop.example||")),

    // Host (RFC 9112 section 3.2).
    get("no Host", Ours("no_host"), "GET § HTTP/1.1|X: y||"),
    get("Host twice", Refused, "GET § HTTP/1.1|Host: shop.example|Host: other.example||"),
    get("Host twice, the same", Refused, "GET § HTTP/1.1|Host: shop.example|Host: shop.example||"),
    get("Host of two", Ours("malformed"), "GET § HTTP/1.1|Host: shop.example, other.example||"),
    get("Host with a path", Ours("malformed"), "GET § HTTP/1.1|Host: shop.example/x||"),
    get("Host with a user", Refused, "GET § HTTP/1.1|Host: a@shop.example||"),
    get("Host with a space", Ours("malformed"), "GET § HTTP/1.1|Host: shop.example other.example||"),
    get("Host with a space before the colon", Refused, "GET § HTTP/1.1|Host : shop.example||"),

    // Chunks (RFC 9112 section 7.1).
    case("a size with leading zeros", Either, "POST § HTTP/1.1|Host: shop.example|Transfer-Encoding: chunked||0000003|abc|0||"),
    case("a size of 0x3", Either, "POST § HTTP/1.1|Host: shop.example|Transfer-Encoding: chunked||0x3|abc|0||GET §smuggled HTTP/1.1|X: |"),
    case("a negative size", Refused, "POST § HTTP/1.1|Host: shop.example|Transfer-Encoding: chunked||-3|abc|0||"),
    case("a size past 64 bits", Refused, "POST § HTTP/1.1|Host: shop.example|Transfer-Encoding: chunked||10000000000000003|abc|0||GET §smuggled HTTP/1.1|X: |"),
    case("a size of 64 bits", Either, "POST § HTTP/1.1|Host: shop.example|Transfer-Encoding: chunked||ffffffffffffffff|abc|0||GET §smuggled HTTP/1.1|X: |"),
    case("a size that is no number", Refused, "POST § HTTP/1.1|Host: shop.example|Transfer-Encoding: chunked||xyz|abc|0||"),
    case("a size with a space", Either, "POST § HTTP/1.1|Host: shop.example|Transfer-Encoding: chunked||3 |abc|0||"),
    case("an extension", Either, "POST § HTTP/1.1|Host: shop.example|Transfer-Encoding: chunked||3;name=value|abc|0||"),
    case("an extension with a bare LF", Either, "POST § HTTP/1.1|Host: shop.example|Transfer-Encoding: chunked||2;\nxx|24|0||GET §smuggled HTTP/1.1|X: |0||"),
    case("an extension with a bare CR", Either, "POST § HTTP/1.1|Host: shop.example|Transfer-Encoding: chunked||2;\rxx|ab|0||"),
    case("sizes that end in a bare LF", Either, "POST § HTTP/1.1|Host: shop.example|Transfer-Encoding: chunked||3\nabc\n0\n\nGET §smuggled HTTP/1.1|Host: shop.example||"),
    case("data longer than its size", Either, "POST § HTTP/1.1|Host: shop.example|Transfer-Encoding: chunked||3|abcdef|0||GET §smuggled HTTP/1.1|X: |"),
    case("data without its end", Either, "POST § HTTP/1.1|Host: shop.example|Transfer-Encoding: chunked||3|abc0||GET §smuggled HTTP/1.1|X: |"),
    case("no last line end", Either, "POST § HTTP/1.1|Host: shop.example|Transfer-Encoding: chunked||3|abc|0|"),
    case("trailers that look like heads", Either, "POST § HTTP/1.1|Host: shop.example|Transfer-Encoding: chunked||3|abc|0|Content-Length: 32|Host: other.example|Transfer-Encoding: chunked||"),
    case("trailers with a bare LF", Either, "POST § HTTP/1.1|Host: shop.example|Transfer-Encoding: chunked||0|X: y\n\nGET §smuggled HTTP/1.1|Host: shop.example||"),
    case("a trailer that is a request", Either, "POST § HTTP/1.1|Host: shop.example|Transfer-Encoding: chunked||0|GET §smuggled HTTP/1.1|Host: shop.example||"),
    case("an empty size and another request", Either, "POST § HTTP/1.1|Host: shop.example|Transfer-Encoding: chunked||||GET §smuggled HTTP/1.1|Host: shop.example||"),
    case("an empty size", Either, "POST § HTTP/1.1|Host: shop.example|Transfer-Encoding: chunked|||abc|0||"),

    // What Connection names is for us alone (RFC 9110 section 7.6.1).
    case("Connection names Transfer-Encoding", Either, "POST § HTTP/1.1|Host: shop.example|Connection: Transfer-Encoding|Transfer-Encoding: chunked||3|abc|0||"),
    case("Connection names Content-Length", Either, "POST § HTTP/1.1|Host: shop.example|Connection: close, Content-Length|Content-Length: 34||GET §smuggled HTTP/1.1||"),
    get("Connection names Host", Either, "GET § HTTP/1.1|Host: shop.example|Connection: Host||"),
    get("Connection names a lot", Either, "GET § HTTP/1.1|Host: shop.example|Connection: a,b,c,d,e,f,g,h,i,j,k,l,m||"),
    case("Expect with a whole request as body", Passed, "POST § HTTP/1.1|Host: shop.example|Expect: 100-continue|Content-Length: 34||GET §smuggled HTTP/1.1||"),
    case("Expect with nonsense", Either, "POST § HTTP/1.1|Host: shop.example|Expect: x 100-continue|Content-Length: 34||GET §smuggled HTTP/1.1||"),
    get("Upgrade, and at once another request (CVE-2026-2833)", Passed, "GET § HTTP/1.1|Host: shop.example|Connection: Upgrade|Upgrade: websocket||GET §smuggled HTTP/1.1|Host: shop.example||"),
    case("Upgrade with a body", Passed, "POST § HTTP/1.1|Host: shop.example|Connection: Upgrade|Upgrade: websocket|Content-Length: 34||GET §smuggled HTTP/1.1||"),
    get("Upgrade to h2c", Passed, "GET § HTTP/1.1|Host: shop.example|Connection: Upgrade, HTTP2-Settings|Upgrade: h2c|HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA||PRI * HTTP/2.0||SM||"),
    get("a preface of HTTP/2 that is none", Refused, "PRI * HTTP/2.0|Host: shop.example||SM||"),
    get("keep-alive with HTTP/1.0, and another request", Passed, "GET § HTTP/1.0|Host: shop.example|Connection: keep-alive||GET §second HTTP/1.0|Host: shop.example||"),
];
