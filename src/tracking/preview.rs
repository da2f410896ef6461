//! Previews: a visitor who is shown what is decided about each request, and how a browser carries that.
//!
//! An operator opens a link whose token was made with the site's secret; it becomes a cookie that lasts
//! as long as the token. Nobody can make, read or prolong either, or use them on another site. They say
//! nothing about a visitor. What is shown, and where, does not belong here.

use std::{fmt, sync::LazyLock, time::Duration};

use http::{HeaderMap, header};
use memchr::memmem::Finder;
use uuid::Uuid;

use super::{
    cookie::{self, CookieRule, Domain, Secure, SetCookie, Site},
    timestamp::Timestamp,
    visitor::Seal,
};

/// The name of our cookie.
pub const PREVIEW_COOKIE: &str = "_tl_preview";
/// The longest preview.
pub const LONGEST_PREVIEW: Duration = Duration::from_hours(24);

/// What a visitor is shown, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// Tells one preview from another.
    pub id: PreviewId,
    /// When it is over.
    pub until: Timestamp,
    /// Whether the visitor's conversions count.
    pub conversions: Conversions,
}

/// What becomes of the conversions of a visitor who previews.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conversions {
    /// They are reported like everybody's.
    Sent,
    /// They are decided and shown, and nothing leaves.
    Held,
}

/// Tells one preview from another: eight hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PreviewId(u32);

impl PreviewId {
    /// Takes some of the bits of a random UUID: the core has no randomness of its own.
    #[must_use]
    pub fn new(uuid: Uuid) -> Self {
        Self(uuid.as_fields().0)
    }

    /// Reads an id as it is shown.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_id = text.len() == 8 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        u32::from_str_radix(text, 16).ok().filter(|_| is_id).map(Self)
    }
}

impl fmt::Display for PreviewId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl Preview {
    /// A token for the link on this site, one segment of a path.
    #[must_use]
    pub fn token(&self, seal: &Seal, site: &str) -> String {
        seal.seal_text(&purpose(LINK, site), &self.text())
    }

    /// What a token says; `None` for one that is forged, of another site, or over.
    #[must_use]
    pub fn of_token(token: &str, seal: &Seal, site: &str, now: Timestamp) -> Option<Self> {
        Self::parse(&seal.open_text(&purpose(LINK, site), token)?, now)
    }

    /// The value of a `Set-Cookie` header that begins it in the browser of a visitor.
    #[must_use]
    pub fn cookie_line(&self, seal: &Seal, site: &str, over_tls: bool, now: Timestamp) -> String {
        let value = seal.seal_text(&purpose(PREVIEW_COOKIE, site), &self.text());
        Self::cookie(self.until.since(now)).line(&value, "", over_tls)
    }

    /// The value of a `Set-Cookie` header that ends whatever preview there is.
    #[must_use]
    pub fn ending_line(over_tls: bool) -> String {
        Self::cookie(Duration::ZERO).erasing_line("", over_tls)
    }

    /// The cookie: for the whole site, and for nobody else, neither scripts nor other hosts of the domain.
    #[must_use]
    pub fn cookie(ttl: Duration) -> SetCookie {
        let rule = CookieRule {
            domain: Domain::HostOnly,
            path: "/".to_owned(),
            same_site: Site::Lax,
            secure: Secure::Auto,
            http_only: true,
        };
        SetCookie::new(PREVIEW_COOKIE, &rule, ttl)
    }

    /// Whether a request may carry one: cheap, for it is asked of every request.
    #[must_use]
    pub fn may_be_in(headers: &HeaderMap) -> bool {
        headers.get_all(header::COOKIE).iter().any(|line| NAME.find(line.as_bytes()).is_some())
    }

    /// What the cookie of this request says; `None` without one that counts.
    #[must_use]
    pub fn carried(headers: &HeaderMap, seal: &Seal, site: &str, now: Timestamp) -> Option<Self> {
        let sealed = cookie::find(headers, PREVIEW_COOKIE)?;
        Self::parse(&seal.open_text(&purpose(PREVIEW_COOKIE, site), sealed)?, now)
    }

    /// `ID MILLISECONDS held|sent`
    fn text(&self) -> String {
        let word = match self.conversions {
            Conversions::Sent => SENT,
            Conversions::Held => HELD,
        };
        format!("{} {} {word}", self.id, self.until.as_millis())
    }

    fn parse(text: &str, now: Timestamp) -> Option<Self> {
        let mut words = text.split(' ');
        let (id, until, word) = (words.next()?, words.next()?, words.next()?);
        let until = Timestamp::from_millis(until.parse().ok()?);
        let conversions = match (word, words.next()) {
            (SENT, None) => Conversions::Sent,
            (HELD, None) => Conversions::Held,
            _ => return None,
        };
        let is_running = now < until && until.since(now) <= LONGEST_PREVIEW;
        is_running.then_some(Self { id: PreviewId::parse(id)?, until, conversions })
    }
}

