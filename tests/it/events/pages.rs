//! The page in the records of clicks and hits.

use serde_json::Value;

use super::{await_records, shop_with_events};
use crate::support::{
    config::shop,
    network::AdNetwork,
    origin::Origin,
    proxy::{Proxy, Setup},
};

const FILE: &str = "  file: { path: events.jsonl }\n";

/// What a visitor's records say of pages: kind, method and address.
fn told(setup: Setup, count: usize) -> Vec<[String; 3]> {
    let proxy = setup.start();
    let mut visitor = proxy.visitor();
    visitor.lands("/jane%40mail.example?exotracker=abc&utm_source=ads&CANARY@mail.example");
    visitor.get("/thank-you/1001?total=49.90&email=CANARY%40mail.example");
    let records = await_records(&proxy.folder().join("events.jsonl"), count);
    let text = |record: &Value, key: &str| record[key].as_str().unwrap_or("-").to_owned();
    let of_pages = records.iter().filter(|record| ["Click", "Conversion"].contains(&record["type"].as_str().unwrap()));
    of_pages.map(|record| ["type", "request_method", "request_url"].map(|key| text(record, key))).collect()
}

#[test]
fn clicks_and_hits_say_on_which_page_and_little_else() {
    let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
    let told = told(shop_with_events(&origin, &network, FILE), 5);
    let expected = [
        ["Click", "GET", "http://shop.example/***?exotracker=***&utm_source=***&***"],
        ["Conversion", "GET", "http://shop.example/thank-you/1001?total=***&email=***"],
    ];
    assert_eq!(told, expected);
}

#[test]
fn who_keeps_personal_values_gets_whole_addresses() {
    let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
    let told = told(shop_with_events(&origin, &network, &format!("{FILE}  personal: keep\n")), 5);
    assert_eq!(told[0][2], "http://shop.example/jane%40mail.example?exotracker=abc&utm_source=ads&CANARY@mail.example");
    assert_eq!(told[1][2], "http://shop.example/thank-you/1001?total=49.90&email=CANARY%40mail.example");
}

#[test]
fn nothing_is_told_of_visitors_who_have_not_agreed() {
    let (origin, network) = (Origin::start(), AdNetwork::answering(["OK"]));
    let config = shop(&origin, &network)
        .replace("    networks:\n", "    consent: { require: ad_storage, from: [tcf] }\n    networks:\n");
    assert!(config.contains("ad_storage"), "{config}");
    let told = told(Proxy::with(&format!("events:\n{FILE}{config}")), 2);
    assert!(!told.is_empty() && told.iter().all(|record| record[1..] == ["-", "-"]), "{told:?}");
}
