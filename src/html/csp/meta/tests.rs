use proptest::prelude::*;

use super::*;

const PIXEL: &str = "https://s.net.example/tag.php?goal=1";

/// Whether a page lets the pixel load, read in chunks of this size.
fn lets(document: &str, size: usize) -> bool {
    let mut policies = MetaPolicies::default();
    document.as_bytes().chunks(size).for_each(|chunk| policies.look_at(chunk));
    policies.let_load(&Page::at("https", "shop.example", None), PIXEL)
}

#[test]
fn a_frame_of_our_own_obeys_its_own_directives() {
    for (policy, lets) in [
        ("img-src 'none'", true),
        ("frame-src 'none'", false),
        ("child-src 'none'", false),
        ("default-src 'none'", false),
        ("default-src 'none'; frame-src 'self'", true),
    ] {
        let mut policies = MetaPolicies::default();
        policies.look_at(format!("<meta http-equiv=Content-Security-Policy content=\"{policy}\">").as_bytes());
        assert_eq!(policies.let_own_frame(&Page::at("https", "shop.example", None), "/x"), lets, "{policy}");
    }
}

#[test]
fn a_policy_in_the_page_is_found_however_it_is_written() {
    for tag in [
        r#"<meta http-equiv="Content-Security-Policy" content="img-src 'self'">"#,
        r#"<META CONTENT="img-src 'self'" HTTP-EQUIV='content-security-policy'/>"#,
        "<meta\n\thttp-equiv=Content-Security-Policy\n\tcontent=img-src>",
        r#"<meta http-equiv = "Content-Security-Policy"content="default-src &#39;none&#39;">"#,
        r#"<meta http-equiv="Content-Security-Policy" content='default-src &apos;self&apos;&semi; script-src *'>"#,
        r#"<meta http-equiv="Content-Security-Policy" content="default-src&#x20;&quot;>">"#,
        r#"<meta data-a=">" http-equiv="Content-Security-Policy" content="img-src data:">"#,
        r#"<meta content="img-src a" content="img-src *" http-equiv="Content-Security-Policy">"#,
        r#"<meta/http-equiv="Content-Security-Policy"/content="img-src a">"#,
        r#"<<meta http-equiv="Content-Security-Policy" content="img-src a">"#,
        r#"<me<meta http-equiv="Content-Security-Policy" content="img-src a">"#,
        r#"<meta http-equiv="Content-&#83;ecurity-Policy" content="img-src a">"#,
        // Unknown references, and a tag that does not end: in doubt it is a policy.
        r#"<meta http-equiv="Content-Security-Policy" content="img-src&ZeroWidthSpace;*">"#,
        r#"<meta http-equiv="Content-Security-Policy" content="img-src *"#,
        // An odd quote in a script before it.
        r#"<script>x = "<meta name='"</script><meta http-equiv="Content-Security-Policy" content="img-src 'self'">"#,
        r#"<script>x = "<meta name='a <meta b="</script><meta http-equiv="Content-Security-Policy" content="img-src 'self'">"#,
    ] {
        for size in [1, 2, 7, 1000] {
            assert!(
                !lets(&format!("<!doctype html><head>{tag}</head><body>x</body>"), size),
                "{tag} in chunks of {size}"
            );
        }
    }
}

#[test]
fn everything_else_forbids_nothing() {
    for tag in [
        "",
        "<meta charset=utf-8>",
        r#"<meta http-equiv="Content-Security-Policy" content="img-src https:">"#,
        r#"<meta http-equiv="Content-Security-Policy" content="script-src &#39;self&#39;; report-uri /a?b=1&c=2">"#,
        r#"<meta http-equiv="Content-Security-Policy" content="img-src 'self' *.net.example">"#,
        r#"<meta http-equiv="Content-Security-Policy">"#,
        r#"<meta http-equiv="Content-Security-Policy-Report-Only" content="img-src 'none'">"#,
        r#"<meta http-equiv="refresh" content="img-src 'none'">"#,
        r#"<meta name="Content-Security-Policy" content="img-src 'none'">"#,
        r#"<metadata http-equiv="Content-Security-Policy" content="img-src 'none'">"#,
        r#"&lt;meta http-equiv="Content-Security-Policy" content="img-src 'none'"&gt;"#,
        r#"<meta name="description" content="a &hearts; b"><main>"#,
        r#"<meta name="description" content="cut off"#,
        "<m",
        "<",
    ] {
        for size in [1, 2, 7, 1000] {
            assert!(lets(&format!("<!doctype html><head>{tag}"), size), "{tag} in chunks of {size}");
        }
    }
}

#[test]
fn all_policies_count() {
    let policy = |content| format!("<meta http-equiv=Content-Security-Policy content=\"{content}\">");
    assert!(lets(&[policy("img-src *"), policy("img-src https:")].concat(), 5));
    assert!(!lets(&[policy("img-src *"), policy("img-src 'self'"), policy("img-src *")].concat(), 5));
    assert!(!lets(&policy("img-src https:, script-src x"), 5), "a comma separates policies in headers only");
}

#[test]
fn only_the_start_of_a_page_is_searched_and_little_of_it_kept() {
    let tag = "<meta http-equiv=Content-Security-Policy content=img-src>";
    let filler = "<p>x</p>".repeat(WINDOW / 8);
    assert!(!lets(&format!("{}{tag}", "<p>x</p>".repeat(WINDOW / 8 - 10)), 4096));
    assert!(lets(&format!("{filler}{tag}"), 4096));
    assert!(
        !lets(&format!("<meta http-equiv=Content-Security-Policy content=\"{filler}\">"), 4096),
        "too long to read"
    );
    assert!(lets(&format!("<meta name=description content=\"{filler}\">"), 4096));
    let mut policies = MetaPolicies::default();
    let hostile = "<meta '".repeat(WINDOW / 7);
    hostile.as_bytes().chunks(3).for_each(|chunk| policies.look_at(chunk));
    assert!(policies.tag.as_ref().is_none_or(|tag| tag.text.len() <= MAX_TAG + 3));
}

proptest! {
    #[test]
    fn chunks_do_not_matter(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "<meta", "<META ", " http-equiv=", "\"", "'", "Content-Security-Policy", " content=", "img-src *", "img-src",
            ">", "/", "<", "x", "&quot;", "&", "=",
        ]), 0..24),
        size in 1_usize..9,
    ) {
        let document = pieces.concat();
        prop_assert_eq!(lets(&document, size), lets(&document, usize::MAX));
    }
}
