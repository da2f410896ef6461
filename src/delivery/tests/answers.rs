//! The client against networks that answer in every way, or not at all.

use tokio::net::TcpListener;

use super::*;
use crate::tracking::verdict::RetryReason;

#[tokio::test]
async fn redirects_are_not_followed() {
    let network = Network::that(|_| {
        Reaction::Answer("HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n")
    })
    .await;
    let reply = client().send(get(&network.url())).await.unwrap();
    assert_eq!((reply.status, network.count()), (302, 1));
    assert_eq!(reply.retry_after.as_deref(), Some("7"));
    assert!(network.seen.lock().unwrap()[0].contains(concat!("user-agent: throughline/", env!("CARGO_PKG_VERSION"))));
}

#[tokio::test]
async fn a_postback_may_bring_its_own_user_agent() {
    let network = Network::that(|_| OK).await;
    let mut postback = get(&network.url());
    postback.headers.insert("user-agent", "visitor".parse().unwrap());
    assert_eq!(client().send(postback).await.unwrap().body.as_deref(), Some(&b"OK"[..]));
    assert!(network.seen.lock().unwrap()[0].contains("user-agent: visitor"));
}

#[tokio::test]
async fn an_endless_body_is_no_body() {
    let network = Network::that(|_| Reaction::Endless).await;
    let reply = within(6, client().send(get(&network.url()))).await.unwrap();
    assert_eq!((reply.status, reply.body), (200, None));
}

#[tokio::test]
async fn a_body_that_stalls_is_no_body() {
    let network = Network::that(|_| Reaction::Stall).await;
    let reply = within(7, client().send(get(&network.url()))).await.unwrap();
    assert_eq!((reply.status, reply.body), (200, None));
}

#[tokio::test]
async fn refused_and_broken_connections_are_told_apart() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert_eq!(client().send(get(&format!("http://{gone}/"))).await.unwrap_err(), RetryReason::Connect);
    let network = Network::that(|_| Reaction::Reset).await;
    assert_eq!(client().send(get(&network.url())).await.unwrap_err(), RetryReason::Reset);
}
