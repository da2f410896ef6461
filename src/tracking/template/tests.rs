use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

struct Names(BTreeMap<String, Datum>);

impl Scope for Names {
    fn lookup(&self, name: &str) -> Option<Datum> {
        self.0.get(name).cloned()
    }
}

fn rendered(template: &str, names: &[(&str, &str)]) -> Option<String> {
    let names = names.iter().map(|(name, text)| ((*name).to_owned(), Datum::One((*text).to_owned()))).collect();
    Template::parse(template).expect("a template").render(&Names(names), Encoding::Component)
}

#[test]
fn one_empty_slot_empties_the_whole_template() {
    assert_eq!(rendered("{a}-{b}", &[("a", "1"), ("b", "2")]).as_deref(), Some("1-2"));
    assert_eq!(rendered("{a}-{b}", &[("a", "1")]), None);
    assert_eq!(rendered("{a}-{b|or_empty}", &[("a", "1")]).as_deref(), Some("1-"));
    assert_eq!(rendered("{a}", &[("a", "")]), None);
}

#[test]
fn values_are_encoded_once_and_after_all_filters() {
    assert_eq!(rendered("{a|upper}", &[("a", "b c/&=%,'")]).as_deref(), Some("B%20C%2F%26%3D%25%2C'"));
}

#[test]
fn filters_do_what_the_manual_says() {
    for (template, value, expected) in [
        ("{x|cents}", "49.9", Some("4990")),
        ("{x|cents}", "0.05", Some("5")),
        ("{x|cents}", "-1", Some("-100")),
        ("{x|cents}", "1.005", None),
        ("{x|cents}", "12,50", None),
        ("{x|cents}", "-0.00", Some("0")),
        ("{x|cents}", "1.000", Some("100")),
        ("{x|cents}", "1e3", None),
        ("{x|negate}", "-3", Some("3")),
        ("{x|negate}", "3", Some("-3")),
        ("{x|negate}", "49.90", Some("-49.90")),
        ("{x|negate}", "0.00", Some("0.00")),
        ("{x|negate}", "n/a", None),
        ("{y|or:\"0\"}", "", Some("0")),
        ("{x|sha256}", " Jane@Example.COM ", Some("8c87b489ce35cf2e2f39f80e282cb2e804932a56a213983eeeb428407d43b52d")),
        ("{x|when_zero:y}", "5", Some("5")),
        ("{x|when_zero:x}", "5", None),
        ("{x|when_zero:x}", "0.00", Some("0.00")),
        ("{x|when_zero:x}", "-0", Some("-0")),
        ("{x|when_zero:x}", "1e-400", None),
        ("{x|when_zero:x}", "n/a", None),
    ] {
        assert_eq!(rendered(template, &[("x", value)]).as_deref(), expected, "{template}");
    }
}

#[test]
fn checksums_are_of_the_text_as_it_is_and_written_as_asked() {
    for (template, expected) in [
        ("{x|md5}", "7fc56270e7a70fa81a5935b72eacbe29"),
        ("{x|md5|upper}", "7FC56270E7A70FA81A5935B72EACBE29"),
        ("{x|md5|base64}", "f8VicOenD6gaWTW3Lqy%2BKQ%3D%3D"),
        ("{x|md5|base64url}", "f8VicOenD6gaWTW3Lqy-KQ"),
        ("{x|sha1}", "6dcd4ce23d88e2ee9568ba546c007c63d9131c1b"),
        ("{x|base64}", "QQ%3D%3D"),
        ("{x|sha256|base64}", "ypeBEsobvcr6wjGzmiPcTaeG7%2FgUfE5yuYB3ha%2FuSLs%3D"),
        ("{x|hmac_sha256:key}", "9aae7cf0832ee50b25093102bc8393ccf3b2a19365ef202815b72dc537196cec"),
    ] {
        assert_eq!(rendered(template, &[("x", "A"), ("key", "k")]).as_deref(), Some(expected), "{template}");
    }
    assert_eq!(rendered("{x|hmac_sha256:key}", &[("x", "A")]), None, "no key, no checksum");
    let slot = Template::parse("{x|hmac_sha512:key|base64}").expect("a template");
    assert_eq!(slot.slots().flat_map(Slot::key_names).collect::<Vec<_>>(), ["key"]);
}

#[test]
fn a_secret_text_is_not_shown() {
    let secret = Template::secret("hunter2");
    assert_eq!((secret.as_literal(), format!("{secret:?}").as_str()), (Some("hunter2"), "Template(***)"));
}

#[test]
fn a_hash_is_not_hashed_again() {
    let hash = sha256("jane@example.com");
    assert_eq!(sha256(&hash.to_uppercase()), hash);
    assert_eq!(rendered("{x|sha256}", &[("x", &format!(" {} ", hash.to_uppercase()))]), Some(hash.clone()));
    assert_eq!(rendered("{x|sha256|sha256}", &[("x", "jane@example.com")]), Some(hash));
}

#[test]
fn a_text_with_the_length_of_another_digest_is_hashed_like_any_other() {
    let order = "0192f0c1a2b37c4d8e5f60718293a4b5";
    assert_ne!(sha256(order), order);
    assert_eq!(sha256(order).len(), 64);
}

#[test]
fn several_values_join_with_the_given_separator() {
    let names = Names(BTreeMap::from([("ids".to_owned(), Datum::Many(vec!["a".into(), "b".into()]))]));
    let render = |text| Template::parse(text).expect("a template").render(&names, Encoding::Component);
    assert_eq!(render("{ids|join:\",\"}").as_deref(), Some("a%2Cb"));
    assert_eq!(render("{ids|join:\"|\"}").as_deref(), Some("a%7Cb"));
    let names =
        Names(BTreeMap::from([("items.id".to_owned(), Datum::Many(vec!["a".into(), String::new(), "c".into()]))]));
    let dotted = Template::parse("{items.id|join:\",\"}").expect("a template");
    assert_eq!(dotted.slots().next().map(|slot| slot.name.as_str()), Some("items.id"));
    assert_eq!(dotted.render(&names, Encoding::Component).as_deref(), Some("a%2C%2Cc"), "gaps keep their place");
    assert_eq!(render("{ids|join:\"}\"}").as_deref(), Some("a%7Db"), "quotes hide braces");
}

#[test]
fn broken_templates_say_what_is_wrong() {
    for (text, error) in [
        ("{", InvalidTemplate::Unclosed),
        ("a}", InvalidTemplate::Unopened),
        ("{}", InvalidTemplate::Name(String::new())),
        ("{a b}", InvalidTemplate::Name("a b".into())),
        ("{a|sha265}", InvalidTemplate::Filter("sha265".into())),
        ("{a|or}", InvalidTemplate::Argument("or", "or:\"0\"")),
    ] {
        assert_eq!(Template::parse(text), Err(error), "{text}");
    }
}

#[test]
fn doubled_braces_are_braces() {
    assert_eq!(Template::parse("{{a}}").expect("a template").as_literal(), Some("{a}"));
}

proptest! {
    #[test]
    fn any_text_parses_or_is_refused(text in ".*") {
        // Nothing to compare: the law is that hostile templates never panic.
        prop_assert!(Template::parse(&text).map_or(0, |template| template.slots().count()) <= text.len());
    }

    #[test]
    fn literals_survive_parsing(text in "[^{}]*") {
        let template = Template::parse(&text).expect("no braces");
        prop_assert_eq!(template.as_literal(), Some(text.as_str()));
    }
}
