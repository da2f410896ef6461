//! Three ways to read requests out of a stream of bytes.
//!
//! The strict one is RFC 9112 to the letter and accepts only what every other parser reads the same
//! way. The lax two are like the servers that smuggling lives on.

use crate::support::http::latin1;

/// How a server reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Habit {
    /// Refuses whatever could be read in two ways.
    Strict,
    /// Takes what it can get; `Content-Length` wins over `Transfer-Encoding`.
    LengthWins,
    /// Takes what it can get; `Transfer-Encoding` wins over `Content-Length`.
    ChunksWin,
}

/// A request as one of them reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// Method and target.
    pub(super) line: String,
    pub(super) body: Vec<u8>,
    /// Whether the connection is to end with its answer.
    pub(super) closes: bool,
}

/// What stands after the last whole request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    Nothing,
    /// The beginning of another one.
    Unfinished,
    /// Something that is no request.
    Malformed(String),
}

/// Why reading stops.
enum Stop {
    Unfinished,
    Malformed(String),
}

type Read<T> = Result<T, Stop>;

impl Habit {
    /// All requests in a stream.
    pub(super) fn read(self, stream: &[u8]) -> (Vec<Request>, Rest) {
        let (mut requests, mut left) = (Vec::new(), stream);
        while !left.is_empty() {
            match self.request(&mut left) {
                Ok(request) => requests.push(request),
                Err(Stop::Unfinished) => return (requests, Rest::Unfinished),
                Err(Stop::Malformed(why)) => return (requests, Rest::Malformed(why)),
            }
        }
        (requests, Rest::Nothing)
    }

    fn request(self, left: &mut &[u8]) -> Read<Request> {
        let mut start = self.line(left)?;
        while start.is_empty() && self != Self::Strict {
            start = self.line(left)?;
        }
        let words: Vec<&str> =
            if self == Self::Strict { start.split(' ').collect() } else { start.split_ascii_whitespace().collect() };
        let [method, target, version] = words[..] else { return malformed(format!("request line {start:?}")) };
        let mut fields = Vec::new();
        loop {
            let line = self.line(left)?;
            if line.is_empty() {
                break;
            }
            fields.push(self.field(&line)?);
        }
        if self == Self::Strict {
            strict_head(method, target, version, &fields)?;
        }
        let closes = fields.iter().any(|(name, value)| name == "connection" && value.contains("close"));
        Ok(Request { line: format!("{method} {target}"), body: self.body(left, &fields)?, closes })
    }

    fn line(self, left: &mut &[u8]) -> Read<String> {
        let end = left.iter().position(|&byte| byte == b'\n').ok_or(Stop::Unfinished)?;
        let line = latin1(&left[..end]);
        *left = &left[end + 1..];
        if self != Self::Strict {
            return Ok(line.trim_end_matches('\r').to_owned());
        }
        match line.strip_suffix('\r') {
            // RFC 9112 section 2.2: a bare CR is invalid, and so are all controls but the tab (RFC 9110 section 5.5).
            Some(line) if !line.contains(|it: char| it.is_ascii_control() && it != '\t') => Ok(line.to_owned()),
            _ => malformed(format!("line {line:?}")),
        }
    }

    fn field(self, line: &str) -> Read<(String, String)> {
        let Some((name, value)) = line.split_once(':') else {
            return if self == Self::Strict {
                malformed(format!("field {line:?}"))
            } else {
                Ok((String::new(), line.to_owned()))
            };
        };
        if self == Self::Strict && !is_token(name) {
            return malformed(format!("field name {name:?}"));
        }
        Ok((name.trim().to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()))
    }

