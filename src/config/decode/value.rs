//! The values a scalar can stand for: text, numbers, durations, sizes, switches, choices.
//!
//! Each accessor notes its own problem and never repeats text that came from outside the file.

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use super::{Field, named, told};
use crate::config::problem::{nearest, shown};
use crate::config::tree::{Origin, Scalar};
use crate::config::units::{self, InvalidQuantity};

impl<'a> Field<'a> {
    /// Text that is neither null nor empty.
    #[must_use]
    pub fn text(&self) -> Option<&'a str> {
        self.filled().map(|scalar| scalar.text.as_str())
    }

    /// Any type that reads itself; `expected` names it in the problem: "a port number".
    #[must_use]
    pub fn parse<T: FromStr>(&self, expected: &str) -> Option<T> {
        let scalar = self.filled()?;
        let parsed = scalar.text.parse().ok();
        if parsed.is_none() {
            self.refuse(scalar, expected, None);
        }
        parsed
    }

    /// A duration such as `30s`.
    pub fn duration(&self) -> Option<Duration> {
        self.quantity(units::duration, "a duration", "`500ms`, `30s`, `15m`, `24h` or `30d`")
    }

    /// A number of bytes such as `64KiB`.
    pub fn size(&self) -> Option<u64> {
        self.quantity(units::size, "a size", "`500B`, `64KiB` or `1MiB`")
    }

    /// A duration within these bounds.
    pub fn duration_within(&self, bounds: RangeInclusive<Duration>) -> Option<Duration> {
        let duration = self.duration()?;
        self.within(duration, &bounds, units::written_duration)
    }

    /// A number of bytes within these bounds.
    pub fn size_within(&self, bounds: RangeInclusive<u64>) -> Option<u64> {
        let size = self.size()?;
        self.within(size, &bounds, units::written_size)
    }

    /// A whole number within these bounds.
    #[must_use]
    pub fn number_within(&self, bounds: RangeInclusive<u32>) -> Option<u32> {
        let number = self.parse("a whole number")?;
        self.within(number, &bounds, |number| number.to_string())
    }

    fn within<T: Copy + PartialOrd>(&self, value: T, bounds: &RangeInclusive<T>, write: fn(T) -> String) -> Option<T> {
        if bounds.contains(&value) {
            return Some(value);
        }
        let name = named(self.filled()?);
        let (least, most) = (write(*bounds.start()), write(*bounds.end()));
        self.error(format!("{name} is out of range"), format!("write {least} to {most}"));
        None
    }

    /// A switch: `true`/`false`, `on`/`off` or `yes`/`no`, in any case.
    #[must_use]
    pub fn switch(&self) -> Option<bool> {
        let scalar = self.filled()?;
        match scalar.text.to_ascii_lowercase().as_str() {
            "true" | "on" | "yes" => Some(true),
            "false" | "off" | "no" => Some(false),
            _ => {
                self.refuse(scalar, "a switch", Some("write `true` or `false`".to_owned()));
                None
            }
        }
    }

    /// One of `choices` by its name.
    pub fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let scalar = self.filled()?;
        let chosen = choices.iter().find(|(name, _)| *name == scalar.text);
        if chosen.is_none() {
            let names: Vec<String> = choices.iter().map(|(name, _)| shown(name)).collect();
            // What a secret resembles says something of the secret.
            let written = (scalar.origin == Origin::Written).then_some(scalar.text.as_str());
            let meant = written.and_then(|text| nearest(text, choices.iter().map(|(name, _)| *name)));
            let remedy = meant.map(|name| format!("did you mean {}?", shown(name)));
            self.error(format!("{} is none of {}", named(scalar), names.join(", ")), remedy);
        }
        chosen.map(|(_, value)| *value)
    }

    /// A scalar with text in it.
    pub(super) fn filled(&self) -> Option<&'a Scalar> {
        let scalar = self.scalar()?;
        if told(scalar) {
            return None;
        }
        if scalar.text.is_empty() || scalar.is_null() {
            self.error("the value is missing", None);
            return None;
        }
        Some(scalar)
    }

    fn quantity<T>(&self, read: fn(&str) -> Result<T, InvalidQuantity>, expected: &str, examples: &str) -> Option<T> {
        let scalar = self.filled()?;
        match read(&scalar.text) {
            Ok(quantity) => return Some(quantity),
            Err(InvalidQuantity::NoUnit) => {
                self.error(format!("{} lacks a unit", named(scalar)), format!("write {examples}"));
            }
            Err(InvalidQuantity::Malformed) => self.refuse(scalar, expected, Some(format!("write {examples}"))),
            Err(InvalidQuantity::TooLarge) => self.error(format!("{} is too large", named(scalar)), None),
        }
        None
    }

    fn refuse(&self, scalar: &Scalar, expected: &str, remedy: Option<String>) {
        self.error(format!("{} is not {expected}", named(scalar)), remedy);
    }
}
