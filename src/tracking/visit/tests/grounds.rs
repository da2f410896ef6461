//! What is told of a decision, and of whom nothing is.

use super::*;
use crate::tracking::{
    consent::{ConsentRules, Requirement, Signal},
    conversion::After,
    grounds::{Details, Grounds, Told},
    journey::{Journey, RecalledClick, Remembered},
};

const NOW: Timestamp = Timestamp::from_millis(1);

fn grounds(plan: &Answered) -> Vec<(Outcome, &Grounds)> {
    let decided = plan.decided.iter().map(|it| (it.outcome, &it.grounds));
    let claims = plan.claims.iter().map(|it| (Outcome::NoClick, &it.grounds));
    decided.chain(claims).chain(plan.rows.iter().map(|it| (Outcome::Queued, &it.grounds))).collect()
}

fn told(plan: &Answered) -> &Told {
    grounds(plan).into_iter().find_map(|(_, grounds)| grounds.told.as_deref()).expect("something is told")
}

/// A site that asks for consent, read from a cookie.
fn asking() -> SiteRules {
    let granted = regex::Regex::new("^yes").expect("a pattern");
    let choice = Signal::Cookie { name: "choice".into(), granted, denied: None };
    let consent = ConsentRules { require: Requirement::AdStorage, signals: vec![choice], ..ConsentRules::default() };
    SiteRules { consent: Arc::new(consent), ..shop() }
}