/// Sites share a secret, but not what it seals.
fn purpose(kind: &str, site: &str) -> String {
    format!("{kind} {site}")
}

static NAME: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("_tl_preview="));
const LINK: &str = "preview";
const SENT: &str = "sent";
const HELD: &str = "held";

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
    const HOUR: Duration = Duration::from_hours(1);

    fn seal() -> Seal {
        Seal::new(["a secret of more than thirty-two characters"]).expect("long enough")
    }

    fn preview() -> Preview {
        let id = PreviewId::parse("0badcafe").expect("an id");
        Preview { id, until: NOW.plus(HOUR), conversions: Conversions::Held }
    }

    fn carrying(cookies: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::COOKIE, HeaderValue::try_from(cookies).expect("a header"))])
    }

    /// The cookie that a browser sends back.
    fn cookie_of(preview: &Preview, seal: &Seal, site: &str) -> String {
        let line = preview.cookie_line(seal, site, true, NOW);
        format!("a=b; {}", line.split(';').next().expect("a pair"))
    }

    #[test]
    fn a_link_and_a_cookie_say_what_they_were_told() {
        let seal = seal();
        for preview in [preview(), Preview { conversions: Conversions::Sent, ..preview() }] {
            let token = preview.token(&seal, "shop");
            assert_eq!(Preview::of_token(&token, &seal, "shop", NOW), Some(preview.clone()));
            let headers = carrying(&cookie_of(&preview, &seal, "shop"));
            assert!(Preview::may_be_in(&headers));
            assert_eq!(Preview::carried(&headers, &seal, "shop", NOW), Some(preview));
        }
    }

    #[test]
    fn the_cookie_is_for_this_host_and_no_script() {
        let line = preview().cookie_line(&seal(), "shop", true, NOW);
        let attributes: Vec<&str> = line.split("; ").skip(1).collect();
        assert_eq!(attributes, ["HttpOnly", "SameSite=Lax", "Secure", "Path=/", "Max-Age=3600"]);
        assert_eq!(Preview::ending_line(false), "_tl_preview=; HttpOnly; SameSite=Lax; Path=/; Max-Age=0");
    }

    #[test]
    fn what_was_not_made_for_it_counts_for_nothing() {
        let (seal, preview) = (seal(), preview());
        let other = Seal::new(["another secret of more than thirty-two characters"]).expect("long enough");
        for (token, why) in [
            (preview.token(&seal, "tickets"), "of another site"),
            (preview.token(&other, "shop"), "under another secret"),
            (seal.seal_text("_tl_preview shop", &preview.text()), "a cookie"),
            (preview.text(), "plain"),
            (String::new(), "nothing"),
            ("A".repeat(100_000), "long"),
        ] {
            assert_eq!(Preview::of_token(&token, &seal, "shop", NOW), None, "{why}");
        }
        let token = format!("{PREVIEW_COOKIE}={}", preview.token(&seal, "shop"));
        for cookies in ["a=b", "_tl_preview=", "x_tl_preview=y", "_tl_preview", &token] {
            assert_eq!(Preview::carried(&carrying(cookies), &seal, "shop", NOW), None, "{cookies}");
        }
        for (site, seal) in [("tickets", &seal), ("shop", &other)] {
            let cookies = cookie_of(&preview, seal, site);
            assert_eq!(Preview::carried(&carrying(&cookies), &self::seal(), "shop", NOW), None, "{site}");
        }
    }

    #[test]
    fn a_seal_around_nonsense_counts_for_nothing() {
        let seal = seal();
        let until = NOW.plus(HOUR).as_millis();
        for text in [
            String::new(),
            "0badcafe".to_owned(),
            format!("0badcafe {until}"),
            format!("0badcafe {until} other"),
            format!("0badcafe {until} held "),
            format!("0badcaf {until} held"),
            format!("+badcafe {until} held"),
            format!("0BADCAFE {until} held"),
            "0badcafe x held".to_owned(),
            format!("0badcafe {} held", i64::MAX),
            format!("0badcafe {} held", i64::MIN),
        ] {
            let token = seal.seal_text("preview shop", &text);
            assert_eq!(Preview::of_token(&token, &seal, "shop", NOW), None, "{text:?}");
        }
    }

    #[test]
    fn it_ends_by_itself_after_a_day_at_most() {
        let seal = seal();
        let at = |until: Timestamp, now: Timestamp| {
            let preview = Preview { until, ..preview() };
            Preview::of_token(&preview.token(&seal, "shop"), &seal, "shop", now).is_some()
        };
        assert!(at(NOW.plus(HOUR), NOW.plus(HOUR.saturating_sub(Duration::from_millis(1)))));
        assert!(!at(NOW.plus(HOUR), NOW.plus(HOUR)));
        assert!(at(NOW.plus(24 * HOUR), NOW));
        assert!(!at(NOW.plus(25 * HOUR), NOW), "longer than any that we make");
    }
}
