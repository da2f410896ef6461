//! Amounts as pages print them, read exactly or not at all.
//!
//! A page says `1.234,56 €`, `CHF 1’234.50` or `١٬٢٣٤٫٥٠`; a network wants `1234.56`. What could be
//! read in two ways is doubtful, and a doubtful amount is left out: a conversion without a value can
//! be completed, one with a thousandfold value has been paid for. The text is taken apart in
//! `printed`, digits and separators are judged in `grouping`, minor units are known to [`currency`].

pub mod currency;
mod glyph;
mod grouping;
mod printed;

use rust_decimal::Decimal;
use serde_json::Value;

pub use printed::parse;

pub(super) use glyph::{ascii_digit, is_invisible};

/// An exact decimal, with as many decimals as were printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(Decimal);

/// What the operator knows of the site: which sign stands before its decimals.
///
/// It decides where a text alone does not (`1.234`); it never overrules one that can be read in one
/// way only (`49.90`, `1,234.56`), for one site prints `49,90 €` on the page and `"49.90"` in its data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DecimalMark {
    /// Nothing is known.
    #[default]
    Unknown,
    /// `1.234,56`
    Comma,
    /// `1,234.56`
    Point,
}

/// Why a text is not taken for an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum DoubtfulAmount {
    /// No digits.
    #[error("there is no number in it")]
    Empty,
    /// Longer than any amount with its label.
    #[error("the text is too long for an amount")]
    Long,
    /// JSON that is neither text nor number.
    #[error("it is neither text nor a number")]
    Kind,
    /// More than one number.
    #[error("there are several numbers in it")]
    Several,
    /// Thousands or thousandths.
    #[error("its separator may stand before thousands or before decimals")]
    Ambiguous,
    /// Separators where no amount has them.
    #[error("its separators are not those of an amount")]
    Shape,
    /// A dash or parenthesis that may or may not be a minus.
    #[error("it may be negative or not")]
    Sign,
    /// A word grown together with the digits, or one that changes them (`12k`, `99 ct`, `A17`).
    #[error("a word beside the number may change it")]
    Word,
    /// A share.
    #[error("it is a percentage")]
    Percent,
    /// `1e3`
    #[error("it has an exponent")]
    Exponent,
    /// More digits than can be kept exactly.
    #[error("it has too many digits")]
    Overflow,
    /// Minor units that are not whole.
    #[error("minor units must be whole")]
    Units,
    /// Minor units of a currency that ISO 4217 does not list.
    #[error("the minor unit of this currency is not known")]
    Currency,
}

impl DecimalMark {
    /// The name as it is configured.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Comma => "comma",
            Self::Point => "point",
        }
    }
}

impl DoubtfulAmount {
    /// All reasons.
    pub const ALL: [Self; 13] = [
        Self::Empty,
        Self::Long,
        Self::Kind,
        Self::Several,
        Self::Ambiguous,
        Self::Shape,
        Self::Sign,
        Self::Word,
        Self::Percent,
        Self::Exponent,
        Self::Overflow,
        Self::Units,
        Self::Currency,
    ];

    /// The metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Long => "long",
            Self::Kind => "kind",
            Self::Several => "several",
            Self::Ambiguous => "ambiguous",
            Self::Shape => "shape",
            Self::Sign => "sign",
            Self::Word => "word",
            Self::Percent => "percent",
            Self::Exponent => "exponent",
            Self::Overflow => "overflow",
            Self::Units => "units",
            Self::Currency => "currency",
        }
    }
}

