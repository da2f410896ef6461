//! The markup that makes a browser fetch a network's pixels.
//!
//! Only how addresses become markup; which addresses, and on which page, is decided elsewhere. The
//! markup is pure ASCII, so that the page's encoding can't change its meaning, and well-formed XML, so
//! that it may stand in XHTML too.

/// The most pixels that one page gets.
pub const MAX_PIXELS: usize = 64;

/// What a network learns of where a pixel was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Referrer {
    /// The page. It is said so because a site's own policy may hide it, and networks check it.
    Page,
    /// The site alone: the page's address is nobody's business.
    Site,
}

/// Writes one invisible image per address, in their order, at most [`MAX_PIXELS`].
#[must_use]
pub fn pixel_markup<'a>(urls: impl Iterator<Item = &'a str>, referrer: Referrer) -> Vec<u8> {
    let mut markup = Vec::with_capacity(PIXEL_BYTES);
    let policy: &[u8] = match referrer {
        Referrer::Page => b"no-referrer-when-downgrade",
        Referrer::Site => b"strict-origin",
    };
    for url in urls.take(MAX_PIXELS) {
        markup.extend_from_slice(b"<img src=\"");
        push_address(&mut markup, url);
        markup.extend_from_slice(ATTRIBUTES);
        markup.extend_from_slice(policy);
        markup.extend_from_slice(b"\" />");
    }
    markup
}

/// Writes an address as it may stand in an attribute's quotes.
pub(super) fn push_address(markup: &mut Vec<u8>, url: &str) {
    let mut rest = url.as_bytes();
    // Whole runs are copied; an address has few bytes that must be escaped.
    while let Some((run, odd)) = rest.iter().position(|byte| !is_plain(*byte)).and_then(|at| rest.split_at_checked(at))
    {
        markup.extend_from_slice(run);
        let Some((byte, after)) = odd.split_first() else { break };
        push_escaped(markup, *byte);
        rest = after;
    }
    markup.extend_from_slice(rest);
}

const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'&' | b'<' | b'>' | b'"' | b'\'')
}

fn push_escaped(markup: &mut Vec<u8>, byte: u8) {
    match byte {
        b'&' => markup.extend_from_slice(b"&amp;"),
        b'<' => markup.extend_from_slice(b"&lt;"),
        b'>' => markup.extend_from_slice(b"&gt;"),
        b'"' => markup.extend_from_slice(b"&quot;"),
        b'\'' => markup.extend_from_slice(b"&#39;"),
        // Control characters and spaces have no place in an address; browsers drop or encode them.
        _ => markup.extend_from_slice(&[b'%', hex_digit(byte >> 4), hex_digit(byte & 0xf)]),
    }
}

const ATTRIBUTES: &[u8] = b"\" width=\"1\" height=\"1\" alt=\"\" hidden=\"\" referrerpolicy=\"";
/// Room for a dozen usual pixels.
const PIXEL_BYTES: usize = 3072;

const fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'A' + nibble - 10 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn markup(urls: &[&str]) -> String {
        String::from_utf8(pixel_markup(urls.iter().copied(), Referrer::Page)).unwrap()
    }

    #[test]
    fn a_pixel_is_one_invisible_image() {
        assert_eq!(
            markup(&["https://s.chmsrv.com/tag.php?goal=1&value=2"]),
            "<img src=\"https://s.chmsrv.com/tag.php?goal=1&amp;value=2\" width=\"1\" height=\"1\" alt=\"\" hidden=\"\" \
             referrerpolicy=\"no-referrer-when-downgrade\" />"
        );
    }

    #[test]
    fn no_address_leaves_its_attribute() {
        for hostile in [
            "https://a.example/\"><script>alert(1)</script>",
            "https://a.example/' onerror='alert(1)",
            "https://a.example/\" onerror=\"alert(1)",
            "https://a.example/</body><!--",
            "https://a.example/\n\t x\u{0}y\u{7f}",
            "https://a.example/&quot;&#34;&copy=1",
        ] {
            let markup = markup(&[hostile]);
            let after = markup.strip_prefix("<img src=\"").unwrap();
            let (value, rest) = after.split_once('"').unwrap();
            assert!(rest.starts_with(" width=\"1\""), "{hostile}: {markup}");
            assert!(!value.contains(['<', '>', '\'', ' ', '\n', '\0']), "{hostile}: {value}");
            assert!(value.replace("&quot;", "").matches('&').count() >= value.matches("&amp;").count());
        }
    }

    #[test]
    fn a_reference_in_an_address_stays_what_it_was() {
        assert!(markup(&["https://a.example/?a=1&copy=2"]).contains("?a=1&amp;copy=2\""));
        assert!(markup(&["https://a.example/?a=&quot;"]).contains("?a=&amp;quot;\""));
    }

    #[test]
    fn markup_is_ascii_whatever_the_address_is() {
        let markup = markup(&["https://a.example/ä€😀"]);
        assert!(markup.is_ascii());
        assert!(markup.contains("/%C3%A4%E2%82%AC%F0%9F%98%80\""));
    }

    #[test]
    fn a_page_gets_64_pixels_at_most() {
        assert_eq!(markup(&["https://a.example/"; 100]).matches("<img ").count(), 64);
        assert_eq!(markup(&[]), "");
    }
}
