//! Conversions that nobody hears of: rules that are tried out, visitors who preview, sites that are off.

use super::*;
use crate::tracking::value::PageSource;

const CLICK: &[(&str, &str)] = &[("cookie", "_clicky=abc")];

fn shadow() -> SiteRules {
    let mut site = shop();
    site.conversions[0].is_shadow = true;
    site
}

fn held(site: SiteRules, headers: &[(&'static str, &str)], target: &str) -> Visit {
    let mut visit = begin(site, &Method::GET, target, headers).expect("a hit");
    visit.hold_conversions();
    visit
}

fn unsent(plan: &Answered) -> Vec<(Outcome, &str)> {
    plan.unsent.iter().map(|(it, event)| (it.outcome, &*event.network)).collect()
}

/// Nothing that leaves, is stored, is shown, or tells the visitor from others.
fn assert_silent(plan: &Answered) {
    assert!(plan.rows.is_empty() && plan.claims.is_empty() && plan.owing.is_empty(), "{plan:?}");
    assert!(plan.settled.is_empty() && plan.dropped.is_empty() && plan.claim_ends.is_empty(), "{plan:?}");
    assert!(plan.unreached.is_empty() && plan.undeduplicated.is_empty() && plan.set_cookies.is_empty(), "{plan:?}");
}

#[test]
fn a_rule_that_is_tried_out_tells_what_it_would_send_and_sends_nothing() {
    let plan = answer(begin(shadow(), &Method::GET, "/thanks?order=7", CLICK), 200);
    assert_silent(&plan);
    assert_eq!(unsent(&plan), [(Outcome::Shadow, "clicky"), (Outcome::Shadow, "always")]);
    let (_, event) = &plan.unsent[0];
    assert_eq!((event.payload.clicks.as_slice(), &*event.payload.fields["order_id"]), (&["abc".to_owned()][..], "7"));
    assert_eq!(plan.fields.len(), 1, "its fields are counted");
}

#[test]
fn a_visitor_who_previews_can_have_everything_held() {
    let plan = answer(Some(held(shop(), CLICK, "/thanks?order=7")), 200);
    assert_silent(&plan);
    assert_eq!(unsent(&plan), [(Outcome::Held, "clicky"), (Outcome::Held, "always")]);
    let both = answer(Some(held(shadow(), CLICK, "/thanks?order=7")), 200);
    assert_eq!(unsent(&both)[0].0, Outcome::Shadow, "the rule comes first");
}

#[test]
fn without_a_click_no_pixels_are_shown_in_the_place_of_what_is_not_sent() {
    for visit in [held(shop(), &[], "/thanks?order=7"), begin(shadow(), &Method::GET, "/thanks?order=7", &[]).unwrap()]
    {
        assert!(!visit.may_edit_page());
        let plan = answer(Some(visit), 200);
        assert_silent(&plan);
        assert_eq!(outcomes(&plan), [Outcome::NoClick]);
        assert_eq!(plan.unsent.len(), 1, "the other network needs no click");
    }
    assert!(begin(shop(), &Method::GET, "/thanks?order=7", &[]).expect("a hit").may_edit_page());
}

#[test]
fn what_comes_before_in_the_order_of_outcomes_is_told_first() {
    let get = |site, headers| begin(site, &Method::GET, "/thanks?order=7", headers);
    let off = SiteRules { mode: Mode::Off, ..shadow() };
    assert_eq!(outcomes(&answer(get(off, CLICK), 200)), [Outcome::Off; 2]);
    assert_eq!(outcomes(&answer(get(shadow(), CLICK), 404)), [Outcome::NotSuccess; 2]);
    let mut strict = shadow();
    strict.conversions[0].send.iter_mut().for_each(|send| send.required = vec!["goal".into()]);
    let plan = answer(get(strict.clone(), CLICK), 200);
    assert_silent(&plan);
    assert_eq!(outcomes(&plan), [Outcome::Incomplete; 2]);
    strict.conversions[0].send.iter_mut().for_each(|send| send.required.clear());
    strict.conversions[0].proof.success = vec![Mark::Text("Thank you".into())];
    let plan = answer(get(strict, CLICK), 200);
    assert_silent(&plan);
    assert_eq!(outcomes(&plan), [Outcome::Unproven; 2], "its page has not been seen");
}

/// The same conversion with its order in the page.
fn reading(site: SiteRules) -> SiteRules {
    let order = Value::Source(Source::Page(PageSource::Html { css: "#order".into(), attribute: None }), None);
    let mut site = site;
    site.conversions[0].fields = vec![("order_id".into(), order.clone())];
    site.conversions[0].once_per = Some(order);
    site
}

fn ended(visit: &mut Visit, order: Option<&str>) -> Answered {
    let mut body = AnswerBody::default();
    let source = PageSource::Html { css: "#order".into(), attribute: None };
    body.page.extend(order.map(|order| (source, order.into())));
    visit.finished(&body, None, Timestamp::from_millis(2), &mut || Uuid::from_u128(9))
}

#[test]
fn what_stands_in_the_page_is_awaited_without_writing_anything_down() {
    for (order, expected) in [(Some("A-1"), None), (None, Some(Outcome::Incomplete))] {
        let mut visit = held(reading(shop()), CLICK, "/thanks");
        let reply = Reply { may_have_body: true, ..reply(200, Room::For(&|_| true)) };
        let plan = visit.answered(reply, None, &mut || Uuid::from_u128(1));
        assert_silent(&plan);
        assert!(visit.awaits_body() && plan.unsent.is_empty() && plan.decided.is_empty());
        let plan = ended(&mut visit, order);
        assert_silent(&plan);
        assert_eq!(outcomes(&plan), expected.map_or_else(Vec::new, |outcome| vec![outcome; 2]));
        assert_eq!(unsent(&plan).len(), if expected.is_none() { 2 } else { 0 });
    }
}

#[test]
fn a_journey_that_comes_late_is_awaited_without_writing_anything_down() {
    let mut visit = held(shop(), CLICK, "/thanks?order=7");
    let plan = visit.answered_too_soon(reply(200, Room::For(&|_| true)), &mut || Uuid::from_u128(1));
    assert_silent(&plan);
    assert!(visit.awaits_body() && plan.unsent.is_empty());
    assert_eq!(unsent(&ended(&mut visit, None)).len(), 2);
}

#[test]
fn where_tracking_is_off_no_page_is_read_and_nothing_is_missed() {
    let hit = |mode| begin(SiteRules { mode, ..reading(shop()) }, &Method::GET, "/thanks", CLICK).expect("a hit");
    let off = hit(Mode::Off);
    assert!(!off.may_read_answer() && !off.may_edit_page() && !off.may_change());
    let plan = answer(Some(off), 200);
    assert_eq!((outcomes(&plan), plan.fields.len()), (vec![Outcome::Off; 2], 0), "no field is called missing");

    let mut observing = hit(Mode::Observe);
    assert!(observing.may_read_answer() && !observing.may_edit_page() && !observing.may_change());
    let reply = Reply { may_have_body: true, ..reply(200, Room::For(&|_| true)) };
    let plan = observing.answered(reply, None, &mut || Uuid::from_u128(1));
    assert!(plan.decided.is_empty(), "the page is still to be read");
    let plan = ended(&mut observing, Some("A-1"));
    assert_silent(&plan);
    assert_eq!((outcomes(&plan), plan.fields.len()), (vec![Outcome::Off; 2], 1), "what was read is counted");
}
