//! Who gets into the console, and from where.

use super::{LOCKED, Operator, Story, TOKEN, csrf};
use crate::support::{origin::PAGE, proxy::Proxy};

const REFUSED: &str = "throughline_admin_refused_total";

#[test]
fn nobody_gets_in_without_the_token_and_a_session_ends_when_it_is_left() {
    let story = Story::start();
    let mut operator = Operator::of(&story.proxy);
    for page in ["/console/", "/console/outbox", "/console/configuration", "/console/search?q=a", "/console/audit"] {
        let answer = operator.browser.get(page);
        assert_eq!((answer.status, answer.header("location")), (303, Some("/console/login")), "{page}");
        assert!(answer.body.is_empty());
    }
    assert_eq!(operator.submits("/console/outbox", &[("deed", "purge")]).status, 401);
    assert!(operator.sees("/console/login").contains("Admin token"));
    assert!(operator.sees("/console/console.css").contains("prefers-color-scheme"));

    let answer = operator.submits("/console/login", &[("token", "CANARY-admin-token"), ("name", "Eve")]);
    assert_eq!(answer.status, 401);
    assert!(answer.text().contains("This is not the token.") && answer.set_cookies().is_empty());
    assert!(answer.head_after.as_millis() >= 1000, "a wrong token costs a second");
    story.await_metric(REFUSED, &[("reason", "login")], 1);

    let answer = operator.submits("/console/login", &[("token", TOKEN), ("name", "Ada")]);
    let line = answer.header("set-cookie").unwrap();
    assert!(line.starts_with("throughline_session=") && line.contains("; Path=/console/; "), "{line}");
    assert!(line.contains("HttpOnly") && line.contains("SameSite=Strict") && !line.contains("Domain"), "{line}");
    let page = operator.sees("/console/");
    assert!(page.contains("Overview") && page.contains("Ada"), "{page}");
    assert_eq!(operator.browser.get("/console/login").header("location"), Some("/console/"));

    let kept = operator.browser.cookie("throughline_session").unwrap();
    let answer = operator.submits("/console/logout", &[("csrf", &csrf(&page))]);
    assert_eq!((answer.status, answer.header("location")), (303, Some("/console/login")));
    let mut thief = Operator::of(&story.proxy);
    thief.browser = thief.browser.sending("Cookie", &format!("throughline_session={kept}"));
    assert_eq!(thief.browser.get("/console/").status, 303, "a session that was left opens nothing");
    assert!(!story.proxy.stderr().contains("CANARY"), "{}", story.proxy.stderr());
}

#[test]
fn whoever_tries_too_many_tokens_has_to_wait() {
    let story = Story::start();
    let mut eve = Operator::of(&story.proxy);
    for _ in 0..5 {
        assert_eq!(eve.submits("/console/login", &[("token", "guess")]).status, 401);
    }
    assert_eq!(eve.submits("/console/login", &[("token", TOKEN)]).status, 429, "even if it were right now");
    let mut program = Operator::of(&story.proxy);
    program.browser = program.browser.sending("Authorization", &format!("Bearer {TOKEN}"));
    assert!(program.sees("/console/").contains("Overview"), "programs are not locked out by it");
}

#[test]
fn a_program_shows_the_token_in_a_header_and_needs_no_form() {
    let story = Story::start();
    story.buries("A-1");
    let mut program = Operator::of(&story.proxy);
    program.browser = program.browser.sending("Authorization", &format!("Bearer {TOKEN}"));
    let body = "deed=replay&scope=all&confirmed=yes";
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let answer = program.browser.request("POST", "/console/outbox", &form, body);
    assert!(answer.text().contains("1 dead letter will be sent again"), "{}", answer.text());
    let wrong = [("Authorization", "Bearer nonsense")];
    assert_eq!(program.browser.request("GET", "/console/", &wrong, "").status, 401);
}

