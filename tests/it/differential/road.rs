//! From a visitor to a site, directly and through the proxy, over every pair of transports.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use super::{
    cases::Case,
    comparison::{Difference, of_answers, of_requests},
    expected::Mode,
    known::{KNOWN_DIFFERENCES, Known, NO_ANSWER, Occasion},
};
use crate::support::{
    config::GOAL,
    proxy::Proxy,
    server::lock,
    tls::{ANYWHERE, Issued},
    twin::{Client, Heard, Seen, Transport, TwinOrigin},
};

/// What visitors speak, and whether the proxy does.
pub(super) const VISITORS: [(Transport, bool); 4] = [
    (Transport::HTTP1, true),
    (Transport::HTTP1_TLS, true),
    (Transport::HTTP2_TLS, true),
    (Transport::HTTP2_CLEAR, true),
];

/// What sites speak, and whether the proxy does.
pub(super) const ORIGINS: [(Transport, bool); 4] = [
    (Transport::HTTP1, true),
    (Transport::HTTP1_TLS, true),
    (Transport::HTTP2_TLS, true),
    (Transport::HTTP2_CLEAR, true),
];

/// An exchange as both of its ends saw it.
pub(super) struct Exchange {
    pub(super) seen: Result<Seen, String>,
    pub(super) heard: Vec<Heard>,
}

/// What a comparison came to.
#[derive(Debug, Default)]
pub(super) struct Findings {
    compared: usize,
    connections: usize,
    known: BTreeMap<usize, usize>,
    unknown: Vec<String>,
}

/// Compares all cases on all roads from this site; prints the figures and fails with all that differs.
#[expect(clippy::print_stdout, reason = "the figures of the comparison")]
pub(super) fn compare(cases: &[Case], mode: Mode, origin: Transport) -> Findings {
    let (started, identity) = (Instant::now(), Arc::new(Issued::to(&ANYWHERE)));
    let site = start_site(origin, &identity, cases);
    let direct = walk(
        cases,
        mode,
        "direct",
        &site,
        |case| case.can_go(origin, origin),
        || Client::new(origin, site.address(), &identity),
    );
    let mut findings = Findings::default();
    for visitor in enabled(&VISITORS) {
        let proxy = start_proxy(mode, visitor, &site, origin, &identity);
        let proxied = walk(
            cases,
            mode,
            &visitor.to_string(),
            &site,
            |case| case.can_go(visitor, origin),
            || Client::new(visitor, proxy.address(), &identity),
        );
        findings.connections += proxied.1;
        for ((case, direct), proxied) in cases.iter().zip(&direct.0).zip(&proxied.0) {
            if let (Some(direct), Some(proxied)) = (direct, proxied) {
                findings.compared += 1;
                findings.judge(case, mode, [visitor, origin], direct, proxied);
            }
        }
    }
    println!(
        "{mode:?} from {origin}: {} cases, {} comparisons, {} of them explained by {} known differences, {} connections, {:.1} s",
        cases.len(),
        findings.compared,
        findings.known.values().sum::<usize>(),
        findings.known.len(),
        findings.connections,
        started.elapsed().as_secs_f32(),
    );
    findings
}

impl Findings {
    /// Compares one exchange on two roads.
    fn judge(
        &mut self,
        case: &Case,
        mode: Mode,
        [visitor, origin]: [Transport; 2],
        direct: &Exchange,
        proxied: &Exchange,
    ) {
        let place = format!("{:?} of {visitor} from {origin}", case.name);
        let Ok(_) = &direct.seen else {
            self.unknown.push(format!("{place}: even without the proxy: {:?}", direct.seen));
            return;
        };
        let nothing = Seen::nothing();
        let got = proxied.seen.as_ref().unwrap_or(&nothing);
        let occasion = Occasion { case, visitor, origin };
        for difference in differences(case, mode, Some([visitor, origin]), direct, proxied) {
            match Known::find(&difference, &occasion, got) {
                Some(index) => *self.known.entry(index).or_default() += 1,
                None => self.unknown.push(format!("{place}: {difference}")),
            }
        }
    }

    /// Adds another comparison's.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.compared += other.compared;
        self.connections += other.connections;
        for (index, count) in other.known {
            *self.known.entry(index).or_default() += count;
        }
        self.unknown.extend(other.unknown);
        self
    }

    /// Fails if anything differs that is not known to.
    #[expect(clippy::print_stdout, reason = "the figures of the comparison")]
    pub(super) fn assert_same(&self) {
        for (index, count) in &self.known {
            println!("{count:5} × {}: {}", KNOWN_DIFFERENCES[*index].aspect, KNOWN_DIFFERENCES[*index].reason);
        }
        assert!(self.compared > 0, "nothing was compared");
        let shown = self.unknown.len().min(400);
        assert!(self.unknown.is_empty(), "{} differences:\n{}", self.unknown.len(), self.unknown[..shown].join("\n"));
    }

    /// Which of the known differences occurred.
    pub(super) fn known(&self) -> impl Iterator<Item = usize> {
        self.known.keys().copied()
    }
}

