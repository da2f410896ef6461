//! The smallest proxy that Pingora allows: what Throughline's pass-through is measured against.
//!
//! `bare LISTEN UPSTREAM` serves on one thread, with the same allocator and the same limits towards
//! the upstream as `src/proxy/upstream.rs`, and with nothing else: no modules, no metrics, no sites.

use std::{env, net::SocketAddr, process::exit, time::Duration};

use async_trait::async_trait;
use pingora::{
    Result,
    modules::http::HttpModules,
    server::{Server, configuration::ServerConf},
    upstreams::peer::HttpPeer,
};
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Bare(SocketAddr);

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();

    fn new_ctx(&self) {}

    // Overrides the default, which boxes a compressor for every request.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn upstream_peer(&self, _session: &mut Session, (): &mut ()) -> Result<Box<HttpPeer>> {
        let mut peer = Box::new(HttpPeer::new(self.0, false, String::new()));
        peer.options.connection_timeout = Some(Duration::from_secs(2));
        peer.options.total_connection_timeout = Some(Duration::from_secs(2));
        peer.options.read_timeout = Some(Duration::from_mins(5));
        peer.options.write_timeout = Some(Duration::from_mins(5));
        peer.options.idle_timeout = Some(Duration::from_secs(4));
        Ok(peer)
    }
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [listen, upstream] = &arguments[..] else { exit(2) };
    let Ok(upstream) = upstream.parse() else { exit(2) };
    let conf = ServerConf {
        threads: 1,
        max_retries: 2,
        // SIGTERM ends it at once; the default is five minutes later.
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(1),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, Bare(upstream));
    service.add_tcp(listen);
    server.add_service(service);
    server.run_forever()
}
