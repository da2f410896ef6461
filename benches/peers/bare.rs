//! The smallest proxy that Pingora allows: what Throughline's pass-through is measured against.
//!
//! `bare LISTEN UPSTREAM [forwarding]` serves on one thread, with the same allocator and the same limits
//! towards the upstream as `src/proxy/upstream.rs`, and with nothing else: no modules, no metrics, no
//! sites. `forwarding` adds the headers that a proxy in front of a site has to send, and that Throughline
//! sends: whose request it is.

use std::{env, net::SocketAddr, process::exit, time::Duration};

use async_trait::async_trait;
use pingora::{
    Result,
    http::RequestHeader,
    modules::http::HttpModules,
    server::{Server, configuration::ServerConf},
    upstreams::peer::HttpPeer,
};
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Bare {
    upstream: SocketAddr,
    forwards: bool,
}

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();

    fn new_ctx(&self) {}

    // Overrides the default, which boxes a compressor for every request.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn upstream_peer(&self, _session: &mut Session, (): &mut ()) -> Result<Box<HttpPeer>> {
        let mut peer = Box::new(HttpPeer::new(self.upstream, false, String::new()));
        peer.options.connection_timeout = Some(Duration::from_secs(2));
        peer.options.total_connection_timeout = Some(Duration::from_secs(2));
        peer.options.read_timeout = Some(Duration::from_mins(5));
        peer.options.write_timeout = Some(Duration::from_mins(5));
        peer.options.idle_timeout = Some(Duration::from_secs(4));
        Ok(peer)
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        (): &mut (),
    ) -> Result<()> {
        if !self.forwards {
            return Ok(());
        }
        let client = session.client_addr().and_then(|address| address.as_inet());
        let client = client.map(|address| address.ip().to_string()).unwrap_or_default();
        let host = request.headers.get("host").cloned();
        let shown = host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or_default();
        let forwarded = format!("for={client};host={shown};proto=http");
        request.insert_header("X-Forwarded-For", client)?;
        request.insert_header("X-Forwarded-Proto", "http")?;
        request.insert_header("Forwarded", forwarded)?;
        if let Some(host) = host {
            request.insert_header("X-Forwarded-Host", host)?;
        }
        request.append_header("Via", "1.1 bare")?;
        Ok(())
    }
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (listen, upstream, forwards) = match &arguments[..] {
        [listen, upstream] => (listen, upstream, false),
        [listen, upstream, option] if option == "forwarding" => (listen, upstream, true),
        _ => exit(2),
    };
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
    let mut service = http_proxy_service(&server.configuration, Bare { upstream, forwards });
    service.add_tcp(listen);
    server.add_service(service);
    server.run_forever()
}
