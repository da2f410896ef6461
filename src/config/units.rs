//! Durations and sizes as an operator writes them: `30s`, `64KiB`.
//!
//! Whole numbers with one unit, nothing else: `90m`, not `1h30m`. A bare number is refused, because
//! its reader would have to guess.

use std::time::Duration;

/// Why a text is no duration or size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidQuantity {
    /// A number alone.
    NoUnit,
    /// Not a number followed by a known unit.
    Malformed,
    /// Beyond a hundred years, or beyond what 64 bits count.
    TooLarge,
}

/// Reads `500ms`, `30s`, `15m`, `24h` or `30d`; a hundred years at most.
pub fn duration(text: &str) -> Result<Duration, InvalidQuantity> {
    let (amount, unit) = split(text)?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        "d" => DAY,
        _ => return Err(InvalidQuantity::Malformed),
    };
    match amount.checked_mul(milliseconds) {
        Some(total) if total <= LONGEST => Ok(Duration::from_millis(total)),
        _ => Err(InvalidQuantity::TooLarge),
    }
}

/// Reads `500B`, `64KB` (thousands) or `64KiB` (1024s), in bytes; case does not matter.
pub fn size(text: &str) -> Result<u64, InvalidQuantity> {
    let (amount, unit) = split(text)?;
    let bytes = match unit.to_ascii_lowercase().as_str() {
        "b" => 1,
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return Err(InvalidQuantity::Malformed),
    };
    amount.checked_mul(bytes).ok_or(InvalidQuantity::TooLarge)
}

/// Writes a duration so that it is read as the same, in the largest unit that leaves no rest.
#[must_use]
pub fn written_duration(duration: Duration) -> String {
    let units = [(DAY, "d"), (60 * 60 * 1000, "h"), (60 * 1000, "m"), (1000, "s")];
    if duration.is_zero() { "0s".to_owned() } else { written(duration.as_millis(), &units, "ms") }
}

/// Writes a size so that it is read as the same, in the largest unit that leaves no rest.
#[must_use]
pub fn written_size(bytes: u64) -> String {
    written(bytes.into(), &[(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")], "B")
}

fn written(amount: u128, units: &[(u64, &str)], smallest: &str) -> String {
    let unit = units.iter().find(|(one, _)| amount > 0 && amount.is_multiple_of(u128::from(*one)));
    unit.map_or_else(|| format!("{amount}{smallest}"), |(one, unit)| format!("{}{unit}", amount / u128::from(*one)))
}

fn split(text: &str) -> Result<(u64, &str), InvalidQuantity> {
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    if digits.is_empty() {
        return Err(InvalidQuantity::Malformed);
    }
    if unit.is_empty() {
        return Err(InvalidQuantity::NoUnit);
    }
    let amount = digits.parse().map_err(|_| InvalidQuantity::TooLarge)?;
    Ok((amount, unit.trim_start_matches(' ')))
}

/// Milliseconds of a day.
const DAY: u64 = 24 * 60 * 60 * 1000;

/// A hundred years: long enough for any setting, short enough to be added to any time.
const LONGEST: u64 = 36_500 * DAY;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_one_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("15m"), Ok(Duration::from_mins(15)));
        assert_eq!(duration("24h"), Ok(Duration::from_hours(24)));
        assert_eq!(duration("30d"), Ok(Duration::from_hours(720)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        for text in ["", "s", "1h30m", "1.5s", "-1s", "30 sec", "１s"] {
            assert_eq!(duration(text), Err(InvalidQuantity::Malformed), "{text}");
        }
    }

    #[test]
    fn sizes_tell_thousands_from_1024s() {
        assert_eq!(size("500B"), Ok(500));
        assert_eq!(size("64KB"), Ok(64_000));
        assert_eq!(size("64KiB"), Ok(65_536));
        assert_eq!(size("1 MiB"), Ok(1_048_576));
        assert_eq!(size("2gib"), Ok(2_147_483_648));
        assert_eq!(size("64K"), Err(InvalidQuantity::Malformed));
    }

    #[test]
    fn what_is_written_is_read_as_the_same() {
        for text in ["0s", "500ms", "30s", "90s", "15m", "24h", "1d", "30d"] {
            let duration = duration(text).unwrap();
            assert_eq!(super::duration(&written_duration(duration)), Ok(duration));
        }
        assert_eq!(written_duration(Duration::from_millis(1500)), "1500ms");
        assert_eq!(written_duration(Duration::from_secs(90)), "90s");
        assert_eq!(written_duration(Duration::from_mins(10)), "10m");
        for (bytes, text) in [(0, "0B"), (500, "500B"), (64 << 10, "64KiB"), (1 << 20, "1MiB")] {
            assert_eq!(written_size(bytes), text);
            assert_eq!(size(text), Ok(bytes));
        }
    }

    #[test]
    fn a_bare_number_lacks_its_unit() {
        assert_eq!(duration("30"), Err(InvalidQuantity::NoUnit));
        assert_eq!(size("0"), Err(InvalidQuantity::NoUnit));
    }

    #[test]
    fn what_overflows_is_too_large() {
        assert_eq!(duration("99999999999999999999s"), Err(InvalidQuantity::TooLarge));
        assert_eq!(duration("36501d"), Err(InvalidQuantity::TooLarge));
        assert_eq!(size("18446744073709551615KiB"), Err(InvalidQuantity::TooLarge));
    }
}
