//! Sites, and networks of sites, that an operator has switched off past the configuration.
//!
//! They stand in a small file of the state folder, which is replaced as a whole, so that they hold while
//! no process runs and after every restart. Each may have an end, and is over by itself then. A file that
//! can't be read means that nothing is switched: tracking goes on as configured. Who looks at it while
//! pages are served is [`Switches`](super::Switches).

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

use super::{
    audit::{Action, Actor},
    clock,
    desk::{Desk, DeskError},
    draft,
};
use crate::tracking::{network::Mode, timestamp::Timestamp};

/// A site, or one network of it, that an operator has switched off for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bypass {
    /// What is switched.
    #[serde(flatten)]
    pub target: Target,
    /// What it is switched to.
    pub tracking: Halt,
    /// Since when.
    pub since: Timestamp,
    /// Until when; `None`: until somebody ends it.
    pub until: Option<Timestamp>,
    /// Who switched it.
    pub who: String,
}

/// What can be switched: a site or one network of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Target {
    /// The site's name.
    pub site: String,
    /// The network's key; `None`: all of the site.
    pub network: Option<String>,
}

/// What tracking can be switched to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Halt {
    /// Everything is evaluated, nothing is changed or sent.
    Observe,
    /// Nothing is done.
    Off,
}

/// Something that was done, and whether the audit has it.
#[derive(Debug)]
#[must_use]
pub struct Done<T> {
    /// What it came to.
    pub result: T,
    /// Why it is not in the audit. It was done all the same: a site must not wait for its store.
    pub unaudited: Option<DeskError>,
}

/// Why the file of what is switched can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum BypassError {
    /// It is not what we write.
    #[error("{path} is damaged, so nothing is bypassed: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It can't be read.
    #[error("{path} can't be read, so nothing is bypassed: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It can't be written.
    #[error("{path} can't be written: {source}")]
    Unwritten {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no state folder. It is not made here: it must belong to the proxy's account.
    #[error("there is no folder {0}; it is made when the proxy is started")]
    NoFolder(PathBuf),
    /// So much can't be switched at once.
    #[error("more than {MOST} sites and networks are bypassed already; end some")]
    TooMany,
}

impl Bypass {
    /// What is switched in this state folder now, by name.
    ///
    /// # Errors
    /// When the file is there and can't be read.
    pub fn list(folder: &Path) -> Result<Vec<Self>, BypassError> {
        let now = clock::now();
        Ok(read(folder)?.into_iter().filter(|bypass| bypass.holds_at(now)).collect())
    }

    /// Switches a site or network, in place of what it was switched to before.
    ///
    /// # Errors
    /// When the file can't be written. One that is damaged is replaced.
    pub fn set(
        folder: &Path,
        actor: &Actor,
        target: Target,
        tracking: Halt,
        until: Option<Timestamp>,
    ) -> Result<Done<Self>, BypassError> {
        let bypass = Self { target, tracking, since: clock::now(), until, who: actor.as_str().to_owned() };
        change(folder, |all| {
            all.retain(|other| other.target != bypass.target);
            all.push(bypass.clone());
        })?;
        let until = until.map_or_else(|| "until it is ended".to_owned(), |until| format!("until {}", until.rfc3339()));
        let arguments = format!("{} {} {until}", bypass.target, tracking.as_str());
        Ok(Done { unaudited: audit(folder, actor, arguments).err(), result: bypass })
    }

    /// Ends what is switched, as configured it goes on; says what it was switched to.
    ///
    /// # Errors
    /// When the file can't be written. One that is damaged is replaced.
    pub fn end(folder: &Path, actor: &Actor, target: &Target) -> Result<Done<Option<Self>>, BypassError> {
        let mut ended = None;
        change(folder, |all| {
            let index = all.iter().position(|bypass| bypass.target == *target);
            ended = index.map(|index| all.remove(index));
        })?;
        let unaudited = ended.as_ref().and_then(|_| audit(folder, actor, format!("{target} ended")).err());
        Ok(Done { unaudited, result: ended })
    }

    /// Whether it still holds.
    #[must_use]
    pub fn holds_at(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

impl Halt {
    /// The word that `tracking` has for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Off => "off",
        }
    }
}

impl From<Halt> for Mode {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::Observe => Self::Observe,
            Halt::Off => Self::Off,
        }
    }
}

/// `SITE` or `SITE/NETWORK`; neither name holds a slash.
impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (site, network) = text.split_once('/').map_or((text, None), |(site, network)| (site, Some(network)));
        if ![Some(site), network].into_iter().flatten().all(is_name) {
            return Err("write the name of a site, or SITE/NETWORK".to_owned());
        }
        Ok(Self { site: site.to_owned(), network: network.map(ToOwned::to_owned) })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.network {
            Some(network) => write!(f, "{}/{network}", self.site),
            None => f.write_str(&self.site),
        }
    }
}

/// What a configuration lets name a site or a network.
fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// The whole file; one that is not there switches nothing.
pub(super) fn read(folder: &Path) -> Result<Vec<Bypass>, BypassError> {
    let path = folder.join(FILE);
    let mut text = Vec::new();
    let read = File::open(&path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut text));
    match read {
        Ok(_) => parse(&text).map_err(|reason| BypassError::Damaged { path, reason }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(BypassError::Unreadable { path, source }),
    }
}

fn parse(text: &[u8]) -> Result<Vec<Bypass>, String> {
    if text.len() as u64 > LONGEST {
        return Err(format!("it is longer than {LONGEST} bytes"));
    }
    let all: Vec<Bypass> = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let is_ours = |bypass: &Bypass| {
        let network = bypass.target.network.as_deref();
        is_name(&bypass.target.site) && network.is_none_or(is_name) && Actor::new(&bypass.who).as_str() == bypass.who
    };
    if all.len() > MOST || !all.iter().all(is_ours) {
        return Err("it holds what is not written there".to_owned());
    }
    Ok(all)
}

/// Changes the file as a whole, one process at a time; what is over goes with it.
fn change(folder: &Path, change: impl FnOnce(&mut Vec<Bypass>)) -> Result<(), BypassError> {
    let path = folder.join(FILE);
    let unwritten = |source| BypassError::Unwritten { path: path.clone(), source };
    if !folder.is_dir() {
        return Err(BypassError::NoFolder(folder.to_owned()));
    }
    // Another name: the file itself is replaced, and a lock on it would be one on its predecessor.
    let lock = draft::private_file(folder, &folder.join(LOCK), false).map_err(unwritten)?;
    lock.lock().map_err(unwritten)?;
    let now = clock::now();
    let mut all = match read(folder) {
        Ok(all) => all,
        Err(BypassError::Damaged { .. }) => Vec::new(),
        Err(error) => return Err(error),
    };
    all.retain(|bypass| bypass.holds_at(now));
    change(&mut all);
    all.sort_by(|one, other| one.target.cmp(&other.target));
    if all.len() > MOST {
        return Err(BypassError::TooMany);
    }
    let text = serde_json::to_vec_pretty(&all).map_err(|error| unwritten(error.into()))?;
    draft::replace(folder, FILE, &text).map_err(unwritten)
}

fn audit(folder: &Path, actor: &Actor, arguments: String) -> Result<(), DeskError> {
    Desk::open(folder, actor.clone())?.enter(&Action { word: "bypass", arguments })
}

/// The file in the state folder.
pub(super) const FILE: &str = "bypass.json";
const LOCK: &str = "bypass.lock";
/// More than a person switches.
const MOST: usize = 500;
/// More than so many take.
const LONGEST: u64 = 256 << 10;

#[cfg(test)]
mod tests;
