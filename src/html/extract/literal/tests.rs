//! Values that stand in a script.

use serde_json::json;

use super::{budget::MAX_VALUES, *};

fn read(script: &str) -> Read<'_> {
    arguments(&Lexer::new(script), &mut Budget::new(script.len())).into_iter().next().unwrap_or(Read::Cut)
}

#[test]
fn literals_are_read() {
    for (script, expected) in [
        ("{a: 1, 'b': \"x\", \"c\": `y`, 4: null,})", json!({ "a": 1, "b": "x", "c": "y", "4": null })),
        ("{a /* b: 2 */ : // c\n 1})", json!({ "a": 1 })),
        (
            "[1, -2.5, +3, !0, !1, true, false, undefined, , 'e',])",
            json!([1, -2.5, 3, true, false, true, false, null, null, "e"]),
        ),
        ("{'a\\u0026b': 'it\\'s'})", json!({ "a&b": "it's" })),
        ("{a: {b: [{c: []}, {}]}})", json!({ "a": { "b": [{ "c": [] }, {}] } })),
        ("JSON.parse('{\"a\":[1,\"x\\u0026\"]}'))", json!({ "a": [1, "x&"] })),
        ("{a: JSON.parse('{\"b\": 1}'), c: 2})", json!({ "a": { "b": 1 }, "c": 2 })),
        ("{a: 1, a: 2})", json!({ "a": 2 })),
        ("'x')", json!("x")),
        ("{})", json!({})),
    ] {
        assert_eq!(read(script), Read::Literal(expected), "{script}");
    }
}

#[test]
fn what_would_have_to_run_is_unknown_alone() {
    for (member, is_known) in [
        ("function () { return {x: ',}'}; }", false),
        ("(a, b) => ({c: a})", false),
        ("x => [1, 2]", false),
        ("total", false),
        ("window.total", false),
        ("getTotal({a: 1}, [2])", false),
        ("'a' + b", false),
        ("'a' + 'b'", false),
        ("1 - 2", false),
        ("-x", false),
        ("- -1", false),
        ("`a${b, `}${c}`}`", false),
        ("/[,}'\"]\\/}/g", false),
        ("x ? {a: 1} : {b: 2}", false),
        ("new Date().getTime()", false),
        ("{a: 1}.a", false),
        ("[1, 2][0]", false),
        ("'x'.length", false),
        ("JSON.parse(x, 'y')", false),
        ("JSON.parse('{broken')", false),
        ("JSON.stringify({a: 1})", false),
        ("(1)", false),
        ("00123", false),
        ("!x", false),
        ("!2", false),
        ("async function* () {}", false),
        ("class { a() { return '}' } }", false),
        ("'12.50'", true),
    ] {
        let script = format!("{{first: 1, it: {member}, last: 2}})");
        let expected =
            if is_known { json!({ "first": 1, "it": "12.50", "last": 2 }) } else { json!({ "first": 1, "last": 2 }) };
        assert_eq!(read(&script), Read::Literal(expected), "{member}");
        let script = format!("[1, {member}, 2])");
        let expected = if is_known { json!([1, "12.50", 2]) } else { json!([1, null, 2]) };
        assert_eq!(read(&script), Read::Literal(expected), "{member}");
    }
}

#[test]
fn members_that_may_be_overwritten_are_unknown() {
    for (script, expected) in [
        ("{a: 1, ...rest, b: 2})", json!({ "b": 2 })),
        ("{a: 1, [key]: 3, b: 2})", json!({ "b": 2 })),
        ("{a: 1, a: f(), b: 2})", json!({ "b": 2 })),
        ("{a, b: 2, c})", json!({ "b": 2 })),
        ("{get a() { return 1 }, b: 2, async c() {}, d() {}, *e() {}, async *f() {}})", json!({ "b": 2 })),
        ("{a: {*e() {}, b: 1}, c: 2})", json!({ "a": { "b": 1 }, "c": 2 })),
        ("[1, ...rest, 2])", json!([1])),
    ] {
        assert_eq!(read(script), Read::Literal(expected), "{script}");
    }
    for broken in ["{a: {b: 1), c: 2})", "{a: [1}, c: 2})", "{a: 1; b: 2})", "{= 1})"] {
        assert_eq!(read(broken), Read::Cut, "{broken}");
    }
}

#[test]
fn what_is_cut_off_is_nothing() {
    let whole = "{a: 'x', b: [1, {c: f('y')}], d: JSON.parse('{}')})";
    assert!(matches!(read(whole), Read::Literal(_)));
    for end in 0..whole.len() {
        let read = read(whole.get(..end).unwrap());
        assert!(matches!(read, Read::Cut | Read::Unknown), "{:?} of {:?}", read, whole.get(..end));
    }
}

#[test]
fn depth_and_number_are_bounded() {
    let nested = |depth: usize| format!("{}1{})", "[".repeat(depth), "]".repeat(depth));
    assert!(matches!(read(&nested(MAX_DEPTH)), Read::Literal(_)));
    assert_eq!(read(&nested(MAX_DEPTH + 1)).clone(), {
        let inner = (0..MAX_DEPTH - 1).fold(json!([null]), |inner, _| json!([inner]));
        Read::Literal(inner)
    });
    for hostile in ["{".repeat(1 << 20), "[".repeat(1 << 20), "{a:".repeat(1 << 18), "[{a:".repeat(1 << 18)] {
        assert!(matches!(read(&hostile), Read::Cut | Read::Unknown));
    }
    let mut budget = Budget::new(1 << 20);
    assert!(arguments(&Lexer::new(&format!("[{}])", "0,".repeat(MAX_VALUES))), &mut budget).is_empty());
    assert!(budget.is_spent());
}
