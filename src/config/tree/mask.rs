//! Hides `${NAME}` from the YAML scanner.
//!
//! Operators write `{ token: ${ADMIN_TOKEN} }`, as other tools let them. To YAML the inner braces are
//! a map, so they are covered before scanning and uncovered in every text that comes out. What a
//! variable holds is not known here.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::is_variable_name;

/// Covers the braces of `${NAME}`, which YAML takes for a map inside `{ … }` and `[ … ]`.
///
/// Each brace becomes one character that the text does not hold, so places stay right.
pub(super) struct Mask(Option<[char; 2]>);

impl Mask {
    pub(super) fn for_text(text: &str) -> Mask {
        if !text.contains("${") {
            return Mask(None);
        }
        let taken: BTreeSet<char> = text.chars().filter(|c| PRIVATE_USE.contains(c)).collect();
        let mut free = PRIVATE_USE.filter(|character| !taken.contains(character));
        Mask(free.next().zip(free.next()).map(|(open, close)| [open, close]))
    }

    pub(super) fn cover<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let Some([open, close]) = self.0 else { return Cow::Borrowed(text) };
        let mut pieces = text.split("${");
        let mut covered = String::from(pieces.next().unwrap_or_default());
        for piece in pieces {
            match piece.split_once('}').filter(|(name, _)| is_variable_name(name)) {
                Some((name, rest)) => covered.extend(["$", &open.to_string(), name, &close.to_string(), rest]),
                None => covered.extend(["${", piece]),
            }
        }
        Cow::Owned(covered)
    }

    pub(super) fn uncover<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self.0 {
            Some([open, close]) if text.contains([open, close]) => {
                Cow::Owned(text.replace(open, "{").replace(close, "}"))
            }
            _ => Cow::Borrowed(text),
        }
    }
}

/// Characters that no text needs.
const PRIVATE_USE: RangeInclusive<char> = '\u{E000}'..='\u{F8FF}';

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covering_keeps_every_other_character_and_every_place() {
        for text in
            ["", "a", "${A}", "x: {y: ${A_1}, z: ${b}}", "${", "${}", "${a-b}", "${${A}}", "\u{E000}${A}\u{E001}"]
        {
            let mask = Mask::for_text(text);
            let covered = mask.cover(text);
            assert_eq!(mask.uncover(&covered), text);
            assert_eq!(covered.chars().count(), text.chars().count());
        }
        assert!(!Mask::for_text("${A}").cover("${A}").contains(['{', '}']));
    }
}
