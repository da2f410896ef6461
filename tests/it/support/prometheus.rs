//! A real Prometheus that scrapes the proxy.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use super::{DEADLINE, origin::nobody, visitor::Visitor};

/// A running Prometheus; killed when dropped.
#[derive(Debug)]
pub(crate) struct Prometheus {
    child: Child,
    address: SocketAddr,
    folder: TempDir,
}

impl Prometheus {
    /// Starts one that scrapes an admin port every second.
    pub(crate) fn scraping(admin: SocketAddr) -> Self {
        let deadline = Instant::now() + DEADLINE;
        loop {
            // A free port may be somebody else's by the time it is taken; then another one is tried.
            if let Some(running) = Self::try_start(admin, nobody(), deadline) {
                return running;
            }
            assert!(Instant::now() < deadline, "prometheus does not start (Debian: apt-get install prometheus)");
        }
    }

    /// The values that a query yields now.
    pub(crate) fn ask(&self, query: &str) -> Vec<String> {
        let query: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let answer = Visitor::at(self.address).get(&format!("/api/v1/query?query={query}")).text();
        let answer: Value = serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"));
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        let result = answer["data"]["result"].as_array().expect("a vector");
        result.iter().map(|sample| sample["value"][1].as_str().expect("a value").to_owned()).collect()
    }

    /// What it said.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn try_start(admin: SocketAddr, address: SocketAddr, deadline: Instant) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let configuration = format!(
            "global: {{ scrape_interval: 1s }}\n\
             scrape_configs: [{{ job_name: throughline, static_configs: [{{ targets: [\"{admin}\"] }}] }}]\n"
        );
        fs::write(folder.path().join("prometheus.yml"), configuration).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let mut child = Command::new("prometheus")
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
            .arg(format!("--web.listen-address={address}"))
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus (Debian: apt-get install prometheus)");
        while Instant::now() < deadline && child.try_wait().expect("the child is ours").is_none() {
            if TcpStream::connect(address).is_ok() {
                return Some(Self { child, address, folder });
            }
            thread::sleep(Duration::from_millis(50));
        }
        child.kill().ok();
        child.wait().ok();
        None
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
