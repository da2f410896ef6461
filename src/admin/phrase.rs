//! Times, numbers and words as the console writes them.

use std::time::Duration;

use maud::{Markup, html};

use crate::tracking::{network::Mode, timestamp::Timestamp};

/// A time as people say it, with the exact one beside.
pub(super) fn time(at: Timestamp, now: Timestamp) -> Markup {
    let exact = at.rfc3339();
    let text = if at > now { format!("in {}", span(at.since(now))) } else { format!("{} ago", span(now.since(at))) };
    html! { time datetime=(exact) title=(exact) { (text) } }
}

/// A span of time in its largest unit.
pub(super) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let units = [(24 * 3600, "d"), (3600, "h"), (60, "min")];
    let unit = units.into_iter().find(|(length, _)| seconds >= *length);
    match unit {
        Some((length, unit)) => format!("{} {unit}", seconds / length),
        None => format!("{seconds} s"),
    }
}

/// A number with its thousands apart.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut written = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            // A narrow space that does not break.
            written.push('\u{202f}');
        }
        written.push(digit);
    }
    written
}

/// The word that the configuration has for it.
pub(super) const fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::On => "on",
        Mode::Observe => "observe",
        Mode::Off => "off",
    }
}

/// A word of ours as it is read: `no_click` as `no click`.
pub(super) fn word(word: &str) -> String {
    word.replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_numbers_are_written_for_people() {
        let now = Timestamp::from_millis(1_795_253_400_000);
        for (seconds, said) in
            [(0, "0 s ago"), (59, "59 s ago"), (61, "1 min ago"), (7300, "2 h ago"), (200_000, "2 d ago")]
        {
            let then = Timestamp::from_millis(now.as_millis() - seconds * 1000);
            assert!(time(then, now).into_string().contains(&format!(">{said}<")), "{said}");
        }
        assert!(time(now.plus(Duration::from_secs(90)), now).into_string().contains(">in 1 min<"));
        assert_eq!([0, 999, 1000, 1_234_567].map(number), ["0", "999", "1\u{202f}000", "1\u{202f}234\u{202f}567"]);
    }
}
