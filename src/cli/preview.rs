//! `throughline preview`: a link by which one's own browser is shown what is decided about its visits.

use std::{path::Path, time::Duration};

use clap::Args;
use url::Url;
use uuid::Uuid;

use super::{Exit, bypass::length, complain, run, say, with_config};
use crate::{
    config::{Config, Environment, HostPattern, Purpose, Site},
    store::clock,
    tracking::{
        preview::{Conversions, LONGEST_PREVIEW, Preview, PreviewId},
        visitor::Seal,
    },
};

/// Options of `preview`.
#[derive(Debug, Args)]
pub struct Options {
    /// The site; may be left out if there is one alone
    site: Option<String>,
    /// Hold conversions: they are decided and shown, and nothing is sent
    #[arg(long)]
    hold: bool,
    /// How long, a day at most
    #[arg(long = "for", value_name = "TIME", value_parser = length, default_value = "1h")]
    length: Duration,
    /// Where visitors reach the site, as in `https://shop.example`, if not as configured
    #[arg(long, value_name = "URL", value_parser = address)]
    address: Option<Url>,
}

pub(super) fn execute(file: &Path, options: Options) -> Exit {
    with_config(file, Environment::Process, |config| {
        let site = chosen(config, options.site.as_deref())?;
        if options.length > LONGEST_PREVIEW {
            return Err("a preview lasts a day at most".to_owned());
        }
        let secrets = run::secret::known(&config.server)
            .map_err(|error| format!("the site's secret is not known: {error}; `throughline run` makes one"))?;
        let seal = Seal::new(secrets.iter().map(String::as_str)).map_err(|error| error.to_string())?;
        let address = match options.address {
            Some(address) => address,
            None => address_of(config, site)?,
        };
        let conversions = if options.hold { Conversions::Held } else { Conversions::Sent };
        let preview =
            Preview { id: PreviewId::new(Uuid::new_v4()), until: clock::now().plus(options.length), conversions };
        let link = |token: &str| format!("{}{}/preview/{token}", origin(&address), site.rules.endpoint);
        say(&link(&preview.token(&seal, &site.rules.name)));
        let held = match conversions {
            Conversions::Sent => "conversions are sent as ever",
            Conversions::Held => "conversions are held: nothing is sent, and no pixels that count are shown",
        };
        let (id, until) = (preview.id, preview.until.rfc3339());
        complain(&format!("preview {id} until {until}: {held}"));
        complain("open it in a browser; each answer then says what was decided in X-Throughline-Preview");
        complain(&format!("to end it sooner: {}", link("off")));
        Ok(Exit::Success)
    })
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

fn address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{error}; write it whole: https://shop.example"))?;
    let is_page = matches!(url.scheme(), "http" | "https") && url.has_host();
    is_page.then_some(url).ok_or_else(|| "it must begin with http:// or https://".to_owned())
}
