//! What stands in the page, or is known only after its head: keys, values, journeys.

use super::*;
use crate::tracking::{
    consent::{ConsentRules, Requirement},
    value::PageSource,
};

fn from_page(css: &str) -> Value {
    Value::Source(Source::Page(PageSource::Html { css: css.into(), attribute: None }), None)
}

fn shown(pairs: &[(&str, &str)]) -> AnswerBody {
    let mut body = AnswerBody::default();
    for (css, text) in pairs {
        let source = PageSource::Html { css: (*css).into(), attribute: None };
        body.page.insert(source, (*text).into());
    }
    body
}

/// A conversion whose order number, or only its value, stands in the page; the pixel says the value.
fn reading(order_in_page: bool) -> SiteRules {
    let mut site = shop();
    let rule = &mut site.conversions[0];
    if order_in_page {
        rule.fields = vec![("order_id".into(), from_page("#order"))];
        rule.once_per = Some(from_page("#order"));
    }
    rule.fields.push(("value".into(), from_page("#total")));
    rule.send.truncate(1);
    let wanted = &mut rule.send[0].wanted;
    wanted.add_name("value");
    let sync = site.networks[0].sync.as_mut().expect("pixels");
    sync.query = vec![("value".into(), Template::parse("{value}").expect("a template"))];
    site
}

/// Makes identifiers that differ.
fn counted() -> impl FnMut() -> Uuid {
    let mut next = 0;
    move || {
        next += 1;
        Uuid::from_u128(next)
    }
}

fn head(site: SiteRules, target: &str) -> (Visit, Answered) {
    let mut visit = begin(site, &Method::GET, target, &[]).expect("a hit");
    let reply = Reply { may_have_body: true, ..reply(200, Room::For(&|_| true)) };
    let plan = visit.answered(reply, None, &mut counted());
    (visit, plan)
}

fn end(visit: &mut Visit, body: &AnswerBody) -> Answered {
    visit.finished(body, None, Timestamp::from_millis(2), &mut counted())
}

#[test]
fn pixels_whose_key_stands_in_the_page_are_fetched_by_the_browser_later() {
    let (mut visit, plan) = head(reading(true), "/thanks");
    assert!(plan.claims.is_empty() && plan.rows.is_empty() && plan.unreached.is_empty());
    let [owing] = plan.owing[..] else { panic!("{plan:?}") };
    let plan = end(&mut visit, &shown(&[("#order", "A-1"), ("#total", "12.50")]));
    let [row] = &plan.rows[..] else { panic!("{plan:?}") };
    assert_eq!((row.event.id, row.hold.clone()), (owing.event_id, Some(Hold::Owed)));
    assert!(row.dedup.is_some() && row.event.payload.fields["value"] == "12.50");

    let (mut visit, _) = head(reading(true), "/thanks");
    let plan = end(&mut visit, &shown(&[("#total", "12.50")]));
    assert_eq!((plan.rows.len(), outcomes(&plan)), (0, vec![Outcome::NoClick]), "without its key, nothing is owed");

    let mut proven = reading(true);
    proven.conversions[0].proof.success = vec![Mark::Text("Thank you".into())];
    let (mut visit, _) = head(proven, "/thanks");
    let plan = end(&mut visit, &shown(&[("#order", "A-1")]));
    assert!(plan.rows.is_empty(), "nor without its proof");
}

#[test]
fn a_browser_that_nobody_can_tell_later_is_told_nothing() {
    let mut optimistic = reading(true);
    optimistic.networks[0].optimistic = true;
    for site in [optimistic, SiteRules { seal: None, ..reading(true) }] {
        let (mut visit, plan) = head(site, "/thanks");
        assert!(plan.owing.is_empty());
        let plan = end(&mut visit, &shown(&[("#order", "A-1")]));
        assert_eq!((plan.rows.len(), plan.unreached), (0, vec![0]));
    }
}

#[test]
fn pixels_say_what_the_page_has_shown() {
    let (mut visit, plan) = head(reading(false), "/thanks?order=7");
    assert_eq!(plan.claims[0].pixels, ["https://pixel.example/p"]);
    assert!(plan.claims[0].awaits_page && plan.owing.is_empty());
    let plan = end(&mut visit, &shown(&[("#total", "12.50")]));
    assert!(plan.claim_ends[0].is_proven);
    assert_eq!(plan.claim_ends[0].pixels, ["https://pixel.example/p?value=12.50"]);
}

#[test]
fn while_its_journey_is_awaited_every_conversion_is_a_candidate() {
    let hit = |headers| begin(shop(), &Method::GET, "/thanks?order=7", headers).expect("a hit");
    let mut visit = hit(&[("cookie", "_clicky=abc")]);
    let early = visit.answered_too_soon(reply(200, Room::For(&|_| true)), &mut counted());
    let hold = Hold::Candidate { needs_proof: false, key_is_open: false, needs_journey: true };
    assert_eq!(early.rows.iter().map(|row| row.hold.clone()).collect::<Vec<_>>(), [Some(hold.clone()), Some(hold)]);
    assert!(early.claims.is_empty() && !early.rows.iter().any(|row| row.awaits_verdict));
    let plan = end(&mut visit, &AnswerBody::default());
    let ids = |rows: &[PlannedRow]| rows.iter().map(|row| row.event.id).collect::<Vec<_>>();
    assert_eq!(ids(&plan.settled), ids(&early.rows), "settled under their ids");
    assert!(plan.settled.iter().all(|row| row.hold.is_none()));

    let mut visit = hit(&[]);
    let early = visit.answered_too_soon(reply(200, Room::For(&|_| true)), &mut counted());
    let plan = end(&mut visit, &AnswerBody::default());
    let [(dropped, id)] = &plan.dropped[..] else { panic!("{plan:?}") };
    assert_eq!((dropped.outcome, *id), (Outcome::NoClick, early.rows[0].event.id), "nothing to report by after all");
}

#[test]
fn nothing_is_stored_before_a_journey_that_alone_knows_of_consent() {
    let mut site = shop();
    site.conversions[0].triggers[0].caller = Caller::Server(vec![]);
    let early = |site| {
        let mut visit = begin(site, &Method::GET, "/thanks?order=7", &[]).expect("a hit");
        visit.answered_too_soon(reply(200, Room::Closed), &mut counted()).rows.len()
    };
    assert_eq!(early(site.clone()), 2, "where nobody is asked");
    site.consent = Arc::new(ConsentRules { require: Requirement::AdStorage, ..ConsentRules::default() });
    assert_eq!(early(site), 0);
}
