//! What a failure is called towards a visitor.

use pingora::{Error, ErrorSource, ErrorType};

/// No server is there to be asked: none is resolved, or all are known to be down.
pub(super) const NO_SERVER: ErrorType = ErrorType::CustomCode("NoServer", 503);

/// The status that tells a visitor about a failure (RFC 9110 sections 15.6.3 to 15.6.5).
///
/// 502 when the site's own server refuses, breaks off or answers nonsense; 504 when it takes too
/// long, to connect or to answer; 503 when there is none to ask. 0 when no visitor is left to tell.
#[must_use]
pub fn status_for(error: &Error) -> u16 {
    let kind = error.etype();
    if let ErrorType::HTTPStatus(code) | ErrorType::CustomCode(_, code) = kind {
        return *code;
    }
    let is_timeout = matches!(
        kind,
        ErrorType::ConnectTimedout
            | ErrorType::TLSHandshakeTimedout
            | ErrorType::ReadTimedout
            | ErrorType::WriteTimedout
    );
    let is_gone = matches!(
        kind,
        ErrorType::ReadError | ErrorType::WriteError | ErrorType::WriteTimedout | ErrorType::ConnectionClosed
    );
    match error.esource() {
        ErrorSource::Upstream if is_timeout => 504,
        ErrorSource::Upstream => 502,
        ErrorSource::Downstream if is_gone => 0,
        ErrorSource::Downstream if is_timeout => 408,
        ErrorSource::Downstream => 400,
        ErrorSource::Internal | ErrorSource::Unset => 500,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_its_status() {
        use ErrorType::{
            ConnectNoRoute, ConnectRefused, ConnectTimedout, ConnectionClosed, H2Error, InternalError, InvalidCert,
            InvalidHTTPHeader, ReadError, ReadTimedout, TLSHandshakeFailure, WriteTimedout,
        };
        for (kind, status) in [
            (ConnectRefused, 502),
            (ConnectNoRoute, 502),
            (TLSHandshakeFailure, 502),
            (InvalidCert, 502),
            (ReadError, 502),
            (ConnectionClosed, 502),
            (InvalidHTTPHeader, 502),
            (H2Error, 502),
            (ConnectTimedout, 504),
            (ReadTimedout, 504),
            (WriteTimedout, 504),
            (NO_SERVER, 503),
        ] {
            assert_eq!(status_for(&Error::new_up(kind.clone())), status, "{kind:?}");
        }
        for (kind, status) in
            [(ConnectionClosed, 0), (ReadError, 0), (WriteTimedout, 0), (ReadTimedout, 408), (InvalidHTTPHeader, 400)]
        {
            assert_eq!(status_for(&Error::new_down(kind.clone())), status, "{kind:?}");
        }
        assert_eq!(status_for(&Error::new(InternalError)), 500);
        assert_eq!(status_for(&Error::new(NO_SERVER)), 503);
        assert_eq!(status_for(&Error::new(ErrorType::HTTPStatus(413))), 413);
    }
}
