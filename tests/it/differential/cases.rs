//! The awkward exchanges: what sites really answer, and what browsers and scripts really ask.

use crate::support::twin::{Ask, Reply, Transport};

mod bodies;
mod headers;
mod requests;
mod statuses;

pub(super) use bodies::gzip;

/// One exchange with its name.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) ask: Ask,
    pub(super) reply: Reply,
    /// What a conversion may do with the body.
    pub(super) page: Page,
    only_http1: bool,
    only_http1_origin: bool,
}

/// Whether a body is a page into which pixels can go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    /// It is something else, and nobody may touch it.
    No,
    /// It is one.
    Plain,
    /// It is one, compressed although nobody asked for that.
    Encoded,
    /// It says that it is one, and its bytes say otherwise: they stay, though the head was written for pixels.
    Inert,
    /// Compressed so badly that nobody can read it: it must look broken.
    Damaged,
}

impl Case {
    fn new(name: &str, ask: Ask, reply: Reply) -> Self {
        Self { name: name.into(), ask, reply, page: Page::No, only_http1: false, only_http1_origin: false }
    }

    /// A browser asks for `/`.
    fn get(name: &str, reply: Reply) -> Self {
        Self::new(name, Ask::new("GET", "/a/page?b=c"), reply)
    }

    fn page(self) -> Self {
        Self { page: Page::Plain, ..self }
    }

    fn as_page(self, page: Page) -> Self {
        Self { page, ..self }
    }

    /// One of the pages that somebody has really written.
    pub(super) fn real(name: &str, reply: Reply, page: Page) -> Self {
        Self::new(name, Ask::new("GET", "/thank-you"), reply).as_page(page)
    }

    /// HTTP/2 can't say what is asked.
    fn only_http1(self) -> Self {
        Self { only_http1: true, ..self }
    }

    /// HTTP/2 can't say what is answered.
    fn only_http1_origin(self) -> Self {
        Self { only_http1_origin: true, ..self }
    }

    /// Whether the exchange can take this road.
    pub(super) fn can_go(&self, visitor: Transport, origin: Transport) -> bool {
        let http2 = visitor.is_http2() || origin.is_http2();
        !(self.only_http1 && http2 || self.only_http1_origin && origin.is_http2())
    }

    /// The same with HEAD.
    fn as_head(&self) -> Self {
        let mut case = self.clone();
        case.name = format!("HEAD: {}", self.name);
        case.ask.method = "HEAD".into();
        case
    }
}

/// All of them.
pub(super) fn all() -> Vec<Case> {
    let answers: Vec<Case> = [statuses::cases(), bodies::cases(), headers::cases()].concat();
    let heads = answers.iter().filter(|case| case.ask.method == "GET" && case.reply.cut.is_none()).map(Case::as_head);
    let heads: Vec<Case> = heads.collect();
    let cases = [answers, heads, requests::cases()].concat();
    let mut names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    names.sort_unstable();
    let twice: Vec<_> = names.windows(2).filter(|pair| pair[0] == pair[1]).collect();
    assert!(twice.is_empty(), "names that stand twice: {twice:?}");
    cases
}

/// A small page.
const PAGE: &str = "<!doctype html>\n<html><head><title>Shop</title></head>\n<body><h1>A page</h1></body></html>\n";
