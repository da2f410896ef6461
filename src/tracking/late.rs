//! Verdicts that were still open when their thank-you page left: what is awaited, and how a browser
//! carries that until it is known.
//!
//! A network whose pixels count may find out that a click ID is worth nothing; then its pixels have to
//! go out after all. The page does not wait for it. A hidden frame asks again, with a token in its
//! address, and the visitor's next page does so with a cookie, should the frame never load. Both name
//! postbacks and say nothing about the visitor; nobody can read or forge them, or use them on another
//! site. Who asks, and what is shown then, does not belong here.

use std::time::Duration;

use http::HeaderMap;

use super::{
    cookie,
    event::{Event, EventId},
    network::NetworkRules,
    timestamp::Timestamp,
    visitor::Seal,
};

/// The name of our cookie.
pub const LATE_COOKIE: &str = "_tl_sync";
/// How long the cookie lives.
pub const LATE_TTL: Duration = Duration::from_hours(1);
/// How often the frame asks again.
pub const ROUNDS: u8 = 5;

/// A postback whose verdict is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Awaited {
    /// Which one.
    pub event_id: EventId,
    /// When its thank-you page was answered.
    pub time: Timestamp,
}

/// Postbacks whose verdicts decide about pixels; at least one, at most four, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LateSync {
    awaited: Vec<Awaited>,
    round: u8,
}

/// Whether the verdict on this event decides about pixels: the network would count them in its place,
/// and only the click ID stands against them.
#[must_use]
pub fn awaits(network: &NetworkRules, event: &Event) -> bool {
    waits_for(network) && !event.payload.clicks.is_empty()
}

/// Whether any verdict of this network decides about pixels.
#[must_use]
pub fn waits_for(network: &NetworkRules) -> bool {
    !network.optimistic && network.counted_pixels().is_some()
}

impl Awaited {
    /// The postback of an event.
    #[must_use]
    pub const fn of(event: &Event) -> Self {
        Self { event_id: event.id, time: event.time }
    }
}

impl LateSync {
    /// Awaits these from the first round on; of too many, the last of the list. `None` without any.
    #[must_use]
    pub fn new(awaited: impl IntoIterator<Item = Awaited>) -> Option<Self> {
        let mut kept: Vec<Awaited> = Vec::new();
        for awaited in awaited {
            kept.retain(|other| other.event_id != awaited.event_id);
            kept.push(awaited);
            kept.drain(..kept.len().saturating_sub(MAX_AWAITED));
        }
        (!kept.is_empty()).then_some(Self { awaited: kept, round: 0 })
    }

    /// What is awaited.
    #[must_use]
    pub fn awaited(&self) -> &[Awaited] {
        &self.awaited
    }

    /// The same, one round later; `None` after the last one.
    #[must_use]
    pub fn next(&self) -> Option<Self> {
        (self.round < ROUNDS).then(|| Self { awaited: self.awaited.clone(), round: self.round + 1 })
    }

    /// A token for the frame's address on this site, one segment of a path.
    #[must_use]
    pub fn token(&self, seal: &Seal, site: &str) -> String {
        seal.seal_text(&purpose(FRAME, site), &self.text())
    }

    /// What a token says; `None` for one that is forged, of another site, or too old.
    #[must_use]
    pub fn of_token(token: &str, seal: &Seal, site: &str, now: Timestamp) -> Option<Self> {
        Self::parse(&seal.open_text(&purpose(FRAME, site), token)?, now)
    }

    /// The value of our cookie on this site, ready to be sent.
    #[must_use]
    pub fn cookie_value(&self, seal: &Seal, site: &str) -> String {
        seal.seal_text(&purpose(LATE_COOKIE, site), &self.text())
    }

    /// What the cookie of this request says; `None` without one that counts.
    #[must_use]
    pub fn carried(headers: &HeaderMap, seal: &Seal, site: &str, now: Timestamp) -> Option<Self> {
        let sealed = cookie::find(headers, LATE_COOKIE)?;
        Self::parse(&seal.open_text(&purpose(LATE_COOKIE, site), sealed)?, now)
    }

    /// `ROUND ID.MILLISECONDS …`
    fn text(&self) -> String {
        let each = self.awaited.iter().map(|it| format!(" {}.{}", it.event_id, it.time.as_millis()));
        std::iter::once(self.round.to_string()).chain(each).collect()
    }

    fn parse(text: &str, now: Timestamp) -> Option<Self> {
        let mut words = text.split(' ');
        let round = words.next()?.parse().ok().filter(|round| *round <= ROUNDS)?;
        let awaited = words.map(parse_awaited).collect::<Option<Vec<_>>>()?;
        let fresh = awaited.into_iter().filter(|awaited| now.since(awaited.time) <= MAX_AGE);
        Self::new(fresh).map(|late| Self { round, ..late })
    }
}

fn parse_awaited(word: &str) -> Option<Awaited> {
    let (id, millis) = word.split_once('.')?;
    Some(Awaited { event_id: EventId::parse(id)?, time: Timestamp::from_millis(millis.parse().ok()?) })
}

/// Sites share a secret, but not what it seals.
fn purpose(kind: &str, site: &str) -> String {
    format!("{kind} {site}")
}

