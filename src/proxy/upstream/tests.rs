//! Which address a request goes to, and where next.

use std::collections::BTreeMap;

use pingora::ErrorType;

use super::*;
use crate::config::{HealthRules, ServerAddress, ServerRules};

fn server(ip: &str, weight: u32) -> ServerRules {
    let address = ServerAddress::Tcp { host: ip.to_owned(), port: 80 };
    ServerRules { url: format!("http://{ip}"), address, scheme: Scheme::Http, weight }
}

fn upstream(servers: &[(&str, u32)]) -> Upstream {
    let rules = UpstreamRules {
        health: Some(HealthRules {
            path: "/up".to_owned(),
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
        }),
        ..UpstreamRules::new(servers.iter().map(|(ip, weight)| server(ip, *weight)).collect())
    };
    Upstream::new(&rules, "shop", None).unwrap()
}

/// Takes so many turns and counts who had them.
fn turns(upstream: &Upstream, count: usize, now: Instant) -> BTreeMap<String, usize> {
    let mut turns = BTreeMap::new();
    for _ in 0..count {
        let chosen = upstream.choose(&Attempts::default(), now).unwrap();
        *turns.entry(chosen.line.address()).or_default() += 1;
    }
    turns
}

fn counts(counts: &[(&str, usize)]) -> BTreeMap<String, usize> {
    counts.iter().map(|(address, count)| ((*address).to_owned(), *count)).collect()
}

#[expect(clippy::disallowed_methods, reason = "a test needs some instant")]
fn some_instant() -> Instant {
    Instant::now()
}

#[test]
fn what_is_known_against_a_server_keeps_requests_away_while_there_is_a_better_one() {
    let (upstream, now) = (upstream(&[("10.0.0.1", 2), ("10.0.0.2", 1), ("10.0.0.3", 1)]), some_instant());
    let all = counts(&[("10.0.0.1:80", 4), ("10.0.0.2:80", 2), ("10.0.0.3:80", 2)]);
    assert_eq!(turns(&upstream, 8, now), all);
    let endpoint = |index: usize| Arc::clone(&upstream.servers[index].endpoints()[0]);

    endpoint(0).has_failed(now);
    assert_eq!(turns(&upstream, 8, now), counts(&[("10.0.0.2:80", 4), ("10.0.0.3:80", 4)]));
    for _ in 0..2 {
        endpoint(1).has_answered(false);
    }
    assert_eq!(turns(&upstream, 8, now), counts(&[("10.0.0.3:80", 8)]));
    endpoint(2).has_failed(now);
    assert_eq!(turns(&upstream, 8, now).keys().collect::<Vec<_>>(), ["10.0.0.1:80", "10.0.0.3:80"]);
    for index in [0, 2] {
        endpoint(index).has_answered(false);
        endpoint(index).has_answered(false);
    }
    assert_eq!(turns(&upstream, 8, now), all, "when nobody is well, all are tried");
}

#[test]
fn a_request_never_goes_back_to_an_address_that_failed_while_there_is_another() {
    let (upstream, now) =
        (upstream(&[("10.0.0.1", 100), ("10.0.0.2", 1), ("10.0.0.3", 1), ("10.0.0.4", 1)]), some_instant());
    let (mut attempts, mut seen) = (Attempts::default(), Vec::new());
    loop {
        let chosen = upstream.choose(&attempts, now).unwrap();
        seen.push(chosen.line.address());
        attempts.chosen = Some(chosen);
        if !upstream.failed_to_connect(&mut attempts, Error::new_up(ErrorType::ConnectRefused), now).retry() {
            break;
        }
    }
    let tries = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!((tries, seen.len()), (3, 3));
}

#[test]
fn the_only_address_is_not_tried_again_and_says_so_when_it_is_known_to_be_out() {
    let (upstream, now) = (upstream(&[("10.0.0.1", 1)]), some_instant());
    let fail = |error| {
        let mut attempts = Attempts { chosen: upstream.choose(&Attempts::default(), now), ..Attempts::default() };
        upstream.failed_to_connect(&mut attempts, error, now)
    };
    let error = fail(Error::new_up(ErrorType::ConnectRefused));
    assert!(!error.retry());
    assert_eq!(status_for(&error), 502);
    assert!(fail(Error::new_up(ErrorType::H2Error)).retry(), "a pooled connection that had died");
    let endpoint = Arc::clone(&upstream.servers[0].endpoints()[0]);
    endpoint.has_answered(false);
    endpoint.has_answered(false);
    assert_eq!(status_for(&fail(Error::new_up(ErrorType::ConnectRefused))), 503);
}

#[test]
fn a_fault_of_this_machine_is_not_held_against_a_server() {
    let (upstream, now) = (upstream(&[("10.0.0.1", 1), ("10.0.0.2", 1)]), some_instant());
    let mut attempts = Attempts { chosen: upstream.choose(&Attempts::default(), now), ..Attempts::default() };
    assert!(upstream.failed_to_connect(&mut attempts, Error::new_up(ErrorType::InternalError), now).retry());
    assert_eq!(turns(&upstream, 2, now).len(), 2);
}

#[test]
fn cookies_in_several_lines_become_one() {
    let mut headers = HeaderMap::new();
    assert_eq!(joined_cookies(&headers), None);
    headers.append(header::COOKIE, HeaderValue::from_static("a=1"));
    assert_eq!(joined_cookies(&headers), None);
    headers.append(header::COOKIE, HeaderValue::from_static("b=2"));
    headers.append(header::COOKIE, HeaderValue::from_static("c=3"));
    assert_eq!(joined_cookies(&headers).unwrap(), b"a=1; b=2; c=3");
}
