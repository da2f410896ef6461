//! Who the visitor is behind the proxies before us, and what the site is told about it.
//!
//! What a connection says about others is believed only when it comes from `trusted_proxies`;
//! otherwise it is removed, because the site would believe it now that it comes from us.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Version, header, uri::Scheme};
use pingora::http::RequestHeader;
use uuid::Uuid;

use super::{connection::Connection, runtime::SiteTable};
use crate::tracking::visit::Client;

/// What is written into requests on their way to a site.
#[derive(Debug)]
pub struct Forwarding {
    /// Ours alone, so that a request that has been here before is known.
    pseudonym: String,
    via: [HeaderValue; 3],
}

/// What a visitor's request says about others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// `X-Forwarded-For` or `Forwarded`.
    pub address: bool,
    /// Any header that only proxies write.
    pub any: bool,
}

/// What is told about a request.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// Whose it is.
    pub client: Client,
    /// What it says itself.
    pub claims: Claims,
    /// Whether that is believed.
    pub is_trusted: bool,
    /// Whether it is said that a proxy was there at all.
    pub via: bool,
}

impl Forwarding {
    /// Takes a pseudonym that no other process has.
    #[must_use]
    pub fn new(identity: Uuid) -> Self {
        let pseudonym = format!("throughline-{}", identity.simple());
        let via = ["1.0", "1.1", "2"].map(|version| {
            HeaderValue::try_from(format!("{version} {pseudonym}"))
                .unwrap_or_else(|_| HeaderValue::from_static("1.1 -"))
        });
        Self { pseudonym, via }
    }

    /// Whether a request has been here before (RFC 9110, section 7.6.3).
    #[must_use]
    pub fn has_seen(&self, headers: &HeaderMap) -> bool {
        let mut lines = headers.get_all(header::VIA).iter();
        lines.any(|line| memchr::memmem::find(line.as_bytes(), self.pseudonym.as_bytes()).is_some())
    }

    /// Tells the site whose request this is, which came in this version of HTTP.
    pub fn tell(&self, request: &mut RequestHeader, came: Version, connection: &Connection, told: Told) {
        let host = request.headers.get(header::HOST).cloned().or_else(|| {
            let authority = request.uri.authority()?.as_str();
            HeaderValue::try_from(authority).ok()
        });
        let Told { client, claims, is_trusted, via } = told;
        let forwarded = connection.forwarded(host.as_ref(), client.over_tls);
        let proto = HeaderValue::from_static(if client.over_tls { "https" } else { "http" });
        if is_trusted {
            add(request, connection, &forwarded, proto, host);
        } else {
            if claims.any {
                remove_claims(request);
            }
            set(request, "X-Forwarded-For", connection.address_value().clone());
            set(request, "X-Forwarded-Proto", proto);
            set(request, "Forwarded", forwarded);
            if let Some(host) = host {
                set(request, "X-Forwarded-Host", host);
            }
        }
        if !via {
            return;
        }
        let via = match came {
            Version::HTTP_09 | Version::HTTP_10 => &self.via[0],
            Version::HTTP_2 | Version::HTTP_3 => &self.via[2],
            _ => &self.via[1],
        };
        if request.append_header("Via", via.clone()).is_err() {
            tracing::debug!("a request has too many headers for another one");
        }
    }
}

/// Adds to what a trusted proxy said, and fills in what it left out.
fn add(
    request: &mut RequestHeader,
    connection: &Connection,
    forwarded: &HeaderValue,
    proto: HeaderValue,
    host: Option<HeaderValue>,
) {
    let appended = |name: &HeaderName, last: &[u8]| {
        let lines = request.headers.get_all(name);
        let mut whole: Vec<u8> = lines.iter().map(HeaderValue::as_bytes).collect::<Vec<_>>().join(&b", "[..]);
        if !whole.is_empty() {
            whole.extend_from_slice(b", ");
        }
        whole.extend_from_slice(last);
        HeaderValue::try_from(whole).ok()
    };
    let address = appended(&X_FORWARDED_FOR, connection.address_value().as_bytes());
    let forwarded = appended(&header::FORWARDED, forwarded.as_bytes());
    for (name, value) in [("X-Forwarded-For", address), ("Forwarded", forwarded)] {
        if let Some(value) = value {
            set(request, name, value);
        }
    }
    for (name, value) in [("X-Forwarded-Proto", Some(proto)), ("X-Forwarded-Host", host)] {
        if let (false, Some(value)) = (request.headers.contains_key(name), value) {
            set(request, name, value);
        }
    }
}