#[test]
fn what_other_pages_make_a_browser_send_changes_nothing() {
    let story = Story::start();
    story.buries("A-1");
    let mut operator = story.operator();
    let csrf = csrf(&operator.sees("/console/outbox"));
    let body = format!("csrf={csrf}&deed=purge&scope=all&confirmed=yes");
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    for (name, value) in [
        ("Origin", "http://evil.example"),
        ("Origin", "null"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
        ("X-Nothing", "at all"),
    ] {
        let answer = operator.browser.request("POST", "/console/outbox", &[form, (name, value)], &body);
        assert_eq!(answer.status, 403, "{name}: {value}");
    }
    for body in ["deed=purge&scope=all&confirmed=yes", "csrf=&deed=purge&scope=all&confirmed=yes"] {
        let ours = ("Sec-Fetch-Site", "same-origin");
        assert_eq!(operator.browser.request("POST", "/console/outbox", &[form, ours], body).status, 403, "{body}");
    }
    assert!(operator.sees("/console/outbox").contains("dead letter"), "it is still there");
    assert_eq!(story.proxy.outbox(&["audit"]), "nothing was changed\n");
    let ours = ("Sec-Fetch-Site", "same-origin");
    let done = operator.browser.request("POST", "/console/outbox", &[form, ours], &body).text();
    assert!(done.contains("1 postback is ended"), "{done}");
}

#[test]
fn a_name_that_is_not_ours_leads_nowhere() {
    for keys in ["", LOCKED] {
        let story = Story::with(keys);
        let is_locked = !keys.is_empty();
        for (host, is_ours) in [
            ("evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("shop.example", false),
            ("localhost:1", true),
            ("[::1]:1", true),
            ("console.example", is_locked),
        ] {
            let status = story.proxy.operator().host(host).get("/console/login").status;
            let expected = if !is_ours {
                421
            } else if is_locked {
                200
            } else {
                303
            };
            assert_eq!(status, expected, "{host} with {keys:?}");
        }
        assert_eq!(
            story.proxy.operator().host("evil.example").get("/healthz").status,
            200,
            "a probe may call it anything"
        );
        if !is_locked {
            assert_eq!(story.proxy.operator().host("evil.example").get("/metrics").status, 421);
            assert_eq!(story.proxy.operator().host("evil.example").get("/console/").status, 421);
        }
    }
}

#[test]
fn on_loopback_without_a_token_nobody_logs_in_and_forms_are_guarded_all_the_same() {
    let story = Story::with("");
    story.buries("A-1");
    let mut operator = Operator::of(&story.proxy);
    assert_eq!(operator.browser.get("/").header("location"), Some("/console/"));
    assert_eq!(operator.browser.get("/console/login").header("location"), Some("/console/"));
    assert_eq!(operator.submits("/console/outbox", &[("deed", "purge"), ("scope", "all")]).status, 403);
    let said = operator.fills(
        "/console/outbox",
        "/console/outbox",
        &[("deed", "replay"), ("scope", "all"), ("confirmed", "yes")],
    );
    assert!(said.contains("1 dead letter will be sent again"), "{said}");
    assert!(
        story.proxy.outbox(&["audit"]).contains("console (127.0.0.1): replay --all: 1"),
        "{}",
        story.proxy.outbox(&["audit"])
    );
}

#[test]
fn every_answer_keeps_browsers_strict() {
    let story = Story::start();
    let mut operator = story.operator();
    for page in ["/console/", "/console/login", "/console/console.css", "/console/console.js", "/console/nothing"] {
        let answer = operator.browser.get(page);
        if page == "/console/nothing" {
            assert_eq!(answer.status, 404);
            continue;
        }
        let policy = answer.header("content-security-policy").unwrap_or_default();
        for part in ["default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(part), "{page}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{page}: {policy}");
        for (name, value) in
            [("x-content-type-options", "nosniff"), ("cache-control", "no-store"), ("referrer-policy", "same-origin")]
        {
            assert_eq!(answer.header(name), Some(value), "{page}");
        }
        let text = answer.text();
        assert!(
            !text.contains("http://www.") && !text.contains("https://") || page == "/console/",
            "nothing from outside"
        );
        assert!(!text.contains("style=") && !text.contains("onclick"), "{page}");
    }
}

#[test]
fn visitors_of_the_site_never_see_the_console() {
    let story = Story::start();
    let admin = story.proxy.admin_address().to_string();
    for host in ["shop.example", "localhost", "console.example", admin.as_str()] {
        for path in ["/console/", "/console/login", "/console/console.css", "/console/outbox", "/metrics", "/readyz"] {
            let answer = story.proxy.visitor().host(host).get(path);
            assert_eq!((answer.status, answer.text().as_str()), (200, PAGE), "{host}{path} is a page of the site");
        }
    }
    let absolute = format!("GET http://{admin}/console/ HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    let answer = story.proxy.visitor().sends_raw(absolute.as_bytes()).unwrap();
    assert!(!answer.text().contains("Throughline"), "{}", answer.text());
    assert!(story.origin.requests().len() >= 24);
}

#[test]
fn large_and_odd_forms_are_refused_and_harm_nobody() {
    let story = Story::start();
    let mut operator = story.operator();
    let csrf = csrf(&operator.sees("/console/explain"));
    let large = "x".repeat(3 << 20);
    let form = [("Content-Type", "application/x-www-form-urlencoded"), ("Sec-Fetch-Site", "same-origin")];
    if let Ok(answer) = operator.browser.try_request("POST", "/console/explain", &form, &large) {
        assert_eq!(answer.status, 413);
    }
    for (url, said) in [
        ("", "Which address?"),
        ("ftp://a/", "it must begin with http"),
        ("http://", "write it whole"),
        ("\u{202e}", ""),
    ] {
        let answer = operator.submits("/console/explain", &[("csrf", &csrf), ("url", url)]);
        assert!(answer.status == 200 && answer.text().contains(said), "{url}: {}", answer.text());
    }
    for path in [
        "/console/outbox/%ff",
        "/console/outbox/'%22%3E%3Cscript%3E",
        "/console/outbox?older_than=x&limit=-1&state=%00",
    ] {
        let answer = operator.browser.get(path);
        assert!([200, 400, 404].contains(&answer.status), "{path}: {}", answer.status);
        assert!(!answer.text().contains("<script>"), "{path}");
    }
    let off_loopback =
        Proxy::with("admin: { listen: 0.0.0.0:0 }\nsites: [{ upstream: \"http://127.0.0.1:1\" }]").refuses();
    assert_eq!(off_loopback.0.code(), Some(78), "{}", off_loopback.1);
}
