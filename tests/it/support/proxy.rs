//! The proxy under test, with a folder of its own.

use std::{
    cell::Cell,
    fmt::Write as _,
    fs,
    net::SocketAddr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output},
    sync::{Arc, Mutex},
};

use tempfile::TempDir;

use super::{
    await_fact,
    metrics::Samples,
    process::{Process, finish, throughline, unharmed_by_limits},
    server::lock,
    visitor::{Answer, Visitor},
};

/// A proxy to be started.
#[derive(Debug)]
pub(crate) struct Setup {
    folder: TempDir,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    /// What stands before its command line.
    wrapper: Vec<String>,
}

/// A running proxy.
#[derive(Debug)]
pub(crate) struct Proxy {
    setup: Setup,
    process: Process,
    address: Arc<Mutex<SocketAddr>>,
    admin: SocketAddr,
}

impl Setup {
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

    fn spawn(&self) -> Process {
        let mut arguments = vec!["run"];
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

impl Proxy {
    /// Prepares a proxy with this configuration.
    ///
    /// What a test does not care about is added: free ports, a state folder, and leave to send
    /// postbacks to loopback, where the stand-ins live.
    pub(crate) fn with(configuration: &str) -> Setup {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("throughline.yaml"), completed(configuration)).unwrap();
        Setup { folder, arguments: Vec::new(), environment: Vec::new(), wrapper: Vec::new() }
    }

    /// A browser that comes to this proxy, also after a restart.
    pub(crate) fn visitor(&self) -> Visitor {
        Visitor::following(self.address.clone())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        *lock(&self.address)
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// All listeners, in the order of the configuration.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        let stdout = self.process.stdout();
        stdout.lines().filter_map(|line| line.strip_prefix("listening ")?.trim().parse().ok()).collect()
    }

    /// The memory that it has resident now, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        self.process.memory()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// SIGTERM, and how it ended.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.process.signal("TERM");
        self.process.await_exit()
    }

    /// Sends a signal by name, such as `HUP`.
    pub(crate) fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Fills the disk, as far as this proxy can tell: its files stay as large as they are.
    pub(crate) fn fill_the_disk(&self) {
        self.process.limit_files("1");
    }

    /// Makes room again.
    pub(crate) fn make_room(&self) {
        self.process.limit_files("unlimited");
    }

    /// Starts again on the same folder, after a SIGKILL if it still runs.
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.process = self.setup.spawn();
        let (address, admin) = await_listeners(&mut self.process);
        *lock(&self.address) = address;
        self.admin = admin;
    }

    /// The most memory that it ever had resident, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.process.peak_memory()
    }

    /// What it logged.
    pub(crate) fn stderr(&self) -> String {
        self.process.stderr()
    }

    /// Waits until it has logged this.
    pub(crate) fn await_log(&self, text: &str) {
        await_fact(|| self.stderr().contains(text).then_some(()), || format!("{text:?} in the log: {}", self.stderr()));
    }

    /// The folder with configuration and state.
    pub(crate) fn folder(&self) -> &Path {
        self.setup.folder()
    }

    /// Where operators connect.
    pub(crate) const fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// A browser at the admin port.
    pub(crate) fn operator(&self) -> Visitor {
        Visitor::at(self.admin).host(&self.admin.to_string())
    }

    /// Asks the admin port.
    pub(crate) fn admin(&self, target: &str) -> Answer {
        self.operator().get(target)
    }

    /// All metrics of this moment.
    pub(crate) fn metrics(&self) -> Samples {
        Samples::parse(&self.admin("/metrics").text())
    }

    /// The sum over all samples of a metric whose labels include these.
    pub(crate) fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.metrics().sum(name, labels)
    }

    /// Waits until a metric's sum is exactly this.
    pub(crate) fn await_metric(&self, name: &str, labels: &[(&str, &str)], value: u32) {
        let seen = Cell::new(0.0);
        await_fact(
            || {
                seen.set(self.metric(name, labels));
                ((seen.get() - f64::from(value)).abs() < 0.5).then_some(())
            },
            || format!("{name}{labels:?} is {}, not {value}\n{}", seen.get(), self.stderr()),
        );
    }

    /// Waits until no postback is under way.
    pub(crate) fn await_settled(&self) {
        self.await_metric("throughline_outbox_pending", &[], 0);
    }

    /// Runs another command on the same configuration, however it ends.
    pub(crate) fn command(&self, arguments: &[&str]) -> Output {
        self.setup.command(arguments)
    }

    /// `throughline outbox list`.
    pub(crate) fn outbox_list(&self) -> String {
        self.outbox(&["list"])
    }

    /// Any command on the outbox that succeeds.
    pub(crate) fn outbox(&self, arguments: &[&str]) -> String {
        let output = self.setup.command(&[&["outbox"], arguments].concat());
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "outbox {arguments:?} ended with {}: {errors}", output.status);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

fn await_listeners(process: &mut Process) -> (SocketAddr, SocketAddr) {
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
