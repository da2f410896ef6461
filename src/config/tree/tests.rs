//! Documents and what is said about them.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::config::decode::Field;

fn read(text: &str) -> (Option<Node>, Vec<String>) {
    let problems = Problems::default();
    let node = Node::parse("a.yaml", text, &problems);
    (node, problems.into_sorted().iter().map(Problem::to_string).collect())
}

fn tree(text: &str) -> Node {
    let (node, problems) = read(text);
    assert!(problems.is_empty(), "{text}: {problems:?}");
    node.unwrap()
}

/// The shape of a tree without its places: `{a: x, b: [~, 'y']}`.
fn sketch(node: &Node) -> String {
    match &node.kind {
        Kind::Scalar(scalar) if scalar.quoted => format!("'{}'", scalar.text),
        Kind::Scalar(scalar) if scalar.is_null() => "~".to_owned(),
        Kind::Scalar(scalar) => scalar.text.clone(),
        Kind::List(items) => format!("[{}]", items.iter().map(sketch).collect::<Vec<_>>().join(", ")),
        Kind::Map(entries) => {
            let entries = entries.iter().map(|entry| format!("{}: {}", entry.key, sketch(&entry.value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

#[test]
fn a_document_becomes_a_tree() {
    for (text, expected) in [
        (
            "goal: 00012\ncurrency: NO\nx: 123e4\ny: 1_000\nz: 0x1F\n",
            "{goal: 00012, currency: NO, x: 123e4, y: 1_000, z: 0x1F}",
        ),
        ("a: null\nb: ~\nc:\nd: 'null'\ne: \"\"\nf: Null\n", "{a: ~, b: ~, c: ~, d: 'null', e: '', f: Null}"),
        ("a: |\n  x\n  y\nb: >-\n  x\n  y\n", "{a: 'x\ny\n', b: 'x y'}"),
        ("a: [b, {c: d}, 'e']\n", "{a: [b, {c: d}, 'e']}"),
        ("a:\n- b\n-   c: d\n    e: f\n", "{a: [b, {c: d, e: f}]}"),
        ("a: b\r\nc:\r\n  - d\r\n", "{a: b, c: [d]}"),
        ("\u{FEFF}a: b\n", "{a: b}"),
        ("--- # start\na: b\n...\n# end\n", "{a: b}"),
        ("a: &x {k: [v]}\nb: *x\n", "{a: {k: [v]}, b: {k: [v]}}"),
        ("a: &x k\n*x : v\n", "{a: k, k: v}"),
        ("a: !!str null\n", "{a: 'null'}"),
        ("- a\n- b\n", "[a, b]"),
        ("a: {token: ${ADMIN_TOKEN}, list: [${A}, x${B}y]}\n", "{a: {token: ${ADMIN_TOKEN}, list: [${A}, x${B}y]}}"),
        (
            "path: /thank-you/{order_id}\nhtml: html(\"#total\")\n",
            "{path: /thank-you/{order_id}, html: html(\"#total\")}",
        ),
        (
            "value: [data_layer.ecommerce.value, html(\"#total\"), query.total]\n",
            "{value: [data_layer.ecommerce.value, html(\"#total\"), query.total]}",
        ),
        ("a: b   # a comment\n# another\n", "{a: b}"),
        ("404: x\ntrue: y\n", "{404: x, true: y}"),
        ("url: http://127.0.0.1:8080/?a=b&c=d#e\n", "{url: http://127.0.0.1:8080/?a=b&c=d#e}"),
    ] {
        assert_eq!(sketch(&tree(text)), expected, "{text}");
    }
}

#[test]
fn a_mistake_has_its_place_its_words_and_its_remedy() {
    let mut wrong = String::new();
    for (text, expected) in [
        ("", "1:1: the file is empty; a configuration needs at least `sites:` with one `upstream:`"),
        ("# nothing yet\n", "1:1: the file is empty; a configuration needs at least `sites:` with one `upstream:`"),
        ("---\n", "1:1: the file is empty; a configuration needs at least `sites:` with one `upstream:`"),
        (
            "a: b\nc: d\n  \"a\": e\n",
            "3:6: a `:` with a space after it stands where no key can be; check the indentation, write a space after the `:` of the key above, or quote a value that holds `: `",
        ),
        ("a: 1\nb:\n  c: 1\n  c: 2\n", "4:3: b: duplicate key `c`, first written on line 3; remove one of them"),
        (
            "a: 1\n---\nb: 2\n",
            "2:1: a file holds one document, and a second begins here; remove the `---`, or split the file",
        ),
        (
            "a: &x {b: c}\nd:\n  <<: *x\n",
            "3:3: d: merge keys are not supported; write the keys out, or use an anchor for the whole value",
        ),
        ("a:\n\tb: c\n", "2:2: a: a tab stands where YAML wants spaces; indent with spaces"),
        (
            "hosts: [*.shop.example]\n",
            "1:9: hosts[0]: there is no anchor of this name above; quote a value that begins with `*`: '*.shop.example'",
        ),
        ("a: @b\n", "1:4: a: a value cannot begin with `@`; quote the value"),
        ("a: 'b\n", "1:4: a: the closing quote is missing; close the text that begins here"),
        (
            "a: \"\\d+\"\n",
            "1:4: a: a `\\` in double quotes begins an escape that YAML does not know; use single quotes: '\\d+'",
        ),
        (
            "value: {order_id}-x\n",
            "1:18: text follows a value that ended at its closing `}`, `]` or quote; quote the whole value: '{a}-{b}'",
        ),
        (
            "a: {path: /x/{id}}\n",
            "1:14: a: a `,` or `}` is missing in `{ … }`; inside `{ … }` quote every value that holds `{`, `}`, `[`, `]` or `,`: '/thank-you/{order_id}'",
        ),
        ("value: {{order_id}}\n", "1:9: value: a key must be text; quote a value that begins with `{` or `[`"),
        ("a: !secret b\n", "1:4: a: tags such as `!secret` are not supported; quote a value that begins with `!`"),
        ("a: &x [*x]\n", "1:8: a[0]: an alias cannot stand inside the value it names"),
        (
            "upstream:http://x\nname: y\n",
            "2:5: a `:` with a space after it stands where no key can be; check the indentation, write a space after the `:` of the key above, or quote a value that holds `: `",
        ),
        ("a: b\0c: d\n", "1:5: the file holds a NUL character; save it as UTF-8 text"),
        (
            "value: #total\n",
            "1:6: value: everything after ` #` is a comment, so this value is ``; quote the value, or put a space after the `#` of a comment",
        ),
        (
            "- #total\n",
            "1:1: [0]: everything after ` #` is a comment, so this value is ``; quote the value, or put a space after the `#` of a comment",
        ),
        (
            "value: html(\"div #total\")\n",
            "1:17: value: everything after ` #` is a comment, so this value is `html(\"div`; quote the value, or put a space after the `#` of a comment",
        ),
        (
            "css: div #total\n",
            "1:9: warning: css: everything after ` #` is a comment, so this value is `div`; quote the value, or put a space after the `#` of a comment",
        ),
        (
            "a: b # c\n  d\n",
            "1:6: everything after ` #` is a comment, and this one cuts a value that goes on below; quote the value",
        ),
        (": b\n", "1:1: the key is missing; write `key: value`; quote a value that begins with `:`"),
    ] {
        let (_, problems) = read(text);
        if problems != [format!("a.yaml:{expected}")] {
            writeln!(wrong, "{text:?}: {problems:#?}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn mistakes_that_leave_the_shape_clear_come_together() {
    let (node, problems) = read("a: 1\na: 2\nb: !x 3\n<<: {c: d}\ne: (f #g\n");
    assert_eq!(problems.len(), 4, "{problems:?}");
    assert_eq!(sketch(&node.unwrap()), "{a: 1, b: 3, e: (f}");
}

#[test]
fn places_count_characters_from_one() {
    let node = tree("ключ: значение\nlist:\r\n  - \"ü\": {x: y}\n");
    let Kind::Map(entries) = &node.kind else { panic!() };
    assert_eq!(
        (entries[0].key_place.to_string(), entries[0].value.place.to_string()),
        ("a.yaml:1:1".into(), "a.yaml:1:7".into())
    );
    let Kind::List(items) = &entries[1].value.kind else { panic!() };
    let Kind::Map(inner) = &items[0].kind else { panic!() };
    assert_eq!(
        (inner[0].key_place.to_string(), inner[0].value.place.to_string()),
        ("a.yaml:3:5".into(), "a.yaml:3:10".into())
    );
}

#[test]
fn a_byte_order_mark_does_not_shift_the_first_line() {
    assert_eq!(read("\u{FEFF}a: @\n").1, ["a.yaml:1:4: a: a value cannot begin with `@`; quote the value"]);
}

#[test]
fn depth_is_bounded_in_every_form() {
    let blocks = (0..100).fold(String::new(), |mut text, level| {
        writeln!(text, "{}a:", " ".repeat(level)).unwrap();
        text
    });
    for text in ["[".repeat(200), "- ".repeat(200), "{a: ".repeat(200), blocks] {
        let (node, problems) = read(&text);
        assert!(node.is_none() && problems[0].contains("nested deeper than 32 levels"), "{problems:?}");
    }
    let deepest = format!("{}x{}", "[".repeat(32), "]".repeat(32));
    assert!(read(&deepest).0.is_some());
    let (node, problems) = read(&format!("a: &x {}x{}\nb: {{c: *x}}\n", "[".repeat(31), "]".repeat(31)));
    assert!(node.is_none() && problems[0].contains("once this alias is expanded"), "{problems:?}");
}

#[test]
fn a_billion_laughs_are_refused() {
    let mut text = "a0: &a0 lol\n".to_owned();
    for level in 1..30 {
        let below = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(text, "a{level}: &a{level} [{below}]").unwrap();
    }
    let (node, problems) = read(&text);
    assert!(node.is_none() && problems[0].contains("more than 10,000 values"), "{problems:?}");
}

#[test]
fn one_huge_text_cannot_be_multiplied() {
    let text = format!("a: &a {}\nb: [{}]\n", "x".repeat(900_000), vec!["*a"; 9000].join(", "));
    let (node, problems) = read(&text);
    assert!(node.is_none() && problems[0].contains("4 MiB of text"), "{problems:?}");
}

#[test]
fn a_file_beyond_a_mebibyte_is_refused() {
    let (node, problems) = read(&"#".repeat(LARGEST_FILE + 1));
    assert!(node.is_none() && problems[0].contains("larger than 1 MiB"), "{problems:?}");
}

#[test]
fn an_overlay_merges_maps_and_replaces_the_rest() {
    for (base, over, expected) in [
        ("{a: 1, b: 2}", "{b: 3, c: 4}", "{a: 1, b: 3, c: 4}"),
        ("{a: {b: 1, c: 2}}", "{a: {c: 3}}", "{a: {b: 1, c: 3}}"),
        ("{a: [1, 2]}", "{a: [3]}", "{a: [3]}"),
        ("{a: 1, b: 2}", "{a: ~}", "{b: 2}"),
        ("{a: 1}", "{a: 'null'}", "{a: 'null'}"),
        ("{a: 1}", "{b: ~}", "{a: 1}"),
        ("{a: {b: 1}}", "{a: x}", "{a: x}"),
        ("{a: x}", "{a: {b: 1}}", "{a: {b: 1}}"),
        ("[1]", "[2]", "[2]"),
    ] {
        assert_eq!(sketch(&Node::overlay(&tree(base), &tree(over))), expected, "{base} under {over}");
    }
}

#[test]
fn an_overlay_keeps_the_place_of_the_side_that_supplied_the_node() {
    let problems = Problems::default();
    let base = Node::parse("base.yaml", "a: {b: 1, c: 2}\n", &problems).unwrap();
    let over = Node::parse("over.yaml", "\na: {c: 3}\n", &problems).unwrap();
    let Kind::Map(merged) = Node::overlay(&base, &over).kind else { panic!() };
    assert_eq!(merged[0].value.place.to_string(), "over.yaml:2:4");
    let Kind::Map(inner) = &merged[0].value.kind else { panic!() };
    assert_eq!(inner[0].value.place.to_string(), "base.yaml:1:8");
    assert_eq!(inner[1].value.place.to_string(), "over.yaml:2:8");
}

#[test]
fn a_variable_stands_for_a_whole_scalar() {
    let problems = Problems::default();
    let mut node = tree("a: ${A}\nb: ['${A}', x${A}, '${A-B}']\nc: {d: ${UNSET}, e: ${EMPTY}}\n");
    let lookup = |name: &str| match name {
        "A" => Some("${A}".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    };
    node.expand_environment(&lookup, &problems);
    let Kind::Map(entries) = &node.kind else { panic!() };
    let Kind::Scalar(scalar) = &entries[0].value.kind else { panic!() };
    assert_eq!((scalar.text.as_str(), &scalar.origin), ("${A}", &Origin::Environment("A".to_owned())));
    let Kind::List(items) = &entries[1].value.kind else { panic!() };
    let origins = items.iter().map(|item| matches!(&item.kind, Kind::Scalar(s) if s.origin != Origin::Written));
    assert_eq!(origins.collect::<Vec<_>>(), [true, false, false]);
    let said: Vec<_> = problems.into_sorted().iter().map(Problem::to_string).collect();
    assert_eq!(
        said,
        [
            "a.yaml:3:8: c.d: environment variable UNSET is not set (or empty)",
            "a.yaml:3:21: c.e: environment variable EMPTY is not set (or empty)",
        ]
    );
}

fn ignore<T>(_: T) {}

/// Asks everything of a node, whether it fits or not.
fn walk(field: &Field<'_>) {
    ignore((
        field.scalar(),
        field.text(),
        field.parse::<u16>("a port"),
        field.duration(),
        field.size(),
        field.switch(),
    ));
    ignore((field.choice(&[("a", 1), ("b", 2)]), field.list()));
    ignore(field.secret_text(&|_| Ok("s".to_owned())));
    if let Some(mut section) = field.section() {
        ignore((section.get("a"), section.require("b", "write it"), section.contains("c")));
        ignore(section.take_rest());
        section.finish();
    }
    if let Some(section) = field.section() {
        section.finish();
    }
    field.one_or_many().iter().filter(|inner| inner.path != field.path).for_each(walk);
    field.entries().unwrap_or_default().iter().for_each(|(_, inner)| walk(inner));
}

fn survives(text: &str) {
    let problems = Problems::default();
    if let Some(mut node) = Node::parse("a.yaml", text, &problems) {
        node.expand_environment(&|name| (name.len() > 1).then(|| name.to_owned()), &problems);
        walk(&Field::root(&node, &problems));
    } else {
        assert!(problems.has_errors(), "a refusal without a reason: {text:?}");
    }
    for problem in problems.into_sorted() {
        assert!(problem.place.line >= 1 && problem.place.column >= 1);
        assert!(!problem.to_string().contains('\n'), "{problem}");
    }
}

const SAMPLE: &str = "listen: &l [0.0.0.0:80, {address: \"x:1\", tls: [{cert: a.pem}]}]\nadmin: {token: ${TOKEN}}\nsites:\n  - name: shop # c\n    path: |\n      /a\n    value: {order_id}\n    again: *l\n    ? x\n    : 'y''z'\n...\n";

/// Pieces from which YAML's odd corners are made.
fn yaml_soup() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a",
        "b: ",
        ": ",
        "- ",
        "? ",
        "\n",
        "\n  ",
        "\n    ",
        "\t",
        "{",
        "}",
        "[",
        "]",
        ", ",
        "&a ",
        "*a",
        "!t ",
        "!!str ",
        "<<",
        "'",
        "\"",
        "#",
        " #",
        "|\n",
        ">-\n",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "%TAG ! x\n",
        "\u{FEFF}",
        "\r",
        "\0",
        "${A}",
        "${AB}",
        "\\x",
        "é",
        "@",
        "~",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        survives(&text);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        survives(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_soup_of_yaml_makes_it_panic(text in yaml_soup()) {
        survives(&text);
    }

    #[test]
    fn no_damage_to_a_document_makes_it_panic(at in 0..SAMPLE.len(), removed in 0usize..9, added in yaml_soup()) {
        let before = SAMPLE.chars().take(at);
        survives(&before.chain(added.chars()).chain(SAMPLE.chars().skip(at + removed)).collect::<String>());
    }

    #[test]
    fn an_empty_overlay_changes_nothing(text in yaml_soup()) {
        let empty = tree("{}");
        if let Some(base @ Node { kind: Kind::Map(_), .. }) = read(&text).0 {
            prop_assert_eq!(Node::overlay(&base, &empty).kind, base.kind);
        }
    }

    #[test]
    fn what_is_laid_over_itself_loses_only_its_nulls(text in yaml_soup()) {
        if let Some(node) = read(&text).0 {
            let once = Node::overlay(&node, &node);
            prop_assert_eq!(Node::overlay(&once, &once), once.clone());
        }
    }
}
