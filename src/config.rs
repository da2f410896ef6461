//! From a YAML file to the types of the other modules.
//!
//! Three steps: `tree` reads the text into nodes that know their places, `decode` offers the
//! accessors that turn nodes into values, and `problem` gathers whatever is wrong on the way, so
//! that one run shows an operator every mistake. The other files are one section of the
//! configuration each. None of the other modules imports this one.
//!
//! To add a key: ask for it in the file that reads its section ([`decode::Section::get`] makes it known,
//! and what is unknown is refused with the nearest name), into a type of the module that acts on it;
//! write it into `conf/throughline.yaml` with its default and what it is for, into `schema`, and into the
//! defaults of `show` if it has one; and write its mistakes into a case of `tests/data/config`. Tests
//! compare all of these. What is odd only beside other keys goes into `advice`. To add a network, write
//! a file into `conf/networks`.

use std::{
    collections::BTreeSet,
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

mod advice;
mod batch;
mod capture;
pub mod catalogue;
pub mod certificate;
mod condition;
mod consent;
mod conversion;
mod cookie;
pub mod decode;
mod delivery;
pub mod difference;
mod document;
mod events;
mod file;
mod journey;
mod limits;
mod listen;
mod log;
mod mark;
mod network;
mod outbound;
mod page;
pub mod problem;
mod request;
pub mod schema;
pub mod secrets;
mod send;
mod server;
pub mod show;
mod site;
mod source;
mod state;
pub mod texts;
pub mod tree;
mod trigger;
pub mod units;
mod upstream;
mod value;
mod verdict;

pub use certificate::{UnusableCertificate, certified_key};
use decode::Field;
pub use delivery::DeliverySettings;
use document::Document;
use file::Files;
pub use limits::Limits;
pub use listen::{CertificateFiles, Listener, Purpose};
pub use log::{Log, LogFormat};
pub use network::{Network, described};
use problem::{Place, Problem, Problems, Severity, shown};
use secrets::secrets_of;
pub use server::Server;
pub use site::{HostPattern, Site};
pub use state::folder_of_a_broken_file;
use texts::Texts;
use tree::{Kind, Node, Origin};
pub use upstream::{
    HealthRules, HostHeader, ProxyProtocol, Scheme, ServerAddress, ServerRules, UpstreamRules, UpstreamTls,
};

use crate::delivery::{Destination, Destinations, mask::Mask, outbound::Outbound};

/// A whole configuration.
#[derive(Debug)]
pub struct Config {
    /// What concerns the process.
    pub server: Server,
    /// The sites in their order; at least one.
    pub sites: Vec<Site>,
    /// What is legal but odd.
    pub warnings: Vec<Problem>,
    /// What nobody is to see in the answers of networks.
    pub mask: Mask,
    /// What was read.
    pub texts: Texts,
    /// Where paths of files are written.
    paths: BTreeSet<Place>,
}

/// Why a configuration cannot be used: everything that is wrong with it.
#[derive(Debug)]
pub struct ConfigError {
    /// Errors and warnings in the order of their places.
    pub problems: Vec<Problem>,
}

/// Where `${NAME}` is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// In the environment of this process.
    Process,
    /// Nowhere: whatever a variable would hold is taken for right, and so are certificates and error pages.
    Ignored,
}

impl Config {
    /// Reads a file.
    #[expect(clippy::disallowed_methods, reason = "the configuration loader reads files")]
    pub fn load(file: &Path, environment: Environment) -> Result<Self, ConfigError> {
        match std::fs::read_to_string(file) {
            Ok(text) => Self::parse(file, &text, environment),
            Err(error) => Err(ConfigError::unreadable(file, &error)),
        }
    }

    /// Reads a text as if it stood in this file.
    pub fn parse(file: &Path, text: &str, environment: Environment) -> Result<Self, ConfigError> {
        let problems = Problems::default();
        let document = Document::read(file, text, Some(&|name| environment.lookup(name)), &problems);
        Self::of(document, file, problems, environment)
    }

    fn of(
        document: Option<Document>,
        file: &Path,
        problems: Problems,
        environment: Environment,
    ) -> Result<Self, ConfigError> {
        let files = Files::new(file::folder(file), environment);
        let decoded =
            document.as_ref().and_then(|document| decode_root(&Field::root(&document.root, &problems), files));
        let ignored = match environment {
            Environment::Process => BTreeSet::new(),
            Environment::Ignored => document.iter().flat_map(|document| places_of_variables(&document.root)).collect(),
        };
        let paths = problems.paths();
        let mut found = problems.into_sorted();
        found.retain(|problem| !ignored.contains(&problem.place));
        let broken = found.iter().any(|problem| problem.severity == Severity::Error);
        match (decoded, document) {
            (Some((server, mut sites)), Some(document)) if !broken => {
                document.correct_paths(&mut found);
                let secrets = if files.are_there() { secrets_of(&document.root) } else { Vec::new() };
                let mask = Mask::new(secrets);
                sites.iter_mut().for_each(|site| site.mask = mask.clone());
                Ok(Self { server, sites, warnings: found, mask, texts: document.texts, paths })
            }
            (_, document) => {
                document.iter().for_each(|document| document.correct_paths(&mut found));
                Err(ConfigError { problems: found })
            }
        }
    }

