//! One page on its way through: decoded if it must be, and with the pixels in it.

use std::{mem, sync::Arc};

use bytes::Bytes;

use super::{
    super::runtime::TrackedSite,
    breakage::{Breakage, Sent},
    guarded,
    insertion::Insertion,
};
use crate::{
    html::{
        coding::{Decoded, Decoder, Encoder, Fault},
        inject::Injector,
        page::{Page, Untouchable},
    },
    metrics::site::Injection,
    tracking::visit::ClaimEnd,
};

/// A page that is edited.
pub(super) struct Edit {
    site: Arc<TrackedSite>,
    insertion: Insertion,
    injector: Injector,
    encoded: Option<Encoded>,
}

/// What a page that came compressed needs besides.
struct Encoded {
    decoder: Decoder,
    onward: Onward,
}

/// How a page that came compressed leaves.
pub(super) enum Onward {
    /// In gzip. A page that can't be decoded to its end becomes a damaged gzip stream, as the client would
    /// have got one from the site.
    Gzip(Box<Encoder>),
    /// Plain, for clients without gzip. Its transfer breaks off.
    Plain(Sent),
}

/// How a page goes on behind a chunk.
pub(super) enum Flow {
    /// As before.
    On,
    /// Whatever comes passes as it is.
    Unedited,
    /// With nothing more.
    Over,
    /// Not at all, and its transfer must fail.
    Broken(Breakage),
}

impl Edit {
    /// Prepares the edit; `onward` is there if the page comes compressed.
    pub(super) fn new(site: Arc<TrackedSite>, insertion: Insertion, page: Page, onward: Option<Onward>) -> Self {
        let encoded = page.coding.zip(onward).map(|(coding, onward)| Encoded { decoder: Decoder::new(coding), onward });
        Self { site, insertion, injector: Injector::of(page), encoded }
    }

    /// Takes a chunk and puts what may leave in its place.
    pub(super) fn write(&mut self, body: &mut Option<Bytes>, ends: bool) -> Flow {
        let chunk = body.take().unwrap_or_default();
        let (chunk, fault) = match &mut self.encoded {
            Some(encoded) => encoded.decode(&chunk, ends),
            None => (chunk, None),
        };
        let looked = guarded(|| self.insertion.look_at(&chunk));
        let Some(passed) = looked.and_then(|()| guarded(|| self.injector.write(&chunk))) else {
            // The held bytes are outside of what failed; the page goes on unedited.
            *body = Some([self.injector.held(), &chunk].concat().into());
            self.count(Injection::Interrupted);
            return self.end_broken(body, Fault::Corrupt);
        };
        let kept = chunk.slice(..passed.keep.min(chunk.len()));
        let tail = match fault {
            Some(_) => self.injector.held().to_vec(),
            None if ends => self.finish(),
            None => Vec::new(),
        };
        *body = joined(passed.before, kept, tail);
        if let Some(fault) = fault {
            self.count(Injection::Untouchable(match fault {
                Fault::Corrupt => Untouchable::Corrupt,
                Fault::Bomb => Untouchable::Bomb,
            }));
            return self.end_broken(body, fault);
        }
        self.send_on(body, ends);
        Flow::On
    }

    /// Ends a page behind its last chunk, as trailers and HTTP/2 do.
    pub(super) fn finish_late(&mut self, body: &mut Option<Bytes>) -> Flow {
        *body = None;
        self.write(body, true)
    }

    /// The held end of the page with the pixels in it.
    fn finish(&mut self) -> Vec<u8> {
        let injector = mem::take(&mut self.injector);
        if let Some(obstacle) = injector.obstacle() {
            self.count(Injection::Untouchable(obstacle));
            return injector.finish(&[]);
        }
        let Some(forbidden) = guarded(|| self.insertion.drop_forbidden()) else {
            self.count(Injection::Interrupted);
            return injector.finish(&[]);
        };
        forbidden.into_iter().for_each(|network| self.site.metrics.injection(network, Injection::Csp));
        self.insertion.results().for_each(|(network, result)| self.site.metrics.injection(network, result));
        injector.finish(&self.insertion.markup())
    }

    /// Completes the pixels that waited for the page, and drops those whose proof it does not show.
    pub(super) fn heed(&mut self, ends: &[ClaimEnd]) {
        let unproven = self.insertion.heed(ends);
        unproven.into_iter().for_each(|network| self.site.metrics.injection(network, Injection::Unproven));
    }

    /// The page was given up before its end.
    pub(super) fn abandoned(&self) {
        self.count(Injection::Interrupted);
    }

    /// Prepares bytes of the page for the client.
    fn send_on(&mut self, body: &mut Option<Bytes>, ends: bool) {
        match &mut self.encoded {
            None => {}
            Some(Encoded { onward: Onward::Plain(sent), .. }) => {
                if let Some(bytes) = body {
                    sent.push(bytes);
                }
            }
            Some(Encoded { onward: Onward::Gzip(encoder), .. }) => {
                let mut stream = body.take().map(|bytes| encoder.write(&bytes)).unwrap_or_default();
                if ends {
                    stream.extend(mem::take(&mut **encoder).finish());
                }
                *body = Some(stream).filter(|stream| !stream.is_empty()).map(Bytes::from);
            }
        }
    }

    /// What follows behind these last bytes when a page can't go on.
    fn end_broken(&mut self, body: &mut Option<Bytes>, fault: Fault) -> Flow {
        self.send_on(body, false);
        match self.encoded.take() {
            None => Flow::Unedited,
            Some(Encoded { onward: Onward::Plain(sent), .. }) => Flow::Broken(Breakage::new(sent, fault)),
            Some(Encoded { onward: Onward::Gzip(encoder), .. }) => {
                let leaving = body.take().unwrap_or_default();
                *body = Some([&leaving[..], &encoder.damage()].concat().into());
                Flow::Over
            }
        }
    }

    fn count(&self, result: Injection) {
        self.insertion.results().for_each(|(network, _)| self.site.metrics.injection(network, result));
    }
}

impl Encoded {
    fn decode(&mut self, chunk: &[u8], ends: bool) -> (Bytes, Option<Fault>) {
        let decoded = guarded(|| self.decoder.write(chunk));
        // A decoder that panicked is in no state to go on.
        let Decoded { bytes, fault } = decoded.unwrap_or(Decoded { bytes: Vec::new(), fault: Some(Fault::Corrupt) });
        let fault = fault.or_else(|| self.decoder.finish().err().filter(|_| ends));
        (bytes.into(), fault)
    }
}

/// One chunk out of its parts; the usual one, a chunk that passes whole, is not copied.
fn joined(before: Vec<u8>, kept: Bytes, tail: Vec<u8>) -> Option<Bytes> {
    let whole = match (before.is_empty(), kept.is_empty(), tail.is_empty()) {
        (true, _, true) => kept,
        (false, true, true) => before.into(),
        (true, true, false) => tail.into(),
        _ => [&before[..], &kept, &tail].concat().into(),
    };
    (!whole.is_empty()).then_some(whole)
}
