//! The last words on a connection whose head did not become a request.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, BufWriter, ReadBuf},
    time::Sleep,
};

use super::transport::Transport;

/// The last words, and the time that the visitor has to hear them.
#[derive(Debug)]
pub(super) struct Goodbye {
    unsaid: &'static [u8],
    is_said: bool,
    until: Pin<Box<Sleep>>,
}

impl Goodbye {
    /// Says these words.
    pub(super) fn new(words: &'static str) -> Self {
        Self { unsaid: words.as_bytes(), is_said: false, until: Box::pin(tokio::time::sleep(GOODBYE)) }
    }

    /// Goes on; ready when all is said and heard, or nobody hears it.
    pub(super) fn poll(&mut self, transport: &mut BufWriter<Transport>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.until.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        while !self.unsaid.is_empty() {
            let written = ready!(Pin::new(&mut *transport).poll_write(cx, self.unsaid))?;
            self.unsaid = self.unsaid.get(written..).unwrap_or_default();
        }
        if !self.is_said {
            ready!(Pin::new(&mut *transport).poll_shutdown(cx))?;
            self.is_said = true;
        }
        // What was not read when a connection is closed takes back what was just said (RFC 9112,
        // section 9.6).
        loop {
            let mut ignored = [0; 1024];
            let mut ignored = ReadBuf::new(&mut ignored);
            ready!(Pin::new(transport.get_mut()).poll_read(cx, &mut ignored))?;
            if ignored.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

/// How long the visitor has to hear it.
const GOODBYE: Duration = Duration::from_secs(1);
pub(super) const BAD_REQUEST: &str = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
pub(super) const NOT_ALLOWED: &str =
    "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
pub(super) const REQUEST_TIMEOUT: &str =
    "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
pub(super) const HEAD_TOO_LARGE: &str =
    "HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
