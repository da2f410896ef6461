//! The rows that share one request, put together one by one.
//!
//! A request is filled with what is queued when there is room for it on the wire, and never waits for
//! more: while a network is fast its requests are small, and once it is slow they are full.

use crate::{
    store::LeasedRow,
    tracking::postback::{Batch, BatchRule, NotJoined, Postback},
};

/// A request that is being put together.
pub(super) struct Load<'a> {
    rule: Option<&'a BatchRule>,
    request: Request<'a>,
    rows: Vec<LeasedRow>,
    left: Vec<LeasedRow>,
}

enum Request<'a> {
    None,
    Open(Batch<'a>),
    Closed(Postback),
}

/// A request with its rows, and the rows that it was not for, both in the order of the queue.
pub(super) struct Loaded {
    /// The request, if any row asked for one.
    pub(super) postback: Option<Postback>,
    /// What it reports.
    pub(super) rows: Vec<LeasedRow>,
    /// What belongs into another request.
    pub(super) left: Vec<LeasedRow>,
}

impl<'a> Load<'a> {
    /// A request for one row, or, with a rule, for several.
    pub(super) const fn new(rule: Option<&'a BatchRule>) -> Self {
        Self { rule, request: Request::None, rows: Vec::new(), left: Vec::new() }
    }

    /// Whether another row may find a place.
    pub(super) const fn is_open(&self) -> bool {
        match &self.request {
            Request::None => true,
            Request::Open(batch) => !batch.is_full() && self.left.len() < MISFITS,
            Request::Closed(_) => false,
        }
    }

    /// Whether no row has a place in it yet.
    pub(super) const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds a row, or leaves it to another request.
    pub(super) fn add(&mut self, row: LeasedRow, postback: Postback) {
        let (request, is_in) = match std::mem::replace(&mut self.request, Request::None) {
            Request::None => (begun(self.rule, postback), true),
            Request::Open(mut batch) => match batch.join(&postback) {
                Ok(()) => (Request::Open(batch), true),
                Err(NotJoined::Different) => (Request::Open(batch), false),
                Err(NotJoined::Full) => (Request::Closed(batch.finish()), false),
            },
            Request::Closed(request) => (Request::Closed(request), false),
        };
        self.request = request;
        if is_in { self.rows.push(row) } else { self.left.push(row) }
    }

    /// Makes an empty request this row's own.
    pub(super) fn close_with(&mut self, row: LeasedRow, postback: Postback) {
        self.request = Request::Closed(postback);
        self.rows.push(row);
    }

    /// Leaves a row to another request.
    pub(super) fn leave(&mut self, row: LeasedRow) {
        self.left.push(row);
    }

    pub(super) fn finish(self) -> Loaded {
        let postback = match self.request {
            Request::None => None,
            Request::Open(batch) => Some(batch.finish()),
            Request::Closed(postback) => Some(postback),
        };
        Loaded { postback, rows: self.rows, left: self.left }
    }
}

fn begun(rule: Option<&BatchRule>, postback: Postback) -> Request<'_> {
    let Some(rule) = rule else { return Request::Closed(postback) };
    match Batch::begin(rule, postback) {
        Ok(batch) => Request::Open(batch),
        Err(postback) => Request::Closed(*postback),
    }
}

/// Rows that are rendered in vain for one request. A network for which each request differs is sent to
/// one by one, and not after a look at the whole queue each time.
const MISFITS: usize = 16;
