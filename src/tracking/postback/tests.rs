use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use uuid::Uuid;

use super::*;
use crate::tracking::{
    digest::{Algorithm, Writing},
    event::{EventId, Payload},
    timestamp::Timestamp,
};

fn template(text: &str) -> Template {
    Template::parse(text).expect("a template")
}

fn event(fields: &[(&str, &str)]) -> Event {
    Event {
        id: EventId::new(Uuid::from_u128(1)),
        time: Timestamp::from_millis(0),
        site: Arc::from("shop"),
        conversion: Arc::from("purchase"),
        network: Arc::from("net"),
        payload: Payload {
            clicks: vec!["a/b".into(), "c".into()],
            fields: fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            parameters: BTreeMap::new(),
            visitor: Vec::new(),
        },
    }
}

fn rule(path: &str) -> PostbackRule {
    PostbackRule {
        request: RequestRule {
            method: Method::GET,
            url: UrlRule { origin: template("https://{domain}"), path: template(path), query: Some("typ=s".into()) },
            query: vec![("v".into(), template("{value}")), ("c".into(), template("{click_ids|join:\",\"}"))],
            headers: vec![],
            authorization: Authorization::None,
            body: BodyRule::Empty,
            extra: ExtraPlace::Query,
            sign: None,
        },
        names: ConfiguredNames {
            parameters: BTreeMap::from([
                ("extra.key".to_owned(), template("s&t")),
                ("device".to_owned(), template("{device}")),
            ]),
            lists: BTreeMap::new(),
            settings: BTreeMap::from([
                ("domain".to_owned(), "net.example".to_owned()),
                ("token".to_owned(), "k3y".to_owned()),
            ]),
            secrets: BTreeSet::from(["token".to_owned()]),
        },
        extra: vec!["key".into()],
    }
}

#[test]
fn a_request_is_built_from_settings_fields_and_clicks() {
    let postback = rule("/p/{order_id}").render(&event(&[("order_id", "7/8")])).expect("a request");
    assert_eq!(postback.url.as_str(), "https://net.example/p/7%2F8?typ=s&c=a%2Fb%2Cc&key=s%26t");
}

#[test]
fn no_value_climbs_out_of_its_path_segment() {
    for hostile in [".", ".."] {
        assert_eq!(rule("/p/{order_id}/x").render(&event(&[("order_id", hostile)])).err(), Some(Unrenderable::Url));
    }
    let postback = rule("/p/{order_id}").render(&event(&[("order_id", "@evil.example/%2e%2e")])).expect("a request");
    assert_eq!(postback.url.host_str(), Some("net.example"));
    assert_eq!(postback.url.path(), "/p/%40evil.example%2F%252e%252e");
}

#[test]
fn a_parameter_that_names_itself_means_the_field() {
    let mut rule = rule("/p");
    rule.request.query = vec![("d".into(), template("{device}"))];
    let postback = rule.render(&event(&[("device", "mobile")])).expect("a request");
    assert_eq!(postback.url.query(), Some("typ=s&d=mobile&key=s%26t"));
}

#[test]
fn an_object_in_a_list_goes_whole_or_not_at_all() {
    let pair = |name: &str, value: &str| {
        JsonRule::Object(vec![
            ("name".into(), JsonRule::Text(Template::literal(name))),
            ("value".into(), JsonRule::Text(template(value))),
        ])
    };
    let mut rule = rule("/p");
    rule.request.method = Method::POST;
    rule.request.body = BodyRule::Json(JsonRule::Object(vec![
        ("currency".into(), JsonRule::Text(template("{currency}"))),
        ("data".into(), JsonRule::List(vec![pair("amount", "{value}"), pair("email", "{email}")])),
    ]));
    rule.request.extra = ExtraPlace::Json("/data".into());
    let postback = rule.render(&event(&[("value", "10")])).expect("a request");
    assert_eq!(
        String::from_utf8_lossy(&postback.body),
        r#"{"data":[{"name":"amount","value":"10"},{"name":"key","value":"s&t"}]}"#
    );
    assert_eq!(postback.headers.get("content-type").map(HeaderValue::as_bytes), Some(&b"application/json"[..]));
}

