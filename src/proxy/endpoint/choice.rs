//! A visitor's choice, as the script in a page has learnt it from the banner, on its way into our cookie.
//!
//! Only pages of the site itself may tell it. What follows from it follows at once: the click that has
//! waited is kept, or what was kept goes.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use pingora_proxy::Session;
use tokio::time::timeout;
use url::Url;
use uuid::Uuid;

use super::{
    super::{
        answer::Answer,
        consequences,
        runtime::{TrackedSite, Tracker},
    },
    facts,
};
use crate::{
    store::clock,
    tracking::{
        consent::{BRIDGE_COOKIE, BRIDGE_DENIED, BRIDGE_GRANTED},
        site::normal_host,
        visit::{Client, Request, Visit},
    },
};

/// Takes a choice.
pub(super) async fn answer(
    tracker: &Arc<Tracker>,
    site: &Arc<TrackedSite>,
    session: &mut Session,
    client: Client,
) -> Answer {
    if !is_of_this_site(&facts(session.req_header(), client)) {
        return Answer::error(403, None);
    }
    let word = match timeout(PATIENCE, word(session)).await {
        Ok(Ok(word)) => word,
        Ok(Err(status)) => return Answer::error(status, None),
        Err(_) => return Answer::error(408, None),
    };
    let request = facts(session.req_header(), client);
    let headers = with_choice(request.headers, word);
    let told = Request { headers: &headers, ..request };
    let mut plan = Visit::chosen(&site.rules, &told, clock::now(), &mut Uuid::now_v7);
    let host = normal_host(request.host());
    let own = site.rules.consent_cookie.line(word, &host, client.over_tls);
    let lines = std::iter::once(own).chain(plan.set_cookies.drain(..));
    let lines: Vec<HeaderValue> = lines.filter_map(|line| HeaderValue::try_from(line).ok()).collect();
    consequences::at_once(tracker, site, &mut plan);
    lines.into_iter().fold(Answer::empty(), |answer, line| answer.with(header::SET_COOKIE, line))
}

/// Whether a page of this very host asks: browsers say so, and let no page say so for another.
///
/// `Sec-Fetch-Site` (W3C Fetch Metadata) is not sent without TLS, `Origin` with every POST. The scheme is left
/// aside: what is before us may have changed it.
fn is_of_this_site(request: &Request<'_>) -> bool {
    if let Some(site) = request.headers.get(&FETCH_SITE) {
        return site == "same-origin";
    }
    let origin = request.headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    let Some(origin) = origin.and_then(|origin| Url::parse(origin).ok()) else { return false };
    let asked = Url::parse(&format!("{}://{}", origin.scheme(), request.host()));
    asked.is_ok_and(|asked| {
        origin.has_host()
            && origin.host() == asked.host()
            && origin.port_or_known_default() == asked.port_or_known_default()
    })
}

/// The word in the body, or the status that refuses it.
async fn word(session: &mut Session) -> Result<&'static str, u16> {
    let mut body = Vec::new();
    // What ends early says nothing.
    while let Some(bytes) = session.as_downstream_mut().read_request_body().await.map_err(|_| 400_u16)? {
        if body.len() + bytes.len() > LONGEST {
            return Err(413);
        }
        body.extend_from_slice(&bytes);
    }
    let known = [BRIDGE_GRANTED, BRIDGE_DENIED].into_iter().find(|word| word.as_bytes() == body.trim_ascii());
    known.ok_or(400)
}

/// The headers as the browser will send them from now on.
fn with_choice(headers: &HeaderMap, word: &'static str) -> HeaderMap {
    let mut headers = headers.clone();
    let is_choice = |pair: &&[u8]| {
        pair.trim_ascii_start().strip_prefix(BRIDGE_COOKIE.as_bytes()).is_some_and(|rest| rest.starts_with(b"="))
    };
    let lines: Vec<Vec<u8>> = headers
        .get_all(header::COOKIE)
        .iter()
        .map(|line| {
            line.as_bytes().split(|byte| *byte == b';').filter(|pair| !is_choice(pair)).collect::<Vec<_>>().join(&b';')
        })
        .collect();
    headers.remove(header::COOKIE);
    let choice = format!("{BRIDGE_COOKIE}={word}").into_bytes();
    for line in lines.into_iter().chain([choice]) {
        if let Ok(value) = HeaderValue::from_bytes(&line) {
            headers.append(header::COOKIE, value);
        }
    }
    headers
}

static FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Either word, and some room for an end of line.
const LONGEST: usize = 16;
/// How long it may take to send it.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use http::Method;

    use super::*;

    fn is_own(host: &'static str, headers: &[(&'static str, &'static str)]) -> bool {
        let all = [headers, &[("host", host)]].concat();
        let headers: HeaderMap = all
            .into_iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let client = Client { address: IpAddr::V4(Ipv4Addr::LOCALHOST), over_tls: false };
        let request =
            Request { method: &Method::POST, path: "/", query: "", headers: &headers, authority: None, client };
        is_of_this_site(&request)
    }

    #[test]
    fn only_a_page_of_the_same_host_is_believed() {
        for (host, headers, expected) in [
            ("shop.example", vec![("sec-fetch-site", "same-origin")], true),
            ("shop.example", vec![("sec-fetch-site", "same-site"), ("origin", "https://shop.example")], false),
            ("shop.example", vec![("sec-fetch-site", "none")], false),
            ("shop.example", vec![("origin", "https://shop.example")], true),
            ("Shop.example:443", vec![("origin", "https://shop.example")], true),
            ("shop.example:8080", vec![("origin", "http://shop.example:8080")], true),
            ("[::1]:8080", vec![("origin", "http://[::1]:8080")], true),
            ("shop.example:8080", vec![("origin", "http://shop.example")], false),
            ("shop.example", vec![("origin", "https://www.shop.example")], false),
            ("shop.example", vec![("origin", "null")], false),
            ("shop.example", vec![("origin", "data:text/plain,shop.example")], false),
            ("", vec![("origin", "https://shop.example")], false),
            ("shop.example", vec![("referer", "https://shop.example/")], false),
            ("shop.example", vec![], false),
        ] {
            assert_eq!(is_own(host, &headers), expected, "{host} {headers:?}");
        }
    }

    #[test]
    fn the_new_choice_takes_the_place_of_the_old_one() {
        let mut headers = HeaderMap::new();
        headers
            .append("cookie", HeaderValue::from_bytes(b"a=\xff; _tl_consent=granted;_tl_consent=x").expect("a value"));
        headers.append("cookie", HeaderValue::from_static("_tl_consents=1"));
        let headers = with_choice(&headers, BRIDGE_DENIED);
        let lines: Vec<&[u8]> = headers.get_all("cookie").iter().map(HeaderValue::as_bytes).collect();
        assert_eq!(lines, [b"a=\xff".as_slice(), b"_tl_consents=1", b"_tl_consent=denied"]);
    }
}
