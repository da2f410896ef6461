//! The end of a compressed page that can't be decoded to its end.
//!
//! Its head has promised a plain page by then, so the coded bytes can't follow. The visitor gets all
//! that could be decoded, without pixels, and then the transfer breaks off: an unfinished chunked body,
//! a reset HTTP/2 stream. Browsers show what they have, which is what they show of the damaged page
//! itself (Chromium 150, measured: of a damaged or cut-off gzip page the part before the damage), and
//! nobody takes the page for complete or caches it.
//!
//! Breaking off takes an error, and Pingora drops with it whatever it has not written yet: all chunks
//! that came in one go, often the head as well. So copies of the last bytes are kept (by reference), and
//! [`break_off`] writes them where the host handles its errors.

use std::collections::VecDeque;

use bytes::Bytes;
use pingora::{Error, ErrorType, http::ResponseHeader};
use pingora_proxy::Session;

use super::Tracking;
use crate::html::coding::{Fault, MAX_CHUNK};

/// What has been handed on of an answer, as far as it may still be unwritten.
pub(super) struct Sent {
    head: Box<ResponseHeader>,
    recent: VecDeque<Bytes>,
    /// How many bytes `recent` holds.
    kept: usize,
    /// How many bytes there were in all.
    total: usize,
}

/// An answer that must not look complete.
pub(super) struct Breakage {
    sent: Sent,
    fault: Fault,
}

impl Sent {
    /// Starts an answer with its finished head.
    pub(super) fn new(head: &ResponseHeader) -> Self {
        Self { head: Box::new(head.clone()), recent: VecDeque::new(), kept: 0, total: 0 }
    }

    pub(super) fn push(&mut self, bytes: &Bytes) {
        self.recent.push_back(bytes.clone());
        self.kept += bytes.len();
        self.total += bytes.len();
        // One chunk is always kept: it is the one that is being handed on.
        while self.kept > MAX_KEPT && self.recent.len() > 1 {
            self.kept -= self.recent.pop_front().map_or(0, |oldest| oldest.len());
        }
    }

    /// The bytes behind the first `written` ones; none if they are no longer all there, because a page
    /// with a gap is worse than a shorter one.
    fn unwritten(self, written: usize) -> Vec<Bytes> {
        let gone = self.total - self.kept;
        let Some(mut skipped) = written.checked_sub(gone) else { return Vec::new() };
        let rest = self.recent.into_iter().map(|mut bytes| {
            let length = skipped.min(bytes.len());
            skipped -= length;
            bytes.split_off(length)
        });
        rest.filter(|bytes| !bytes.is_empty()).collect()
    }
}

impl Breakage {
    pub(super) const fn new(sent: Sent, fault: Fault) -> Self {
        Self { sent, fault }
    }

    /// The error that ends the transfer.
    pub(super) fn error(&self) -> Box<Error> {
        let what = match self.fault {
            Fault::Corrupt => "the site's compressed page is damaged or incomplete",
            Fault::Bomb => "the site's compressed page expands beyond all bounds",
        };
        Error::explain(ErrorType::InvalidHTTPHeader, what).into_up()
    }
}

/// Ends an answer that broke within a page; `false` if this was not what the host's error is about.
///
/// To be called first thing in `ProxyHttp::fail_to_proxy`. If it did something, the answer is over and
/// its connection must not be used again. A host that doesn't call it still breaks the transfer off, but
/// may answer with an error page where the head has not left.
pub async fn break_off(session: &mut Session) -> bool {
    let tracking = session.downstream_modules_ctx.get_mut::<Tracking>();
    let Some(Breakage { sent, .. }) = tracking.and_then(Tracking::take_breakage) else { return false };
    let downstream = session.as_downstream_mut();
    let (head, rest) = (sent.head.clone(), sent.unwritten(downstream.body_bytes_sent()));
    // The visitor may be gone; then there is nobody to tell.
    if downstream.response_written().is_none_or(|written| written.status.is_informational())
        && downstream.write_response_header(head).await.is_err()
    {
        return true;
    }
    for bytes in rest {
        if downstream.write_response_body(bytes, false).await.is_err() {
            break;
        }
    }
    true
}

/// How much is kept. What Pingora takes in one go is a few chunks of 64 KiB before they are decoded.
const MAX_KEPT: usize = MAX_CHUNK;

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(chunks: &[&'static [u8]]) -> Sent {
        let mut sent = Sent::new(&ResponseHeader::build(200, None).unwrap());
        chunks.iter().for_each(|chunk| sent.push(&Bytes::from_static(chunk)));
        sent
    }

    #[test]
    fn what_was_not_written_is_still_there() {
        for (written, expected) in [(0, "onetwothree"), (3, "twothree"), (4, "wothree"), (11, ""), (12, "")] {
            let rest = sent(&[b"one", b"two", b"three"]).unwritten(written).concat();
            assert_eq!(String::from_utf8(rest).unwrap(), expected, "{written} bytes were written");
        }
    }

    #[test]
    fn no_page_gets_a_gap() {
        let large: &'static [u8] = vec![b'x'; MAX_KEPT].leak();
        assert_eq!(sent(&[b"one", large]).unwritten(0), Vec::<Bytes>::new());
        assert_eq!(sent(&[b"one", large]).unwritten(3).concat().len(), MAX_KEPT);
        assert_eq!(sent(&[large, b"one"]).unwritten(MAX_KEPT + 1).concat(), b"ne");
    }
}