/// Whose request it is, as far as what it says of that is believed.
#[must_use]
pub fn client(connection: &Connection, is_trusted: bool, headers: &HeaderMap, table: &SiteTable) -> Client {
    let (address, over_tls) = (connection.address(), connection.over_tls);
    if !is_trusted {
        return Client { address, over_tls };
    }
    let last = |name: &HeaderName| headers.get_all(name).iter().next_back()?.to_str().ok();
    let (hops, said_tls) = if headers.contains_key(&X_FORWARDED_FOR) {
        let hops = list(headers, &X_FORWARDED_FOR).into_iter().map(|hop| parse_address(&hop)).collect();
        (hops, None)
    } else {
        let elements = list(headers, &header::FORWARDED);
        let hops = elements.iter().map(|element| parse_address(&parameter(element, "for")?)).collect();
        let proto = elements.last().and_then(|element| parameter(element, "proto"));
        (hops, proto.map(|proto| proto.eq_ignore_ascii_case("https")))
    };
    let said_tls = last(&X_FORWARDED_PROTO)
        .map(|proto| proto.rsplit(',').next().unwrap_or_default().trim().eq_ignore_ascii_case(Scheme::HTTPS.as_str()))
        .or(said_tls);
    Client { address: nearest(hops, address, table), over_tls: said_tls.unwrap_or(over_tls) }
}

/// What a request says about others.
#[must_use]
pub fn claims(headers: &HeaderMap) -> Claims {
    let mut claims = Claims::default();
    for name in headers.keys().filter(|name| is_claim(name)) {
        claims.any = true;
        claims.address |= *name == X_FORWARDED_FOR || *name == header::FORWARDED;
    }
    claims
}

fn remove_claims(request: &mut RequestHeader) {
    // Those that we set ourselves are overwritten.
    let known = [X_FORWARDED_FOR, X_FORWARDED_PROTO, X_FORWARDED_HOST, header::FORWARDED];
    let others: Vec<HeaderName> =
        request.headers.keys().filter(|name| is_claim(name) && !known.contains(name)).cloned().collect();
    for name in others {
        request.remove_header(&name);
    }
}

/// `X-Forwarded-Port`, `-Prefix`, `-Ssl` and the like move a site's links when it believes them.
fn is_claim(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("x-forwarded-") || name == "forwarded"
}

/// The nearest hop that is not trusted: proxies write at the end, and those we trust are passed over.
fn nearest(hops: Vec<Option<IpAddr>>, peer: IpAddr, table: &SiteTable) -> IpAddr {
    let mut nearest = peer;
    for hop in hops.into_iter().rev() {
        // Behind a hop that cannot be read nobody knows who wrote what.
        let Some(hop) = hop else { break };
        nearest = hop;
        if !table.trusts(hop) {
            break;
        }
    }
    nearest
}

/// The elements of a list that may stand on several lines, with quoted commas left alone.
fn list(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let lines: Vec<&str> = headers.get_all(name).iter().filter_map(|line| line.to_str().ok()).collect();
    split_unquoted(&lines.join(","), ',').into_iter().filter(|element| !element.is_empty()).collect()
}

/// A parameter of an element of `Forwarded` (RFC 7239, section 4).
fn parameter(element: &str, name: &str) -> Option<String> {
    split_unquoted(element, ';').into_iter().find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"').to_owned())
    })
}

fn split_unquoted(text: &str, separator: char) -> Vec<String> {
    let mut parts = vec![String::new()];
    let (mut quoted, mut escaped) = (false, false);
    for character in text.chars() {
        let ends = character == separator && !quoted;
        quoted ^= character == '"' && !escaped;
        escaped = character == '\\' && quoted && !escaped;
        match parts.last_mut() {
            Some(part) if !ends => part.push(character),
            Some(_) | None => parts.push(String::new()),
        }
    }
    parts.iter().map(|part| part.trim().to_owned()).collect()
}

/// An address as proxies write it: with or without a port, IPv6 with or without brackets.
fn parse_address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.split_once(']')).map_or(text, |(address, _)| address);
    bare.parse::<IpAddr>().or_else(|_| text.parse().map(|socket: std::net::SocketAddr| socket.ip())).ok()
}

/// One element of `Forwarded` (RFC 7239, sections 4 and 6).
pub(super) fn element(address: IpAddr, host: Option<&HeaderValue>, over_tls: bool) -> HeaderValue {
    let mut text = match address {
        IpAddr::V4(address) => format!("for={address}"),
        IpAddr::V6(address) => format!("for=\"[{address}]\""),
    };
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._".contains(byte);
    if let Some(host) = host.and_then(|host| host.to_str().ok()) {
        text.push_str(";host=");
        if host.as_bytes().iter().all(is_token) {
            text.push_str(host);
        } else {
            text.push('"');
            text.push_str(&host.replace('\\', "\\\\").replace('"', "\\\""));
            text.push('"');
        }
    }
    text.push_str(if over_tls { ";proto=https" } else { ";proto=http" });
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("for=unknown"))
}

/// Names as text: Pingora keeps their case, and takes it from nowhere else.
fn set(request: &mut RequestHeader, name: &'static str, value: HeaderValue) {
    if request.insert_header(name, value).is_err() {
        tracing::debug!("a request has too many headers for another one");
    }
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

#[cfg(test)]
mod tests;
