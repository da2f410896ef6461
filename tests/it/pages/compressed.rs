//! Pages that come compressed, although they were asked for plain.

use super::{INJECTIONS, ORDER, await_result, encoded, gzip, orders, start, without_pixels};
use crate::support::{accounting::assert_accounts, config::THANKS, http::Framing, origin::PAGE};

#[test]
fn a_page_that_comes_compressed_nevertheless_is_edited() {
    for (coding, body) in orders() {
        for (response, accepted) in [
            (encoded(coding, &body), "gzip, deflate, br, zstd"),
            (encoded(coding, &body), "identity"),
            (encoded(coding, &body).chunked(100), "gzip;q=0.5"),
            (encoded(coding, &body).chunked(1), "gzip;q=0, br"),
        ] {
            let (origin, proxy) = start(response.header("Vary", "Accept-Encoding").header("ETag", "\"1\""));
            let mut visitor = proxy.visitor().sending("Accept-Encoding", accepted).on_one_connection();
            let answer = visitor.get(THANKS);
            assert!(answer.is_complete(), "{coding}: {:?}", answer.ending);
            let leaves_in =
                if accepted.starts_with("gzip") && !accepted.contains("q=0,") { Some("gzip") } else { None };
            assert_eq!(answer.header("content-encoding"), leaves_in, "{coding} for {accepted}");
            assert_eq!(without_pixels(&answer), ORDER, "{coding} for {accepted}");
            assert_eq!((answer.status, answer.framing), (200, Framing::Chunked));
            assert_eq!((answer.header("etag"), answer.header("vary")), (None, Some("Accept-Encoding")));
            assert_eq!(origin.last().headers.get("accept-encoding"), None, "it was asked for a plain one");
            await_result(&proxy, "injected");
            assert_eq!(visitor.get("/").text(), PAGE, "the connection is still in step");
        }
    }
}

#[test]
fn what_cannot_be_decoded_for_this_client_stays_as_it_is() {
    let body = gzip(ORDER.as_bytes());
    let untouched = |coding: &str, accepted: &str| {
        let (origin, proxy) = start(encoded(coding, &body).header("ETag", "\"1\""));
        let answer = proxy.visitor().sending("Accept-Encoding", accepted).get(THANKS);
        assert_eq!((answer.status, &answer.body, answer.header("etag")), (200, &body, Some("\"1\"")));
        assert_eq!((answer.header("content-encoding"), answer.framing), (Some(coding), Framing::Length(body.len())));
        await_result(&proxy, "encoded");
        assert_accounts(&proxy);
        origin.last().headers.get("accept-encoding").map(ToOwned::to_owned)
    };
    assert_eq!(untouched("br", "br, identity;q=0").as_deref(), Some("br, identity;q=0"));
    assert_eq!(untouched("br", "br, *;q=0").as_deref(), Some("br, *;q=0"));
    assert_eq!(untouched("gzip, br", "gzip, br"), None);
    assert_eq!(untouched("dcb", "gzip, br"), None);
    // HTTP/1.0 has no chunks, so a damaged plain page could not break off visibly; one in gzip can.
    let (_origin, proxy) = start(encoded("gzip", &body));
    let answer = proxy.visitor().http10().get(THANKS);
    assert_eq!((&answer.body, answer.header("content-encoding")), (&body, Some("gzip")));
    await_result(&proxy, "encoded");
    let (_origin, proxy) = start(encoded("gzip", &body));
    for accepted in ["gzip, identity;q=0", "gzip"] {
        let answer = proxy.visitor().http10().sending("Accept-Encoding", accepted).get(THANKS);
        if accepted == "gzip" {
            assert_eq!(answer.body, body, "reported already");
        } else {
            assert_eq!((without_pixels(&answer), answer.framing), (ORDER.to_owned(), Framing::UntilClose));
        }
    }
}

#[test]
fn what_need_not_change_stays_compressed() {
    let body = gzip(ORDER.as_bytes());
    let (origin, proxy) = start(encoded("gzip", &body));
    origin.change("/", encoded("gzip", &body));
    let visitor = || proxy.visitor().sending("Accept-Encoding", "gzip");
    let answers = [
        visitor().lands("/?exotracker=abc"),
        visitor().get("/"),
        visitor().sending("Sec-Purpose", "prefetch").get(THANKS),
        visitor().sending("X-Requested-With", "XMLHttpRequest").get(THANKS),
        visitor().sending("Sec-Fetch-Dest", "empty").get(THANKS),
    ];
    for answer in answers {
        assert_eq!((&answer.body, answer.header("content-encoding")), (&body, Some("gzip")));
        assert_eq!(answer.framing, Framing::Length(body.len()));
    }
    for request in origin.requests() {
        assert_eq!(request.headers.get("accept-encoding"), Some("gzip"), "{}", request.target);
    }
    proxy.await_metric(INJECTIONS, &[], 0);
    assert_accounts(&proxy);
}

#[test]
fn an_empty_page_is_complete_whatever_its_head_says() {
    for response in [encoded("gzip", "").chunked(1), encoded("gzip", gzip(b""))] {
        let (_origin, proxy) = start(response);
        let answer = proxy.visitor().get(THANKS);
        assert!(answer.is_complete() && answer.body.is_empty());
        await_result(&proxy, "empty");
    }
}
