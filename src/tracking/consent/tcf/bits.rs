//! Numbers of any width in a base64url text, read in place.

/// A text of six bits a letter, and how far it was read.
#[derive(Debug)]
pub(super) struct Bits<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    /// A text that has nothing but letters of base64url (RFC 4648 section 5), without padding.
    pub(super) fn new(text: &'a str) -> Option<Self> {
        let text = text.as_bytes();
        text.iter().all(|letter| sextet(*letter).is_some()).then_some(Self { text, at: 0 })
    }

    /// The next number of so many bits, at most 24; `None` when the text ends before.
    pub(super) fn take(&mut self, width: u32) -> Option<u32> {
        let mut left = usize::try_from(width.min(24)).ok()?;
        let mut number = 0;
        while left > 0 {
            let letter = u32::from(sextet(*self.text.get(self.at / 6)?)?);
            let unread = 6 - self.at % 6;
            let taken = unread.min(left);
            number = number << taken | letter >> (unread - taken) & ((1 << taken) - 1);
            self.at += taken;
            left -= taken;
        }
        Some(number)
    }

    /// Passes over so many bits, all of which must be there.
    pub(super) fn skip(&mut self, width: u32) -> Option<()> {
        let at = self.at.checked_add(usize::try_from(width).ok()?)?;
        self.at = at;
        (at <= self.text.len() * 6).then_some(())
    }
}

const fn sextet(letter: u8) -> Option<u8> {
    match letter {
        b'A'..=b'Z' => Some(letter - b'A'),
        b'a'..=b'z' => Some(letter - b'a' + 26),
        b'0'..=b'9' => Some(letter - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_may_begin_and_end_within_a_letter() {
        let mut bits = Bits::new("CQ_-").unwrap();
        // 000010 010000 111111 111110
        assert_eq!(bits.take(6), Some(2));
        assert_eq!(bits.take(2), Some(1));
        assert_eq!(bits.take(9), Some(0b0000_11111));
        assert_eq!(bits.skip(1), Some(()));
        assert_eq!(bits.take(6), Some(0b11_1110));
        assert_eq!(bits.take(1), None);
        assert_eq!(Bits::new("CQ_-").unwrap().take(24), Some(0b0000_1001_0000_1111_1111_1110));
    }

    #[test]
    fn what_is_not_there_cannot_be_passed() {
        assert_eq!(Bits::new("AA").unwrap().skip(13), None);
        assert_eq!(Bits::new("AA").unwrap().skip(u32::MAX), None);
        assert!(Bits::new("AA+A").is_none() && Bits::new("AA==").is_none());
    }
}
