//! What Google's answers mean, and what it is asked.

use super::*;
use crate::delivery::mask::Mask;

fn reply(status: u16, body: &str) -> Reply {
    Reply {
        status,
        body: Some(body.as_bytes().to_vec()),
        retry_after: None,
        moved_to: None,
        headers: HeaderMap::new(),
        mask: Mask::default(),
    }
}

#[test]
fn rows_are_judged_one_by_one() {
    let body = r#"{"kind":"bigquery#tableDataInsertAllResponse","insertErrors":[
        {"index":0,"errors":[{"reason":"invalid","location":"site","message":"no such field: CANARY"}]},
        {"index":2,"errors":[{"reason":"timeout","location":"","message":""}]},
        {"index":3,"errors":[{"reason":"stopped"},{"reason":"invalid"}]},
        {"index":99,"errors":[{"reason":"invalid"}]}]}"#;
    let report = judged(&reply(200, body), 5);
    assert_eq!(report.fates, [Fate::Refused, Fate::Delivered, Fate::Again, Fate::Refused, Fate::Delivered]);
    assert_eq!(report.why, "BigQuery refuses rows: invalid in column `site`");
}

#[test]
fn an_answer_decides_what_becomes_of_its_rows() {
    let error = |reason: &str| {
        format!(r#"{{"error":{{"code":403,"message":"CANARY of it","errors":[{{"reason":"{reason}"}}]}}}}"#)
    };
    for (status, body, fates, why) in [
        (200, r#"{"kind":"bigquery#tableDataInsertAllResponse"}"#.to_owned(), vec![Fate::Delivered; 2], ""),
        (200, "<html>".to_owned(), vec![], "the answer cannot be read"),
        (400, error("invalid"), vec![Fate::Refused; 2], "BigQuery answers with status 400 invalid"),
        (413, "x".to_owned(), vec![Fate::Refused; 2], "BigQuery answers with status 413"),
        (403, error("accessDenied"), vec![], "BigQuery answers with status 403 accessDenied CANARY of it"),
        (404, error("notFound"), vec![], "BigQuery answers with status 404 notFound CANARY of it"),
        (403, error("rate LimitExceeded <b>"), vec![], "BigQuery answers with status 403 rate CANARY of it"),
        (429, error("quotaExceeded"), vec![], "BigQuery answers with status 429 quotaExceeded"),
        (503, error("backendError"), vec![], "BigQuery answers with status 503 backendError"),
        (302, String::new(), vec![], "BigQuery answers with status 302"),
    ] {
        let report = judged(&reply(status, &body), 2);
        assert_eq!((report.fates, report.why.as_str()), (fates, why), "{status}");
    }
}

#[test]
fn names_cannot_leave_their_place_in_the_address() {
    for (endpoint, names, address) in [
        (
            BigQuerySettings::ENDPOINT,
            ["p", "d", "t"],
            "https://bigquery.googleapis.com/bigquery/v2/projects/p/datasets/d/tables/t/insertAll",
        ),
        (
            "http://127.0.0.1:9/x/",
            ["a.b:p", "d/../x", "t?u"],
            "http://127.0.0.1:9/x/projects/a.b:p/datasets/d%2F..%2Fx/tables/t%3Fu/insertAll",
        ),
    ] {
        let url = BigQuerySettings::insert_all(Url::parse(endpoint).unwrap(), names).unwrap();
        assert_eq!(url.as_str(), address);
    }
}

#[test]
fn a_file_that_is_none_of_googles_is_told() {
    use credentials::{CredentialFile, InvalidCredentials};
    let account = r#"{"type":"service_account","client_email":"a@b","private_key_id":"1","private_key":"CANARY","project_id":"p"}"#;
    let read = CredentialFile::parse(account).unwrap();
    assert_eq!(read.project(), Some("p"));
    assert!(!format!("{read:?} {:?}", Credentials::File(read.clone())).contains("CANARY"));
    for (text, expected) in [
        ("", InvalidCredentials::Syntax),
        ("[]", InvalidCredentials::Syntax),
        ("{}", InvalidCredentials::Type),
        (r#"{"type":"gdch_service_account"}"#, InvalidCredentials::Type),
        (r#"{"type":"service_account","client_email":"a"}"#, InvalidCredentials::Missing("private_key_id")),
        (r#"{"type":"external_account","audience":"a"}"#, InvalidCredentials::Missing("subject_token_type")),
    ] {
        assert_eq!(CredentialFile::parse(text).unwrap_err(), expected, "{text}");
    }
}

#[tokio::test]
async fn a_key_that_is_none_gives_no_token_and_does_not_appear() {
    let account = r#"{"type":"service_account","client_email":"a@b","private_key_id":"1","private_key":"CANARY","project_id":"p"}"#;
    let file = credentials::CredentialFile::parse(account).unwrap();
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let mut tokens = Tokens::new(Credentials::File(file));
    for _ in 0..2 {
        let why = tokens.token().await.unwrap_err();
        assert!(why.starts_with("Google gave no token") && !why.contains("CANARY"), "{why}");
    }
}
