//! One process of the real binary, watched.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
};

use super::{await_fact, server::lock};

/// A running `throughline`; killed and reaped when dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
    collectors: Vec<JoinHandle<()>>,
}

/// The binary under test: another one than cargo built for it if the environment names one, such as a
/// release build for figures.
pub(super) fn binary() -> OsString {
    env::var_os("THROUGHLINE_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_throughline").into())
}

/// That binary with its arguments.
pub(crate) fn throughline(arguments: &[&str], configuration: &Path) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments).arg("-c").arg(configuration).stdin(Stdio::null());
    command
}

/// The same process, but one that survives a limit on the size of its files (see `limit_files`).
pub(crate) fn unharmed_by_limits(command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(command.get_program()).args(command.get_args());
    shell.stdin(Stdio::null());
    shell
}

/// Runs a command to its end.
pub(crate) fn finish(mut command: Command) -> Output {
    command.output().expect("the binary starts")
}

impl Process {
    /// Starts a command and collects what it prints.
    pub(super) fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        let (stdout, of_stdout) = collect(child.stdout.take().expect("stdout is piped"));
        let (stderr, of_stderr) = collect(child.stderr.take().expect("stderr is piped"));
        Self { child, stdout, stderr, collectors: vec![of_stdout, of_stderr] }
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn stderr(&self) -> String {
        lock(&self.stderr).clone()
    }

    pub(super) fn stdout(&self) -> String {
        lock(&self.stdout).clone()
    }

    /// The memory that it has resident now, in bytes (proc(5), `VmRSS`).
    pub(super) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }

    /// Waits for something on stdout; fails at once when the process ends without it.
    pub(super) fn await_stdout<T>(&mut self, what: &str, mut read: impl FnMut(&str) -> Option<T>) -> T {
        let ended = |child: &mut Child| child.try_wait().expect("the child is ours");
        let Self { child, stdout, stderr, .. } = self;
        await_fact(
            || {
                // Asked first: what a process that has ended printed is then complete but for the collector.
                let status = ended(child);
                let found = read(&lock(stdout));
                assert!(
                    found.is_some() || status.is_none(),
                    "the proxy ended ({status:?}) before {what}\nstdout: {}\nstderr: {}",
                    lock(stdout),
                    lock(stderr)
                );
                found
            },
            || format!("{what}\nstdout: {}\nstderr: {}", lock(stdout), lock(stderr)),
        )
    }

    /// Ends it without warning, as a crash or an out-of-memory kill does.
    pub(super) fn kill(&mut self) {
        // Fails only when it has ended already, which is what we want.
        self.child.kill().ok();
        self.child.wait().expect("the child is ours");
    }

    /// Sends a signal by name, such as `TERM`.
    pub(super) fn signal(&self, name: &str) {
        assert!(signal(self.child.id(), name), "kill -{name} failed");
    }

    /// From now on no file of it can grow beyond so many bytes: what a full disk does to one process.
    pub(super) fn limit_files(&self, limit: &str) {
        let set =
            Command::new("prlimit").args([format!("--pid={}", self.child.id()), format!("--fsize={limit}:")]).status();
        assert!(set.expect("prlimit exists").success(), "prlimit failed");
    }

    /// The most memory that it ever had resident, in bytes (proc(5), `VmHWM`).
    pub(super) fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }

    /// Waits for its end; a process that it has started may still print.
    pub(super) fn await_status(&mut self) -> ExitStatus {
        let Self { child, stderr, .. } = self;
        await_fact(|| child.try_wait().expect("the child is ours"), || format!("the end; stderr: {}", lock(stderr)))
    }

    /// Waits for its end, and until all that it printed has been read.
    pub(super) fn await_exit(&mut self) -> ExitStatus {
        let status = self.await_status();
        self.collectors.drain(..).for_each(|collector| collector.join().expect("a collector"));
        status
    }
}

/// Sends a signal by name to a process that need not be a child.
pub(crate) fn signal(pid: u32, name: &str) -> bool {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).stderr(Stdio::null()).status();
    sent.expect("kill exists").success()
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn collect(from: impl Read + Send + 'static) -> (Arc<Mutex<String>>, JoinHandle<()>) {
    let text: Arc<Mutex<String>> = Arc::default();
    let into = text.clone();
    let collector = thread::spawn(move || {
        let mut reader = BufReader::new(from);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            lock(&into).push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
    (text, collector)
}
