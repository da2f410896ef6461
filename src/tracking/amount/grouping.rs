//! Groups of digits and what separates them: which sign stands before the decimals, if any does.

use super::{DecimalMark, DoubtfulAmount};

/// What may stand between two digits of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Separator {
    Point,
    Comma,
    Space,
    Apostrophe,
    /// U+066B, which is nothing else.
    ArabicDecimal,
    /// U+066C, which is nothing else.
    ArabicThousands,
    /// Stands before the dash of `12:-`, never between digits.
    Colon,
}

/// Digits with what separates them, and what follows.
#[derive(Debug)]
pub(super) struct Number<'a> {
    groups: Vec<&'a str>,
    separators: Vec<Separator>,
    /// Which separator stands before a dash in place of decimals (`12,–`).
    no_cents: Option<Separator>,
}

/// Digits before and behind the decimal mark.
#[derive(Debug)]
pub(super) struct Digits {
    pub whole: String,
    pub fraction: String,
}

impl Separator {
    pub fn of(character: char) -> Option<Self> {
        match character {
            '.' => Some(Self::Point),
            ',' => Some(Self::Comma),
            // No-break, narrow no-break, thin and figure space.
            ' ' | '\u{a0}' | '\u{202f}' | '\u{2009}' | '\u{2007}' => Some(Self::Space),
            '\'' | '\u{2019}' | '\u{2bc}' => Some(Self::Apostrophe),
            '\u{66b}' => Some(Self::ArabicDecimal),
            '\u{66c}' => Some(Self::ArabicThousands),
            _ => None,
        }
    }

    const fn is(self, mark: DecimalMark) -> bool {
        matches!((self, mark), (Self::Comma, DecimalMark::Comma) | (Self::Point, DecimalMark::Point))
    }
}

impl<'a> Number<'a> {
    /// Takes digits and single separators between digits off the front; yields what follows.
    pub fn split(text: &'a str) -> (Self, &'a str) {
        let mut number = Self { groups: Vec::new(), separators: Vec::new(), no_cents: None };
        let mut rest = text;
        loop {
            let (digits, after) = leading_digits(rest);
            number.groups.push(digits);
            let mut characters = after.chars();
            match characters.next().and_then(Separator::of) {
                Some(separator) if characters.as_str().starts_with(|next: char| next.is_ascii_digit()) => {
                    number.separators.push(separator);
                    rest = characters.as_str();
                }
                _ => return (number, after),
            }
        }
    }

    /// Notes that a dash stands where the decimals would.
    pub fn without_cents(&mut self, separator: Separator) {
        self.no_cents = Some(separator);
    }

    /// Whether it is digits and nothing else.
    pub fn is_bare(&self) -> bool {
        self.separators.is_empty() && self.no_cents.is_none()
    }

    /// Tells whole digits from decimals.
    pub fn read(&self, mark: DecimalMark) -> Result<Digits, DoubtfulAmount> {
        if self.no_cents.is_some_and(|separator| self.separators.contains(&separator)) {
            return Err(DoubtfulAmount::Shape);
        }
        if !self.has_decimals(mark)? {
            return Ok(Digits { whole: joined(&self.groups, &self.separators)?, fraction: String::new() });
        }
        let (fraction, whole) = self.groups.split_last().ok_or(DoubtfulAmount::Empty)?;
        let (_, separators) = self.separators.split_last().ok_or(DoubtfulAmount::Empty)?;
        Ok(Digits { whole: joined(whole, separators)?, fraction: (*fraction).to_owned() })
    }

    /// Whether the last separator stands before decimals.
    fn has_decimals(&self, mark: DecimalMark) -> Result<bool, DoubtfulAmount> {
        let Some((last, before)) = self.separators.split_last() else { return Ok(false) };
        if self.no_cents.is_some() {
            return Ok(false);
        }
        match last {
            Separator::Space | Separator::Apostrophe | Separator::ArabicThousands | Separator::Colon => Ok(false),
            Separator::ArabicDecimal => Ok(true),
            Separator::Point | Separator::Comma if before.is_empty() => match (self.may_be_thousands(), mark) {
                (false, _) => Ok(true),
                (true, DecimalMark::Unknown) => Err(DoubtfulAmount::Ambiguous),
                (true, DecimalMark::Comma | DecimalMark::Point) => Ok(last.is(mark)),
            },
            // The same sign twice groups digits; one that comes once, after others, does not.
            Separator::Point | Separator::Comma => Ok(!before.contains(last)),
        }
    }

    /// One to three digits, not beginning with a zero, then a separator and three more.
    fn may_be_thousands(&self) -> bool {
        matches!(self.groups.as_slice(), [first, second] if is_first_group(first) && second.len() == 3)
    }
}

/// Joins groups that are separated as thousands are, in the West or in India.
fn joined(groups: &[&str], separators: &[Separator]) -> Result<String, DoubtfulAmount> {
    let Some((separator, others)) = separators.split_first() else { return Ok(groups.concat()) };
    let uniform = *separator != Separator::ArabicDecimal && others.iter().all(|other| other == separator);
    if uniform && (are_thousands(groups) || (*separator == Separator::Comma && are_indian(groups))) {
        Ok(groups.concat())
    } else if separators.contains(&Separator::Space) {
        // What looks like `17 12,50` is not one number badly printed.
        Err(DoubtfulAmount::Several)
    } else {
        Err(DoubtfulAmount::Shape)
    }
}

fn are_thousands(groups: &[&str]) -> bool {
    groups.split_first().is_some_and(|(first, rest)| is_first_group(first) && rest.iter().all(|group| group.len() == 3))
}

/// Lakh and crore: 12,34,56,789.
fn are_indian(groups: &[&str]) -> bool {
    match groups {
        [first, middle @ .., last] => {
            is_first_group(first) && first.len() < 3 && middle.iter().all(|group| group.len() == 2) && last.len() == 3
        }
        _ => false,
    }
}

fn is_first_group(group: &str) -> bool {
    (1..=3).contains(&group.len()) && !group.starts_with('0')
}

fn leading_digits(text: &str) -> (&str, &str) {
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}
