//! The proxy under test, with a folder of its own.

use std::{
    cell::Cell,
    net::SocketAddr,
    path::Path,
    process::{ExitStatus, Output},
    sync::{Arc, Mutex},
};

use super::{
    await_fact,
    metrics::Samples,
    process::Process,
    server::lock,
    visitor::{Answer, Visitor},
};

mod setup;

pub(crate) use setup::Setup;
use setup::await_listeners;

/// A running proxy.
#[derive(Debug)]
pub(crate) struct Proxy {
    setup: Setup,
    process: Process,
    address: Arc<Mutex<SocketAddr>>,
    admin: SocketAddr,
}

/// A proxy that another one has succeeded, or that was asked to stop.
#[derive(Debug)]
pub(crate) struct Former(Process);

impl Former {
    /// How it ended.
    pub(crate) fn await_end(&mut self) -> ExitStatus {
        self.0.await_status()
    }

    /// What it logged.
    pub(crate) fn stderr(&self) -> String {
        self.0.stderr()
    }
}

impl Proxy {
    /// Prepares a proxy with this configuration.
    ///
    /// What a test does not care about is added: free ports, a state folder, and leave to send
    /// postbacks to loopback, where the stand-ins live.
    pub(crate) fn with(configuration: &str) -> Setup {
        Setup::of(configuration)
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

    /// Writes another configuration, which is read at the next [`reload`](Self::reload) or start, whoever starts.
    pub(crate) fn configure(&self, configuration: &str) {
        self.setup.configure(configuration);
    }

    /// SIGHUP; waits until the configuration was read again, and says whether it could be used.
    pub(crate) fn reload(&self) -> bool {
        let count = |metrics: &Samples, result| metrics.sum("throughline_config_reloads_total", &[("result", result)]);
        let before = self.metrics();
        self.signal("HUP");
        await_fact(
            || {
                let now = self.metrics();
                let grows = |result| count(&now, result) - count(&before, result) > 0.5;
                if grows("success") { Some(true) } else { grows("failure").then_some(false) }
            },
            || format!("the configuration was read again: {}", self.stderr()),
        )
    }

    /// Has another configuration in force.
    pub(crate) fn follows(&self, configuration: &str) {
        self.configure(configuration);
        assert!(self.reload(), "refused: {}", self.stderr());
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

    /// Starts another process that takes over, and waits until it has.
    pub(crate) fn succeed(&mut self) -> Former {
        let mut process = self.setup.spawn_with(&["--upgrade"]);
        let found = await_listeners(&mut process);
        assert_eq!(found, (self.address(), self.admin), "the addresses stay: {}", process.stderr());
        let has_taken_over = || process.stderr().contains("took over from the process before this one").then_some(());
        await_fact(has_taken_over, || {
            format!(
                "a hand-over: {}
{}",
                process.stderr(),
                self.stderr()
            )
        });
        Former(std::mem::replace(&mut self.process, process))
    }

    /// Waits for its end by itself, whoever it has started.
    pub(crate) fn await_end(&mut self) -> ExitStatus {
        self.process.await_status()
    }

    /// The most memory that it ever had resident, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.process.peak_memory()
    }

    /// What it printed.
    pub(crate) fn stdout(&self) -> String {
        self.process.stdout()
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

    /// A browser at the admin port.
    pub(crate) fn operator(&self) -> Visitor {
        Visitor::at(self.admin).host(&self.admin.to_string())
    }

    /// Where operators connect.
    pub(crate) const fn admin_address(&self) -> SocketAddr {
        self.admin
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