impl Amount {
    /// Reads what [`text`](Self::text) writes: digits, perhaps a leading `-`, perhaps one point
    /// between digits.
    #[must_use]
    pub fn plain(text: &str) -> Option<Self> {
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
        let (whole, fraction) = match digits.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (digits, ""),
        };
        let are_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !are_digits(whole) || !are_digits(fraction) {
            return None;
        }
        Self::of(negative, whole, fraction).ok()
    }

    /// Reads a text as [`parse`] does. A JSON number is no matter of doubt: JSON knows one decimal
    /// mark (RFC 8259, section 6).
    pub fn from_json(value: &Value, mark: DecimalMark) -> Result<Self, DoubtfulAmount> {
        match value {
            Value::String(text) => parse(text, mark),
            Value::Number(number) => {
                let text = number.to_string();
                let shortest = text.strip_suffix(".0").unwrap_or(&text);
                Self::plain(shortest).or_else(|| Self::scientific(shortest)).ok_or(DoubtfulAmount::Overflow)
            }
            Value::Null => Err(DoubtfulAmount::Empty),
            Value::Bool(_) | Value::Array(_) | Value::Object(_) => Err(DoubtfulAmount::Kind),
        }
    }

    /// Takes whole minor units (cents, yen, fils) of a currency, named as in ISO 4217.
    pub fn from_minor(units: &Self, code: &str) -> Result<Self, DoubtfulAmount> {
        let exponent = currency::exponent(code).ok_or(DoubtfulAmount::Currency)?;
        Self::from_units(units, exponent)
    }

    /// As [`from_minor`](Self::from_minor), for senders that state the exponent themselves.
    pub fn from_units(units: &Self, exponent: u32) -> Result<Self, DoubtfulAmount> {
        let whole = units.0.normalize();
        if whole.scale() != 0 {
            return Err(DoubtfulAmount::Units);
        }
        Self::exactly(whole.mantissa(), exponent)
    }

    /// The whole units of which `10^exponent` make one; nothing where that would not be exact.
    #[must_use]
    pub fn to_units(self, exponent: u32) -> Option<Self> {
        let shortest = self.0.normalize();
        let missing = exponent.checked_sub(shortest.scale())?;
        let units = shortest.mantissa().checked_mul(10_i128.checked_pow(missing)?)?;
        Self::exactly(units, 0).ok()
    }

    /// The exact difference, with the longer decimals of both.
    pub fn minus(self, other: &Self) -> Result<Self, DoubtfulAmount> {
        let scale = self.0.scale().max(other.0.scale());
        let difference = (|| self.scaled(scale)?.checked_sub(other.scaled(scale)?))();
        Self::exactly(difference.ok_or(DoubtfulAmount::Overflow)?, scale)
    }

    /// The same amount the other way round; zero has no sign.
    #[must_use]
    pub fn negated(self) -> Self {
        Self(-self.0).unsigned_zero()
    }

    /// Whether it is nothing.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.0.is_zero()
    }

    /// Whether it is less than nothing.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        self.0.is_sign_negative()
    }

    /// Without zeros at the end of its decimals.
    #[must_use]
    pub fn shortest(self) -> Self {
        Self(self.0.normalize()).unsigned_zero()
    }

    /// Digits, perhaps a leading `-`, perhaps one point: `-1234.50`.
    #[must_use]
    pub fn text(&self) -> String {
        self.0.to_string()
    }

    /// Puts sign, digits and decimals together; the parts must be ASCII digits.
    fn of(negative: bool, whole: &str, fraction: &str) -> Result<Self, DoubtfulAmount> {
        let scale = u32::try_from(fraction.len()).map_err(|_| DoubtfulAmount::Overflow)?;
        let mantissa: i128 = [whole, fraction].concat().parse().map_err(|_| DoubtfulAmount::Overflow)?;
        Self::exactly(if negative { -mantissa } else { mantissa }, scale)
    }

    /// A number that JSON's writer put with an exponent because it is very small or very large.
    fn scientific(text: &str) -> Option<Self> {
        let (mantissa, exponent) = text.split_once(['e', 'E'])?;
        let number = Self::plain(mantissa)?.shortest().0;
        let exponent: i64 = exponent.parse().ok()?;
        let scale = i64::from(number.scale()).checked_sub(exponent)?;
        match u32::try_from(scale) {
            Ok(scale) => Self::exactly(number.mantissa(), scale).ok(),
            Err(_) => {
                let zeros = u32::try_from(scale.checked_neg()?).ok()?;
                Self::exactly(number.mantissa().checked_mul(10_i128.checked_pow(zeros)?)?, 0).ok()
            }
        }
    }

    fn exactly(mantissa: i128, scale: u32) -> Result<Self, DoubtfulAmount> {
        if mantissa.unsigned_abs() >= TOO_MANY_DIGITS {
            return Err(DoubtfulAmount::Overflow);
        }
        Decimal::try_from_i128_with_scale(mantissa, scale)
            .map(|number| Self(number).unsigned_zero())
            .map_err(|_| DoubtfulAmount::Overflow)
    }

    fn scaled(self, scale: u32) -> Option<i128> {
        let power = 10_i128.checked_pow(scale.checked_sub(self.0.scale())?)?;
        self.0.mantissa().checked_mul(power)
    }

    fn unsigned_zero(mut self) -> Self {
        if self.0.is_zero() {
            self.0.set_sign_positive(true);
        }
        self
    }
}

/// 28 digits are exact in a [`Decimal`], whatever they are.
const TOO_MANY_DIGITS: u128 = 10_u128.pow(28);

#[cfg(test)]
mod tests;
