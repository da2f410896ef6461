//! TLS with visitors: which certificate is shown to whom, and how a renewed one is taken up.
//!
//! The files are looked at every second; a pair that cannot be used leaves the one in use as it is, and
//! is told to the operator once, unless the next look finds it whole.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::ring,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer, X509Certificate},
};

use crate::{
    config::{CertificateFiles, UnusableCertificate, certified_key},
    metrics::Metrics,
    store::clock,
};

/// The certificates of one listener.
#[derive(Debug)]
pub struct Certificates(ArcSwap<Pairs>);

/// Pairs of files, and what was read from them.
#[derive(Clone, Debug)]
pub struct Pairs {
    files: Arc<[CertificateFiles]>,
    /// What the files were when they were first read.
    first: Arc<[Trace]>,
    table: Arc<Table>,
}

/// What is in use: by name, in the order of the configuration.
#[derive(Debug)]
struct Table {
    loaded: Vec<Loaded>,
    by_name: HashMap<String, Vec<Arc<CertifiedKey>>>,
}

#[derive(Clone, Debug)]
struct Loaded {
    key: Arc<CertifiedKey>,
    names: Vec<String>,
    /// Seconds since 1970.
    expires: i64,
}

/// What tells that a file is another one now: a renewed one has another time, size or, behind a link
/// that was moved, another number.
type Trace = [Option<(SystemTime, u64, u64)>; 2];

/// What was last seen of a pair of files.
#[derive(Clone, Copy, Debug)]
struct Seen {
    trace: Trace,
    /// They could not be used then, and may still be half written.
    is_suspect: bool,
}

impl Pairs {
    /// Reads all files of a listener.
    ///
    /// # Errors
    /// The first pair that cannot be used.
    pub fn read(files: &[CertificateFiles]) -> Result<Self, UnusableCertificate> {
        // First, so that what changes while they are read is seen as a change.
        let first = files.iter().map(trace).collect();
        let loaded = files.iter().map(|files| certified_key(files).map(Loaded::new)).collect::<Result<_, _>>()?;
        Ok(Self { files: files.into(), first, table: Arc::new(Table::new(loaded)) })
    }

    fn seen(&self) -> Vec<Seen> {
        self.first.iter().map(|trace| Seen { trace: *trace, is_suspect: false }).collect()
    }

    fn with(&self, index: usize, renewed: &Loaded) -> Self {
        let mut loaded = self.table.loaded.clone();
        if let Some(place) = loaded.get_mut(index) {
            place.clone_from(renewed);
        }
        Self { table: Arc::new(Table::new(loaded)), ..self.clone() }
    }
}

impl Certificates {
    /// Reads all files of a listener.
    ///
    /// # Errors
    /// The first pair that cannot be used.
    pub fn read(files: &[CertificateFiles]) -> Result<Arc<Self>, UnusableCertificate> {
        Pairs::read(files).map(|pairs| Arc::new(Self(ArcSwap::from_pointee(pairs))))
    }

    /// Shows other certificates from now on.
    pub fn replace(&self, pairs: Pairs) {
        self.0.store(Arc::new(pairs));
    }

