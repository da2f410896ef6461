use std::{collections::BTreeMap, sync::Arc};

use uuid::Uuid;

use super::*;
use crate::tracking::{
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
            basic: None,
            body: BodyRule::Empty,
            extra: ExtraPlace::Query,
        },
        names: ConfiguredNames {
            parameters: BTreeMap::from([
                ("extra.key".to_owned(), template("s&t")),
                ("device".to_owned(), template("{device}")),
            ]),
            lists: BTreeMap::new(),
            settings: BTreeMap::from([("domain".to_owned(), "net.example".to_owned())]),
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
