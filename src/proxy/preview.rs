//! What visitors who preview a site are shown: every decision about their requests, in a header of the
//! answer, and for whoever watches beside them, on a stream.
//!
//! Decisions are taken down where they are counted, so that what is shown is what happened. Values never
//! are, and other visitors' requests take nothing down. What has not been decided when the answer begins
//! is `waits` in the header; the stream tells it when all is over.

use std::{
    mem,
    sync::{Arc, LazyLock},
};

use http::{HeaderMap, HeaderValue, Method};
use parking_lot::Mutex;
use tokio::sync::broadcast;

use crate::{
    store::clock,
    tracking::{
        preview::{Preview, PreviewId},
        site::SiteRules,
        timestamp::Timestamp,
    },
};

mod counters;

pub use counters::Counters;

/// What was decided about one request of a visitor who previews a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviewDecision {
    /// Whose request it is.
    pub preview_id: PreviewId,
    /// When it came.
    pub time: Timestamp,
    /// The site's name.
    pub site: Arc<str>,
    /// Its method.
    pub method: Method,
    /// Its path, without the query; the beginning of a long one.
    pub path: String,
    /// `click exoclick=accepted`, `purchase/exoclick=held`, …; empty when nothing concerned tracking.
    pub decisions: Vec<String>,
}

/// Watches all previews of this process from now on, through every reload.
///
/// Whoever is too slow loses the oldest; nobody waits for them.
#[must_use]
pub fn watch() -> broadcast::Receiver<Arc<PreviewDecision>> {
    STREAM.subscribe()
}

/// What is taken down of one request; its stream hears of it when nothing more can come.
#[derive(Debug)]
pub(super) struct Notes {
    rules: Arc<SiteRules>,
    is_page: bool,
    noted: Mutex<Noted>,
}

#[derive(Debug, Default)]
struct Noted {
    /// `None` once it is known that this is no request of the site.
    decision: Option<PreviewDecision>,
    /// Hits for a network that have no outcome yet, by conversion and place under `send`.
    awaited: Vec<(usize, usize)>,
    /// What would have been sent.
    requests: Vec<String>,
}

impl Notes {
    /// Begins to take down what is decided about a request.
    pub(super) fn new(
        preview: &Preview,
        rules: &Arc<SiteRules>,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Arc<Self> {
        let decision = PreviewDecision {
            preview_id: preview.id,
            time: clock::now(),
            site: Arc::clone(&rules.name),
            method: method.clone(),
            path: path.chars().take(MAX_PATH).collect(),
            decisions: Vec::new(),
        };
        let accepted = headers.get(http::header::ACCEPT).map(HeaderValue::as_bytes).unwrap_or_default();
        let is_page = memchr::memmem::find(accepted, b"text/html").is_some();
        let noted = Mutex::new(Noted { decision: Some(decision), ..Noted::default() });
        Arc::new(Self { rules: Arc::clone(rules), is_page, noted })
    }

    /// Forgets it: it was asked of us, not of the site.
    pub(super) fn discard(&self) {
        self.noted.lock().decision = None;
    }

    /// What is known by now, as a header says it.
    pub(super) fn header(&self) -> HeaderValue {
        let noted = self.noted.lock();
        let known = noted.decision.iter().flat_map(|decision| &decision.decisions).cloned();
        let waiting = noted.awaited.iter().map(|(conversion, send)| self.outcome_line(*conversion, *send, WAITS));
        let mut text = String::new();
        for line in known.chain(waiting) {
            if text.len() + line.len() + CUT.len() > MAX_HEADER {
                text.push_str(CUT);
                break;
            }
            let mark = if text.is_empty() { "" } else { "; " };
            text.push_str(mark);
            text.push_str(&line);
        }
        let text = if text.is_empty() { NOTHING } else { &text };
        HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(NOTHING))
    }

    /// Takes down what would have been sent, without secrets and personal values.
    pub(super) fn would_send(&self, request: &str) {
        let mut noted = self.noted.lock();
        if noted.requests.len() < MAX_LINES {
            noted.requests.push(format!("would send {request}"));
        }
    }

    fn note(&self, line: String) {
        let mut noted = self.noted.lock();
        let lines = noted.decision.as_mut().map(|decision| &mut decision.decisions);
        if let Some(lines) = lines.filter(|lines| lines.len() < MAX_LINES) {
            lines.push(line);
        }
    }

    fn network(&self, network: usize) -> &str {
        self.rules.networks.get(network).map_or("", |network| &network.key)
    }

    fn conversion(&self, conversion: usize) -> &str {
        self.rules.conversions.get(conversion).map_or("", |rule| &rule.name)
    }

    fn outcome_line(&self, conversion: usize, send: usize, word: &str) -> String {
        let rule = self.rules.conversions.get(conversion).and_then(|rule| rule.send.get(send));
        let network = rule.map_or("", |send| self.network(send.network));
        format!("{}/{network}={word}", self.conversion(conversion))
    }
}

