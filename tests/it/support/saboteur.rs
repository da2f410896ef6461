//! Faults below the proxy: its disk and its resolver fail when a test says so.
//!
//! A small library in C stands between the process and libc. Real disks that are full or read-only
//! need root and a file system to spare; this needs the compiler that built `SQLite`.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    process::Command,
    time::Duration,
};

use tempfile::TempDir;

use super::proxy::Setup;

/// What a prepared proxy's system calls do.
#[derive(Debug)]
pub(crate) struct Saboteur {
    folder: TempDir,
    order: File,
}

/// A way to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// All is well.
    Nothing,
    /// `ENOSPC` at every write to the store.
    FullDisk,
    /// `EROFS` at every write to the store, and when it is opened for one.
    ReadOnly,
    /// `EIO` at every fsync of the store.
    FailedSync,
    /// Every fsync of the store takes so long.
    SlowSync(Duration),
    /// `EMFILE` whenever a file of the store is opened.
    NoDescriptors,
    /// Names resolve to nothing, after so long.
    NoNames(Duration),
}

impl Saboteur {
    /// Compiles the library; nothing fails until [`makes`](Self::makes).
    pub(crate) fn hire() -> Self {
        let folder = TempDir::new().unwrap();
        let source = folder.path().join("saboteur.c");
        fs::write(&source, SOURCE).unwrap();
        let library = folder.path().join("saboteur.so");
        let output = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-w", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .output()
            .expect("a C compiler, as the build needs one");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        fs::write(folder.path().join("order"), [b'-'; 32]).unwrap();
        let order = File::options().write(true).open(folder.path().join("order")).unwrap();
        Self { folder, order }
    }

    /// Puts itself below a proxy that is to be started.
    pub(crate) fn below(&self, setup: Setup) -> Setup {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        setup.env("LD_PRELOAD", &path("saboteur.so")).env("SABOTEUR", &path("order"))
    }

    /// From now on system calls fail like this.
    pub(crate) fn makes(&self, trouble: Trouble) {
        let delayed = |letter, delay: Duration| format!("{letter}{:<10}", delay.as_millis());
        let order = match trouble {
            Trouble::Nothing => "-".into(),
            Trouble::FullDisk => "n".into(),
            Trouble::ReadOnly => "r".into(),
            Trouble::FailedSync => "e".into(),
            Trouble::SlowSync(delay) => delayed('s', delay),
            Trouble::NoDescriptors => "m".into(),
            Trouble::NoNames(delay) => delayed('d', delay),
        };
        // The letter last: a delay must be there before anyone reads it.
        self.order.write_all_at(&order.as_bytes()[1..], 1).unwrap();
        self.order.write_all_at(&order.as_bytes()[..1], 0).unwrap();
    }
}

const SOURCE: &str = include_str!("saboteur/saboteur.c");
