//! Google's consent mode, as the page's own hits carry it in their query where they pass through here.
//!
//! `gcd=13r3p3r3r5` has a letter each for `ad_storage`, `analytics_storage`, `ad_user_data` and
//! `ad_personalization`, which tells the default from what the visitor chose after it. `gcs=G1xy` has
//! only what is in force; it can deny, but a 1 may be a default. Anybody can write a link with such a
//! query, so only what a page of the site itself fetches in the background is believed, by the word of
//! the browser (Fetch Metadata), which is given over https alone.

use std::ops::ControlFlow;

use http::HeaderMap;

use super::Reading;
use crate::tracking::value::{QueryPairs, RequestView};

pub(super) fn read(request: RequestView<'_>) -> Reading {
    if request.query.is_empty() || !is_of_own_page(request.headers) {
        return Reading::Absent;
    }
    let values = |name| QueryPairs::new(request.query).named(name);
    let chosen: Reading = values("gcd").map(chosen).max().into();
    if chosen == Reading::Absent { values("gcs").map(in_force).max().into() } else { chosen }
}

fn is_of_own_page(headers: &HeaderMap) -> bool {
    let is_one_of = |name: &str, allowed: [&str; 2]| {
        headers.get(name).is_some_and(|value| allowed.iter().any(|allowed| value.as_bytes() == allowed.as_bytes()))
    };
    is_one_of("sec-fetch-site", ["same-origin", "same-site"]) && is_one_of("sec-fetch-dest", ["empty", "image"])
}

/// Reads `gcd`.
fn chosen(text: &str) -> Reading {
    let mut letters = Vec::with_capacity(4);
    let end = text.bytes().take(MAX_GCD).try_for_each(|byte| match byte {
        b'0'..=b'9' => ControlFlow::Continue(()),
        b'a'..=b'z' => {
            letters.push(byte);
            ControlFlow::Continue(())
        }
        _ => ControlFlow::Break(()),
    });
    let [storage, _analytics, user_data, _personalization, ..] = *letters else { return Reading::Denied };
    if end.is_break() || text.len() > MAX_GCD {
        return Reading::Denied;
    }
    // Data for advertising leave with every report; who forbids that alone is heard, too.
    match (of_letter(storage), of_letter(user_data)) {
        (_, Reading::Denied) => Reading::Denied,
        (storage, Reading::Absent | Reading::Granted | Reading::Undecided) => storage,
    }
}

/// The states of a default and its update (quartz.ctysse.net, "Consent mode").
const fn of_letter(letter: u8) -> Reading {
    match letter {
        // Denied and then granted; granted without a default; granted twice.
        b'r' | b'n' | b'v' => Reading::Granted,
        // Unset; only a default, whichever.
        b'l' | b'p' | b't' => Reading::Undecided,
        // Denied twice, denied without a default, granted and then denied; unknown letters.
        _ => Reading::Denied,
    }
}

/// Reads `gcs`.
fn in_force(text: &str) -> Reading {
    match text.as_bytes() {
        [b'G', b'1', b'1' | b'-', ..] if text.len() <= 8 => Reading::Undecided,
        _ => Reading::Denied,
    }
}

const MAX_GCD: usize = 64;
