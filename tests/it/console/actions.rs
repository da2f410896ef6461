//! What operators do in the console, and that the audit says who did it.

use super::{OUTCOMES, Story, VERDICTS, between};
use crate::support::await_fact;

/// The event id of the only row of a list.
fn only_event(page: &str) -> String {
    assert_eq!(page.matches("name=\"id\"").count(), 1, "{page}");
    between(page, "name=\"id\" value=\"", "\"").to_owned()
}

#[test]
fn dead_letters_are_found_shown_and_sent_again() {
    let story = Story::start();
    story.buries("A-1");
    story.buries("A-2");
    let before = story.network.received().len();
    let mut operator = story.operator();
    let list = operator.sees("/console/outbox");
    assert_eq!(list.matches("dead letter</span>").count(), 2, "{list}");
    for (query, count) in [
        ("network=mine", 2),
        ("network=other", 0),
        ("verdict=rejected", 2),
        ("verdict=expired", 0),
        ("state=pending", 0),
        ("older_than=1d", 0),
        ("newer_than=1d&site=shop", 2),
    ] {
        let list = operator.sees(&format!("/console/outbox?{query}"));
        assert_eq!(list.matches("name=\"id\"").count(), count, "{query}: {list}");
    }
    let id = between(&list, "name=\"id\" value=\"", "\"").to_owned();
    let letter = operator.sees(&format!("/console/outbox/{id}"));
    assert!(
        letter.contains("A-2") && letter.contains("49.90") && letter.contains(">400<") && letter.contains("said so"),
        "{letter}"
    );
    assert!(!letter.contains("CANARY") && letter.contains("***"), "the address of the buyer is hidden: {letter}");
    let both = operator.sees("/console/outbox/A-1");
    assert!(both.contains("A-1") && !both.contains("A-2"), "by order id, too");

    let asked =
        operator.fills("/console/outbox", "/console/outbox", &[("deed", "replay"), ("scope", "chosen"), ("id", &id)]);
    assert!(asked.contains("1 postback would be sent again"), "{asked}");
    assert_eq!(story.network.received().len(), before, "a question first");
    let confirmed = [("deed", "replay"), ("scope", "chosen"), ("id", id.as_str()), ("confirmed", "yes")];
    let done = operator.fills("/console/outbox", "/console/outbox", &confirmed);
    assert!(done.contains("1 dead letter will be sent again"), "{done}");
    assert_eq!(story.network.await_received(before + 1)[before].parameter("o"), Some("A-2"));
    story.await_metric(VERDICTS, &[("verdict", "delivered")], 1);

    let all = [("deed", "replay"), ("scope", "all"), ("network", "mine"), ("confirmed", "yes")];
    operator.fills("/console/outbox", "/console/outbox", &all);
    story.await_metric(VERDICTS, &[("verdict", "delivered")], 2);
    let audit = operator.sees("/console/audit");
    assert!(
        audit.contains("Ada (console, 127.0.0.1)") && audit.contains(&id) && audit.contains("--network mine"),
        "{audit}"
    );
}

#[test]
fn what_shall_not_be_sent_is_ended_after_a_question() {
    let story = Story::start();
    story.buries("A-1");
    let mut operator = story.operator();
    for fields in
        [&[("deed", "purge"), ("scope", "chosen")][..], &[("deed", "shred"), ("scope", "all")], &[("scope", "all")]]
    {
        let said = operator.fills("/console/outbox", "/console/outbox", fields);
        assert!(said.contains("No postback was chosen") || said.contains("Nothing was chosen"), "{said}");
    }
    let asked = operator.fills("/console/outbox", "/console/outbox", &[("deed", "purge"), ("scope", "all")]);
    assert!(asked.contains("1 postback would never be sent"), "{asked}");
    assert!(operator.sees("/console/outbox").contains("dead letter"));
    let done = operator.fills(
        "/console/outbox",
        "/console/outbox",
        &[("deed", "purge"), ("scope", "all"), ("confirmed", "yes")],
    );
    assert!(done.contains("1 postback is ended"), "{done}");
    assert!(operator.sees("/console/outbox").contains("Nothing here"));
    assert!(operator.sees("/console/outbox?state=all").contains("purged (rejected)"));
}

