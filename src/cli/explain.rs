//! `throughline explain`: what would be done about one request, and why.

use std::{
    fs::File,
    io::{self, Read},
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use http::{HeaderName, HeaderValue, Method};
use url::Url;

use super::{Exit, check, complain, run, say};
use crate::{
    config::{Config, Environment, Server, secrets},
    explain::{self, Asked, LARGEST_BODY, Mask},
    proxy::runtime::{Names, SiteTable},
    tracking::{journey::JourneyKeys, visitor::Seal},
};

/// Options of `explain`.
#[derive(Debug, Args)]
pub struct Options {
    /// The address, as a visitor's browser asks for it: `https://shop.example/thank-you?order=1001`
    #[arg(value_parser = explain::address)]
    url: Url,
    /// The method [default: GET, with `--data` POST]
    #[arg(long)]
    method: Option<Method>,
    /// A header of the request; without a `User-Agent`, that of a browser
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = explain::header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// A cookie of the request
    #[arg(long = "cookie", value_name = "NAME=VALUE")]
    cookies: Vec<String>,
    /// The body of the request, or `@` and the file that it stands in
    #[arg(long, value_name = "BODY|@FILE")]
    data: Option<String>,
    /// What this body is [default: application/x-www-form-urlencoded]
    #[arg(long, requires = "data")]
    content_type: Option<HeaderValue>,
    /// Where the visitor is
    #[arg(long, default_value = "192.0.2.1")]
    address: IpAddr,
    /// A capture that this visitor has passed before
    #[arg(long, value_name = "CAPTURE")]
    passed: Vec<String>,
    /// A field that a capture has remembered of this visitor
    #[arg(long, value_name = "NAME=VALUE")]
    remembered: Vec<String>,
    /// The status of the site's answer
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(101..600))]
    status: u16,
    /// A header of the site's answer; without a `Content-Type`, it is a page
    #[arg(long = "response-header", value_name = "NAME: VALUE", value_parser = explain::header)]
    response_headers: Vec<(HeaderName, HeaderValue)>,
    /// A file with the body of the site's answer
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
    /// Ask the site's own server for the answer; GET and HEAD alone
    #[arg(long, conflicts_with_all = ["page", "status", "response_headers", "data"])]
    live: bool,
    /// Take every ${NAME} for set and right
    #[arg(long)]
    no_environment: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn execute(file: &Path, options: &Options) -> Exit {
    let environment = if options.no_environment { Environment::Ignored } else { Environment::Process };
    let config = match Config::load(file, environment) {
        Ok(config) => config,
        Err(error) => {
            check::print(&error.problems);
            return Exit::Configuration;
        }
    };
    // Servers over TLS are prepared, too, though nobody connects to them unless told to.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let table = match SiteTable::new(&config) {
        Ok(table) => table,
        Err(error) => {
            complain(&error.to_string());
            return Exit::Configuration;
        }
    };
    let mask = Mask::new(secrets::secrets(file, environment));
    let names = names(&config.server);
    let account = options.asked().and_then(|asked| explain::explained(&config, &table, names.as_ref(), &mask, &asked));
    match account {
        Ok(account) if options.json => say(&serde_json::json!(account).to_string()),
        Ok(account) => say(explain::plain(&account).trim_end()),
        Err(error) => {
            complain(&error.to_string());
            return Exit::Failure;
        }
    }
    Exit::Success
}

impl Options {
    fn asked(&self) -> io::Result<Asked> {
        let body = match self.data.as_deref().map(|data| data.strip_prefix('@').ok_or(data)) {
            None => None,
            Some(Ok(path)) => Some(read(Path::new(path))?),
            Some(Err(text)) => Some(text.as_bytes().to_vec()),
        };
        Ok(Asked {
            url: self.url.clone(),
            method: self.method.clone(),
            headers: self.headers.clone(),
            cookies: self.cookies.clone(),
            body,
            content_type: self.content_type.clone(),
            address: self.address,
            passed: self.passed.clone(),
            remembered: self.remembered.clone(),
            status: self.status,
            response_headers: self.response_headers.clone(),
            page: self.page.as_deref().map(read).transpose()?,
            is_live: self.live,
        })
    }
}

/// What the secret makes, if it is known; a command makes none in the state folder.
fn names(server: &Server) -> Option<Names> {
    let secrets = run::secret::known(server).ok()?;
    let texts = || secrets.iter().map(String::as_str);
    Some(Names { seal: Arc::new(Seal::new(texts()).ok()?), journeys: Arc::new(JourneyKeys::new(texts()).ok()?) })
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let opened = File::open(path).and_then(|file| file.take(LARGEST_BODY as u64).read_to_end(&mut content));
    opened.map(|_| content).map_err(|error| io::Error::other(format!("{} cannot be read: {error}", path.display())))
}
