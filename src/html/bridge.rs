//! The script that tells us the choice which a banner keeps where no request shows it.
//!
//! It asks the banners' own programming interfaces, at the start and whenever they report a choice, and
//! posts one word, `granted` or `denied`, to an address of ours. What the word is worth, and the cookie
//! that is set for it, are decided elsewhere; the script only compares with that cookie, so that it
//! posts what has changed. It never speaks of a visitor who was not asked.

use std::fmt::Write as _;

/// The element that goes into a page; `endpoint` is the path of our own addresses, `nonce` what the
/// page's policy lets scripts run by.
///
/// Pure ASCII, so that the page's encoding can't change its meaning.
#[must_use]
pub fn script(endpoint: &str, nonce: Option<&str>) -> String {
    let mut markup = String::with_capacity(SOURCE.len());
    markup.push_str("<script");
    // Others than the letters of CSP3 (section 2.3.1, `base64-value`) can't stand in a policy either.
    if let Some(nonce) = nonce.filter(|nonce| nonce.bytes().all(is_of_nonce)) {
        markup.extend([" nonce=\"", nonce, "\""]);
    }
    markup.push('>');
    let address = literal(&format!("{endpoint}/consent"));
    for line in SOURCE.lines().map(str::trim_start).filter(|line| !line.is_empty()) {
        let mut pieces = line.split("ENDPOINT");
        markup.extend(pieces.next());
        pieces.for_each(|piece| markup.extend([address.as_str(), piece]));
        markup.push('\n');
    }
    markup.push_str("</script>");
    markup
}

const fn is_of_nonce(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=')
}

/// A text as JavaScript, without anything that could end the text or the element.
fn literal(text: &str) -> String {
    let mut literal = String::from("'");
    for unit in text.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii_alphanumeric() || b"/._-~".contains(&byte) => literal.push(char::from(byte)),
            // Writing to a string cannot fail.
            Ok(_) | Err(_) => drop(write!(literal, "\\u{unit:04x}")),
        }
    }
    literal.push('\'');
    literal
}

const SOURCE: &str = include_str!("bridge.js");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_element_is_small_and_closed_once() {
        let element = script("/.throughline", Some("q1w2/+=="));
        assert!(element.starts_with("<script nonce=\"q1w2/+==\">(function () {\n"), "{element}");
        assert!(element.ends_with("})();\n</script>"));
        assert!(element.is_ascii() && element.len() < 4096, "{}", element.len());
        let inner = element.strip_suffix("</script>").unwrap();
        assert!(!inner.to_ascii_lowercase().contains("</script") && !inner.contains("<!--"));
        assert!(!inner.contains("ENDPOINT"));
        assert_eq!(inner.matches("'/.throughline/consent'").count(), 2);
    }

    #[test]
    fn it_has_no_comments_that_a_joined_line_would_swallow() {
        assert!(!SOURCE.contains("//") && !SOURCE.contains("/*"));
    }

    #[test]
    fn no_address_and_no_nonce_leaves_its_place() {
        let element = script("/a'</script>\\\u{1f600}", Some("x\" src=\"https://a.example"));
        assert!(element.starts_with("<script>(function"), "a nonce that cannot be one is left out");
        assert_eq!(element.matches("</script").count(), 1);
        assert!(element.contains(r"'/a\u0027\u003c/script\u003e\u005c\ud83d\ude00/consent'"), "{element}");
    }

    #[test]
    fn it_speaks_the_words_that_the_cookie_has() {
        for word in ["'granted'", "'denied'", "'; _tl_consent='"] {
            assert!(SOURCE.contains(word), "{word}");
        }
    }
}
