//! Connections that become tunnels: what a WebSocket needs beyond other requests.
//!
//! Pingora 0.9.1 ends a tunnel at once when the site's 101 is read before the end of the request's
//! own, empty body was taken note of (its issue 946): a matter of microseconds, and of luck. The
//! connection to the site is therefore one that after each write lets everybody else run before it
//! reads.
//!
//! Nor does Pingora read from the site while the site does not take what is written to it: a site that
//! sends before it reads on, as an echo does, then waits for us for ever, and we for it. So whatever
//! comes while a write is stuck is read ahead, up to 4 MiB. What a tunnel carries is nobody's
//! business here.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use bytes::BytesMut;
use http::{StatusCode, Version, header};
use pingora::{
    Error, ErrorType, OrErr, Result,
    connectors::L4Connect,
    http::{RequestHeader, ResponseHeader},
    protocols::{
        ALPN,
        l4::{
            ext::set_tcp_keepalive,
            socket::SocketAddr,
            stream::Stream,
            virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream},
        },
    },
    upstreams::peer::HttpPeer,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};

/// Whether this asks for a tunnel that we make: a WebSocket (RFC 6455 section 4.1).
#[must_use]
pub fn is_wanted(request: &RequestHeader) -> bool {
    let upgrade = request.headers.get(header::UPGRADE);
    request.version == Version::HTTP_11
        && upgrade.is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Makes the connection to the site one that can become a tunnel.
pub fn prepare(peer: &mut HttpPeer) {
    let inner = peer.options.custom_l4.take();
    peer.options.custom_l4 = Some(Arc::new(Connector { inner }));
    // A tunnel needs HTTP/1.1: Pingora knows no extended CONNECT (RFC 8441).
    peer.options.alpn = ALPN::H1;
    // A site that refuses the upgrade leaves a connection that nobody else can use: Pingora's pool
    // tells connections apart by their file descriptors, and this one hides its.
    peer.group_key = NEXT_GROUP.fetch_add(1, Ordering::Relaxed);
    peer.options.idle_timeout = Some(Duration::from_millis(1));
}

/// Refuses a switch of protocols that the visitor has not asked for (RFC 9110 section 7.8).
///
/// Pingora would hand the 101 on, and then whatever follows it.
pub fn check(request: &RequestHeader, response: &ResponseHeader) -> Result<()> {
    if response.status == StatusCode::SWITCHING_PROTOCOLS && !is_wanted(request) {
        return Err(Error::explain(ErrorType::InvalidHTTPHeader, "a 101 that was not asked for").into_up());
    }
    Ok(())
}

static NEXT_GROUP: AtomicU64 = AtomicU64::new(1);

#[derive(Debug)]
struct Connector {
    /// What else is special about the way to this server.
    inner: Option<Arc<dyn L4Connect + Send + Sync>>,
}

#[async_trait]
impl L4Connect for Connector {
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        if let Some(inner) = &self.inner {
            return inner.connect(address).await.map(patient);
        }
        match address {
            SocketAddr::Inet(address) => {
                TcpStream::connect(address).await.map(patient).or_err(ErrorType::ConnectError, "for a tunnel")
            }
            SocketAddr::Unix(address) => {
                let path = address
                    .as_pathname()
                    .ok_or_else(|| Error::explain(ErrorType::ConnectError, "a socket without a path"))?;
                UnixStream::connect(path).await.map(patient).or_err(ErrorType::ConnectError, "for a tunnel")
            }
        }
    }
}

fn patient(stream: impl Socket + 'static) -> Stream {
    let patient = Patient { stream, has_written: false, ahead: BytesMut::new(), has_ended: false };
    VirtualSocketStream::new(Box::new(patient)).into()
}

/// Reads only when a round of everything else has passed since the last write, and ahead while a write
/// is stuck.
#[derive(Debug)]
struct Patient<S> {
    stream: S,
    has_written: bool,
    /// What has been read ahead.
    ahead: BytesMut,
    /// Whether nothing follows behind that.
    has_ended: bool,
}

/// The most that is read ahead.
const MAX_AHEAD: usize = 4 << 20;

/// A stream whose options can be set.
trait Socket: AsyncRead + AsyncWrite + Unpin + Send + Sync + std::fmt::Debug {
    fn set(&self, option: VirtualSockOpt) -> io::Result<()>;
}

impl Socket for TcpStream {
    fn set(&self, option: VirtualSockOpt) -> io::Result<()> {
        match option {
            VirtualSockOpt::NoDelay => self.set_nodelay(true),
            VirtualSockOpt::KeepAlive(keepalive) => set_tcp_keepalive(self, &keepalive).map_err(io::Error::other),
            _ => Ok(()),
        }
    }
}

impl Socket for UnixStream {
    fn set(&self, _: VirtualSockOpt) -> io::Result<()> {
        Ok(())
    }
}

impl Socket for Stream {
    // Whoever connected it has set what it needs.
    fn set(&self, _: VirtualSockOpt) -> io::Result<()> {
        Ok(())
    }
}

impl<S: Socket> VirtualSocket for Patient<S> {
    fn set_socket_option(&self, option: VirtualSockOpt) -> io::Result<()> {
        self.stream.set(option)
    }
}

impl<S: Socket> AsyncRead for Patient<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.has_written {
            self.has_written = false;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.ahead.is_empty() && !self.has_ended {
            return Pin::new(&mut self.stream).poll_read(context, into);
        }
        let length = self.ahead.len().min(into.remaining());
        into.put_slice(&self.ahead.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl<S: Socket> Patient<S> {
    /// Takes what has come; an error is left for the next read to meet.
    fn read_ahead(&mut self, context: &mut Context<'_>) {
        let mut room = [0; 16 << 10];
        while !self.has_ended && self.ahead.len() < MAX_AHEAD {
            let mut chunk = ReadBuf::new(&mut room);
            match Pin::new(&mut self.stream).poll_read(context, &mut chunk) {
                Poll::Ready(Ok(())) if chunk.filled().is_empty() => self.has_ended = true,
                Poll::Ready(Ok(())) => self.ahead.extend_from_slice(chunk.filled()),
                Poll::Ready(Err(_)) | Poll::Pending => return,
            }
        }
    }
}

impl<S: Socket> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Poll::Ready(written) = Pin::new(&mut self.stream).poll_write(context, bytes) else {
            self.read_ahead(context);
            return Poll::Pending;
        };
        self.has_written = true;
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
