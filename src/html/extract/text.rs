//! The text of a page as a visitor sees it: references decoded, white space collapsed.

use std::mem;

use super::entity::{self, Place};

/// Text that comes in pieces.
#[derive(Debug, Default)]
pub(super) struct VisibleText {
    text: String,
    /// A reference that may go on.
    open: String,
    /// White space that counts once something follows it.
    is_spaced: bool,
}

impl VisibleText {
    /// Adds a piece of a text node.
    pub(super) fn push(&mut self, piece: &str) {
        if self.open.is_empty() {
            self.decode(piece, false);
        } else {
            let mut joined = mem::take(&mut self.open);
            joined.push_str(piece);
            self.decode(&joined, false);
        }
    }

    /// Adds text in which ampersands mean nothing.
    pub(super) fn push_raw(&mut self, piece: &str) {
        self.end_node();
        self.collapse(piece);
    }

    /// Ends a text node: a reference does not go on in the next one.
    pub(super) fn end_node(&mut self) {
        if !self.open.is_empty() {
            let open = mem::take(&mut self.open);
            self.decode(&open, true);
        }
    }

    /// Ends a line: what follows does not touch what was before.
    pub(super) fn break_line(&mut self) {
        self.end_node();
        self.is_spaced = true;
    }

    /// How many bytes there are.
    pub(super) const fn len(&self) -> usize {
        self.text.len()
    }

    /// The text so far.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Forgets all but the last bytes.
    pub(super) fn keep_last(&mut self, count: usize) {
        let mut at = self.text.len().saturating_sub(count);
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        self.text.drain(..at);
    }

    fn decode(&mut self, piece: &str, is_end: bool) {
        if memchr::memchr(b'&', piece.as_bytes()).is_none() {
            self.collapse(piece);
            return;
        }
        let (mut rest, mut decoded) = (piece, String::with_capacity(piece.len()));
        entity::decode(&mut rest, Place::Text, is_end, &mut decoded);
        rest.clone_into(&mut self.open);
        self.collapse(&decoded);
    }

    fn collapse(&mut self, piece: &str) {
        let mut rest = piece;
        while !rest.is_empty() {
            let word = rest.find(is_blank).unwrap_or(rest.len());
            let (word, after) = rest.split_at_checked(word).unwrap_or((rest, ""));
            if !word.is_empty() {
                if mem::take(&mut self.is_spaced) && !self.text.is_empty() {
                    self.text.push(' ');
                }
                self.text.push_str(word);
            }
            rest = after.trim_start_matches(is_blank);
            self.is_spaced |= rest.len() < after.len();
        }
    }
}

/// What HTML collapses; no-break spaces stay, they may group digits.
const fn is_blank(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\n' | '\r' | '\x0c')
}

/// Texts that are looked for in what is visible.
#[derive(Debug)]
pub(super) struct Search {
    passing: VisibleText,
    /// Each text as it must stand there, with its place among the marks.
    wanted: Vec<(usize, String)>,
    overlap: usize,
}

impl Search {
    /// Starts a page.
    pub(super) fn new(wanted: impl IntoIterator<Item = (usize, String)>) -> Self {
        let wanted: Vec<(usize, String)> = wanted.into_iter().collect();
        let overlap = wanted.iter().map(|(_, text)| text.len()).max().unwrap_or_default();
        Self { passing: VisibleText::default(), wanted, overlap }
    }

    /// Whether nothing is looked for any more.
    pub(super) const fn is_over(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Where the text of the page goes.
    pub(super) const fn text(&mut self) -> &mut VisibleText {
        &mut self.passing
    }

    /// Looks through what has come together, when that is enough.
    pub(super) fn look(&mut self, is_end: bool, mut found: impl FnMut(usize)) {
        if is_end {
            self.passing.end_node();
        } else if self.passing.len() < WINDOW + self.overlap {
            return;
        }
        let passing = normalized(self.passing.as_str());
        self.wanted.retain(|(mark, text)| {
            let is_there = passing.contains(text.as_str());
            if is_there {
                found(*mark);
            }
            !is_there
        });
        // No-break spaces are longer than the blanks that stand for them when texts are compared.
        self.passing.keep_last(self.overlap * 3);
    }
}

/// Blanks of every kind are alike to whoever reads them.
pub(super) fn normalized(text: &str) -> String {
    let mut normal = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !normal.is_empty() {
            normal.push(' ');
        }
        normal.push_str(word);
    }
    normal
}

/// How much comes together before it is looked through.
const WINDOW: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_collapses_and_references_are_decoded_across_pieces() {
        let whole = "  Order\r\n\t no.&nbsp;&#49;2 &amp;amp; &euro";
        for size in 1..=whole.len() {
            let mut text = VisibleText::default();
            let letters: Vec<char> = whole.chars().collect();
            for piece in letters.chunks(size) {
                text.push(&piece.iter().collect::<String>());
            }
            text.end_node();
            assert_eq!(text.as_str(), "Order no.\u{a0}12 &amp; &euro", "by {size}");
        }
    }

    #[test]
    fn a_reference_ends_with_its_text_node() {
        let mut text = VisibleText::default();
        text.push("a&am");
        text.end_node();
        text.push("p;b");
        text.break_line();
        text.push("c");
        assert_eq!(text.as_str(), "a&amp;b c");
    }

    #[test]
    fn texts_are_found_wherever_the_window_ends() {
        let mark = "Thank\u{e9} you for";
        for before in (WINDOW - 40)..(WINDOW + 40) {
            let mut search = Search::new([(0, normalized(mark)), (1, "nowhere".to_owned())]);
            let mut found = Vec::new();
            for letter in
                "x".repeat(before).chars().chain("Thank\u{e9}\u{a0}you  for".chars()).chain("y".repeat(99).chars())
            {
                search.text().push(letter.encode_utf8(&mut [0; 4]));
                search.look(false, |mark| found.push(mark));
                assert!(search.text().len() <= WINDOW + 64);
            }
            search.look(true, |mark| found.push(mark));
            assert_eq!(found, [0], "behind {before}");
        }
    }
}
