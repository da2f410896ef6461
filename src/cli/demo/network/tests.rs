//! The stand-ins answer as the networks do.

use super::*;

const GOAL: &str = "0123456789abcdef0123456789abcdef";

fn log() -> ReceivedLog {
    ReceivedLog::new("127.0.0.1:8000")
}

fn uri(text: &str) -> Uri {
    text.parse().unwrap()
}

#[test]
fn exoclick_takes_a_conversion_once_and_only_for_its_own_clicks() {
    let log = log();
    let click = log.issue(&uri("/click/exoclick"));
    assert_eq!(log.judge(GOAL, &click), "OK");
    assert_eq!(log.judge(GOAL, &click), "ERROR: This conversion has already been notified and saved.");
    assert_eq!(log.judge(&GOAL.replace('0', "f"), &click), "OK", "another goal is another conversion");
    assert_eq!(log.judge(GOAL, "forged"), "ERROR: Tag is invalid!");
    assert_eq!(log.judge(GOAL, ""), "ERROR: No tag data.");
    assert_eq!(log.judge("0123", &click), "ERROR: Goal ID is invalid.");
}

#[tokio::test]
async fn a_request_without_a_tag_is_a_pixel() {
    let log = log();
    let response = tag(State(log.clone()), Method::GET, uri("/tag.php?goal=0")).await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "image/gif");
    assert_eq!(log.memory().received[0].what, What::Pixel);
}

#[tokio::test]
async fn rokt_wants_a_key_pair_and_an_event() {
    let log = log();
    let event = |click: &str| {
        let data = json!([{ "name": "passbackconversiontrackingid", "value": click }]);
        json!({ "clientEventId": "e", "objectData": data })
    };
    let good = json!({ "accountId": "1", "events": [event("abc")] });
    let send = async |key: &str, body: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, format!("Basic {}", BASE64_STANDARD.encode(key)).parse().unwrap());
        events(State(log.clone()), Method::POST, uri("/v2/events"), headers, body.to_owned().into()).await.status()
    };
    assert_eq!(send("public:secret", &good.to_string()).await, StatusCode::OK);
    assert_eq!(log.memory().received[0].click, "abc");
    let two = json!({ "accountId": "1", "events": [event("def"), event("ghi")] });
    assert_eq!(send("public:secret", &two.to_string()).await, StatusCode::OK);
    let shown: Vec<_> = log.memory().received.iter().map(|received| received.click.clone()).collect();
    assert_eq!(shown, ["ghi", "def", "abc"], "each event of a request");
    assert_eq!(send("public:", &good.to_string()).await, StatusCode::UNAUTHORIZED);
    assert_eq!(send("public:secret", "{}").await, StatusCode::BAD_REQUEST);
    assert_eq!(send("public:secret", "not json").await, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn each_ad_leads_to_the_shop_with_a_click_id_of_its_own() {
    let log = log();
    for (ad, start) in [("exoclick", "/?exotracker="), ("rokt", "/?rtid="), ("moved", "/old-landing?exotracker=")] {
        let response = click(State(log.clone()), uri(&format!("/click/{ad}"))).await;
        let location = response.headers()[header::LOCATION].to_str().unwrap().to_owned();
        let id = location.strip_prefix(&format!("http://127.0.0.1:8000{start}")).unwrap().to_owned();
        assert_eq!(log.memory().issued.back(), Some(&id));
        assert_eq!(id.len(), 32);
    }
    assert_eq!(click(State(log), uri("/click/other")).await.status(), StatusCode::NOT_FOUND);
}

#[test]
fn the_log_is_bounded_and_hostile_text_stays_text() {
    let log = log();
    for _ in 0..BOUND + 50 {
        log.issue(&uri("/click/exoclick"));
    }
    let hostile = format!("<script>\"'&{}", "x".repeat(10_000));
    log.note(What::Postback, &Method::GET, &uri("/tag.php?tag=%3Cscript%3E"), &hostile, "OK");
    assert_eq!(log.memory().received.len(), BOUND);
    assert_eq!(log.memory().issued.len(), BOUND);
    let html = page::render(&log);
    assert!(!html.contains("<script>") && html.contains("&lt;script&gt;&quot;&#39;&amp;"));
    assert!(html.len() < BOUND * 1_000);
}

#[test]
fn the_pixel_is_a_whole_gif() {
    assert_eq!(PIXEL.len(), 43);
    assert!(PIXEL.starts_with(b"GIF89a") && PIXEL.ends_with(b";"));
}
