//! Who gets the answer: what a client takes decides whether its page can be edited, and how it leaves then.

use http::{HeaderMap, Version};
use pingora::http::ResponseHeader;

use super::{breakage::Sent, edit::Onward, head};
use crate::html::{
    coding,
    page::{self, Page, Untouchable},
};

/// What the client of a request takes.
#[derive(Clone, Copy)]
pub(super) struct Recipient {
    /// Whether it knows nothing of chunks.
    pub(super) is_http10: bool,
    /// Whether it takes a page that is not encoded.
    pub(super) takes_plain: bool,
    pub(super) takes_gzip: bool,
}

impl Recipient {
    /// A client of which nothing but its version is known; nothing more matters to most requests.
    pub(super) fn speaking(version: Version) -> Self {
        Self { is_http10: version == Version::HTTP_10, takes_plain: true, takes_gzip: false }
    }

    /// The same with what its request says that it takes.
    pub(super) fn accepting(self, request: &HeaderMap) -> Self {
        let (takes_plain, takes_gzip) = (!coding::refuses_identity(request), coding::accepts_gzip(request));
        Self { takes_plain, takes_gzip, ..self }
    }

    /// Whether pixels can go into the page that begins with this head.
    pub(super) fn editable(self, response: &ResponseHeader, has_body: bool) -> Result<Page, Untouchable> {
        let page = page::editable(response.status.as_u16(), &response.headers, has_body)?;
        // A plain one that breaks off must do so visibly, which takes chunks.
        let can_be_plain = self.takes_plain && !self.is_http10;
        let is_left_encoded = page.coding.is_some() && !self.takes_gzip && !can_be_plain;
        if is_left_encoded { Err(Untouchable::Encoded) } else { Ok(page) }
    }

    /// Takes back what the head of an edited page says of its bytes.
    pub(super) fn expect_other_bytes(self, page: Page, response: &mut ResponseHeader) {
        head::of_unknown_length(response, page, self.takes_gzip);
    }

    /// How an edited page leaves that comes compressed, behind its finished head.
    pub(super) fn recoding(self, page: Page, response: &ResponseHeader) -> Option<Onward> {
        page.coding
            .map(|_| if self.takes_gzip { Onward::Gzip(Box::default()) } else { Onward::Plain(Sent::new(response)) })
    }
}
