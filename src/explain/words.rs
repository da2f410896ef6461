//! The account as people read it.

use super::account::{
    Account, CaptureAccount, ClickAccount, ConsentAccount, ConversionAccount, FieldAccount, PixelAccount,
    PostbackAccount, SendAccount,
};

/// One line for each decision, in the order in which they are made.
#[must_use]
pub fn plain(account: &Account) -> String {
    let mut page = Page::default();
    page.line(0, "request", &account.request);
    if let Some(site) = &account.site {
        page.line(0, "site", site);
        page.line(0, "visitor", account.visitor);
        page.consent(&account.consent);
    }
    account.clicks.iter().for_each(|click| page.click(click));
    account.captures.iter().for_each(|capture| page.capture(capture));
    account.conversions.iter().for_each(|conversion| page.conversion(conversion));
    page.pixels(&account.pixels);
    account.set_cookies.iter().for_each(|line| page.line(0, "Set-Cookie", line));
    account.notes.iter().for_each(|note| page.line(0, "note", note));
    page.0
}

/// Lines of a label and what is to be said.
#[derive(Default)]
struct Page(String);

impl Page {
    fn line(&mut self, depth: usize, label: &str, text: &str) {
        let indent = "  ".repeat(depth);
        let width = LABELS.saturating_sub(indent.len());
        self.0.extend([format!("{indent}{label:<width$} {text}\n")]);
    }

    fn consent(&mut self, account: &ConsentAccount) {
        self.line(0, "consent", &format!("{}: {}", account.decision, account.because));
        account.signals.iter().for_each(|(name, reading)| self.line(1, name, reading));
        account.networks.iter().for_each(|(name, decision)| self.line(1, name, decision));
        if account.withdraws {
            self.line(1, "withdrawn", "our cookies, the journey and what is still queued are deleted");
        }
    }

    fn click(&mut self, account: &ClickAccount) {
        let ClickAccount { network, arrived, carried, because, .. } = account;
        let ids = if arrived.is_empty() { String::new() } else { format!("{}: ", arrived.join(", ")) };
        let result = account.result.map(|result| format!("{result}: ")).unwrap_or_default();
        self.line(0, "click", &format!("{network}: {ids}{result}{because}"));
        if !carried.is_empty() {
            self.line(1, "in cookie", &carried.join(", "));
        }
    }

    fn capture(&mut self, account: &CaptureAccount) {
        let result = account.result.map(|result| format!("{result}: ")).unwrap_or_default();
        self.line(0, "capture", &format!("{}: {result}{}", account.name, account.because));
        account.remembered.iter().for_each(|(name, text)| self.line(1, name, text));
    }

    fn conversion(&mut self, account: &ConversionAccount) {
        let matches = if account.matches { "" } else { "no: " };
        self.line(0, "conversion", &format!("{}: {matches}{}", account.name, account.because));
        account.path.iter().for_each(|(name, text)| self.line(1, &format!("path.{name}"), text));
        for FieldAccount { name, result, value, from } in &account.fields {
            let text = match value {
                Some(value) => format!("{value}  from {from}"),
                None => format!("{result}: {from}"),
            };
            self.line(1, name, &text);
        }
        account.networks.iter().for_each(|network| self.network(network));
    }

    fn network(&mut self, account: &SendAccount) {
        let because = if account.because.is_empty() { String::new() } else { format!(": {}", account.because) };
        self.line(1, &account.network, &format!("{}{because}", account.outcome));
        if let Some(by) = &account.told_apart_by {
            self.line(2, "once per", by);
        }
        if !account.clicks.is_empty() {
            self.line(2, "clicks", &account.clicks.join(", "));
        }
        if let Some(PostbackAccount { method, url, headers, body }) = &account.postback {
            self.line(2, "sent", &format!("{method} {url}"));
            headers.iter().for_each(|(name, value)| self.line(3, &format!("{name}:"), value));
            body.iter().for_each(|body| self.line(3, "body", body));
        }
        account.pixels.iter().for_each(|url| self.line(2, "pixel", url));
    }

    fn pixels(&mut self, account: &PixelAccount) {
        for (network, urls) in &account.injected {
            self.line(0, "page", &format!("{} pixels of {network} go in", urls.len()));
        }
        for (network, reason) in &account.refused {
            self.line(0, "page", &format!("no pixels of {network}: {reason}"));
        }
    }
}

/// How many columns labels take.
const LABELS: usize = 12;
