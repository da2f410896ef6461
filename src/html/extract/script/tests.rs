//! Scripts that a reader may stumble over.

use super::*;

fn tokens(script: &str) -> Vec<Token<'_>> {
    let mut lexer = Lexer::new(script);
    std::iter::from_fn(|| lexer.next()).collect()
}

#[test]
fn strings_comments_and_templates_are_told_apart() {
    use Token::{Name, Number, Other, Sign, Spread, TemplateCloses, TemplateOpens, Text};
    for (script, expected) in [
        ("a='x\\'//'", vec![Name("a"), Sign(b'='), Text("x\\'//")]),
        ("// 'a\n\"b\" /* c */ d", vec![Text("b"), Name("d")]),
        ("<!-- a\nb\n--> c\nd", vec![Name("b"), Name("d")]),
        ("a --> b", vec![Name("a"), Sign(b'-'), Sign(b'-'), Sign(b'>'), Name("b")]),
        ("`a'b`", vec![Text("a'b")]),
        (
            "`a${ {b:`}`} }c${d}e`;",
            vec![
                TemplateOpens,
                Sign(b'{'),
                Name("b"),
                Sign(b':'),
                Text("}"),
                Sign(b'}'),
                Other,
                Name("d"),
                TemplateCloses,
                Sign(b';'),
            ],
        ),
        (
            "x = /['\"/]\\//g.test(y)",
            vec![Name("x"), Sign(b'='), Other, Name("g"), Sign(b'.'), Name("test"), Sign(b'('), Name("y"), Sign(b')')],
        ),
        ("a / 'b' / c", vec![Name("a"), Sign(b'/'), Text("b"), Sign(b'/'), Name("c")]),
        ("(a) / 2 // '", vec![Sign(b'('), Name("a"), Sign(b')'), Sign(b'/'), Number("2")]),
        ("if (a) /'/.b", vec![Name("if"), Sign(b'('), Name("a"), Sign(b')'), Other, Sign(b'.'), Name("b")]),
        (
            "a?.b ? .5 : 1e-3",
            vec![Name("a"), Sign(b'.'), Name("b"), Sign(b'?'), Number(".5"), Sign(b':'), Number("1e-3")],
        ),
        (
            "a === b !== c >= d => e += f",
            vec![Name("a"), Other, Name("b"), Other, Name("c"), Other, Name("d"), Other, Name("e"), Other, Name("f")],
        ),
        ("...a", vec![Spread, Name("a")]),
        ("'open\nb", vec![Other, Name("b")]),
        ("'two\\\nlines'", vec![Text("two\\\nlines")]),
        ("\u{feff}\u{a0}gr\u{fc}n\u{2028}0x1F", vec![Name("gr\u{fc}n"), Number("0x1F")]),
    ] {
        assert_eq!(tokens(script), expected, "{script}");
    }
}

#[test]
fn what_never_ends_is_read_once() {
    for piece in ["a=/[", "'", "`${", "/*", "{", "(", "<!--", "\\", "`", "/", "a=/\\"] {
        let script = piece.repeat(200_000);
        assert!(tokens(&script).len() <= script.len(), "{piece}");
    }
}