fn visited(site: SiteRules, headers: &[(&'static str, &str)], status: u16, journey: Option<&Journey>) -> Answered {
    let mut next = 0;
    let mut uuid = || {
        next += 1;
        Uuid::from_u128(next)
    };
    let mut visit = begin(site, &Method::GET, "/thanks?order=7&cid=new", headers).expect("a hit");
    visit.answered(reply(status, Room::Closed), journey, &mut uuid)
}

#[test]
fn nothing_is_told_of_visitors_who_have_not_agreed() {
    let bot = ("user-agent", "Googlebot/2.1");
    let yes = ("cookie", "choice=yes");
    for (headers, status, outcome, is_told) in [
        (&[][..], 200, Outcome::NoConsent, false),
        (&[], 404, Outcome::NotSuccess, false),
        (&[bot], 200, Outcome::Bot, false),
        (&[yes, bot], 200, Outcome::Bot, true),
        (&[yes], 404, Outcome::NotSuccess, true),
        (&[yes], 200, Outcome::Queued, true),
    ] {
        let plan = visited(asking(), headers, status, None);
        for (found, grounds) in grounds(&plan) {
            assert_eq!((found, grounds.told.is_some()), (outcome, is_told), "{headers:?} {status}");
            assert_eq!(grounds.reason.is_some(), found == Outcome::NotSuccess);
        }
    }
    for mode in [Mode::Off, Mode::Observe] {
        let plan = visited(SiteRules { mode, ..shop() }, &[], 200, None);
        assert!(grounds(&plan).iter().all(|(_, grounds)| grounds.told.is_none() && grounds.reason.is_some()));
    }
}

#[test]
fn a_caller_whose_journey_is_awaited_speaks_for_nobody() {
    let mut site = asking();
    site.conversions[0].triggers[0].caller = Caller::Server(vec![]);
    let mut visit = begin(site, &Method::GET, "/thanks?order=7", &[("cookie", "choice=yes")]).expect("a hit");
    let plan = visit.answered_too_soon(reply(404, Room::Closed), &mut Uuid::nil);
    assert_eq!(plan.decided.len(), 2);
    assert!(plan.decided.iter().all(|it| it.grounds.told.is_none()), "{plan:?}");
}

#[test]
fn the_places_that_were_read_are_told_and_the_values_of_an_order_alone() {
    let mut site = shop();
    let remembered = Value::Source(Source::Journey("email".into()), None);
    let page = Value::Source(Source::Query("none".into()), None);
    let first = Value::FirstOf(vec![page.clone(), Value::Source(Source::Query("order".into()), None)]);
    site.conversions[0].fields.extend([
        ("email".into(), remembered),
        ("coupon".into(), first),
        ("value".into(), page),
        ("currency".into(), Value::Literal("EUR".into())),
    ]);
    let mut journey = Journey::default();
    let at = Timestamp::from_millis(-5);
    journey.fields.insert("email".into(), Remembered::new("a@b.example", at));
    journey.pass("checkout", at);
    let old = RecalledClick { network: "clicky".into(), id: "old".into(), time: at, is_carried: false };
    journey.clicks = vec![old];
    let plan = visited(site.clone(), &[], 200, Some(&journey));
    let told = told(&plan);
    assert_eq!((told.order_id.as_deref(), told.clicks.as_slice()), (Some("7"), &["new".to_owned()][..]));
    let Details { click_from, landings, fields, captures, matched_by, consent, status, .. } = &told.details;
    assert_eq!((click_from.as_deref(), *status), (Some("query.cid"), Some(200)));
    assert_eq!(landings.iter().map(|it| (it.at, it.click_id.as_str())).collect::<Vec<_>>(), [(NOW, "new")]);
    assert_eq!((captures["checkout"], matched_by.as_slice()), (at, &["recognise_by".to_owned()][..]));
    assert_eq!(consent.as_ref().unwrap().decision, "not_required");
    let read: Vec<_> = fields.iter().map(|it| (&*it.name, &*it.result, &*it.from, it.captured)).collect();
    assert_eq!(
        read,
        [
            ("order_id", "found", "query.order", None),
            ("email", "found", "journey.email", Some(at)),
            ("coupon", "found", "query.order", None),
            ("value", "missing", "query.none", None),
            ("currency", "found", "the configuration", None),
        ]
    );
    assert!(!format!("{plan:?}").split("grounds").skip(1).any(|it| it.contains("a@b.example")));
    let mut visit = begin(site, &Method::GET, "/thanks?order=7", &[]).expect("a hit");
    let plan = visit.answered(reply(200, Room::Closed), Some(&journey), &mut Uuid::nil);
    let Details { click_from, landings, .. } = &self::told(&plan).details;
    assert_eq!((click_from.as_deref(), landings[0].at, &*landings[0].param), (Some("journey"), at, "cid"));
}

#[test]
fn reasons_name_what_stands_in_the_configuration() {
    let reasons = |site: SiteRules, status| -> Vec<(Outcome, Option<String>)> {
        let plan = visited(site, &[], status, None);
        grounds(&plan).into_iter().map(|(outcome, grounds)| (outcome, grounds.reason.clone())).collect()
    };
    let mut needy = shop();
    needy.conversions[0].send = vec![send(1, &["click_id", "email"])];
    let mut preceded = shop();
    preceded.conversions[0].after = Some(After { captures: vec!["a".into(), "b".into()], within: DAY });
    let mut proved = shop();
    proved.conversions[0].proof.success = vec![Mark::Text("Thanks".into())];
    for (site, status, outcome, reason) in [
        (shop(), 503, Outcome::NotSuccess, "status 503"),
        (needy, 200, Outcome::NoClick, "needs click_id and email"),
        (preceded, 200, Outcome::NotPreceded, "a or b"),
        (proved, 200, Outcome::Unproven, "success_mark"),
    ] {
        for found in reasons(site.clone(), status) {
            assert_eq!(found, (outcome, Some(reason.to_owned())));
        }
    }
    let rival = RecalledClick { network: "always".into(), id: "x".into(), time: NOW, is_carried: false };
    let own = RecalledClick { network: "clicky".into(), id: "y".into(), time: Timestamp::default(), is_carried: false };
    let journey = Journey { clicks: vec![own, rival], ..Journey::default() };
    let mut site = shop();
    site.conversions[0].credit = Credit::LastPaidClick;
    let mut visit = begin(site, &Method::GET, "/thanks?order=7", &[]).expect("a hit");
    let plan = visit.answered(reply(200, Room::Closed), Some(&journey), &mut Uuid::nil);
    let (_, lost) = grounds(&plan).into_iter().find(|(outcome, _)| *outcome == Outcome::NotCredited).unwrap();
    assert_eq!(lost.reason.as_deref(), Some("later: always"));
    assert_eq!(lost.told.as_ref().unwrap().details.rival.as_ref().unwrap().at, NOW);
}

#[test]
fn what_the_store_makes_of_it_has_no_other_reason() {
    let plan = visited(shop(), &[], 503, None);
    let it = plan.decided[0].clone();
    assert_eq!(it.clone().turned_out(Outcome::NotSuccess), it);
    assert_eq!(it.turned_out(Outcome::Duplicate).grounds.reason, None);
}
