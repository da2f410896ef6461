//! The page that shows the ad networks: ads on top, what they received below.

use super::{Received, ReceivedLog, What};

/// Renders the page; it refreshes itself, without a script.
pub(super) fn render(log: &ReceivedLog) -> String {
    let rows: String = log.memory().received.iter().map(row).collect();
    let rows = if rows.is_empty() { "<tr><td colspan=6>Nothing yet: click an ad.</td></tr>".to_owned() } else { rows };
    let ads: String =
        ADS.iter().flat_map(|(ad, text)| ["<a target=shop href=\"/click/", ad, "\">", text, "</a>\n"]).collect();
    format!(
        "<!doctype html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n<meta http-equiv=refresh content=2>\n\
         <title>The ad networks</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>The ad networks</h1>\n\
         <p>Each ad opens the shop in another tab, through the proxy, with a click ID of its own. \
         Buy something there; what the networks are told appears below.</p>\n<nav>\n{ads}</nav>\n\
         <h2>Received, newest first</h2>\n<table>\n\
         <tr><th>UTC</th><th>Network</th><th>What</th><th>Request</th><th>Click ID</th><th>Answer</th></tr>\n{rows}</table>\n\
         </body>\n</html>\n"
    )
}

/// Makes text harmless within HTML, quoted attributes included.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

fn row(Received { time, what, method, target, click, answer }: &Received) -> String {
    let (what, class) = match what {
        What::Click => ("click", "click"),
        What::Postback if answer.starts_with("ERROR") || answer.contains("Error") => ("postback", "bad"),
        What::Postback => ("postback", "good"),
        What::Pixel => ("sync pixel", "pixel"),
    };
    let (target, answer) = (escape(target), escape(answer));
    let network = if target.starts_with("/click/rokt") || target.starts_with("/v2/") { "Rokt" } else { "ExoClick" };
    let click = match (what, click.is_empty()) {
        ("postback", true) => "none: by e-mail".to_owned(),
        (_, true) => "none".to_owned(),
        (_, false) => format!("<code>{}</code>", escape(click)),
    };
    format!(
        "<tr class={class}><td>{time}</td><td>{network}</td><td>{what}</td><td><code>{method} {target}</code></td>\
         <td>{click}</td><td>{answer}</td></tr>\n"
    )
}

/// The ads by their path under `/click/`.
const ADS: [(&str, &str); 5] = [
    ("exoclick", "ExoClick ad"),
    ("rokt", "Rokt ad"),
    ("moved", "ExoClick ad to a page that moved"),
    ("forged", "Forged click ID"),
    ("none", "No click ID"),
];

const STYLE: &str = "body{margin:2em auto;max-width:72em;padding:0 1em;font:15px/1.5 system-ui,sans-serif;color:#1d2433}\
nav{display:flex;flex-wrap:wrap;gap:.8em}nav a{background:#2456c8;color:#fff;padding:.6em 1em;border-radius:6px;\
text-decoration:none}table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;\
padding:.4em .6em;border-bottom:1px solid #dde3ee}code{font-size:.85em;overflow-wrap:anywhere}td:nth-child(3){white-space:nowrap}\
.good td:last-child{color:#137333}.bad td:last-child{color:#b3261e}.click{color:#6b7487}";
