//! Who has to know what an operator has switched, for as long as pages are served.
//!
//! The file of the state folder is looked at once a second, by a thread of its own: a disk that hangs
//! must hold up nobody else. Sites are told when something has changed, and when they begin: a new
//! configuration brings new ones, and what is switched holds for them, too. The file itself is
//! [`Bypass`]' matter.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
    thread,
    time::Duration,
};

use super::{
    ErrorKind, StoreObserver,
    bypass::{self, Bypass},
    clock,
};
use crate::tracking::timestamp::Timestamp;

/// What is told what an operator has switched.
pub trait Switched: Send + Sync {
    /// Takes over what is switched from now on, of all sites.
    fn heed(&self, bypasses: &[Bypass]);
}

/// What is switched in one state folder, and who is told.
pub struct Switches {
    folder: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The file as it was last read; `None` when there was none.
    seen: Option<Mark>,
    /// What stands in it.
    all: Vec<Bypass>,
    /// What of it holds.
    in_force: Vec<Bypass>,
    told: Vec<Weak<dyn Switched>>,
}

/// Tells a file from its successor: inode, length, time of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark(u64, u64, i64, i64);

impl Switches {
    /// Reads what is switched in a folder.
    #[must_use]
    pub(super) fn of(folder: &Path, observer: &dyn StoreObserver) -> Self {
        let switches = Self { folder: folder.to_owned(), state: Mutex::default() };
        switches.look(clock::now(), observer);
        switches
    }

    /// Looks again and again, until nobody else holds them.
    pub(super) fn watch(switches: &Arc<Self>, observer: Arc<dyn StoreObserver>) {
        let watched = Arc::downgrade(switches);
        let looking = thread::Builder::new().name("switches".into()).spawn(move || {
            loop {
                thread::sleep(BETWEEN_LOOKS);
                let Some(switches) = watched.upgrade() else { return };
                switches.look(clock::now(), &*observer);
            }
        });
        if let Err(error) = looking {
            tracing::error!(%error, "a bypass has no effect until a restart: there is no thread for it");
        }
    }

    /// Tells somebody what is switched, now and whenever it changes, as long as they live.
    pub fn tell<T: Switched + 'static>(&self, listener: &Arc<T>) {
        let mut state = self.lock();
        listener.heed(&state.in_force);
        let listener: Weak<T> = Arc::downgrade(listener);
        state.told.retain(|other| other.strong_count() > 0);
        state.told.push(listener);
    }

    /// What is switched.
    #[must_use]
    pub fn in_force(&self) -> Vec<Bypass> {
        self.lock().in_force.clone()
    }

    /// Reads the file if it is another one than before, and tells everybody what has changed.
    fn look(&self, now: Timestamp, observer: &dyn StoreObserver) {
        // What is written after this look is another file.
        let mark = Mark::of(&self.folder);
        let is_new = self.lock().seen != mark;
        // Nobody waits for the disk meanwhile.
        let read = is_new.then(|| {
            bypass::read(&self.folder).unwrap_or_else(|error| {
                tracing::error!("{error}; `throughline bypass` writes it anew");
                observer.failed(ErrorKind::Bypass);
                Vec::new()
            })
        });
        let mut state = self.lock();
        if let Some(all) = read {
            state.seen = mark;
            state.all = all;
        }
        let in_force: Vec<Bypass> = state.all.iter().filter(|bypass| bypass.holds_at(now)).cloned().collect();
        if in_force == state.in_force {
            return;
        }
        announce(&state.in_force, &in_force);
        state.told.retain(|listener| listener.upgrade().inspect(|listener| listener.heed(&in_force)).is_some());
        state.in_force = in_force;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Switches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Switches").field("in_force", &self.in_force()).finish_non_exhaustive()
    }
}

impl Mark {
    fn of(folder: &Path) -> Option<Self> {
        let file = fs::metadata(folder.join(bypass::FILE)).ok()?;
        Some(Self(file.ino(), file.len(), file.mtime(), file.mtime_nsec()))
    }
}

fn announce(before: &[Bypass], now: &[Bypass]) {
    for Bypass { target, tracking, until, who, .. } in now.iter().filter(|bypass| !before.contains(bypass)) {
        let (tracking, until) = (tracking.as_str(), until.map(Timestamp::rfc3339).unwrap_or_default());
        tracing::warn!(%target, tracking, until, who, "an operator bypasses tracking");
    }
    let is_over = |bypass: &&Bypass| now.iter().all(|other| other.target != bypass.target);
    for Bypass { target, .. } in before.iter().filter(is_over) {
        tracing::info!(%target, "a bypass is over: tracking acts as configured");
    }
}

/// Whoever switches something waits at most so long, and a moment more.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::store::{
        audit::Actor,
        bypass::{Halt, Target},
    };

    #[derive(Default)]
    struct Noted(Mutex<Vec<ErrorKind>>);

    impl StoreObserver for Noted {
        fn committed(&self, _: Duration, _: usize) {}
        fn failed(&self, kind: ErrorKind) {
            self.0.lock().unwrap().push(kind);
        }
        fn withdrawn(&self, _: &str, _: &str) {}
    }

    #[derive(Default)]
    struct Site(Mutex<Vec<Vec<String>>>);

    impl Switched for Site {
        fn heed(&self, bypasses: &[Bypass]) {
            self.0.lock().unwrap().push(bypasses.iter().map(|bypass| bypass.target.to_string()).collect());
        }
    }

    fn set(folder: &Path, target: &str, until: Option<Timestamp>) {
        let target: Target = target.parse().unwrap();
        let _unaudited = Bypass::set(folder, &Actor::new("test"), target, Halt::Off, until).unwrap();
    }

    #[test]
    fn sites_are_told_when_they_begin_and_when_something_changes() {
        let folder = TempDir::new().unwrap();
        let later = clock::now().plus(Duration::from_hours(1));
        set(folder.path(), "shop", Some(later));
        let noted = Noted::default();
        let switches = Switches::of(folder.path(), &noted);
        let site = Arc::new(Site::default());
        switches.tell(&site);
        switches.look(clock::now(), &noted);
        set(folder.path(), "shop/exo", None);
        switches.look(clock::now(), &noted);
        let next = Arc::new(Site::default());
        switches.tell(&next);
        switches.look(later, &noted);
        let told = |site: &Site| site.0.lock().unwrap().iter().map(|all| all.join(" ")).collect::<Vec<_>>();
        assert_eq!(told(&site), ["shop", "shop shop/exo", "shop/exo"]);
        assert_eq!(told(&next), ["shop shop/exo", "shop/exo"]);
        assert!(noted.0.lock().unwrap().is_empty());
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test damages the files of its own folder")]
    fn a_file_that_was_damaged_bypasses_nothing_and_is_counted_once() {
        let folder = TempDir::new().unwrap();
        set(folder.path(), "shop", None);
        let noted = Noted::default();
        let switches = Switches::of(folder.path(), &noted);
        assert_eq!(switches.in_force().len(), 1);
        fs::write(folder.path().join(bypass::FILE), "[{").unwrap();
        switches.look(clock::now(), &noted);
        switches.look(clock::now(), &noted);
        assert!(switches.in_force().is_empty());
        assert_eq!(*noted.0.lock().unwrap(), [ErrorKind::Bypass]);
        set(folder.path(), "shop", None);
        switches.look(clock::now(), &noted);
        assert_eq!(switches.in_force().len(), 1);
    }
}
