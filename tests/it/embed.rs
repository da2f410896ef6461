//! Somebody else's Pingora proxy with our tracking in it: the module does not need our service.

use std::{net::SocketAddr, path::Path, sync::Arc, thread};

use async_trait::async_trait;
use pingora::{
    ErrorType, OkOrErr, Result,
    modules::http::HttpModules,
    server::{RunArgs, Server, ShutdownSignal, ShutdownSignalWatch},
    upstreams::peer::HttpPeer,
};
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};
use tempfile::TempDir;
use throughline::{
    config::{Config, Environment},
    delivery::Delivery,
    metrics::Metrics,
    proxy::{
        module::{self, Tracking},
        runtime::{Names, Tracker},
    },
    store::{
        Retention, Store,
        inspector::{Filter, RowState},
    },
    tracking::{journey::JourneyKeys, visit::Client, visitor::Seal},
};
use tokio::sync::watch;

use crate::support::{
    await_fact,
    config::{THANKS, shop},
    network::AdNetwork,
    origin::{Origin, PAGE, nobody},
    visitor::Visitor,
};

/// A proxy that knows one origin and nothing of sites, hosts or upstreams of ours.
struct Foreign {
    origin: SocketAddr,
    tracker: Arc<Tracker>,
}

#[async_trait]
impl ProxyHttp for Foreign {
    type CTX = ();

    fn new_ctx(&self) {}

    fn init_downstream_modules(&self, modules: &mut HttpModules) {
        module::install(modules);
    }

    async fn early_request_filter(&self, session: &mut Session, (): &mut ()) -> Result<()> {
        let peer =
            session.client_addr().and_then(|address| address.as_inet()).or_err(ErrorType::ReadError, "no peer")?;
        let client = Client { address: peer.ip(), over_tls: false };
        let tracking = session.downstream_modules_ctx.get_mut::<Tracking>();
        if let (Some(tracking), Some(site)) = (tracking, self.tracker.site("default")) {
            tracking.arm(&self.tracker, site, client);
        }
        Ok(())
    }

    async fn upstream_peer(&self, session: &mut Session, (): &mut ()) -> Result<Box<HttpPeer>> {
        if session.downstream_modules_ctx.get::<Tracking>().is_some_and(Tracking::is_hit) {
            session.set_abort_on_close(false);
        }
        Ok(Box::new(HttpPeer::new(self.origin, false, String::new())))
    }
}

/// A foreign proxy at work; the server stops when this is dropped.
struct Embedded {
    address: SocketAddr,
    store: Store,
    metrics: Arc<Metrics>,
    network: AdNetwork,
    _origin: Origin,
    _delivery: Delivery,
    _running: watch::Sender<()>,
    _state: TempDir,
}

impl Embedded {
    fn start() -> Self {
        // Fails when another test of this process has installed it.
        rustls::crypto::ring::default_provider().install_default().ok();
        let (origin, network, state) = (Origin::start(), AdNetwork::answering(["OK"]), TempDir::new().unwrap());
        let config = Config::parse(Path::new("shop.yaml"), &shop(&origin, &network), Environment::Process).unwrap();
        let metrics = Arc::new(Metrics::new());
        let (store, fresh) = Store::start(state.path(), Retention::default(), metrics.clone());
        let destinations = Arc::new(config.destinations());
        let delivery = Delivery::start(store.clone(), fresh, destinations, metrics.clone()).unwrap();
        let secret = ["a secret of more than thirty-two characters"];
        let (seal, journeys) = (Seal::new(secret).unwrap(), JourneyKeys::new(secret).unwrap());
        let names = Names { seal: Arc::new(seal), journeys: Arc::new(journeys) };
        let tracker = Tracker::new(&config, Some(&names), store.clone(), &metrics);
        let (address, (running, stopped)) = (nobody(), watch::channel(()));
        let foreign = Foreign { origin: origin.address(), tracker };
        thread::spawn(move || serve(foreign, address, stopped));
        await_fact(|| Visitor::at(address).try_request("GET", "/", &[], "").ok(), || format!("an answer at {address}"));
        Self {
            address,
            store,
            metrics,
            network,
            _origin: origin,
            _delivery: delivery,
            _running: running,
            _state: state,
        }
    }

    fn visitor(&self) -> Visitor {
        Visitor::at(self.address)
    }
}

/// A Pingora server as its documentation builds one, with an end that no signal is needed for.
fn serve(proxy: Foreign, address: SocketAddr, stopped: watch::Receiver<()>) {
    let mut server = Server::new(None).unwrap();
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, proxy);
    service.add_tcp(&address.to_string());
    server.add_service(service);
    server.run(RunArgs { shutdown_signal: Box::new(Until(stopped)) });
}

struct Until(watch::Receiver<()>);

#[async_trait]
impl ShutdownSignalWatch for Until {
    async fn recv(&self) -> ShutdownSignal {
        // Nothing is ever sent: this ends when the sender is dropped.
        self.0.clone().changed().await.ok();
        ShutdownSignal::FastShutdown
    }
}

#[test]
fn a_foreign_proxy_keeps_clicks_and_reports_conversions() {
    let embedded = Embedded::start();
    let mut visitor = embedded.visitor();
    let landed = visitor.lands("/?exotracker=abc");
    assert_eq!((landed.status, landed.text().as_str()), (200, PAGE));
    assert_eq!(visitor.cookie("_exoclick_cid").as_deref(), Some("abc"));
    // It does not answer our endpoint: no frame, but the next page looks for the verdict.
    assert_eq!(visitor.get(THANKS).text(), PAGE);
    assert!(visitor.cookie("_tl_sync").is_some());
    assert_eq!(embedded.network.await_received(1)[0].parameter("tag"), Some("abc"));
    let settled = Filter { states: vec![RowState::Settled], ..Filter::default() };
    let rows = || Some(embedded.store.inspect().list(&settled).unwrap()).filter(|rows| !rows.is_empty());
    let rows = await_fact(rows, || "a settled row".into());
    assert_eq!((&*rows[0].conversion, &*rows[0].network, rows[0].attempts), ("purchase", "exoclick", 1));
    assert!(embedded.metrics.render().contains("throughline_conversions_total"));
    assert_eq!((visitor.get("/").text().as_str(), visitor.cookie("_tl_sync")), (PAGE, None));
}

#[test]
fn a_foreign_proxy_shows_pixels_once() {
    let embedded = Embedded::start();
    let mut visitor = embedded.visitor();
    let page = visitor.get(THANKS);
    assert!(page.is_complete() && page.text().matches("<img").count() == 11, "{}", page.text());
    assert_eq!(visitor.get(THANKS).text(), PAGE);
    assert!(embedded.network.received().is_empty());
}
