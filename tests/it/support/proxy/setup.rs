//! A proxy to be started: its folder, its arguments, and whose account runs it.

use std::{
    fmt::Write as _,
    fs,
    net::SocketAddr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output},
    sync::{Arc, Mutex},
};

use tempfile::TempDir;

use super::Proxy;
use crate::support::process::{Process, finish, throughline, unharmed_by_limits};

/// A proxy to be started.
#[derive(Debug)]
pub(crate) struct Setup {
    folder: TempDir,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    /// What stands before its command line.
    wrapper: Vec<String>,
}

impl Setup {
    pub(super) fn of(configuration: &str) -> Self {
        let setup = Self {
            folder: TempDir::new().unwrap(),
            arguments: Vec::new(),
            environment: Vec::new(),
            wrapper: Vec::new(),
        };
        setup.configure(configuration);
        setup
    }

    /// Writes the configuration, and what a test does not care about.
    pub(super) fn configure(&self, configuration: &str) {
        fs::write(self.configuration(), completed(configuration)).unwrap();
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Adds an argument after `run`.
    pub(crate) fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Runs it by an account that permissions mean something to: root would read and write anything.
    pub(crate) fn unprivileged(mut self) -> Self {
        if fs::metadata("/proc/self").unwrap().uid() == 0 {
            let whole = ["-R".into(), "65534:65534".into(), self.folder.path().as_os_str().to_owned()];
            assert!(Command::new("chown").args(whole).status().unwrap().success());
            self.wrapper = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"].map(String::from).into();
        }
        self
    }

    /// Runs it as the first process of its container: when it ends, the container does.
    pub(crate) fn first_of_a_container(mut self) -> Self {
        self.wrapper = ["unshare", "--pid", "--fork", "--kill-child"].map(String::from).into();
        if fs::metadata("/proc/self").unwrap().uid() != 0 {
            self.wrapper.extend(["--user", "--map-root-user"].map(String::from));
        }
        self
    }

    /// Puts a file into the proxy's folder; relative paths of the configuration begin there.
    pub(crate) fn file(self, name: &str, content: &str) -> Self {
        fs::write(self.folder.path().join(name), content).unwrap();
        self
    }

    /// Starts it and waits until it listens.
    pub(crate) fn start(self) -> Proxy {
        let mut process = self.spawn();
        let (address, admin) = await_listeners(&mut process);
        Proxy { setup: self, process, address: Arc::new(Mutex::new(address)), admin }
    }

    /// Runs it although it is bound to refuse, and yields how it ended.
    pub(crate) fn refuses(&self) -> (ExitStatus, String) {
        let mut process = self.spawn();
        let status = process.await_exit();
        (status, process.stderr())
    }

    /// Runs another command on the same configuration, such as `["outbox", "list"]`.
    pub(crate) fn command(&self, arguments: &[&str]) -> Output {
        let mut command = throughline(arguments, &self.configuration());
        command.envs(self.environment.iter().cloned());
        finish(command)
    }

    /// The folder with configuration and state.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn configuration(&self) -> PathBuf {
        self.folder.path().join("throughline.yaml")
    }

    pub(super) fn spawn(&self) -> Process {
        self.spawn_with(&[])
    }

    pub(super) fn spawn_with(&self, more: &[&str]) -> Process {
        let mut arguments = [&["run"], more].concat();
        arguments.extend(self.arguments.iter().map(String::as_str));
        let mut command = throughline(&arguments, &self.configuration());
        if let [wrapper, words @ ..] = self.wrapper.as_slice() {
            let mut wrapped = Command::new(wrapper);
            wrapped.args(words).arg(command.get_program()).args(command.get_args());
            command = wrapped;
        }
        let mut command = unharmed_by_limits(&command);
        command.envs(self.environment.iter().cloned()).current_dir(self.folder.path());
        Process::spawn(command)
    }
}

/// Where visitors and operators connect, once they can.
pub(super) fn await_listeners(process: &mut Process) -> (SocketAddr, SocketAddr) {
    process.await_stdout("it listened", |stdout| {
        // Only whole lines: the last one may still be growing.
        let lines = || stdout.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        let address = lines().find_map(|line| line.strip_prefix("listening ")?.trim().parse().ok())?;
        let admin = lines().find_map(|line| line.strip_prefix("admin listening ")?.trim().parse().ok())?;
        Some((address, admin))
    })
}

fn completed(configuration: &str) -> String {
    let defaults = [
        ("listen", "127.0.0.1:0"),
        ("admin", "{ listen: 127.0.0.1:0 }"),
        ("state", "{ path: ./state }"),
        // Many proxies share this machine's disk; stories about the delay itself set it.
        ("max_page_delay", "10s"),
    ];
    let mut completed = String::new();
    for (key, value) in defaults {
        if !configuration.lines().any(|line| line.starts_with(&format!("{key}:"))) {
            writeln!(completed, "{key}: {value}").unwrap();
        }
    }
    completed + configuration
}
