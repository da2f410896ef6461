use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::access::{Ending, QueryRule, RequestId};

fn rules(format: AccessFormat, client_ip: StoredAddress) -> AccessRules {
    AccessRules { file: "access.log".into(), format, query: QueryRule::Keep, client_ip }
}

fn record(texts: [Option<&[u8]>; 5]) -> Record {
    Record {
        time: Timestamp::from_millis(1_795_253_400_007),
        request_id: RequestId::given(b"id-1"),
        client: Some("203.0.113.77".parse().unwrap()),
        site: Some(Arc::from("shop")),
        asked: Some(Asked::new(Version::HTTP_11, texts, QueryRule::Keep)),
        status: 200,
        bytes: 1234,
        took: Duration::from_micros(12_345),
        server: Some(Arc::from("127.0.0.1:8080")),
        server_took: Some(Duration::from_millis(10)),
        ending: Ending::Complete,
        refused: None,
    }
}

fn line(record: &Record, format: AccessFormat, client_ip: StoredAddress) -> String {
    let mut out = Vec::new();
    append(record, &rules(format, client_ip), &mut out);
    String::from_utf8(out).unwrap()
}

const PLAIN: [Option<&[u8]>; 5] =
    [Some(b"GET"), Some(b"/a?b=c"), Some(b"shop.example"), Some(b"https://ads.example/"), Some(b"Mozilla/5.0 (X11)")];

#[test]
fn a_combined_line_is_what_nginx_and_apache_write() {
    let (format, full) = (AccessFormat::Combined, StoredAddress::Full);
    assert_eq!(
        line(&record(PLAIN), format, full),
        "203.0.113.77 - - [21/Nov/2026:09:30:00 +0000] \"GET /a?b=c HTTP/1.1\" 200 1234 \
         \"https://ads.example/\" \"Mozilla/5.0 (X11)\"\n"
    );
    let hostile: [Option<&[u8]>; 5] =
        [Some(b"GET"), Some(b"/\"\\\xc3\xa4"), None, None, Some(b"a\" 200 1 \"-\"\r\n10.0.0.1 - \x7f\x1b[2J")];
    assert_eq!(
        line(&record(hostile), format, StoredAddress::Truncated),
        "203.0.113.0 - - [21/Nov/2026:09:30:00 +0000] \"GET /\\x22\\x5C\\xC3\\xA4 HTTP/1.1\" 200 1234 \"-\" \
         \"a\\x22 200 1 \\x22-\\x22\\x0D\\x0A10.0.0.1 - \\x7F\\x1B[2J\"\n"
    );
}

#[test]
fn what_was_no_request_is_a_dash() {
    let nothing = Record { asked: None, status: 400, bytes: 0, client: None, site: None, ..record(PLAIN) };
    assert_eq!(
        line(&nothing, AccessFormat::Combined, StoredAddress::Full),
        "- - - [21/Nov/2026:09:30:00 +0000] \"-\" 400 0 \"-\" \"-\"\n"
    );
}

#[test]
fn a_line_of_json_has_all_keys_whatever_there_was() {
    let whole = line(&record(PLAIN), AccessFormat::Json, StoredAddress::Truncated);
    assert_eq!(
        whole,
        "{\"time\":\"2026-11-21T09:30:00.007Z\",\"request_id\":\"id-1\",\"client\":\"203.0.113.0\",\"site\":\"shop\",\
         \"host\":\"shop.example\",\"method\":\"GET\",\"target\":\"/a?b=c\",\"protocol\":\"HTTP/1.1\",\"status\":200,\
         \"bytes\":1234,\"seconds\":0.012345,\"upstream\":\"127.0.0.1:8080\",\"upstream_seconds\":0.01,\
         \"ending\":\"complete\",\"refused\":null,\"referer\":\"https://ads.example/\",\
         \"user_agent\":\"Mozilla/5.0 (X11)\"}\n"
    );
    let little = Record {
        request_id: None,
        client: None,
        site: None,
        asked: None,
        server: None,
        server_took: None,
        refused: Some("malformed"),
        ..record(PLAIN)
    };
    let keys = |line: &str| {
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
        object.keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(keys(&line(&little, AccessFormat::Json, StoredAddress::Full)), keys(&whole));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_a_visitor_sends_is_one_line(agent: Vec<u8>, referer: Vec<u8>, target: Vec<u8>) {
        let texts = [Some(&b"GET"[..]), Some(&target), None, Some(&referer), Some(&agent)];
        for format in [AccessFormat::Combined, AccessFormat::Json] {
            let line = line(&record(texts), format, StoredAddress::Full);
            prop_assert_eq!(line.matches('\n').count(), 1);
            prop_assert!(line.bytes().all(|byte| byte == b'\n' || byte >= b' '));
            match format {
                AccessFormat::Combined => prop_assert_eq!(line.matches('"').count(), 6),
                AccessFormat::Json => prop_assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok()),
            }
        }
    }
}