/// What differs in both directions, beyond what tracking may change; `told` as in [`Mode::request`].
pub(super) fn differences(
    case: &Case,
    mode: Mode,
    told: Option<[Transport; 2]>,
    direct: &Exchange,
    proxied: &Exchange,
) -> Vec<Difference> {
    let (Ok(wanted), Ok(got)) = (&direct.seen, &proxied.seen) else {
        return vec![Difference::new(NO_ANSWER, &direct.seen, &proxied.seen)];
    };
    let mut found = of_answers(&mode.answer(case, wanted, got, told), got);
    match (direct.heard.as_slice(), proxied.heard.as_slice()) {
        ([direct], [proxied]) => found.extend(of_requests(&mode.request(case, direct, proxied, told), proxied)),
        (direct, proxied) => found.push(Difference::new("asked: times", direct.len(), proxied.len())),
    }
    found
}

/// The transports that are switched on.
pub(super) fn enabled(table: &[(Transport, bool)]) -> impl Iterator<Item = Transport> {
    table.iter().filter(|(_, on)| *on).map(|(transport, _)| *transport)
}

pub(super) fn start_site(transport: Transport, identity: &Arc<Issued>, cases: &[Case]) -> TwinOrigin {
    TwinOrigin::start(transport, identity, cases.iter().map(|case| (case.name.clone(), case.reply.clone())))
}

/// Sends all cases that can go this way, several at once; also counts the connections.
pub(super) fn walk(
    cases: &[Case],
    mode: Mode,
    road: &str,
    site: &TwinOrigin,
    can_go: impl Fn(&Case) -> bool + Sync,
    client: impl Fn() -> Client + Sync,
) -> (Vec<Option<Exchange>>, usize) {
    let (next, connections) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let results: Vec<Mutex<Option<Exchange>>> = cases.iter().map(|_| Mutex::default()).collect();
    thread::scope(|scope| {
        for _ in 0..WALKERS {
            scope.spawn(|| {
                let mut client = client();
                while let index = next.fetch_add(1, Ordering::Relaxed)
                    && let Some(case) = cases.get(index)
                {
                    if can_go(case) {
                        *lock(&results[index]) = Some(exchange(
                            case,
                            mode,
                            &format!("{road}-{index}").replace([' ', '/'], "_"),
                            site,
                            &mut client,
                        ));
                    }
                }
                connections.fetch_add(client.connections, Ordering::Relaxed);
            });
        }
    });
    let results = results.into_iter().map(|result| lock(&result).take()).collect();
    (results, connections.into_inner())
}

/// One exchange.
pub(super) fn exchange(case: &Case, mode: Mode, fetch: &str, site: &TwinOrigin, client: &mut Client) -> Exchange {
    // The same order for both roads: the address must not differ.
    let order = fetch.rsplit('-').next().unwrap_or_default();
    let ask = case.ask.marked(&case.name, fetch);
    let ask = match mode.parameter(order) {
        Some(pair) => ask.parameter(&pair),
        None => ask,
    };
    let seen = client.fetch(&ask);
    Exchange { seen, heard: site.heard(fetch) }
}

/// A proxy between this kind of visitor and this site.
fn start_proxy(mode: Mode, visitor: Transport, site: &TwinOrigin, origin: Transport, identity: &Issued) -> Proxy {
    let listen = if visitor.tls {
        "{ address: 127.0.0.1:0, tls: [{ cert: visitor.pem, key: visitor.key }] }"
    } else {
        "127.0.0.1:0"
    };
    let upstream = match (origin.is_http2(), origin.tls) {
        (_, true) => format!("{{ url: \"https://{}\", tls: {{ ca: site.pem, sni: shop.example }} }}", site.address()),
        (true, false) => format!("\"h2c://{}\"", site.address()),
        (false, false) => format!("\"http://{}\"", site.address()),
    };
    let path = if mode == Mode::Converting { "/**" } else { "/never" };
    let config = format!(
        r#"listen: {listen}
sites:
  - upstream: {upstream}
    networks:
      exoclick: {{ click: {{ param: exotracker }}, postback: {{ url: "http://127.0.0.1:9/tag.php" }} }}
    conversions:
      - name: purchase
        path: "{path}"
        order_id: query.order
        send:
          exoclick: {{ goal: {GOAL} }}
"#
    );
    Proxy::with(&config)
        .file("visitor.pem", &identity.cert)
        .file("visitor.key", &identity.key)
        .file("site.pem", &identity.cert)
        .start()
}

/// How many exchanges run at once.
const WALKERS: usize = 8;
