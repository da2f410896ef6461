//! The kind of device a visitor uses, in the three words that networks know.

use http::HeaderMap;

/// `mobile`, `tablet` or `desktop`, from the client hint if there is one, else from the user agent.
///
/// The words are Ingenious' (its server-to-server manual). `Sec-CH-UA-Mobile` (User-Agent Client
/// Hints, W3C draft) tells phones only, so tablets are always told by the user agent.
#[must_use]
pub fn device_type(headers: &HeaderMap) -> &'static str {
    let agent = headers.get(http::header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let has = |word: &str| agent.contains(word);
    let hinted_mobile = headers.get("sec-ch-ua-mobile").is_some_and(|value| value == "?1");
    if has("iPad") || has("Tablet") || has("Silk/") || (has("Android") && !has("Mobile") && !hinted_mobile) {
        "tablet"
    } else if hinted_mobile || has("Mobi") || has("iPhone") {
        "mobile"
    } else {
        "desktop"
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn devices_are_told_by_their_user_agent() {
        for (agent, expected) in [
            ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/140.0 Safari/537.36", "desktop"),
            ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Mobile/15E148 Safari/604.1", "mobile"),
            ("Mozilla/5.0 (iPad; CPU OS 17_0 like Mac OS X) Mobile/15E148", "tablet"),
            ("Mozilla/5.0 (Linux; Android 15; SM-X710) Chrome/140.0 Safari/537.36", "tablet"),
            ("Mozilla/5.0 (Linux; Android 15) Chrome/140.0 Mobile Safari/537.36", "mobile"),
            ("", "desktop"),
        ] {
            let headers = HeaderMap::from_iter([(http::header::USER_AGENT, HeaderValue::from_static(agent))]);
            assert_eq!(device_type(&headers), expected, "{agent}");
        }
    }

    #[test]
    fn the_client_hint_tells_phones_with_frozen_user_agents() {
        let headers = HeaderMap::from_iter([
            (http::header::USER_AGENT, HeaderValue::from_static("Mozilla/5.0 (X11; Linux x86_64)")),
            (http::HeaderName::from_static("sec-ch-ua-mobile"), HeaderValue::from_static("?1")),
        ]);
        assert_eq!(device_type(&headers), "mobile");
    }
}
