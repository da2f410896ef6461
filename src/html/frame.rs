//! The hidden frame that learns of a late verdict: the element that goes into the page, and the
//! documents that are shown in it.
//!
//! Like pixels, the element is pure ASCII and well-formed XML, so that it may stand in any page. The
//! documents hold nothing but what is said here. When which one is shown is decided elsewhere.

use url::Url;

use super::pixel::{Referrer, pixel_markup, push_address};

/// What the frame shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameDocument<'a> {
    /// Nothing yet: it asks again, at an address beside its own.
    Waiting {
        /// The last segment of that address.
        next: &'a str,
    },
    /// Pixels.
    Pixels(&'a [String]),
    /// Nothing, for good.
    Empty,
}

/// Writes a frame that shows this address of the page's own origin and that nobody sees.
#[must_use]
pub fn frame_markup(path: &str) -> Vec<u8> {
    let mut markup = b"<iframe src=\"".to_vec();
    push_address(&mut markup, path);
    markup.extend_from_slice(ATTRIBUTES);
    markup
}

impl FrameDocument<'_> {
    /// The document in HTML.
    #[must_use]
    pub fn html(self) -> Vec<u8> {
        let mut html = b"<!doctype html>\n<meta charset=\"utf-8\">\n".to_vec();
        if let Self::Waiting { next } = self {
            html.extend_from_slice(format!("<meta http-equiv=\"refresh\" content=\"{PAUSE_SECONDS};url=").as_bytes());
            push_address(&mut html, next);
            html.extend_from_slice(b"\">\n");
        }
        html.extend_from_slice(b"<title></title>\n");
        if let Self::Pixels(urls) = self {
            // The address of the frame is no page of the site.
            html.extend_from_slice(&pixel_markup(urls.iter().map(String::as_str), Referrer::Site));
            html.push(b'\n');
        }
        html
    }

    /// Its Content-Security-Policy.
    ///
    /// Networks redirect pixels to whom they like, and a policy means redirects, too (CSP3, "Does url
    /// match source list in origin with redirect count?"); so `https:` is allowed as a whole.
    #[must_use]
    pub fn policy(self) -> String {
        let mut policy = "default-src 'none'".to_owned();
        if let Self::Pixels(urls) = self {
            policy.push_str("; img-src https:");
            let mut origins: Vec<String> = urls.iter().filter_map(|url| plain_origin(url)).collect();
            origins.sort_unstable();
            origins.dedup();
            for origin in origins {
                policy.push(' ');
                policy.push_str(&origin);
            }
        }
        policy.push_str("; base-uri 'none'; form-action 'none'; frame-ancestors 'self'");
        policy
    }
}

/// The origin of an address without TLS.
fn plain_origin(url: &str) -> Option<String> {
    let url = Url::parse(url).ok().filter(|url| url.scheme() == "http")?;
    Some(url.origin().ascii_serialization())
}

/// `title` is empty because nobody is told of the frame; `frameborder` is for pages whose styles show
/// what is hidden.
const ATTRIBUTES: &[u8] = b"\" hidden=\"\" width=\"0\" height=\"0\" frameborder=\"0\" title=\"\" aria-hidden=\"true\" \
    tabindex=\"-1\" loading=\"eager\" referrerpolicy=\"no-referrer\"></iframe>";
/// Most networks answer within the first pause.
const PAUSE_SECONDS: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn html(document: FrameDocument<'_>) -> String {
        String::from_utf8(document.html()).unwrap()
    }

    #[test]
    fn the_frame_is_one_hidden_element() {
        assert_eq!(
            String::from_utf8(frame_markup("/.throughline/frame/abc-_")).unwrap(),
            "<iframe src=\"/.throughline/frame/abc-_\" hidden=\"\" width=\"0\" height=\"0\" frameborder=\"0\" title=\"\" \
             aria-hidden=\"true\" tabindex=\"-1\" loading=\"eager\" referrerpolicy=\"no-referrer\"></iframe>"
        );
    }

    #[test]
    fn no_address_leaves_its_attribute() {
        for hostile in ["/\"><script>alert(1)</script>", "/' onload='x", "/\n\u{0}ä", "/&quot;"] {
            let markup = String::from_utf8(frame_markup(hostile)).unwrap();
            let (value, rest) = markup.strip_prefix("<iframe src=\"").unwrap().split_once('"').unwrap();
            assert!(rest.starts_with(" hidden="), "{markup}");
            assert!(!value.contains(['<', '>', '\'', ' ', '\n', '\0']) && markup.is_ascii(), "{markup}");
            let waiting = html(FrameDocument::Waiting { next: hostile });
            assert_eq!(waiting.matches('<').count(), 5, "{waiting}");
        }
    }

    #[test]
    fn a_waiting_document_asks_again_beside_itself() {
        let document = FrameDocument::Waiting { next: "def" };
        assert_eq!(
            html(document),
            "<!doctype html>\n<meta charset=\"utf-8\">\n<meta http-equiv=\"refresh\" content=\"2;url=def\">\n<title></title>\n"
        );
        assert!(!document.policy().contains("img-src"));
    }

    #[test]
    fn pixels_stand_in_a_document_that_lets_nothing_else_load() {
        let urls = ["https://a.example/p?x=1&y=2", "http://b.example:81/p", "http://b.example:81/q", "not an address"]
            .map(ToOwned::to_owned);
        let document = FrameDocument::Pixels(&urls);
        let text = html(document);
        assert_eq!(text.matches("<img ").count(), 4);
        assert!(text.contains("src=\"https://a.example/p?x=1&amp;y=2\""), "{text}");
        assert_eq!(text.matches("referrerpolicy=\"strict-origin\"").count(), 4, "{text}");
        assert_eq!(
            document.policy(),
            "default-src 'none'; img-src https: http://b.example:81; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'self'"
        );
    }

    #[test]
    fn an_empty_document_shows_and_asks_for_nothing() {
        let text = html(FrameDocument::Empty);
        assert!(!text.contains("refresh") && !text.contains("<img"), "{text}");
        assert_eq!(
            FrameDocument::Empty.policy(),
            "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
        );
    }
}
