//! A link by which one's own browser is shown what is decided about its visits.

use std::time::Duration;

use url::Url;
use uuid::Uuid;

use super::Refusal;
use crate::{
    config::{Config, HostPattern, Purpose, Site},
    store::clock,
    tracking::{
        preview::{Conversions, LONGEST_PREVIEW, Preview, PreviewId},
        visitor::Seal,
    },
};

/// What somebody wants to see.
#[derive(Debug)]
pub struct PreviewWish<'a> {
    /// The site; may be left out if there is one alone.
    pub site: Option<&'a str>,
    /// What becomes of the conversions.
    pub conversions: Conversions,
    /// How long.
    pub length: Duration,
    /// Where visitors reach the site, if not as configured.
    pub address: Option<Url>,
}

/// A preview that a browser can be given.
#[derive(Debug)]
pub struct PreviewLink {
    /// What it says.
    pub preview: Preview,
    /// Begins it.
    pub begin: String,
    /// Ends it sooner.
    pub end: String,
}

impl PreviewLink {
    /// Makes one with the site's secret.
    ///
    /// # Errors
    /// When it is not clear which site is meant or where it is, or the preview would be too long.
    pub fn new(config: &Config, seal: &Seal, wish: PreviewWish<'_>) -> Result<Self, Refusal> {
        let site = chosen(config, wish.site)?;
        if wish.length > LONGEST_PREVIEW {
            return Err("a preview lasts a day at most".to_owned());
        }
        let address = match wish.address {
            Some(address) => address,
            None => address_of(config, site)?,
        };
        let (id, until) = (PreviewId::new(Uuid::new_v4()), clock::now().plus(wish.length));
        let preview = Preview { id, until, conversions: wish.conversions };
        let link = |token: &str| format!("{}{}/preview/{token}", origin(&address), site.rules.endpoint);
        let (begin, end) = (link(&preview.token(seal, &site.rules.name)), link("off"));
        Ok(Self { preview, begin, end })
    }
}

fn chosen<'a>(config: &'a Config, name: Option<&str>) -> Result<&'a Site, String> {
    let names = || config.sites.iter().map(|site| &*site.rules.name).collect::<Vec<_>>().join(", ");
    match (name, config.sites.as_slice()) {
        (None, [site]) => Ok(site),
        (None, _) => Err(format!("say which site: {}", names())),
        (Some(name), sites) => {
            let found = sites.iter().find(|site| *site.rules.name == *name);
            found.ok_or_else(|| format!("no site is called `{name}`; there is {}", names()))
        }
    }
}

/// Where visitors reach a site, as far as the configuration tells.
fn address_of(config: &Config, site: &Site) -> Result<Url, String> {
    let listeners = config.server.listen.iter().filter(|listener| listener.purpose == Purpose::Serve);
    let listener = listeners.clone().find(|listener| !listener.tls.is_empty()).or_else(|| listeners.clone().next());
    let unknown = || "it is not known where visitors reach the site: add --address https://shop.example".to_owned();
    let listener = listener.ok_or_else(unknown)?;
    let host = site.hosts.iter().find_map(|host| match host {
        HostPattern::Exact(host) => Some(host.clone()),
        HostPattern::Below(_) => None,
    });
    let is_any = listener.address.ip().is_unspecified();
    let host = match host {
        Some(host) => host,
        None if site.hosts.is_empty() && is_any => "localhost".to_owned(),
        None if site.hosts.is_empty() && listener.address.is_ipv6() => format!("[{}]", listener.address.ip()),
        None if site.hosts.is_empty() => listener.address.ip().to_string(),
        None => return Err(unknown()),
    };
    // Whatever is before us usually speaks TLS, on its own port.
    let is_behind_others = !config.server.trusted_proxies.is_empty();
    let scheme = if listener.tls.is_empty() && !is_behind_others { "http" } else { "https" };
    let port = if is_behind_others { String::new() } else { format!(":{}", listener.address.port()) };
    Url::parse(&format!("{scheme}://{host}{port}")).map_err(|_| unknown())
}

/// Scheme, host and a port that is not the usual one.
fn origin(address: &Url) -> String {
    address.origin().ascii_serialization()
}

/// Reads where visitors reach a site.
///
/// # Errors
/// When it is no address of a site.
pub fn site_address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{error}; write it whole: https://shop.example"))?;
    let is_page = matches!(url.scheme(), "http" | "https") && url.has_host();
    is_page.then_some(url).ok_or_else(|| "it must begin with http:// or https://".to_owned())
}