    fn body(self, left: &mut &[u8], fields: &[(String, String)]) -> Read<Vec<u8>> {
        let first = |name: &str| fields.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str());
        let length = first("content-length").map(|value| self.length(value)).transpose()?;
        let is_chunked = fields
            .iter()
            .any(|(name, value)| name == "transfer-encoding" && value.to_ascii_lowercase().contains("chunked"));
        match (length, is_chunked) {
            (None, false) => Ok(Vec::new()),
            (Some(length), false) => take(left, length),
            (Some(length), true) if self == Self::LengthWins => take(left, length),
            (_, true) => self.chunks(left),
        }
    }

    fn length(self, value: &str) -> Read<usize> {
        let digits = match self {
            Self::Strict => value,
            // What C's strtoul makes of it.
            Self::LengthWins | Self::ChunksWin => {
                let value = value.trim_start_matches('+');
                value.split(|it: char| !it.is_ascii_digit()).next().unwrap_or_default()
            }
        };
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if self == Self::Strict && !is_number {
            return malformed(format!("Content-Length {value:?}"));
        }
        digits.parse().or_else(|_| if self == Self::Strict { malformed("Content-Length too large") } else { Ok(0) })
    }

    fn chunks(self, left: &mut &[u8]) -> Read<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line(left)?;
            let digits = if self == Self::Strict {
                line.as_str()
            } else {
                line.trim().split(|it: char| !it.is_ascii_hexdigit()).next().unwrap_or_default()
            };
            if digits.is_empty() || digits.len() > 16 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return malformed(format!("chunk size {line:?}"));
            }
            let size = usize::from_str_radix(digits, 16).or_else(|_| malformed("chunk size too large"))?;
            if size == 0 {
                while !self.line(left)?.is_empty() {}
                return Ok(body);
            }
            body.extend(take(left, size)?);
            if !self.line(left)?.is_empty() {
                return malformed("a chunk longer than its size");
            }
        }
    }
}

/// What a request must be so that nobody reads it in another way.
fn strict_head(method: &str, target: &str, version: &str, fields: &[(String, String)]) -> Read<()> {
    let all = |name: &str| -> Vec<&str> {
        fields.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str()).collect()
    };
    if !is_token(method) || target.is_empty() || !matches!(version, "HTTP/1.1" | "HTTP/1.0") {
        return malformed(format!("request line {method:?} {target:?} {version:?}"));
    }
    match all("host")[..] {
        [host] if !host.contains(['@', '/', ',', ' ', '\t']) => {}
        [] if version == "HTTP/1.0" => {}
        ref hosts => return malformed(format!("hosts {hosts:?}")),
    }
    match (&all("transfer-encoding")[..], &all("content-length")[..]) {
        ([], [] | [_]) => Ok(()),
        ([coding], []) if version == "HTTP/1.1" && coding.eq_ignore_ascii_case("chunked") => Ok(()),
        (codings, lengths) => malformed(format!("Transfer-Encoding {codings:?} with Content-Length {lengths:?}")),
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn take(left: &mut &[u8], count: usize) -> Read<Vec<u8>> {
    let (body, rest) = left.split_at_checked(count).ok_or(Stop::Unfinished)?;
    *left = rest;
    Ok(body.to_vec())
}

fn malformed<T>(why: impl Into<String>) -> Read<T> {
    Err(Stop::Malformed(why.into()))
}

#[test]
fn the_three_readers_differ_where_it_matters() {
    let lines = |habit: Habit, stream: &str| {
        let (requests, rest) = habit.read(stream.as_bytes());
        (requests.into_iter().map(|request| request.line).collect::<Vec<_>>().join(", "), rest)
    };
    let plain = "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\nHost: x\r\n\r\n";
    let chunked = "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    for habit in [Habit::Strict, Habit::LengthWins, Habit::ChunksWin] {
        assert_eq!(lines(habit, plain), ("POST /a, GET /b".into(), Rest::Nothing));
        assert_eq!(lines(habit, chunked), ("POST /a".into(), Rest::Nothing));
        assert_eq!(lines(habit, &plain[..70]), ("POST /a".into(), Rest::Unfinished));
    }
    let both = "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n\
                0\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_eq!(lines(Habit::LengthWins, both), ("POST /a, GET /b".into(), Rest::Nothing));
    assert_eq!(lines(Habit::ChunksWin, both), ("POST /a, GET /b".into(), Rest::Nothing));
    let hidden = both.replace("Length: 5", &format!("Length: {}", 5 + "GET /b HTTP/1.1\r\nHost: x\r\n\r\n".len()));
    assert_eq!(lines(Habit::LengthWins, &hidden), ("POST /a".into(), Rest::Nothing));
    assert_eq!(lines(Habit::ChunksWin, &hidden), ("POST /a, GET /b".into(), Rest::Nothing));
    for nasty in
        [both, "GET /a HTTP/1.1\nHost: x\n\n", "GET /a HTTP/1.1\r\n\r\n", "GET /a HTTP/1.1\r\nHost : x\r\n\r\n"]
    {
        assert!(matches!(lines(Habit::Strict, nasty).1, Rest::Malformed(_)), "{nasty:?}");
    }
}
