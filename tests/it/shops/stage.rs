//! A shop, the proxy with its recipe, and the networks.

use super::{
    cases::{Case, Expected, Order, Sender, Step},
    recipe::Recipe,
    report::Report,
};
use crate::support::{
    accounting::assert_accounts, network::AdNetwork, origin::Origin, proxy::Proxy, response::Response, tell,
    visitor::Visitor,
};

/// Everything that a case needs.
pub(super) struct Stage {
    origin: Origin,
    network: AdNetwork,
    proxy: Proxy,
    networks: Vec<&'static str>,
}

impl Stage {
    /// Starts the proxy with a recipe.
    pub(super) fn of(recipe: &str) -> Self {
        let (origin, network) = (Origin::start(), networks());
        let Recipe { text, networks } = Recipe::load(recipe, origin.address(), network.address());
        let setup = Proxy::with(&text).env("ROKT_PUBLIC", "rpub-1").env("ROKT_SECRET", "rsec-1");
        Self { proxy: setup.start(), origin, network, networks }
    }

    /// Goes a visitor's way and checks what comes of each step.
    pub(super) fn play(&self, case: &Case) {
        let mut visitor = self.lands(case);
        for (index, step) in case.steps.iter().enumerate() {
            let place = format!("{}, step {} ({})", case.name, index + 1, case.about);
            tell(&place);
            let reported = self.network.received().len();
            match &step.expect {
                None => self.goes(&mut visitor, case, step),
                Some(Expected::Reported(order)) => {
                    self.goes(&mut visitor, case, step);
                    self.assert_reported(order, case, &place, reported);
                }
                Some(Expected::Outcome(outcome)) => {
                    let counted = self.counted(outcome);
                    self.goes(&mut visitor, case, step);
                    let more = u32::try_from(self.networks.len()).unwrap();
                    self.proxy.await_metric(OUTCOMES, &[("outcome", outcome)], counted + more);
                    assert_eq!(self.network.received().len(), reported, "{place}: told nevertheless");
                }
            }
        }
    }

    /// Goes a visitor's way, whatever comes of it.
    pub(super) fn walk(&self, case: &Case) {
        let mut visitor = self.lands(case);
        for step in &case.steps {
            self.goes(&mut visitor, case, step);
        }
    }

    /// Waits until everything is told, and every hit has its outcomes.
    pub(super) fn balances(&self) {
        self.proxy.await_settled();
        assert_accounts(&self.proxy);
    }

    /// What the networks heard so far.
    pub(super) fn reports(&self) -> Vec<Report> {
        self.network.received().iter().map(Report::read).collect()
    }

    fn lands(&self, case: &Case) -> Visitor {
        let mut visitor = self.proxy.visitor().host(&case.host);
        let click = &case.name;
        visitor.lands(&format!("/welcome?exotracker={click}&iclid={click}&rtid={click}&probe={click}"));
        visitor
    }

    fn goes(&self, visitor: &mut Visitor, case: &Case, step: &Step) {
        let path = step.url.split('?').next().unwrap_or_default();
        self.origin.change(path, step.answer.response());
        let answer = match step.from {
            Sender::Visitor => {
                let headers: Vec<_> =
                    step.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                visitor.request(&step.method, &step.url, &headers, &step.body)
            }
            Sender::Server => visitor.sends_raw(&servers_request(case, step)).unwrap(),
        };
        assert_eq!(answer.status, step.answer.status, "{}: {}", case.name, step.url);
        assert!(answer.is_complete(), "{}: {} {:?}", case.name, step.url, answer.ending);
    }

    fn assert_reported(&self, order: &Order, case: &Case, place: &str, before: usize) {
        self.network.await_received(before + self.networks.len());
        let reports: Vec<Report> = self.reports().into_iter().skip(before).collect();
        let mut heard: Vec<&str> = reports.iter().map(|report| report.network.as_str()).collect();
        heard.sort_unstable();
        let mut networks = self.networks.clone();
        networks.sort_unstable();
        assert_eq!(heard, networks, "{place}");
        for report in &reports {
            report.assert_tells(order, &case.name, place);
        }
    }

    fn counted(&self, outcome: &str) -> u32 {
        self.proxy.metric(OUTCOMES, &[("outcome", outcome)]).to_string().parse().expect("a whole number")
    }
}

/// The request of a server, which keeps no cookies and has nothing of a browser.
fn servers_request(case: &Case, step: &Step) -> Vec<u8> {
    let headers: String = step.headers.iter().flat_map(|(name, value)| [name, ": ", value, "\r\n"]).collect();
    let Step { method, url, body, .. } = step;
    let (host, length) = (&case.host, body.len());
    format!("{method} {url} HTTP/1.1\r\nHost: {host}\r\n{headers}Content-Length: {length}\r\n\r\n{body}").into_bytes()
}

/// All networks in one, each at a path of its name, and content with everything.
fn networks() -> AdNetwork {
    AdNetwork::judging(|request| match request.path() {
        "/exoclick" => "OK".into(),
        "/rokt" => {
            Response::new(200).header("Content-Type", "application/json").body(r#"{"data":{"unprocessedRecords":[]}}"#)
        }
        _ => Response::new(200),
    })
}

const OUTCOMES: &str = "throughline_conversions_total";
