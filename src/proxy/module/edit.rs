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
        coding::{Decoded, Decoder, Fault},
        inject::Injector,
        page::{Page, Untouchable},
    },
    metrics::site::Injection,
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
    sent: Sent,
}

/// How a page goes on behind a chunk.
pub(super) enum Flow {
    /// As before.
    On,
    /// Whatever comes passes as it is.
    Unedited,
    /// Not at all.
    Broken(Breakage),
}

impl Edit {
    /// Prepares the edit; `sent` is there if the page comes compressed.
    pub(super) fn new(site: Arc<TrackedSite>, insertion: Insertion, page: &Page, sent: Option<Sent>) -> Self {
        let encoded = page.coding.zip(sent).map(|(coding, sent)| Encoded { decoder: Decoder::new(coding), sent });
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
            return self.broken(body.as_ref(), Fault::Corrupt).map_or(Flow::Unedited, Flow::Broken);
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
            return self.broken(body.as_ref(), fault).map_or(Flow::Unedited, Flow::Broken);
        }
        if let (Some(encoded), Some(leaving)) = (&mut self.encoded, &*body) {
            encoded.sent.push(leaving);
        }
        Flow::On
    }

    /// The held end of the page with the pixels in it.
    pub(super) fn finish(&mut self) -> Vec<u8> {
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
        self.count(Injection::Injected);
        injector.finish(&self.insertion.markup())
    }

    /// Ends a page behind its last chunk, as trailers and HTTP/2 do.
    pub(super) fn finish_late(&mut self) -> Result<Vec<u8>, Breakage> {
        let fault = self.encoded.as_ref().and_then(|encoded| encoded.decoder.finish().err());
        let Some(fault) = fault else { return Ok(self.finish()) };
        self.count(Injection::Untouchable(Untouchable::Corrupt));
        let held = Bytes::from(self.injector.held().to_vec());
        self.broken(Some(&held), fault).map_or_else(|| Ok(held.to_vec()), Err)
    }

    /// The page was given up before its end.
    pub(super) fn abandoned(&self) {
        self.count(Injection::Interrupted);
    }

    /// What follows when an encoded page can't go on behind these last bytes.
    fn broken(&mut self, leaving: Option<&Bytes>, fault: Fault) -> Option<Breakage> {
        let Encoded { mut sent, .. } = self.encoded.take()?;
        if let Some(leaving) = leaving {
            sent.push(leaving);
        }
        Some(Breakage::new(sent, fault))
    }

    fn count(&self, result: Injection) {
        self.insertion.networks().for_each(|network| self.site.metrics.injection(network, result));
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