#[test]
fn the_event_of_a_shared_request_stays_whatever_it_lacks() {
    let event_rule = JsonRule::Object(vec![
        ("id".into(), JsonRule::Text(template("{event_id}"))),
        ("order".into(), JsonRule::Text(template("{order_id}"))),
    ]);
    let mut rule = rule("/p");
    rule.request.method = Method::POST;
    rule.request.extra = ExtraPlace::Json("/events/0".into());
    for (list, sent) in [
        (
            JsonRule::Event(Box::new(event_rule.clone())),
            r#"[{"id":"00000000-0000-0000-0000-000000000001","key":"s&t"}]"#,
        ),
        (JsonRule::List(vec![event_rule]), "[]"),
    ] {
        rule.request.body = BodyRule::Json(JsonRule::Object(vec![("events".into(), list)]));
        let postback = rule.render(&event(&[])).expect("a request");
        assert_eq!(String::from_utf8_lossy(&postback.body), format!(r#"{{"events":{sent}}}"#));
    }
}

#[test]
fn header_values_cannot_break_out_of_their_line() {
    let mut rule = rule("/p");
    rule.request.headers = vec![(HeaderName::from_static("x-value"), template("{value}"))];
    let refused = rule.render(&event(&[("value", "1\r\nx: y")])).err();
    assert_eq!(refused, Some(Unrenderable::Header("x-value".into())));
}

fn signed(over: &str, key: Option<&str>, place: SignPlace) -> PostbackRule {
    let mut rule = rule("/p");
    rule.extra.clear();
    rule.request.sign = Some(SignRule {
        over: template(over),
        with: if key.is_some() { Algorithm::Sha256 } else { Algorithm::Md5 },
        key: key.map(template),
        writing: Writing::Hex,
        prefix: String::new(),
        place,
    });
    rule
}

#[test]
fn a_checksum_over_values_and_a_secret_goes_where_the_network_looks_for_it() {
    let rule = signed("{order_id}|{value|or:\"0\"}|{token}", None, SignPlace::Query("hash".into()));
    let postback = rule.render(&event(&[("order_id", "7/8"), ("value", "10")])).expect("a request");
    // echo -n '7/8|10|k3y' | md5sum
    assert_eq!(postback.url.query(), Some("typ=s&v=10&c=a%2Fb%2Cc&hash=51a2737e294cba62fbd40ec9548203ac"));
    assert_eq!(rule.render(&event(&[])).err(), Some(Unrenderable::Signature), "never without it");
}

#[test]
fn the_whole_address_can_be_signed_as_it_goes_onto_the_wire() {
    let rule = signed("{request_url}{token}", None, SignPlace::Query("hash".into()));
    let url = rule.render(&event(&[])).expect("a request").url;
    // echo -n 'https://net.example/p?typ=s&c=a%2Fb%2Cck3y' | md5sum
    assert_eq!(url.as_str(), "https://net.example/p?typ=s&c=a%2Fb%2Cc&hash=a57af637efbd0fe8eab23b2a15063b13");
    let path = signed("{request_path}?{request_query}", None, SignPlace::Header(HeaderName::from_static("x-sum")));
    let sum = path.render(&event(&[])).expect("a request").headers["x-sum"].clone();
    assert_eq!(sum, Writing::Hex.text(&Algorithm::Md5.digest(b"/p?typ=s&c=a%2Fb%2Cc")));
}

#[test]
fn the_body_can_be_signed_with_a_key() {
    let mut rule = signed("{request_body}", Some("{token}"), SignPlace::Header(HeaderName::from_static("x-sign")));
    rule.request.method = Method::POST;
    rule.request.body = BodyRule::Json(JsonRule::Object(vec![("v".into(), JsonRule::Text(template("{value}")))]));
    if let Some(sign) = &mut rule.request.sign {
        (sign.writing, sign.prefix) = (Writing::Base64, "sha256=".into());
    }
    let postback = rule.render(&event(&[("value", "10")])).expect("a request");
    let expected = Writing::Base64.text(&Algorithm::Sha256.hmac(b"k3y", br#"{"v":"10"}"#));
    assert_eq!(postback.headers["x-sign"], format!("sha256={expected}"));
    let without_key = signed("{request_body}", Some("{value}"), SignPlace::Query("s".into()));
    assert_eq!(without_key.render(&event(&[])).err(), Some(Unrenderable::Signature));
}

#[test]
fn a_signature_can_end_a_form() {
    let mut rule = signed("{request_body}&{token}", None, SignPlace::Form("sig".into()));
    rule.request.body = BodyRule::Form(vec![("a".into(), template("{value}"))]);
    let body = rule.render(&event(&[("value", "1 0")])).expect("a request").body;
    let sum = Writing::Hex.text(&Algorithm::Md5.digest(b"a=1%200&k3y"));
    assert_eq!(String::from_utf8_lossy(&body), format!("a=1%200&sig={sum}"));
}

#[test]
fn credentials_are_sent_and_not_shown() {
    let mut rule = rule("/p");
    rule.request.query = vec![("key".into(), template("{token}"))];
    rule.request.authorization = Authorization::Bearer(template("{token}"));
    rule.request.headers = vec![
        (HeaderName::from_static("x-key"), template("{token}")),
        (HeaderName::from_static("x-own"), Template::secret("s3cret")),
        (HeaderName::from_static("x-other"), template("{value}")),
    ];
    let postback = rule.render(&event(&[("value", "10")])).expect("a request");
    assert_eq!(postback.headers["authorization"], "Bearer k3y");
    let sensitive: Vec<_> = postback.headers.iter().filter(|(_, it)| it.is_sensitive()).map(|(name, _)| name).collect();
    assert_eq!(sensitive, ["x-key", "x-own", "authorization"]);
    (rule.request.url.path, rule.request.url.query) = (template("/k3y").hidden(), Some("key=k3y".into()));
    let shown = format!("{rule:?} {postback:?}");
    assert!(!shown.contains("k3y") && !shown.contains("s3cret"), "{shown}");
}