impl Drop for Notes {
    fn drop(&mut self) {
        let Noted { decision, awaited, requests } = mem::take(self.noted.get_mut());
        let Some(mut decision) = decision.filter(|it| self.is_page || !it.decisions.is_empty()) else { return };
        // Of these the fleet hears later than we do.
        let open = awaited.into_iter().map(|(conversion, send)| self.outcome_line(conversion, send, WAITS));
        decision.decisions.extend(open.chain(requests));
        // An error means that nobody watches.
        STREAM.send(Arc::new(decision)).ok();
    }
}

/// It outlives every configuration, as those who watch do.
static STREAM: LazyLock<broadcast::Sender<Arc<PreviewDecision>>> = LazyLock::new(|| broadcast::channel(WATCHED).0);
/// Requests that somebody who watches may be behind.
const WATCHED: usize = 256;
/// More than a person reads, of one request.
const MAX_LINES: usize = 100;
const MAX_PATH: usize = 512;
/// Common servers and browsers take 8 KiB of all headers.
const MAX_HEADER: usize = 1024;
const CUT: &str = "; ...";
const NOTHING: &str = "nothing";
/// No outcome yet.
const WAITS: &str = "waits";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        metrics::{Metrics, site::Injection},
        proxy::runtime::{TrackedSite, sample},
        tracking::{click::ClickResult, conversion::Outcome, preview::Conversions},
    };

    const CONFIG: &str = "
sites:
  - name: shop
    upstream: http://127.0.0.1:1
    networks:
      exoclick: { click: { param: exo } }
    conversions:
      - name: purchase
        path: /thanks
        order_id: query.order
        send: { exoclick: { goal: 0123456789abcdef0123456789abcdef } }
";

    fn site() -> TrackedSite {
        sample::site(CONFIG, &Arc::new(Metrics::new()))
    }

    fn begun(id: &str, site: &TrackedSite, path: &str, accept: &'static str) -> (Arc<Notes>, Arc<TrackedSite>) {
        let id = PreviewId::parse(id).expect("an id");
        let preview = Preview { id, until: Timestamp::default(), conversions: Conversions::Held };
        let headers = HeaderMap::from_iter([(http::header::ACCEPT, HeaderValue::from_static(accept))]);
        let notes = Notes::new(&preview, &site.rules, &Method::GET, path, &headers);
        (Arc::clone(&notes), site.noting(notes))
    }

    /// What was told of one preview by now.
    fn told(watched: &mut broadcast::Receiver<Arc<PreviewDecision>>, id: &str) -> Vec<(String, Vec<String>)> {
        let all = std::iter::from_fn(|| watched.try_recv().ok());
        let ours = all.filter(|it| it.preview_id.to_string() == id);
        ours.map(|it| (it.path.clone(), it.decisions.clone())).collect()
    }

    #[test]
    fn what_is_counted_is_shown_and_told_when_all_is_over() {
        let (plain, mut watched) = (site(), watch());
        let (notes, site) = begun("0000000a", &plain, "/thanks", "text/html");
        assert_eq!(notes.header(), "nothing");
        site.metrics.click(0, ClickResult::Accepted);
        site.metrics.hit(0);
        assert_eq!(notes.header(), "click exoclick=accepted; purchase/exoclick=waits");
        site.metrics.outcome(0, 0, Outcome::Held);
        notes.would_send("GET http://net.example/");
        assert_eq!(notes.header(), "click exoclick=accepted; purchase/exoclick=held");
        site.metrics.injection(0, Injection::Injected);
        drop(notes);
        assert!(told(&mut watched, "0000000a").is_empty(), "the site still has it");
        drop(site);
        let expected = [
            "click exoclick=accepted",
            "purchase/exoclick=held",
            "pixels exoclick=injected",
            "would send GET http://net.example/",
        ];
        assert_eq!(told(&mut watched, "0000000a"), [("/thanks".to_owned(), expected.map(String::from).to_vec())]);
    }

    #[test]
    fn nobody_is_told_of_what_was_asked_of_us_or_is_no_page() {
        let (plain, mut watched) = (site(), watch());
        drop(begun("0000000b", &plain, "/logo.png", "image/png"));
        let (notes, site) = begun("0000000b", &plain, "/.throughline/frame/token", "text/html");
        notes.discard();
        site.metrics.click(0, ClickResult::Accepted);
        drop((notes, site));
        drop(begun("0000000b", &plain, "/about", "text/html"));
        assert_eq!(told(&mut watched, "0000000b"), [("/about".to_owned(), vec![])]);
    }

    #[test]
    fn a_header_is_never_long() {
        let plain = site();
        let (notes, site) = begun("0000000c", &plain, &"/long".repeat(1000), "text/html");
        (0..1000).for_each(|_| site.metrics.click(0, ClickResult::NotModified));
        let header = notes.header();
        assert!(header.len() <= MAX_HEADER && header.to_str().expect("ASCII").ends_with("; ..."));
        let taken = notes.noted.lock();
        let decision = taken.decision.as_ref().expect("one of the site");
        assert_eq!((decision.decisions.len(), decision.path.len()), (MAX_LINES, MAX_PATH));
    }
}
