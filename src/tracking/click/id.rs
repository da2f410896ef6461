//! A click ID: what is plainly one, and why a value is none.

/// A click ID that passed all checks: 1 to 1,024 bytes of visible ASCII.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClickId(String);

/// Why a value is no click ID; also what became of one that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InvalidClickId {
    /// The parameter stands in the query more than once.
    Duplicated,
    /// No value at all.
    Empty,
    /// More than 1,024 bytes.
    TooLong,
    /// Something other than visible ASCII, or quotes and angle brackets.
    Bytes,
    /// Not what the network's click IDs look like.
    Pattern,
    /// A placeholder that the network did not replace.
    Macro,
}

impl ClickId {
    /// Checks a decoded value.
    pub fn parse(text: &str) -> Result<Self, InvalidClickId> {
        if text.is_empty() {
            return Err(InvalidClickId::Empty);
        }
        if text.len() > MAX_CLICK_ID {
            return Err(InvalidClickId::TooLong);
        }
        let all = text.bytes().fold(0, |all, byte| all | trait_of(byte));
        if all & FOREIGN != 0 {
            Err(InvalidClickId::Bytes)
        } else if all & OPENS_MACRO != 0 && is_unresolved_macro(text) {
            Err(InvalidClickId::Macro)
        } else {
            Ok(Self(text.to_owned()))
        }
    }

    /// The identifier.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What one byte says about a value, so that a single pass without branches finds everything odd.
///
/// Foreign is all but visible ASCII, and quotes and angle brackets, which no network uses and every
/// attack does.
const fn trait_of(byte: u8) -> u8 {
    let foreign = !byte.is_ascii_graphic() || matches!(byte, b'"' | b'\'' | b'<' | b'>');
    let opens_macro = matches!(byte, b'{' | b'[' | b'#');
    (foreign as u8) * FOREIGN + (opens_macro as u8) * OPENS_MACRO
}

const FOREIGN: u8 = 1;
const OPENS_MACRO: u8 = 2;

/// Whether this is a placeholder that the network left standing.
///
/// The literal `${SUBID}` in place of a click ID is the commonest fault in the field; one stored
/// placeholder would otherwise be credited with every sale.
fn is_unresolved_macro(text: &str) -> bool {
    let encloses = |open: &str, close: &str| {
        text.split_once(open)
            .is_some_and(|(_, inside)| inside.split_once(close).is_some_and(|(name, _)| !name.is_empty()))
    };
    encloses("{", "}") || encloses("[", "]") || encloses("##", "##")
}

/// Longest click ID in bytes.
pub(super) const MAX_CLICK_ID: usize = 1024;
