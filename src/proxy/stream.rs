//! The bytes of one visitor's connection, as Pingora reads and writes them.
//!
//! Pingora's own stream keeps a read buffer of 64 KiB for every connection and looks at the clock for
//! every read; this one does neither. It tells the [`Connection`] what arrives and what has to wait,
//! and fails when the connection's time is over.

use std::{
    io,
    os::fd::AsRawFd,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use async_trait::async_trait;
use pingora::{
    http::ResponseHeader,
    protocols::{
        ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest,
        UniqueID, UniqueIDType, raw_connect::ProxyDigest, tls::SslDigest,
    },
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufWriter, ReadBuf};

use super::{
    connection::{Connection, Over},
    goodbye::{BAD_REQUEST, Goodbye, HEAD_TOO_LARGE, NOT_ALLOWED, REQUEST_TIMEOUT},
    refusal::Refusal,
    transport::Transport,
    watch::Place,
};

/// A visitor's connection.
#[derive(Debug)]
pub struct VisitorStream {
    transport: BufWriter<Transport>,
    connection: Arc<Connection>,
    is_http2: bool,
    digests: Digests,
    /// What is said at the end instead of an answer of Pingora's to something that was no request.
    farewell: Option<&'static str>,
    goodbye: Option<Goodbye>,
    _place: Place,
}

/// What Pingora passes on to each request.
#[derive(Debug)]
struct Digests {
    connection: Arc<ProxyDigest>,
    socket: Arc<SocketDigest>,
    tls: Option<Arc<SslDigest>>,
}

impl VisitorStream {
    /// Wraps a connection on which the visitor may now speak HTTP.
    #[must_use]
    pub fn new(transport: Transport, connection: Arc<Connection>, is_http2: bool, place: Place) -> Self {
        place.watch(&connection);
        // The answer of a proxy between us and the visitor, of which there is none.
        let nothing = Box::new(ResponseHeader::from(http::Response::new(()).into_parts().0));
        let digests = Digests {
            connection: Arc::new(ProxyDigest::new(nothing, Some(Box::new(Arc::clone(&connection))))),
            socket: Arc::new(SocketDigest::from_raw_fd(transport.socket().as_raw_fd())),
            tls: transport.tls_digest(),
        };
        Self {
            transport: BufWriter::with_capacity(WRITE_BUFFER, transport),
            connection,
            is_http2,
            digests,
            farewell: None,
            goodbye: None,
            _place: place,
        }
    }

    fn ended(&self) -> Option<io::Error> {
        self.connection.pace.over().map(|_| io::ErrorKind::TimedOut.into())
    }
}

impl Drop for VisitorStream {
    fn drop(&mut self) {
        // What was written before everything broke off is the visitor's; Pingora expects it to leave.
        if !self.transport.buffer().is_empty() {
            let mut context = Context::from_waker(Waker::noop());
            let _sent = Pin::new(&mut self.transport).poll_flush(&mut context);
        }
    }
}

impl AsyncRead for VisitorStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(error) = self.ended() {
            return Poll::Ready(Err(error));
        }
        if !self.is_http2 && !self.transport.buffer().is_empty() {
            // Pingora flushes a body of known length at its end only. It reads on here when there is
            // nothing more to be written for now, which is when a slow page must not wait for its end.
            if let Poll::Ready(Err(error)) = self.as_mut().poll_flush(cx) {
                return Poll::Ready(Err(error));
            }
        }
        let before = buf.filled().len();
        // Past the write buffer, which would only pass it on.
        let polled = Pin::new(self.transport.get_mut()).poll_read(cx, buf);
        let may_go_on = match &polled {
            Poll::Pending => {
                self.connection.pace.waits_to_read(cx.waker());
                self.connection.pace.over().is_none()
            }
            Poll::Ready(_) => self.connection.pace.has_read(buf.filled().len() - before),
        };
        if may_go_on { polled } else { Poll::Ready(Err(io::ErrorKind::TimedOut.into())) }
    }
}

impl AsyncWrite for VisitorStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(error) = self.ended() {
            return Poll::Ready(Err(error));
        }
        if self.connection.pace.answers_in_head() {
            // Words of Pingora's, which would name it.
            self.farewell.get_or_insert(if bytes.starts_with(b"HTTP/1.1 405") { NOT_ALLOWED } else { BAD_REQUEST });
            return Poll::Ready(Ok(bytes.len()));
        }
        let polled = Pin::new(&mut self.transport).poll_write(cx, bytes);
        self.has_polled(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(error) = self.ended() {
            return Poll::Ready(Err(error));
        }
        let polled = Pin::new(&mut self.transport).poll_write_vectored(cx, parts);
        self.has_polled(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(error) = self.ended() {
            return Poll::Ready(Err(error));
        }
        let polled = Pin::new(&mut self.transport).poll_flush(cx);
        self.has_polled(cx, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.goodbye.is_none() {
            this.goodbye = this.farewell().map(Goodbye::new);
        }
        if let Some(goodbye) = &mut this.goodbye {
            return goodbye.poll(&mut this.transport, cx);
        }
        if let Some(error) = this.ended() {
            return Poll::Ready(Err(error));
        }
        let polled = Pin::new(&mut this.transport).poll_shutdown(cx);
        this.has_polled(cx, polled)
    }
}

impl VisitorStream {
    fn has_polled<T>(&self, cx: &Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.connection.pace.has_written();
            return polled;
        }
        self.connection.pace.waits_to_write(cx.waker());
        self.ended().map_or(Poll::Pending, |error| Poll::Ready(Err(error)))
    }
}

impl VisitorStream {
    /// What is said to a head that did not become a request.
    fn farewell(&self) -> Option<&'static str> {
        if self.is_http2 {
            return None;
        }
        match self.connection.pace.over() {
            Some(Over::Refused(Refusal::HeaderTimeout)) => Some(REQUEST_TIMEOUT),
            Some(Over::Refused(Refusal::HeaderBytes)) => Some(HEAD_TOO_LARGE),
            Some(_) => None,
            None => self.farewell,
        }
    }
}

#[async_trait]
impl Shutdown for VisitorStream {
    async fn shutdown(&mut self) {
        if let Err(error) = AsyncWriteExt::shutdown(self).await {
            tracing::trace!(%error, "a visitor is gone already");
        }
    }
}

impl UniqueID for VisitorStream {
    fn id(&self) -> UniqueIDType {
        self.transport.get_ref().socket().as_raw_fd()
    }
}

impl Ssl for VisitorStream {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.digests.tls.clone()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        Some(if self.is_http2 { ALPN::H2 } else { ALPN::H1 })
    }
}

impl GetTimingDigest for VisitorStream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for VisitorStream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(Arc::clone(&self.digests.connection))
    }
}

impl GetSocketDigest for VisitorStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(Arc::clone(&self.digests.socket))
    }
}

impl Peek for VisitorStream {}

/// Enough for the head and the body of a small answer to leave together.
const WRITE_BUFFER: usize = 4096;