    /// Reads texts that were kept, as if they stood where they once stood.
    pub fn read(texts: &Texts, environment: Environment) -> Result<Self, ConfigError> {
        let problems = Problems::default();
        let document = Document::kept(texts, Some(&|name| environment.lookup(name)), &problems);
        Self::of(document, &texts.file, problems, environment)
    }

    /// The files that it was read from: the main one, then those that were included.
    ///
    /// Without what they name themselves: secrets, certificates, pages.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(&self.texts.file).chain(&self.texts.included).map(PathBuf::as_path)
    }

    /// Where postbacks of these sites go.
    #[must_use]
    pub fn destinations(&self) -> Destinations {
        Destinations::new(self.sites.iter().flat_map(|site| site.destinations(&self.mask)).collect())
    }
}

impl Site {
    fn destinations(&self, mask: &Mask) -> impl Iterator<Item = Destination> {
        self.networks.iter().enumerate().map(move |(index, network)| {
            let routes = self.rules.conversions.iter().flat_map(|rule| {
                let sends = rule.send.iter().filter(move |send| send.network == index);
                sends.map(|send| (Arc::clone(&rule.name), (*send.postback).clone()))
            });
            Destination {
                site: Arc::clone(&self.rules.name),
                network: Arc::clone(&network.rules.key),
                concurrency: network.delivery.concurrency,
                max_age: network.delivery.max_age,
                batch: network.batch.clone(),
                max_attempts: network.delivery.max_attempts,
                rate: network.delivery.rate,
                in_order: network.in_order,
                verdicts: network.verdicts.clone(),
                routes: routes.collect(),
                paused: false,
                outbound: Outbound {
                    route: Arc::clone(&network.route),
                    token: network.token.clone(),
                    mask: mask.clone(),
                },
            }
        })
    }
}

fn decode_root(root: &Field<'_>, files: Files<'_>) -> Option<(Server, Vec<Site>)> {
    let mut section = root.section()?;
    let server = server::server(&mut section, files);
    // Read with the files themselves.
    section.know("include");
    section.know("defaults");
    let accounts = section.get("networks");
    let sites = section.require("sites", "write at least one site: `sites: [{ upstream: http://127.0.0.1:8080 }]`");
    if let Some(accounts) = &accounts {
        check_accounts(accounts, sites.as_ref().map(|field| field.node));
    }
    let accounts = accounts.as_ref().map(|field| field.node);
    let sites = sites.map(|field| site::sites(&field, &server, accounts, files)).unwrap_or_default();
    section.finish();
    Some((server, sites))
}

/// Finds accounts that are none, and those that nobody refers to: they are read where a site does.
fn check_accounts(accounts: &Field<'_>, sites: Option<&Node>) {
    let sites = match sites.map(|sites| &sites.kind) {
        Some(Kind::List(sites)) => sites.as_slice(),
        Some(Kind::Map(_) | Kind::Scalar(_)) | None => &[],
    };
    for (name, account) in accounts.entries().unwrap_or_default() {
        let is_map = account.entries().is_some();
        let refers = |site: &Node| site.entry("networks").is_some_and(|networks| networks.entry(name).is_some());
        if is_map && !sites.iter().any(refers) {
            account.key_warn(
                format!("no site uses the account {}", shown(name)),
                format!("write `networks: {{ {name}: {{}} }}` into a site, or remove it"),
            );
        }
    }
}

impl Environment {
    #[expect(clippy::disallowed_methods, reason = "the one place where the environment is read")]
    fn lookup(self, name: &str) -> Option<String> {
        match self {
            Self::Process => std::env::var(name).ok(),
            // Any text will do: problems at the places of variables are dropped.
            Self::Ignored => Some(format!("${{{name}}}")),
        }
    }
}

fn places_of_variables(node: &Node) -> Vec<Place> {
    match &node.kind {
        Kind::Scalar(scalar) if matches!(scalar.origin, Origin::Environment(_)) => vec![node.place.clone()],
        Kind::Scalar(_) => vec![],
        Kind::List(items) => items.iter().flat_map(places_of_variables).collect(),
        Kind::Map(entries) => entries.iter().flat_map(|entry| places_of_variables(&entry.value)).collect(),
    }
}

impl ConfigError {
    fn unreadable(file: &Path, error: &io::Error) -> Self {
        let place = Place { file: file.display().to_string().into(), line: 1, column: 1 };
        let remedy = if error.kind() == io::ErrorKind::InvalidData {
            "save it as UTF-8"
        } else {
            "name another one with `-c FILE`"
        };
        let problem = Problem {
            place,
            path: String::new(),
            message: format!("the file cannot be read: {error}"),
            remedy: Some(remedy.to_owned()),
            severity: Severity::Error,
        };
        Self { problems: vec![problem] }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// The file that is read when none is named.
#[must_use]
pub fn default_file() -> PathBuf {
    PathBuf::from("throughline.yaml")
}

#[cfg(test)]
mod tests;
