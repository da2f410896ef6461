//! A real PostgreSQL, in a folder of its own and gone at the end.
//!
//! The unit tests of the library include this file, too, so it needs nothing but the standard library.
//! All tests of a process share one server and have a database each; who needs a server with other
//! settings, or stops it, starts one alone. `DATABASE_URL`s carry a password, as in real life.

#![allow(dead_code, reason = "the unit tests and the stories each use a part of it")]

use std::{
    env, fs,
    net::TcpListener,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU32, Ordering},
        mpsc::channel,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// A server; stopped and removed when the last one who holds it lets go.
#[derive(Debug)]
pub(crate) struct Postgres {
    folder: PathBuf,
    port: u16,
    settings: Vec<(String, String)>,
    running: Mutex<Option<Running>>,
}

/// A database of one test.
#[derive(Debug)]
pub(crate) struct Database {
    server: Arc<Postgres>,
    name: String,
}

/// A thread that waits for the process which it has started, and the process.
///
/// The server is told to end when that thread does: not even a test that is killed leaves one behind.
#[derive(Debug)]
struct Running {
    pid: u32,
    thread: JoinHandle<()>,
}

impl Postgres {
    /// The server that all tests of this process share.
    pub(crate) fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let server = Self::alone(&[]);
            *shared = Arc::downgrade(&server);
            server
        })
    }

    /// A server of one's own, with more settings than the usual ones.
    pub(crate) fn alone(settings: &[(&str, &str)]) -> Arc<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        sweep();
        let name = format!("{PREFIX}{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = temporary().join(name);
        fs::create_dir(&folder).expect("a folder of our own");
        own(&folder);
        // Dropped with whatever fails below.
        let mut server = Self {
            folder,
            port: 0,
            settings: settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            running: Mutex::new(None),
        };
        server.initialise();
        for _ in 0..10 {
            // A free port may be somebody else's by the time the server takes it; then another one is tried.
            server.port = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").port();
            if server.try_start() {
                return Arc::new(server);
            }
        }
        panic!("PostgreSQL does not start: {}", server.log());
    }

    /// A new, empty database.
    pub(crate) fn database(self: &Arc<Self>) -> Database {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("t{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        self.psql("postgres", &format!("CREATE DATABASE {name}"));
        Database { server: Arc::clone(self), name }
    }

    /// Starts it again on the port it had.
    pub(crate) fn start(&self) {
        let deadline = Instant::now() + DEADLINE;
        while !self.try_start() {
            assert!(Instant::now() < deadline, "PostgreSQL does not start again: {}", self.log());
        }
    }

    /// Stops it as after a power cut: nothing is written any more, and it recovers when it starts.
    pub(crate) fn crash(&self) {
        self.end("QUIT");
    }

    /// Stops it properly, whoever is connected.
    pub(crate) fn stop(&self) {
        self.end("INT");
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Where the server's files are; those that it is to read must be its own: see [`put`](Self::put).
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a file that the server alone can read, such as the key of its certificate.
    pub(crate) fn put(&self, name: &str, text: &str) {
        let path = self.folder.join(name);
        fs::write(&path, text).expect("the folder is ours");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("the file is ours");
        own(&path);
    }

    /// Changes a setting of the running server, one that the command line does not set.
    pub(crate) fn set(&self, name: &str, value: &str) {
        self.psql("postgres", &format!("ALTER SYSTEM SET {name} = '{value}'"));
        self.psql("postgres", "SELECT pg_reload_conf()");
    }

    fn initialise(&self) {
        fs::write(self.folder.join("password"), PASSWORD).expect("the folder is ours");
        own(&self.folder.join("password"));
        let data = self.folder.join("data");
        let mut command = self.command("initdb");
        command.args(["-U", USER, "-E", "UTF8", "--locale=C", "--no-sync", "--auth-local=trust"]);
        command.args(["--auth-host=scram-sha-256", "--pwfile"]).arg(self.folder.join("password")).arg("-D").arg(data);
        let output = command.output().expect("initdb can be run");
        assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Starts the server and says whether it answers.
    fn try_start(&self) -> bool {
        let log = fs::File::create(self.folder.join("log")).expect("the folder is ours");
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.folder.join("data"));
        let folder = self.folder.display().to_string();
        let port = self.port.to_string();
        let usual = [
            ("listen_addresses", "127.0.0.1"),
            ("port", &port),
            ("unix_socket_directories", &folder),
            ("shared_buffers", "16MB"),
            ("max_connections", "100"),
        ];
        let more = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in usual.into_iter().chain(more) {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let (started, pid) = channel();
        let thread = thread::spawn(move || {
            let mut child = command.spawn().expect("postgres can be run");
            started.send(child.id()).expect("somebody waits for it");
            child.wait().expect("the child is ours");
        });
        let pid = pid.recv().expect("the thread has started it");
        let is_running = || !thread.is_finished();
        let deadline = Instant::now() + DEADLINE;
        while is_running() && Instant::now() < deadline {
            if self.try_psql("postgres", "SELECT 1").is_ok() {
                *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(Running { pid, thread });
                return true;
            }
            thread::sleep(Duration::from_millis(20));
        }
        signal("KILL", pid);
        drop(thread.join());
        false
    }

    fn end(&self, kind: &str) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Running { pid, thread }) = running else { return };
        signal(kind, pid);
        let deadline = Instant::now() + DEADLINE;
        while !thread.is_finished() {
            if Instant::now() > deadline {
                signal("KILL", pid);
            }
            thread::sleep(Duration::from_millis(5));
        }
        drop(thread.join());
    }

    fn psql(&self, database: &str, sql: &str) -> String {
        self.try_psql(database, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    fn try_psql(&self, database: &str, sql: &str) -> Result<String, String> {
        let mut command = self.command("psql");
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", USER, "-d", database, "-c", sql]);
        command.arg("-h").arg(&self.folder).args(["-p", &self.port.to_string()]);
        let output = command.stdin(Stdio::null()).output().expect("psql can be run");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// One of the server's programs, as a user that PostgreSQL puts up with: it refuses to run as root.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "QUIT"]);
        if is_root() {
            command.args([&format!("--reuid={SYSTEM_USER}"), &format!("--regid={SYSTEM_USER}"), "--clear-groups"]);
        }
        command.arg(binaries().join(program)).current_dir(&self.folder);
        command
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // What is on the disk does not matter any more.
        self.end("QUIT");
        drop(fs::remove_dir_all(&self.folder));
    }
}

impl Database {
    /// Its address, with user and password.
    pub(crate) fn url(&self) -> String {
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{}/{}", self.server.port, self.name)
    }

    /// The server that it is on.
    pub(crate) fn server(&self) -> &Arc<Postgres> {
        &self.server
    }

    /// Runs statements as its owner, beside everybody; answers as `psql -A -t` prints them.
    pub(crate) fn sql(&self, statements: &str) -> String {
        self.server.psql(&self.name, statements)
    }
}

/// The newest version that is installed, in the folder where Debian has it, or in the `PATH`.
fn binaries() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let debian = versions.map(|version| version.path().join("bin"));
    let path = env::var_os("PATH").unwrap_or_default();
    let elsewhere = env::split_paths(&path).collect::<Vec<_>>();
    let has_all = |folder: &PathBuf| ["initdb", "postgres", "psql"].iter().all(|name| folder.join(name).is_file());
    let mut found: Vec<_> = debian.filter(has_all).collect();
    found.sort_by_key(|folder| {
        let version = folder.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        version.and_then(|version| version.parse::<u32>().ok())
    });
    let found = found.pop().or_else(|| elsewhere.into_iter().find(has_all));
    found.expect("PostgreSQL is installed (Debian: apt-get install postgresql)")
}

/// Where another user may enter as well: what `TMPDIR` says may be ours alone.
fn temporary() -> PathBuf {
    if is_root() { PathBuf::from("/tmp") } else { env::temp_dir() }
}

/// Removes what tests left behind that were killed.
fn sweep() {
    for entry in fs::read_dir(temporary()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX)).and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

fn signal(kind: &str, pid: u32) {
    drop(Command::new("kill").args([&format!("-{kind}"), &pid.to_string()]).stderr(Stdio::null()).status());
}

fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.starts_with("Uid:\t0\t"))
}

/// Gives a file to the user that runs the server.
fn own(path: &Path) {
    if is_root() {
        let ids = |flag: &str| {
            let output = Command::new("id").args([flag, SYSTEM_USER]).output().expect("id can be run");
            let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            text.parse::<u32>().expect("the package of PostgreSQL has made its user")
        };
        chown(path, Some(ids("-u")), Some(ids("-g"))).expect("root may give files away");
    }
}

/// The user of the system that Debian's package makes.
const SYSTEM_USER: &str = "postgres";
const USER: &str = "owner";
/// Found nowhere but in addresses, so that tests can look for it.
pub(crate) const PASSWORD: &str = "canary-of-the-database";
const PREFIX: &str = "throughline-postgres-";
const DEADLINE: Duration = Duration::from_secs(30);
