//! What is noted of one request: little, owned, and quick to take along.
//!
//! The texts that the visitor sent are copied into one piece of memory, because a header that is only
//! referred to would keep all that came with it. What a line makes of a record is decided in
//! [`line`](super::line).

use std::{net::IpAddr, sync::Arc, time::Duration};

use http::Version;

use super::RequestId;
use crate::tracking::timestamp::Timestamp;

/// One request that is over.
#[derive(Debug)]
pub struct Record {
    /// When it was over.
    pub time: Timestamp,
    /// Its id.
    pub request_id: Option<RequestId>,
    /// Whose it was.
    pub client: Option<IpAddr>,
    /// The site that it was for.
    pub site: Option<Arc<str>>,
    /// What was asked; nothing where no head of a request could be read.
    pub asked: Option<Asked>,
    /// The status of the answer.
    pub status: u16,
    /// Bytes of the answer's body that were sent.
    pub bytes: u64,
    /// From the head of the request to the end of its answer.
    pub took: Duration,
    /// The site's server that was asked last.
    pub server: Option<Arc<str>>,
    /// From asking that server to the head of its answer.
    pub server_took: Option<Duration>,
    /// How it ended.
    pub ending: Ending,
    /// Why it was refused, if it was.
    pub refused: Option<&'static str>,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As it should.
    Complete,
    /// The visitor left, or took nothing more.
    VisitorLeft,
    /// The site's server failed or broke off.
    SiteFailed,
    /// We failed.
    Failed,
}

/// What a visitor sent, as it came.
#[derive(Debug)]
pub struct Asked {
    /// The version of HTTP.
    pub version: Version,
    texts: Box<[u8]>,
    lengths: [Option<u16>; TEXTS],
}

/// A text in what a visitor sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// The method.
    Method,
    /// The path, and the query if it is kept.
    Target,
    /// The host.
    Host,
    /// `Referer`.
    Referer,
    /// `User-Agent`.
    UserAgent,
}

/// What becomes of the part of an address behind the `?`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueryRule {
    /// It is left out: click IDs, e-mail addresses and tokens stand there.
    #[default]
    Drop,
    /// It is written.
    Keep,
}

impl Ending {
    /// The word for it in lines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::VisitorLeft => "visitor_left",
            Self::SiteFailed => "site_failed",
            Self::Failed => "failed",
        }
    }
}

impl Asked {
    /// Takes copies of the texts, in the order of [`Text`], each cut where it is longer than any of an
    /// honest visitor's.
    #[must_use]
    pub fn new(version: Version, texts: [Option<&[u8]>; TEXTS], query: QueryRule) -> Self {
        let [method, target, host, referer, agent] = texts;
        let (target, referer) = match query {
            QueryRule::Drop => (target.map(without_query), referer.map(without_query)),
            QueryRule::Keep => (target, referer),
        };
        let cut =
            [method, target, host, referer, agent].map(|text| text.map(|text| text.get(..MAX_TEXT).unwrap_or(text)));
        Self {
            version,
            texts: cut.map(Option::unwrap_or_default).concat().into(),
            lengths: cut.map(|text| text.and_then(|text| u16::try_from(text.len()).ok())),
        }
    }

    /// One of the texts, if it was sent.
    #[must_use]
    pub fn text(&self, which: Text) -> Option<&[u8]> {
        let (before, rest) = self.lengths.split_at_checked(which as usize)?;
        let start = before.iter().flatten().map(|length| usize::from(*length)).sum::<usize>();
        let length = usize::from((*rest.first()?)?);
        self.texts.get(start..start + length)
    }
}

impl Record {
    /// Memory that it takes beside its own size.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.asked.as_ref().map_or(0, |asked| asked.texts.len())
    }
}

fn without_query(target: &[u8]) -> &[u8] {
    target.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap_or_default()
}

const TEXTS: usize = 5;
const MAX_TEXT: usize = 8 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: QueryRule) -> Asked {
        let texts = [
            Some(&b"GET"[..]),
            Some(b"/a?exotracker=abc"),
            None,
            Some(b"https://ads.example/x?email=a@b.example#top"),
            Some(b""),
        ];
        Asked::new(Version::HTTP_11, texts, query)
    }

    #[test]
    fn queries_are_left_out_unless_they_are_asked_for() {
        for (query, target, referer) in [
            (QueryRule::Drop, "/a", "https://ads.example/x"),
            (QueryRule::Keep, "/a?exotracker=abc", "https://ads.example/x?email=a@b.example#top"),
        ] {
            let asked = asked(query);
            assert_eq!(asked.text(Text::Method), Some(&b"GET"[..]));
            assert_eq!(asked.text(Text::Target), Some(target.as_bytes()));
            assert_eq!(asked.text(Text::Host), None);
            assert_eq!(asked.text(Text::Referer), Some(referer.as_bytes()));
            assert_eq!(asked.text(Text::UserAgent), Some(&b""[..]));
        }
    }

    #[test]
    fn long_texts_are_cut() {
        let long = vec![b'x'; 1 << 20];
        let asked = Asked::new(Version::HTTP_2, [Some(&long); TEXTS], QueryRule::Keep);
        assert_eq!(asked.text(Text::UserAgent).map(<[u8]>::len), Some(MAX_TEXT));
        assert_eq!(asked.texts.len(), TEXTS * MAX_TEXT);
    }
}
