use http::HeaderValue;
use proptest::prelude::*;

use super::*;

const URLENCODED: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data; boundary=----WebKitFormBoundary7MA4";

fn head(content_type: &str) -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_str(content_type).expect("a header's value"))])
}

fn sent(content_type: &str, body: impl AsRef<[u8]>) -> RequestBody {
    let mut tee = BodyTee::for_request(&head(content_type)).expect("a kind that is read");
    tee.push(body.as_ref());
    tee.finish()
}

fn answered(content_type: &str, body: impl AsRef<[u8]>) -> Result<Value, Unreadable> {
    let mut tee = ResponseTee::for_response(&head(content_type)).expect("JSON");
    tee.push(body.as_ref());
    tee.finish()
}

/// Parts as browsers write them.
fn parts(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (head, value) in parts {
        body.extend_from_slice(b"------WebKitFormBoundary7MA4\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(b"\r\n\r\n");
        body.extend_from_slice(value);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"------WebKitFormBoundary7MA4--\r\n");
    body
}

#[test]
fn only_forms_and_json_are_read() {
    for read in [
        URLENCODED,
        "application/x-www-form-urlencoded; charset=UTF-8",
        "APPLICATION/JSON",
        "application/vnd.api+json ; charset=utf-8",
        "text/json",
        MULTIPART,
        "multipart/form-data; charset=utf-8; boundary=\"a;b\"",
    ] {
        assert!(BodyTee::for_request(&head(read)).is_some(), "{read}");
    }
    for passed in [
        "text/plain",
        "application/octet-stream",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/mixed; boundary=a",
        "application/jsonp",
        "",
        ";",
    ] {
        assert!(BodyTee::for_request(&head(passed)).is_none(), "{passed}");
    }
    assert!(BodyTee::for_request(&HeaderMap::new()).is_none());
    assert!(ResponseTee::for_response(&head(URLENCODED)).is_none());
}

#[test]
fn a_form_yields_the_first_value_of_exactly_this_name() {
    let form =
        sent(URLENCODED, "a=&billing%5Bemail%5D=jo%2Btest%40shop.example&Email=x&email=y&email=z&name=J+D%C3%B6&flag");
    for (name, expected) in [
        ("billing[email]", Some("jo+test@shop.example")),
        ("email", Some("y")),
        ("name", Some("J Dö")),
        ("a", Some("")),
        ("flag", Some("")),
        ("billing", None),
        ("mail", None),
    ] {
        assert_eq!(form.form(name).as_deref(), expected, "{name}");
    }
    assert_eq!((form.json("/a"), form.unreadable()), (None, None));
}

#[test]
fn a_form_is_read_in_the_encoding_that_it_names() {
    for (content_type, body) in [
        (URLENCODED, "charset=windows-1252&first_name=J%F6rg"),
        (URLENCODED, "first_name=J%F6rg&_charset_=iso-8859-1&charset=utf-8"),
        ("application/x-www-form-urlencoded; charset=ISO-8859-15", "first_name=J%F6rg"),
        (URLENCODED, "charset=Shift_JIS&first_name=J%C3%B6rg&_charset_=utf-8"),
        (URLENCODED, "charset=utf-16le&first_name=J%C3%B6rg"),
    ] {
        assert_eq!(sent(content_type, body).form("first_name").as_deref(), Some("Jörg"), "{body}");
    }
}

#[test]
fn what_is_no_text_in_its_encoding_is_not_guessed() {
    let form = sent(URLENCODED, "first_name=J%F6rg&email=j%40shop.example");
    assert_eq!((form.form("first_name"), form.form("email").as_deref()), (None, Some("j@shop.example")));
}

#[test]
fn a_form_in_parts_yields_its_texts_and_no_files() {
    let body = parts(&[
        ("Content-Disposition: form-data; name=\"billing[email]\"", b"jo@shop.example"),
        (
            "content-disposition: form-data; name=\"note\"\r\nContent-Type: text/plain; charset=windows-1252",
            b"J\xf6rg\r\nline 2",
        ),
        (
            "Content-Disposition: form-data; name=\"avatar\"; filename=\"a.png\"\r\nContent-Type: image/png",
            b"\x89PNG\r\n\r\n",
        ),
        ("Content-Disposition: form-data; name=\"a%22;%41b\"", b""),
        ("Content-Disposition: form-data; name=\"coded\"\r\nContent-Transfer-Encoding: base64", b"YQ=="),
        ("X-Other: 1", b"nameless"),
        ("Content-Disposition: form-data; name=total", b"49.90"),
    ]);
    let form = sent(MULTIPART, &body);
    for (name, expected) in [
        ("billing[email]", Some("jo@shop.example")),
        ("note", Some("Jörg\r\nline 2")),
        ("avatar", None),
        ("a\";%41b", Some("")),
        ("coded", None),
        ("total", Some("49.90")),
    ] {
        assert_eq!(form.form(name).as_deref(), expected, "{name}");
    }
    let preamble = [b"ignore me\r\n".as_slice(), &body].concat();
    assert_eq!(sent(MULTIPART, preamble).form("total").as_deref(), Some("49.90"));
    assert_eq!(sent(MULTIPART, "no parts").unreadable(), Some(Unreadable::Malformed));
}

#[test]
fn json_is_reached_by_pointers() {
    let body =
        sent("application/json", r#"{"order":{"id":17,"total":"49.90","items":[{"sku":"a/b"}]},"a/b":{"~":true}}"#);
    let text = |pointer| body.json(pointer).and_then(text_of);
    for (pointer, expected) in [
        ("/order/id", Some("17")),
        ("/order/total", Some("49.90")),
        ("/order/items/0/sku", Some("a/b")),
        ("/a~1b/~0", Some("true")),
        ("/order", None),
        ("/order/items/00", None),
        ("order/id", None),
        ("/nothing", None),
    ] {
        assert_eq!(text(pointer).as_deref(), expected, "{pointer}");
    }
    assert_eq!(body.form("order"), None);
}

#[test]
fn numbers_are_text_only_when_they_are_exact() {
    for (json, expected) in [
        ("49.9", Some("49.9")),
        ("-0.07", Some("-0.07")),
        ("18446744073709551615", Some("18446744073709551615")),
        ("184467440737095516150", None),
        ("9007199254740993.5", None),
        ("1e-9", None),
        ("1e300", None),
        ("null", None),
        ("[1]", None),
    ] {
        assert_eq!(text_of(&answered("application/json", json).expect("JSON")).as_deref(), expected, "{json}");
    }
}

#[test]
fn answers_are_read_like_requests() {
    assert_eq!(answered("application/json", b"\xef\xbb\xbf{\"a\":1}").expect("JSON")["a"], 1);
    assert_eq!(answered("application/json;charset=iso-8859-1", b"{\"a\":\"\xf6\"}").expect("JSON")["a"], "ö");
    for broken in [b"{".as_slice(), b"{\"a\":\"\xf6\"}", b"", b"{}x", "[".repeat(200).as_bytes()] {
        assert_eq!(answered("application/json", broken), Err(Unreadable::Malformed), "{broken:?}");
    }
}

#[test]
fn a_deep_document_is_no_danger() {
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    assert_eq!(sent("application/json", deep).unreadable(), Some(Unreadable::Malformed));
}

#[test]
fn what_is_too_long_is_cut_and_said_to_be() {
    let long = "x".repeat(MAX_REQUEST);
    assert_eq!(sent("application/json", format!("\"{long}\"")).unreadable(), Some(Unreadable::TooLong));
    let form = sent(URLENCODED, format!("first=1&second={long}&third=3"));
    assert_eq!(form.unreadable(), Some(Unreadable::TooLong));
    assert_eq!(["first", "second", "third"].map(|name| form.form(name)), [Some("1".to_owned()), None, None]);
    let name = |name: &str| format!("Content-Disposition: form-data; name=\"{name}\"");
    let body = parts(&[(&name("first"), b"1"), (&name("second"), long.as_bytes()), (&name("third"), b"3")]);
    let form = sent(MULTIPART, body);
    assert_eq!(["first", "second", "third"].map(|name| form.form(name)), [Some("1".to_owned()), None, None]);
    let answer = format!("\"{}\"", "x".repeat(MAX_RESPONSE));
    assert_eq!(answered("application/json", answer), Err(Unreadable::TooLong));
    let exactly = format!("\"{}\"", "x".repeat(MAX_RESPONSE - 2));
    assert!(answered("application/json", exactly).is_ok());
}

#[test]
fn a_form_of_too_many_fields_is_read_in_part() {
    let form = sent(URLENCODED, format!("first=1&{}last=2", "a&".repeat(20_000)));
    assert_eq!((form.form("first").as_deref(), form.form("last")), (Some("1"), None));
    assert_eq!(form.unreadable(), Some(Unreadable::TooLong));
}

#[test]
fn a_compressed_body_is_not_read() {
    let mut headers = head("application/json");
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    let mut tee = BodyTee::for_request(&headers).expect("JSON");
    tee.push(b"{}");
    assert_eq!(tee.finish().unreadable(), Some(Unreadable::Encoded));
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("Identity"));
    let mut tee = BodyTee::for_request(&headers).expect("JSON");
    tee.push(b"{}");
    assert!(matches!(tee.finish(), RequestBody::Json(_)));
}

#[test]
fn a_replayed_body_is_read_once() {
    let mut tee = BodyTee::for_request(&head(URLENCODED)).expect("a form");
    tee.push("x".repeat(MAX_REQUEST + 1).as_bytes());
    tee.reset();
    tee.push(b"a=1");
    let form = tee.finish();
    assert_eq!((form.form("a").as_deref(), form.unreadable()), (Some("1"), None));
}

#[test]
fn a_request_without_a_body_has_none() {
    assert!(matches!(sent(URLENCODED, ""), RequestBody::None));
}

#[test]
fn what_visitors_typed_is_not_printed() {
    for body in [sent(URLENCODED, "email=canary"), sent("application/json", r#"{"email":"canary"}"#)] {
        assert!(!format!("{body:?}").contains("canary"));
    }
    let mut tee = BodyTee::for_request(&head(URLENCODED)).expect("a form");
    tee.push(b"email=canary");
    assert!(!format!("{tee:?}").contains("canary"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_a_form_holds_comes_out(fields in prop::collection::vec((".{0,8}", ".{0,20}"), 1..8)) {
        prop_assume!(fields.iter().all(|(name, _)| !name.contains("charset")));
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&fields).finish();
        let form = sent(URLENCODED, body);
        for (name, _) in &fields {
            let first = fields.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone());
            prop_assert_eq!(form.form(name), first);
        }
    }

    #[test]
    fn chunks_make_no_difference(body in prop::collection::vec(any::<u8>(), 0..200), size in 1_usize..20) {
        for content_type in [URLENCODED, MULTIPART, "application/json"] {
            let framed = [b"------WebKitFormBoundary7MA4\r\nContent-Disposition: form-data; name=a\r\n\r\n", &*body].concat();
            let mut tee = BodyTee::for_request(&head(content_type)).expect("a kind that is read");
            framed.chunks(size).for_each(|chunk| tee.push(chunk));
            let (chunked, whole) = (tee.finish(), sent(content_type, &framed));
            prop_assert_eq!(format!("{chunked:?}"), format!("{whole:?}"));
            prop_assert_eq!(chunked.form("a"), whole.form("a"));
        }
    }

    #[test]
    fn hostile_parts_do_no_harm(pieces in prop::collection::vec(prop::sample::select(vec![
        "------WebKitFormBoundary7MA4", "\r\n", "--", "Content-Disposition: form-data; name=\"a\"", ";", "\"", ":", "=", "x", "%2",
    ]), 0..60)) {
        let found = sent(MULTIPART, pieces.concat()).form("a");
        prop_assert!(found.is_none_or(|value| !value.contains("\r\n------WebKitFormBoundary7MA4")));
    }
}