const FRAME: &str = "frame";
/// One purchase that several networks hear of, or a few in a row; each is looked up.
const MAX_AWAITED: usize = 4;
/// Whoever opens an old tab again is not asked for pixels any more.
const MAX_AGE: Duration = Duration::from_hours(24);

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use uuid::Uuid;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn seal() -> Seal {
        Seal::new(["a secret of more than thirty-two characters"]).expect("long enough")
    }

    fn awaited(number: u128) -> Awaited {
        Awaited { event_id: EventId::new(Uuid::from_u128(number)), time: NOW }
    }

    fn late(numbers: impl IntoIterator<Item = u128>) -> LateSync {
        LateSync::new(numbers.into_iter().map(awaited)).expect("something to await")
    }

    fn carrying(value: &str) -> HeaderMap {
        let line = HeaderValue::try_from(format!("a=b; {LATE_COOKIE}={value}")).expect("a header");
        HeaderMap::from_iter([(http::header::COOKIE, line)])
    }

    #[test]
    fn a_token_and_a_cookie_say_what_they_were_told() {
        let (seal, late) = (seal(), late([1, 2, 3]));
        assert_eq!(LateSync::of_token(&late.token(&seal, "shop"), &seal, "shop", NOW), Some(late.clone()));
        let headers = carrying(&late.cookie_value(&seal, "shop"));
        assert_eq!(LateSync::carried(&headers, &seal, "shop", NOW), Some(late));
    }

    #[test]
    fn what_was_not_sealed_for_it_counts_for_nothing() {
        let (seal, late) = (seal(), late([1]));
        let other = Seal::new(["another secret of more than thirty-two characters"]).expect("long enough");
        let plain = late.text();
        for (token, why) in [
            (late.token(&seal, "tickets"), "of another site"),
            (late.token(&other, "shop"), "under another secret"),
            (late.cookie_value(&seal, "shop"), "a cookie"),
            (seal.seal(Uuid::from_u128(1)), "a visitor"),
            (plain.clone(), "plain"),
            (String::new(), "nothing"),
        ] {
            assert_eq!(LateSync::of_token(&token, &seal, "shop", NOW), None, "{why}");
        }
        assert_eq!(LateSync::carried(&carrying(&late.token(&seal, "shop")), &seal, "shop", NOW), None, "a token");
        assert_eq!(LateSync::carried(&carrying(&plain), &seal, "shop", NOW), None, "plain");
        assert_eq!(LateSync::carried(&HeaderMap::new(), &seal, "shop", NOW), None);
    }

    #[test]
    fn a_seal_around_nonsense_counts_for_nothing() {
        let seal = seal();
        let id = Uuid::from_u128(1);
        for text in ["", "0", "x", "0 ", "6 ID.1800000000000", "-1 ID.1", "0 ID", "0 ID.", "0 ID.x", "0 1.1", "0  ID.1"]
        {
            let text = text.replace("ID", &id.to_string());
            let token = seal.seal_text("frame shop", &text);
            assert_eq!(LateSync::of_token(&token, &seal, "shop", NOW), None, "{text:?}");
        }
        let good = seal.seal_text("frame shop", &format!("0 {id}.{}", NOW.as_millis()));
        assert_eq!(LateSync::of_token(&good, &seal, "shop", NOW), Some(late([1])));
    }

    #[test]
    fn what_is_older_than_a_day_is_awaited_no_more() {
        let seal = seal();
        let old = Awaited { time: Timestamp::from_millis(NOW.as_millis() - 1000), ..awaited(1) };
        let token = LateSync::new([old, awaited(2)]).expect("two").token(&seal, "shop");
        let on = |hours| LateSync::of_token(&token, &seal, "shop", NOW.plus(Duration::from_hours(hours)));
        assert_eq!(on(23).map(|late| late.awaited().len()), Some(2));
        assert_eq!(on(24), Some(late([2])));
        assert_eq!(on(25), None);
    }

    #[test]
    fn the_rounds_end_whatever_a_browser_does() {
        let seal = seal();
        let mut tokens = vec![late([1]).token(&seal, "shop")];
        while let Some(next) = tokens.last().and_then(|token| {
            let known = LateSync::of_token(token, &seal, "shop", NOW).expect("a token of ours");
            known.next().map(|next| next.token(&seal, "shop"))
        }) {
            tokens.push(next);
        }
        assert_eq!(tokens.len(), usize::from(ROUNDS) + 1);
    }

    #[test]
    fn four_are_awaited_at_most_and_each_once() {
        assert_eq!(late([1, 2, 3, 4, 5, 6]), late([3, 4, 5, 6]));
        assert_eq!(late([1, 2, 1]), late([2, 1]));
        assert_eq!(LateSync::new([]), None);
        let text = late([1, 2, 3, 4]).token(&seal(), "a site with quite a long name");
        assert!(text.len() < 400, "{}", text.len());
    }

    #[test]
    fn nobody_can_read_which_postbacks_are_awaited() {
        let (seal, late) = (seal(), late([7]));
        let id = late.awaited()[0].event_id.to_string();
        let (token, again) = (late.token(&seal, "shop"), late.token(&seal, "shop"));
        assert!(!token.contains(&id));
        assert_ne!(token, again, "two tokens do not show that they say the same");
    }
}