#[test]
fn an_incomplete_conversion_is_completed_by_a_form() {
    let story = Story::start();
    let mut visitor = story.proxy.visitor().sending("Cookie", "_cid=abc");
    visitor.get("/lead");
    story.await_metric(OUTCOMES, &[("outcome", "incomplete")], 1);
    let mut operator = story.operator();
    let list = operator.sees("/console/outbox");
    let id = only_event(&list);
    assert!(list.contains("lacks order_id"), "{list}");
    let letter = format!("/console/outbox/{id}");
    let complete = format!("{letter}/complete");
    assert!(operator.sees(&letter).contains("name=\"value.order_id\""));
    for (fields, said) in [
        (&[][..], "Nothing was written"),
        (&[("value.order_id", "  ")], "Nothing was written"),
        (&[("value.colour", "red")], "nothing that mine is told depends on `colour`"),
        (&[("value.value", "49,90")], "is not an amount"),
    ] {
        let answer = operator.fills(&letter, &complete, fields);
        assert!(answer.contains(said), "{fields:?}: {answer}");
    }
    assert!(story.network.received().is_empty());
    let said = operator.fills(&letter, &complete, &[("value.order_id", "L-7")]);
    assert!(said.contains("Complete: it will be sent."), "{said}");
    assert_eq!(story.network.await_received(1)[0].parameter("o"), Some("L-7"));
    let audit = operator.sees("/console/audit");
    assert!(audit.contains("Ada (console") && audit.contains(&format!("{id} order_id")), "{audit}");
    assert!(!audit.contains("L-7"), "names, not values: {audit}");
}

#[test]
fn a_site_is_bypassed_for_a_while_and_tracked_again() {
    let story = Story::start();
    let mut operator = story.operator();
    for (fields, said) in [
        (&[("target", "nosuch"), ("tracking", "off")][..], "There is no site or network nosuch"),
        (&[("target", "../etc"), ("tracking", "off")], "There is no site or network ../etc"),
        (&[("target", "a/b/c"), ("tracking", "off")], "write the name of a site"),
        (&[("target", "shop"), ("tracking", "sideways")], "Off, or observe?"),
        (&[("target", "shop"), ("tracking", "off"), ("for", "long")], "write an age"),
    ] {
        let answer = operator.fills("/console/bypass", "/console/bypass", fields);
        assert!(answer.contains(said) && answer.contains("Nothing is bypassed"), "{fields:?}: {answer}");
    }
    let set = [("target", "shop/mine"), ("tracking", "off"), ("for", "1h")];
    let said = operator.fills("/console/bypass", "/console/bypass", &set);
    assert!(said.contains("shop/mine is bypassed") && said.contains("Ada (console, 127.0.0.1)"), "{said}");
    let said = operator.fills("/console/bypass", "/console/bypass", &[("target", "shop/mine"), ("end", "yes")]);
    assert!(said.contains("is tracked as configured from now on") && said.contains("Nothing is bypassed"), "{said}");
    let audit = operator.sees("/console/audit");
    assert!(audit.contains("shop/mine off until") && audit.contains("shop/mine ended"), "{audit}");
}

#[test]
fn many_operators_at_once_do_not_hold_up_a_page() {
    let story = Story::start();
    for order in 0..20 {
        story.sells(&format!("A-{order}"));
    }
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let mut operator = story.operator();
            std::thread::spawn(move || {
                for page in ["/console/", "/console/outbox?state=all", "/console/search?q=A-7", "/console/audit"] {
                    operator.sees(page);
                }
            })
        })
        .collect();
    let mut visitor = story.proxy.visitor();
    let slowest = (0..50).map(|_| visitor.get("/").head_after).max().unwrap();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(slowest.as_secs() < 5, "{slowest:?}");
    await_fact(|| (story.metric(VERDICTS, &[("verdict", "delivered")]) > 19.5).then_some(()), || story.proxy.stderr());
}