    /// How TLS is spoken on the listener.
    ///
    /// # Errors
    /// When the provider lacks what TLS 1.2 and 1.3 need.
    pub fn server_config(self: &Arc<Self>) -> Result<Arc<ServerConfig>, rustls::Error> {
        let provider = Arc::new(ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ticketer = ring::Ticketer::new()?;
        Ok(Arc::new(config))
    }

    /// Takes up renewed files; ends with the process.
    pub async fn keep_fresh(self: Arc<Self>, metrics: Arc<Metrics>) {
        let mut known = self.0.load_full();
        let (mut seen, mut reported) = (known.seen(), BTreeSet::new());
        loop {
            self.report(&metrics, &mut reported);
            tokio::time::sleep(PERIOD).await;
            let now = self.0.load_full();
            if !Arc::ptr_eq(&now.files, &known.files) {
                seen = now.seen();
            }
            known = now;
            for (index, (files, seen)) in known.files.iter().zip(&mut seen).enumerate() {
                let (pair, before) = (files.clone(), *seen);
                let Ok(Some((now, read))) = tokio::task::spawn_blocking(move || look(&pair, before)).await else {
                    continue;
                };
                let was_suspect = seen.is_suspect && seen.trace == now;
                *seen = Seen { trace: now, is_suspect: read.is_err() && !was_suspect };
                let name = files.cert.display().to_string();
                let result = match read {
                    Ok(key) => {
                        self.renew(&known.files, index, &Loaded::new(key));
                        tracing::info!(certificate = %name, "a renewed certificate is in use");
                        "success"
                    }
                    // The other of the two files is perhaps being written.
                    Err(_) if !was_suspect => continue,
                    Err(reason) => {
                        tracing::error!(%reason, "a renewed certificate cannot be used; the old one stays");
                        "failure"
                    }
                };
                metrics.certificate_reloads_total.with_label_values(&[name.as_str(), result]).inc();
            }
        }
    }

    /// Takes up one renewed pair, unless these files are no longer the listener's.
    fn renew(&self, files: &Arc<[CertificateFiles]>, index: usize, renewed: &Loaded) {
        self.0.rcu(|pairs| {
            let is_known = Arc::ptr_eq(&pairs.files, files);
            if is_known { Arc::new(pairs.with(index, renewed)) } else { Arc::clone(pairs) }
        });
    }

    /// Shows operators when the certificates expire, and nothing more of those that were shown before.
    fn report(&self, metrics: &Metrics, reported: &mut BTreeSet<String>) {
        let now = clock::now().as_millis() / 1000;
        let pairs = self.0.load();
        let mut gone = std::mem::take(reported);
        for (files, loaded) in pairs.files.iter().zip(&pairs.table.loaded) {
            let name = files.cert.display().to_string();
            metrics.certificate_expires_seconds.with_label_values(&[name.as_str()]).set(loaded.expires - now);
            gone.remove(&name);
            reported.insert(name);
        }
        for name in gone {
            // Another listener that shows it, too, says so again within a second.
            metrics.certificate_expires_seconds.remove_label_values(&[name.as_str()]).ok();
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let pairs = self.0.load();
        let table = &pairs.table;
        let usable = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        hello
            .server_name()
            .and_then(|name| table.for_name(name)?.iter().find(usable))
            // Without a name, or with one that no certificate is for, the first one: the visitor says
            // more about it than we could.
            .or_else(|| table.loaded.iter().map(|loaded| &loaded.key).find(usable))
            .or_else(|| table.loaded.first().map(|loaded| &loaded.key))
            .cloned()
    }
}

impl Table {
    fn new(loaded: Vec<Loaded>) -> Self {
        let mut by_name: HashMap<String, Vec<Arc<CertifiedKey>>> = HashMap::new();
        for it in &loaded {
            for name in &it.names {
                by_name.entry(name.clone()).or_default().push(Arc::clone(&it.key));
            }
        }
        Self { loaded, by_name }
    }

    /// The certificates for a name, or for all names beside it (RFC 6125, section 6.4.3).
    fn for_name(&self, name: &str) -> Option<&Vec<Arc<CertifiedKey>>> {
        let name = name.to_ascii_lowercase();
        self.by_name.get(&name).or_else(|| {
            let (_, parent) = name.split_once('.')?;
            self.by_name.get(&format!("*.{parent}"))
        })
    }
}

impl Loaded {
    fn new(key: CertifiedKey) -> Self {
        let leaf = key.cert.first().and_then(|der| X509Certificate::from_der(der).ok()).map(|(_, leaf)| leaf);
        let (names, expires) =
            leaf.map_or_else(Default::default, |leaf| (names(&leaf), leaf.validity().not_after.timestamp()));
        Self { key: Arc::new(key), names, expires }
    }
}

/// The names that a certificate is for; the subject's common name counts for those of old tools.
fn names(leaf: &X509Certificate<'_>) -> Vec<String> {
    let alternative = leaf.subject_alternative_name().ok().flatten();
    let alternative = alternative.iter().flat_map(|extension| &extension.value.general_names);
    let mut names: Vec<String> = alternative
        .filter_map(|name| if let GeneralName::DNSName(name) = name { Some(name.to_ascii_lowercase()) } else { None })
        .collect();
    if names.is_empty() {
        let common = leaf.subject().iter_common_name().filter_map(|name| name.as_str().ok());
        names.extend(common.map(str::to_ascii_lowercase));
    }
    names
}

/// Reads a pair of files again if they have changed, or could not be used the last time.
fn look(files: &CertificateFiles, before: Seen) -> Option<(Trace, Result<CertifiedKey, UnusableCertificate>)> {
    let now = trace(files);
    (now != before.trace || before.is_suspect).then(|| (now, certified_key(files)))
}

fn trace(files: &CertificateFiles) -> Trace {
    use std::os::unix::fs::MetadataExt;
    [&files.cert, &files.key].map(|file| {
        let metadata = file.metadata().ok()?;
        Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
    })
}

/// How soon a renewed certificate is in use.
const PERIOD: Duration = Duration::from_secs(1);
