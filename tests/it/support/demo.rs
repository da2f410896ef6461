//! `throughline demo`, as a person who tries it out starts it.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Command, ExitStatus, Stdio},
};

use tempfile::TempDir;

use super::{
    metrics::Samples,
    process::{Process, binary},
    visitor::Visitor,
};

/// A running demo with a temporary folder of its own.
#[derive(Debug)]
pub(crate) struct Demo {
    process: Process,
    folder: TempDir,
    shop: SocketAddr,
    networks: SocketAddr,
    admin: SocketAddr,
}

impl Demo {
    /// Starts one and reads where everything is from what it prints.
    pub(crate) fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let mut process =
            Process::spawn(command(&["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"], folder.path()));
        let (shop, networks, admin) = process.await_stdout("the demo was up", |stdout| {
            let after = |words: &str| {
                let address = stdout.split_once(words)?.1.split(['/', '\n']).next()?;
                address.trim().parse().ok()
            };
            Some((after("\nlistening ")?, after("Open  http://")?, after("\nadmin listening ")?))
        });
        Self { process, folder, shop, networks, admin }
    }

    /// Starts one that is bound to fail, and yields how it ended.
    pub(crate) fn refuses(arguments: &[&str]) -> (ExitStatus, String) {
        let folder = TempDir::new().unwrap();
        let mut process = Process::spawn(command(arguments, folder.path()));
        let status = process.await_exit();
        assert_eq!(left_in(folder.path()), Vec::<String>::new());
        (status, process.stderr())
    }

    /// The shop's address, through the proxy.
    pub(crate) fn shop(&self) -> String {
        format!("http://{}/", self.shop)
    }

    /// The address of the ad networks' page.
    pub(crate) fn networks(&self) -> String {
        format!("http://{}/", self.networks)
    }

    /// The ad networks' page, as HTML.
    pub(crate) fn received(&self) -> String {
        Visitor::at(self.networks).get("/").text()
    }

    pub(crate) fn metrics(&self) -> Samples {
        Samples::parse(&Visitor::at(self.admin).host(&self.admin.to_string()).get("/metrics").text())
    }

    /// What lies in its temporary folder.
    pub(crate) fn files(&self) -> Vec<String> {
        left_in(self.folder.path())
    }

    /// Sends a signal by name, such as `INT`, and waits for the end.
    pub(crate) fn signal(&mut self, name: &str) -> ExitStatus {
        self.process.signal(name);
        self.process.await_exit()
    }
}

fn command(arguments: &[&str], temporary: &Path) -> Command {
    let mut command = Command::new(binary());
    command.arg("demo").args(arguments).env("TMPDIR", temporary).stdin(Stdio::null());
    command
}

fn left_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}
