//! Sessions of operators who have logged in: in memory alone, for twelve hours.

use std::{
    collections::HashMap,
    fmt,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls::crypto::ring;
use sha2::{Digest, Sha256};

/// Sessions by the digest of what their cookie holds: no time of a look-up tells of the cookie itself.
#[derive(Default)]
pub(super) struct Sessions(HashMap<[u8; 32], Session>);

/// What is known of an operator who has logged in.
#[derive(Clone)]
pub(super) struct Session {
    /// As they have called themselves.
    pub(super) name: String,
    /// What their forms must show.
    pub(super) csrf: String,
    until: Instant,
}

impl Sessions {
    /// Opens a session; yields what its cookie holds, or nothing on a system without randomness.
    pub(super) fn open(&mut self, name: String, now: Instant) -> Option<String> {
        self.0.retain(|_, session| session.until > now);
        if self.0.len() >= MOST {
            // The oldest operator logs in again.
            let oldest = self.0.iter().min_by_key(|(_, session)| session.until).map(|(digest, _)| *digest);
            oldest.and_then(|digest| self.0.remove(&digest));
        }
        let (cookie, csrf) = (random()?, random()?);
        self.0.insert(digest(&cookie), Session { name, csrf, until: now + LIFETIME });
        Some(cookie)
    }

    /// The session that a cookie belongs to.
    pub(super) fn find(&self, cookie: &str, now: Instant) -> Option<&Session> {
        self.0.get(&digest(cookie)).filter(|session| session.until > now)
    }

    /// Ends a session.
    pub(super) fn close(&mut self, cookie: &str) {
        self.0.remove(&digest(cookie));
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sessions({})", self.0.len())
    }
}

/// 256 random bits from the operating system.
pub(super) fn random() -> Option<String> {
    let mut bytes = [0; 32];
    ring::default_provider().secure_random.fill(&mut bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

fn digest(cookie: &str) -> [u8; 32] {
    Sha256::digest(cookie).into()
}

/// How long an operator need not log in again.
pub(super) const LIFETIME: Duration = Duration::from_hours(12);
/// More than there are operators.
const MOST: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::clock;

    #[test]
    fn a_session_lives_twelve_hours_and_ends_when_it_is_closed() {
        let (mut sessions, now) = (Sessions::default(), clock::instant());
        let cookie = sessions.open("ada".into(), now).unwrap();
        assert_eq!(cookie.len(), 43, "256 bits");
        assert_eq!(sessions.find(&cookie, now).unwrap().name, "ada");
        assert!(sessions.find(&cookie, now + LIFETIME).is_none());
        assert!(sessions.find("", now).is_none() && sessions.find(cookie.get(1..).unwrap_or_default(), now).is_none());
        sessions.close(&cookie);
        assert!(sessions.find(&cookie, now).is_none());
    }

    #[test]
    fn many_logins_push_out_the_oldest_session_alone() {
        let (mut sessions, now) = (Sessions::default(), clock::instant());
        let opened = |at: u64| now + Duration::from_secs(at);
        let cookies: Vec<_> = (0..=MOST as u64).map(|at| sessions.open(String::new(), opened(at)).unwrap()).collect();
        let alive = cookies.iter().filter(|cookie| sessions.find(cookie, now).is_some()).count();
        assert_eq!((sessions.find(&cookies[0], now).is_none(), alive), (true, MOST));
        assert!(!format!("{sessions:?}").contains(&cookies[1]));
    }
}
