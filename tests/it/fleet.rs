//! Several nodes on one database, as visitors and operators see them: real binaries, a real PostgreSQL.

use std::{sync::Arc, time::Duration};

use crate::support::{
    accounting::assert_accounts_of_fleet,
    await_fact,
    network::AdNetwork,
    origin::Origin,
    postgres::{Database, Postgres},
    proxy::{Proxy, Setup},
    response::Response,
};

mod loss;
mod moving;
mod operators;
mod outage;
mod records;
mod stories;
mod visitors;

const SECRET: &str = "a secret of more than thirty-two characters";
const OUTCOMES: &str = "throughline_conversions_total";
const VERDICTS: &str = "throughline_postbacks_total";
const GOAL: &str = "0123456789abcdef0123456789abcdef";

/// Some nodes with the site before them and the network behind.
struct Fleet {
    nodes: Vec<Proxy>,
    network: AdNetwork,
    _pixel: Arc<AdNetwork>,
    _origin: Origin,
    database: Database,
}

impl Fleet {
    /// Two nodes on a database of their own, whose network takes everything.
    fn of_two() -> Self {
        Self::of(2, AdNetwork::answering(["OK"]), Postgres::shared().database())
    }

    fn of(count: usize, network: AdNetwork, database: Database) -> Self {
        let (origin, pixel) = (Origin::start(), Arc::new(AdNetwork::answering(["pixel"])));
        let nodes = (0..count).map(|_| node(&origin, &network, &pixel, &database).start()).collect();
        let fleet = Self { nodes, network, _pixel: pixel, _origin: origin, database };
        fleet.nodes.iter().for_each(|node| node.await_metric("throughline_fleet_up", &[], 1));
        fleet
    }

    /// Waits until a metric's sum over all nodes is this.
    fn await_sum(&self, metric: &str, labels: &[(&str, &str)], value: u32) {
        let sum = || self.nodes.iter().map(|node| node.metric(metric, labels)).sum::<f64>();
        await_fact(
            || ((sum() - f64::from(value)).abs() < 0.5).then_some(()),
            || format!("{metric}{labels:?} is {}, not {value}\n{}", sum(), self.logs()),
        );
    }

    /// Waits until nothing is under way anywhere, and the books balance.
    fn end(&self) {
        for node in &self.nodes {
            node.await_metric("throughline_forward_pending", &[], 0);
            node.await_metric("throughline_outbox_pending", &[], 0);
        }
        assert_accounts_of_fleet(&self.nodes);
    }

    fn logs(&self) -> String {
        self.nodes.iter().map(Proxy::stderr).collect::<Vec<_>>().join("\n--\n")
    }
}

/// One node: a network of our own for visitors with `cid`, and ExoClick with a counted pixel for the others.
fn node(origin: &Origin, network: &AdNetwork, pixel: &AdNetwork, database: &Database) -> Setup {
    let state = "state: { path: ./state, postgres: { url: \"${DATABASE_URL}\" } }";
    Proxy::with(&configuration(origin, network, pixel, state)).env("SEAL", SECRET).env("DATABASE_URL", &database.url())
}

fn configuration(origin: &Origin, network: &AdNetwork, pixel: &AdNetwork, state: &str) -> String {
    let (origin, network, pixel) = (origin.address(), network.address(), pixel.address());
    format!(
        r#"listen: 127.0.0.1:0
admin: {{ listen: 127.0.0.1:0 }}
max_page_delay: 10s
secret: "${{SEAL}}"
{state}
sites:
  - name: shop
    upstream: "http://{origin}"
    consent: {{ require: ad_storage, from: [{{ header: x-consent, granted: "^1$", denied: "^0$" }}] }}
    networks:
      own:
        click: {{ param: cid }}
        postback:
          url: "http://{network}/pb"
          query: {{ e: "{{event_id}}", o: "{{order_id}}", c: "{{click_id}}", mail: "{{email}}" }}
      exoclick:
        click: {{ param: exotracker }}
        postback: {{ url: "http://{network}/tag.php" }}
        sync: {{ pixels: ["http://{pixel}/pixel"] }}
    captures: [{{ name: checkout, path: /checkout, method: POST, fields: {{ email: form.email }} }}]
    conversions:
      - name: purchase
        path: "/thank-you/{{order_id}}"
        email: journey.email
        send: {{ own: {{ }} }}
      - name: lead
        path: "/lead/{{order_id}}"
        send: {{ exoclick: {{ goal: {GOAL} }} }}
"#
    )
}

/// A visitor of the first node who agreed and came by an ad.
fn landed(node: &Proxy, target: &str) -> crate::support::visitor::Visitor {
    let mut visitor = node.visitor().sending("X-Consent", "1");
    visitor.lands(target);
    visitor
}
