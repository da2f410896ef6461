//! Whether a request comes from a program that looks at pages by itself: a search engine, a link
//! preview, a monitor, a tool, a browser without a screen.
//!
//! It is told by the fragments in `bot/patterns.txt`, made by `bot/renew` from a list that others
//! maintain. A bot that calls itself a browser is not found here. A request without a `User-Agent` is
//! no bot either: privacy tools remove the header, and a conversion lost is worse than one too many.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, Anchored, BuildError, Input, MatchKind, StartKind};
use http::{HeaderMap, header::USER_AGENT};

/// Whether the request's `User-Agent` is that of a bot.
///
/// A microsecond or two for a browser's, however long the list is; the first call builds the automata, in
/// a few milliseconds.
#[must_use]
pub fn is_bot(headers: &HeaderMap) -> bool {
    headers
        .get(USER_AGENT)
        .zip(BOTS.as_ref())
        .is_some_and(|(agent, bots)| bots.know(agent.as_bytes().get(..MAX_AGENT).unwrap_or(agent.as_bytes())))
}

/// The list, compiled.
struct Bots {
    anywhere: AhoCorasick,
    at_start: AhoCorasick,
}

impl Bots {
    fn new(patterns: &str) -> Result<Self, BuildError> {
        let (at_start, anywhere): (Vec<&str>, Vec<&str>) =
            fragments(patterns).partition(|fragment| fragment.starts_with('^'));
        let at_start = at_start.into_iter().filter_map(|fragment| fragment.strip_prefix('^'));
        let mut builder = AhoCorasick::builder();
        builder.match_kind(MatchKind::Standard);
        Ok(Self {
            anywhere: builder.build(anywhere)?,
            at_start: builder.start_kind(StartKind::Anchored).build(at_start)?,
        })
    }

    fn know(&self, agent: &[u8]) -> bool {
        let at_start = Input::new(agent).anchored(Anchored::Yes).earliest(true);
        matches!(self.at_start.try_find(at_start), Ok(Some(_))) || self.anywhere.is_match(agent)
    }
}

fn fragments(patterns: &str) -> impl Iterator<Item = &str> {
    patterns.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

static BOTS: LazyLock<Option<Bots>> = LazyLock::new(|| Bots::new(PATTERNS).ok());

const PATTERNS: &str = include_str!("bot/patterns.txt");

/// Longer than the longest browser's; in-app browsers come to about 600 bytes.
const MAX_AGENT: usize = 2048;

#[cfg(test)]
mod tests;
