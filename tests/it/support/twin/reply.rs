//! What a site answers.

use std::{borrow::Cow, io, io::Write, thread};

use super::{Heard, PAUSE, wire};
use crate::support::http::push_header;

/// An answer, independent of the version of HTTP as far as it can be.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(super) version: &'static str,
    pub(crate) status: u16,
    /// What follows the status in HTTP/1, with its space.
    pub(super) reason: String,
    pub(crate) informational: Vec<(u16, Vec<(String, String)>)>,
    pub(crate) headers: Vec<(String, String)>,
    pub(super) body: Option<Vec<u8>>,
    pub(crate) framing: Framing,
    pub(crate) trailers: Vec<(String, String)>,
    /// After so many bytes of the body the answer is cut off.
    pub(crate) cut: Option<usize>,
    /// Each so many bytes there is a pause.
    pub(crate) pause_every: Option<usize>,
}

/// How the end of a body is said in HTTP/1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length,
    /// In chunks of so many bytes, each with this extension.
    Chunked(usize, &'static str),
    UntilClose,
    /// As the headers say, or not at all.
    Unsaid,
}

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    Keep,
    Close,
    Cut,
}

impl Reply {
    /// An answer with an empty body, if its status has one.
    pub(crate) fn new(status: u16) -> Self {
        let has_body = !matches!(status, 100..=199 | 204 | 304);
        Self {
            version: "HTTP/1.1",
            status,
            reason: " Scripted".into(),
            informational: Vec::new(),
            headers: Vec::new(),
            body: Some(Vec::new()),
            framing: if has_body { Framing::Length } else { Framing::Unsaid },
            trailers: Vec::new(),
            cut: None,
            pause_every: None,
        }
    }

    /// A page.
    pub(crate) fn html(body: impl AsRef<[u8]>) -> Self {
        Self::typed("text/html; charset=utf-8", body)
    }

    /// A body with its type.
    pub(crate) fn typed(content_type: &str, body: impl AsRef<[u8]>) -> Self {
        Self::new(200).header("Content-Type", content_type).body(body)
    }

    /// Sends back the body that it got.
    pub(crate) fn echo() -> Self {
        Self { body: None, ..Self::new(200).header("Content-Type", "application/octet-stream") }
    }

    pub(crate) fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn body(self, body: impl AsRef<[u8]>) -> Self {
        Self { body: Some(body.as_ref().to_vec()), ..self }
    }

    /// What follows the status, with its space.
    pub(crate) fn reason(self, reason: &str) -> Self {
        Self { reason: reason.into(), ..self }
    }

    pub(crate) fn framing(self, framing: Framing) -> Self {
        Self { framing, ..self }
    }

    pub(crate) fn chunked(self, size: usize) -> Self {
        self.framing(Framing::Chunked(size, ""))
    }

    pub(crate) fn http10(self) -> Self {
        Self { version: "HTTP/1.0", ..self.framing(Framing::UntilClose) }
    }

    pub(crate) fn trailer(mut self, name: &str, value: &str) -> Self {
        self.trailers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn after(mut self, status: u16, headers: &[(&str, &str)]) -> Self {
        let headers = headers.iter().map(|&(name, value)| (name.into(), value.into())).collect();
        self.informational.push((status, headers));
        self
    }

    pub(crate) fn cut_after(self, bytes: usize) -> Self {
        Self { cut: Some(bytes), ..self }
    }

    pub(crate) fn pausing_every(self, bytes: usize) -> Self {
        Self { pause_every: Some(bytes), ..self }
    }

    /// The body for this request, as far as it is sent.
    pub(crate) fn sent_body<'a>(&'a self, heard: &'a Heard) -> Cow<'a, [u8]> {
        let whole = self.body.as_ref().unwrap_or(&heard.body);
        Cow::Borrowed(&whole[..self.cut.unwrap_or(usize::MAX).min(whole.len())])
    }

    /// The length of the whole body.
    pub(crate) fn length(&self, heard: &Heard) -> usize {
        self.body.as_ref().unwrap_or(&heard.body).len()
    }

    pub(crate) fn has_body(&self, method: &str) -> bool {
        method != "HEAD" && !matches!(self.status, 100..=199 | 204 | 304)
    }

    /// Plays it in HTTP/1.
    pub(super) fn play(&self, heard: &Heard, to: &mut dyn Write) -> io::Result<After> {
        for (status, headers) in &self.informational {
            let mut head = format!("HTTP/1.1 {status} Wait\r\n");
            headers.iter().for_each(|(name, value)| push_header(&mut head, name, value));
            to.write_all(&wire(&(head + "\r\n")))?;
            to.flush()?;
        }
        let mut head = format!("{} {}{}\r\n", self.version, self.status, self.reason);
        self.headers.iter().for_each(|(name, value)| push_header(&mut head, name, value));
        match self.framing {
            Framing::Length => push_header(&mut head, "Content-Length", &self.length(heard).to_string()),
            Framing::Chunked(..) => push_header(&mut head, "Transfer-Encoding", "chunked"),
            Framing::UntilClose => push_header(&mut head, "Connection", "close"),
            Framing::Unsaid => {}
        }
        to.write_all(&wire(&(head + "\r\n")))?;
        let body = self.sent_body(heard);
        if self.has_body(&heard.method) {
            match self.framing {
                Framing::Chunked(size, extension) => {
                    for chunk in body.chunks(size) {
                        let start = format!("{:x}{extension}\r\n", chunk.len());
                        to.write_all(&[start.as_bytes(), chunk, b"\r\n"].concat())?;
                        self.pause(to)?;
                    }
                    if self.cut.is_none() {
                        let mut last = format!("0{extension}\r\n");
                        self.trailers.iter().for_each(|(name, value)| push_header(&mut last, name, value));
                        to.write_all(&wire(&(last + "\r\n")))?;
                    }
                }
                Framing::Length | Framing::UntilClose | Framing::Unsaid => {
                    for piece in body.chunks(self.pause_every.unwrap_or(usize::MAX)) {
                        to.write_all(piece)?;
                        self.pause(to)?;
                    }
                }
            }
        }
        to.flush()?;
        Ok(match (self.cut, self.framing) {
            (Some(_), _) => After::Cut,
            (None, Framing::UntilClose) => After::Close,
            (None, _) => After::Keep,
        })
    }

    fn pause(&self, to: &mut dyn Write) -> io::Result<()> {
        if self.pause_every.is_some() {
            to.flush()?;
            thread::sleep(PAUSE);
        }
        Ok(())
    }
}
