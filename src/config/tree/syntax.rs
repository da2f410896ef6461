//! The scanner's complaints in an operator's words.
//!
//! The scanner speaks of flow mappings and simple keys; each of its messages becomes what is wrong
//! and what to write. One that is not known here is passed on as it is.

/// A complaint: what is wrong, and what to write instead.
pub(super) type Complaint = (String, Option<String>);

/// Puts the scanner's message in plain words; `before` is the text on its line up to its place.
pub(super) fn explain(info: &str, before: &str) -> Complaint {
    if let Some(rest) = info.strip_prefix("unexpected character: `") {
        let character = rest.trim_end_matches('\'');
        return (format!("a value cannot begin with `{character}`"), Some("quote the value".to_owned()));
    }
    let known = COMPLAINTS.iter().find(|(part, _, _)| info.contains(part));
    let Some((_, message, remedy)) = known else {
        return (format!("this is not valid YAML: {info}"), None);
    };
    // Text after a closing bracket or quote surfaces as a missing key; what it needs is quotes.
    if info.contains("did not find expected key") && before.contains(['{', '[', '"', '\'']) {
        return (
            "text follows a value that ended at its closing `}`, `]` or quote".to_owned(),
            Some("quote the whole value: '{a}-{b}'".to_owned()),
        );
    }
    ((*message).to_owned(), (!remedy.is_empty()).then(|| (*remedy).to_owned()))
}

/// A part of the scanner's message, what is wrong, and what to write instead.
const COMPLAINTS: &[(&str, &str, &str)] = &[
    ("unknown anchor", "there is no anchor of this name above", "quote a value that begins with `*`: '*.shop.example'"),
    ("anchor or alias", "`&` and `*` begin an anchor and an alias", "quote a value that begins with them"),
    ("tab", "a tab stands where YAML wants spaces", "indent with spaces"),
    (
        "mapping values are not allowed",
        "a `:` with a space after it stands where no key can be",
        "check the indentation, write a space after the `:` of the key above, or quote a value that holds `: `",
    ),
    ("illegal placement of ':'", "a `:` stands where no key can be", "quote a value that holds `:`"),
    (
        "simple key expect",
        "the line before is neither `key: value` nor `- item`",
        "write a space after the `:` of a key",
    ),
    (
        "expected ',' or '}'",
        "a `,` or `}` is missing in `{ … }`",
        "inside `{ … }` quote every value that holds `{`, `}`, `[`, `]` or `,`: '/thank-you/{order_id}'",
    ),
    (
        "expected ',' or ']'",
        "a `,` or `]` is missing in `[ … ]`",
        "inside `[ … ]` quote every value that holds `{`, `}`, `[`, `]` or `,`: '/thank-you/{order_id}'",
    ),
    ("misplaced bracket", "this bracket closes nothing", "quote a value that holds brackets"),
    ("did not find expected key", "this line does not fit the lines above it", "check its indentation"),
    (
        "did not find expected '-'",
        "this line does not fit the list above it",
        "check its indentation, and that every item begins with `- `",
    ),
    ("flow construct", "a `{ … }` or `[ … ]` goes on left of where it began", "indent the line further, or close it"),
    ("indentation in quoted", "a quoted text goes on left of where it began", "indent the line further"),
    ("wrongly indented line in block", "this line stands left of its block of text", "indent the whole block evenly"),
    (
        "invalid indentation",
        "the indentation does not fit the lines above",
        "check the spaces at the start of the line",
    ),
    (
        "comment intercepting",
        "everything after ` #` is a comment, and this one cuts a value that goes on below",
        "quote the value",
    ),
    ("unexpected end of stream", "the closing quote is missing", "close the text that begins here"),
    ("document indicator", "the closing quote is missing before `---` or `...`", ""),
    ("escape c", "a `\\` in double quotes begins an escape that YAML does not know", "use single quotes: '\\d+'"),
    ("hexadecimal", "an escape in double quotes lacks hexadecimal digits", "use single quotes: '\\x41'"),
    ("trailing content after", "text follows the closing quote", "put the whole value in one pair of quotes"),
    ("byte order mark", "a byte order mark stands inside the file", "remove it"),
    ("recursion limit", "brackets are nested too deep", ""),
    ("block sequence entries", "a list cannot begin on this line", "begin it on a line of its own"),
    (r#""-" is only valid"#, "a `- ` cannot stand inside brackets", "separate the items with `,`"),
    ("start with '-'", "a `-` alone is no value inside brackets", "quote it: '-'"),
    ("'-' must be followed", "a `-` needs a space after it to begin an item", ""),
    ("':' must be followed", "a `:` needs a space after it to end a key", ""),
    ("mapping keys are not", "a `? ` cannot stand here", "quote a value that begins with `?`"),
    ("<document start>", "the document ended above, and more text follows", "remove the `...` or close the brackets"),
    ("end of plain scalar", "a value cannot begin with this character", "quote the value"),
    ("node content", "a value is missing here", "quote a value that begins with `,`, `]` or `}`"),
    (
        "block scalar",
        "the head of a block of text is malformed",
        "write `|` or `>` alone, and the text below, indented",
    ),
    ("tag", "`!` begins a tag, which is not supported", "quote a value that begins with `!`"),
    ("handle", "`!` begins a tag, which is not supported", "quote a value that begins with `!`"),
    (
        "directive",
        "`%` at the start of a line begins a directive, and this is none",
        "quote a value that begins with `%`",
    ),
];
