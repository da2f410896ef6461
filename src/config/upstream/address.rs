//! Where one server is: http:, https:, h2c: and unix:.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use url::{Host, Url};

use super::{Scheme, ServerAddress, ServerRules};
use crate::config::{decode::Field, file::beside, server::Server, tree::Kind};

/// Reads an address, or `{ url: ADDRESS, weight: NUMBER }`.
pub fn weighted(field: &Field<'_>, ourselves: &Server) -> Option<ServerRules> {
    if !matches!(field.node.kind, Kind::Map(_)) {
        return server(field, ourselves);
    }
    let mut section = field.section()?;
    let url = section.require("url", "write `url: http://10.0.0.1:8080`");
    let rules = url.and_then(|field| server(&field, ourselves));
    let weight = section.get("weight").and_then(|field| field.number_within(1..=1000));
    section.finish();
    rules.map(|rules| ServerRules { weight: weight.unwrap_or(rules.weight), ..rules })
}

/// Reads an address, which must not be one of ours.
pub fn server(field: &Field<'_>, ourselves: &Server) -> Option<ServerRules> {
    let text = field.text()?;
    if let Some(path) = text.strip_prefix("unix:") {
        return unix(field, text, path);
    }
    let wrong = |message: &str| {
        // Credentials must not be repeated.
        let shown = text.rsplit_once('@').map_or(text, |(_, host)| host);
        field.error(format!("`{shown}` {message}"), REMEDY.to_owned());
        None
    };
    let Some((scheme, rest)) = text.split_once("://") else { return wrong("is not an address") };
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        "h2c" => Scheme::H2c,
        _ => return wrong("is spoken to in a way that is not known"),
    };
    // What follows `h2c:` is read like what follows `http:`.
    let like = if scheme == Scheme::Https { "https" } else { "http" };
    let Ok(url) = Url::parse(&format!("{like}://{rest}")) else { return wrong("is not an address") };
    if !url.username().is_empty() || url.password().is_some() {
        return wrong("is written with credentials, which are not sent anywhere");
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return wrong("has a path or a query, and paths are passed on as they are");
    }
    // A URL may hold spaces and more slashes; a label of a metric should not.
    let is_plain = !rest.starts_with(['/', '\\']) && text.bytes().all(|byte| byte.is_ascii_graphic());
    let (Some(host), Some(port), true) = (url.host(), url.port_or_known_default(), is_plain) else {
        return wrong("is not an address");
    };
    if port == 0 {
        return wrong("has no port that could be connected to");
    }
    if is_ours(&host, port, ourselves) {
        field.error(
            format!("`{text}` is this proxy itself: {}", listening(ourselves)),
            "write the address of the site's own server".to_owned(),
        );
    }
    let host = host.to_string().trim_start_matches('[').trim_end_matches(']').to_owned();
    Some(ServerRules { url: text.to_owned(), address: ServerAddress::Tcp { host, port }, scheme, weight: 1 })
}

fn unix(field: &Field<'_>, text: &str, path: &str) -> Option<ServerRules> {
    if path.trim_matches('/').is_empty() || path.starts_with("//") || path.contains('\0') {
        field.error(format!("`{text}` is not a Unix socket"), "write unix:/run/app.sock".to_owned());
        return None;
    }
    let path = beside(field, path);
    // A bound of the system: 108 bytes with the zero at the end, on Linux (unix(7)).
    if path.as_os_str().len() > 107 {
        field.error(
            format!("`{}` is too long for a Unix socket", path.display()),
            "use a path of at most 107 bytes".to_owned(),
        );
    }
    Some(ServerRules { url: text.to_owned(), address: ServerAddress::Unix(path), scheme: Scheme::Http, weight: 1 })
}

/// Whether a connection there comes back to us: requests would go in circles.
fn is_ours(host: &Host<&str>, port: u16, ourselves: &Server) -> bool {
    let addresses = match host {
        Host::Ipv4(address) => vec![IpAddr::V4(*address)],
        Host::Ipv6(address) => vec![IpAddr::V6(*address)],
        Host::Domain(name) if *name == "localhost" => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        Host::Domain(_) => return false,
    };
    addresses_of(ourselves)
        .any(|own| own.port() == port && addresses.iter().any(|address| leads_to(*address, own.ip())))
}

/// Whether a connection to `address` of this machine reaches a socket that is bound to `bound`.
fn leads_to(address: IpAddr, bound: IpAddr) -> bool {
    let (address, bound) = (address.to_canonical(), bound.to_canonical());
    // Connecting to the unspecified address means the loopback one.
    let local = address.is_loopback() || address.is_unspecified();
    let reachable = bound.is_ipv4() == address.is_ipv4();
    address == bound
        || local && bound.is_unspecified() && reachable
        || address.is_unspecified() && bound.is_loopback() && reachable
}

fn addresses_of(server: &Server) -> impl Iterator<Item = SocketAddr> {
    server.listen.iter().map(|listener| listener.address).chain([server.admin])
}

fn listening(server: &Server) -> String {
    let addresses: Vec<String> = addresses_of(server).map(|address| address.to_string()).collect();
    format!("it listens on {}", addresses.join(", "))
}

/// Whether a text can be sent as `Host`: a name or an address, perhaps with a port.
pub fn is_host(text: &str) -> bool {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte));
    // RFC 9110, section 7.2: no scheme, no path, no credentials.
    plain && Url::parse(&format!("http://{text}")).is_ok_and(|url| url.port() != Some(0))
}

const REMEDY: &str = "write http://HOST:PORT, https://HOST:PORT, h2c://HOST:PORT or unix:/run/app.sock";
