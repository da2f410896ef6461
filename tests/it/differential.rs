//! The proxy beside no proxy: every answer must be the same, byte for byte.
//!
//! A site has some five hundred awkward exchanges ([`cases`]). Each is made directly and through the proxy, by
//! visitors and from sites that speak HTTP/1.1 or HTTP/2, with TLS or without ([`road`]), and compared
//! ([`comparison`]): what the visitor saw, and what the site was asked. The same again when every address
//! carries a click ID and when every page is a thank-you page ([`expected`]). What can't be the same is
//! listed with its reason ([`known`]).

mod cases;
mod comparison;
mod expected;
mod known;
mod pages;
mod road;
mod tampering;

use std::sync::Arc;

use expected::Mode;
use road::{Exchange, Findings, ORIGINS, VISITORS, compare, differences, enabled, start_site, walk};

use crate::support::{
    tls::{ANYWHERE, Issued},
    twin::{Client, Transport},
};

fn compare_all(mode: Mode) -> Findings {
    let cases = cases::all();
    let findings = enabled(&ORIGINS).map(|origin| compare(&cases, mode, origin)).reduce(Findings::and);
    findings.expect("a kind of site")
}

#[test]
fn every_answer_is_the_same_with_the_proxy_and_without() {
    let findings = compare_all(Mode::Passing);
    findings.assert_same();
    let unused =
        known::KNOWN_DIFFERENCES.iter().enumerate().filter(|(index, _)| !findings.known().any(|it| it == *index));
    let unused =
        unused.map(|(_, known)| known.reason).filter(|reason| is_everything_on() || reason.starts_with("TO BE"));
    assert_eq!(unused.collect::<Vec<_>>(), [""; 0], "known differences that never occurred");
}

#[test]
fn a_landing_adds_a_cookie_to_every_answer_and_nothing_else() {
    compare_all(Mode::Landing).assert_same();
}

#[test]
fn a_thank_you_page_gets_one_insertion_and_everything_else_is_the_same() {
    compare_all(Mode::Converting).assert_same();
}

fn is_everything_on() -> bool {
    enabled(&VISITORS).count() == VISITORS.len() && enabled(&ORIGINS).count() == ORIGINS.len()
}

/// The visitors and the sites of these stories understand each other without a proxy, and what they
/// say does not depend on how they say it.
#[test]
fn without_a_proxy_all_transports_say_the_same() {
    let (identity, cases) = (Arc::new(Issued::to(&ANYWHERE)), cases::all());
    let road = |transport: Transport| -> Vec<Option<Exchange>> {
        let site = start_site(transport, &identity, &cases);
        let can_go = |case: &cases::Case| case.can_go(transport, transport);
        walk(&cases, Mode::Passing, "direct", &site, can_go, || Client::new(transport, site.address(), &identity)).0
    };
    let first = road(Transport::HTTP1);
    let mut compared = 0;
    let mut wrong = Vec::new();
    for transport in Transport::ALL {
        for ((case, one), other) in cases.iter().zip(&first).zip(&road(transport)) {
            let (Some(one), Some(other)) = (one, other) else { continue };
            compared += 1;
            let found = differences(case, Mode::Passing, None, one, other);
            wrong.extend(found.iter().map(|difference| format!("{:?} over {transport}: {difference}", case.name)));
        }
    }
    println!("{} cases, {compared} comparisons without a proxy", cases.len());
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}
