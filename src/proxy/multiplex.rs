//! Connections with HTTP/2: the same proxy, with the limits that were in force when they began.

use std::sync::Arc;

use async_trait::async_trait;
use pingora::{
    apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream},
    protocols::http::{
        ServerSession,
        v2::server::{H2Options, default_h2_options},
    },
    server::ShutdownWatch,
};
use pingora_proxy::HttpProxy;

use super::service::Proxy;
use crate::config::Limits;

/// The proxy, as one connection with HTTP/2 sees it.
pub struct Multiplexed {
    proxy: Arc<HttpProxy<Proxy>>,
    http2: H2Options,
    options: HttpServerOptions,
}

impl Multiplexed {
    /// Serves a connection that these limits hold for.
    #[must_use]
    pub fn new(proxy: Arc<HttpProxy<Proxy>>, limits: &Limits) -> Self {
        let mut http2 = default_h2_options();
        http2.max_header_list_size(u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX));
        let mut options = HttpServerOptions::default();
        options.h2_idle_timeout = Some(limits.keep_alive_timeout);
        Self { proxy, http2, options }
    }
}

#[async_trait]
impl HttpServerApp for Multiplexed {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        stop: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        self.proxy.process_new_http(session, stop).await
    }

    fn h2_options(&self) -> Option<H2Options> {
        Some(self.http2.clone())
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }
}
