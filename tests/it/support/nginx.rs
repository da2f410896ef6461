//! A real shared cache: nginx.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{DEADLINE, origin::nobody, visitor::Visitor};

/// A running nginx that stores what it may; killed when dropped.
///
/// Every answer says in `X-Cache` whether it was stored before: `HIT`, `MISS`, `BYPASS`.
#[derive(Debug)]
pub(crate) struct Cache {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Cache {
    /// Starts one in front of a server, with more directives of its own.
    pub(crate) fn before(upstream: SocketAddr, directives: &str) -> Self {
        let deadline = Instant::now() + DEADLINE;
        loop {
            // A free port may be somebody else's by the time nginx takes it; then another one is tried.
            if let Some(cache) = Self::try_start(upstream, directives, nobody()) {
                return cache;
            }
            assert!(Instant::now() < deadline, "nginx does not start. Install it (Debian: apt-get install nginx)");
        }
    }

    /// A browser that comes to the cache.
    pub(crate) fn visitor(&self) -> Visitor {
        Visitor::at(self.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    fn try_start(upstream: SocketAddr, directives: &str, address: SocketAddr) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("nginx.conf"), configuration(upstream, directives, address)).unwrap();
        let mut child = Command::new("nginx")
            .args(["-e", "error.log", "-c", "nginx.conf", "-p"])
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx (Debian: apt-get install nginx)");
        loop {
            if child.try_wait().expect("the child is ours").is_some() {
                return None;
            }
            if TcpStream::connect(address).is_ok() {
                return Some(Self { child, address, _folder: folder });
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn configuration(upstream: SocketAddr, directives: &str, address: SocketAddr) -> String {
    format!(
        r#"daemon off;
master_process off;
pid nginx.pid;
events {{ }}
http {{
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  proxy_cache_path cache keys_zone=shared:1m use_temp_path=off;
  server {{
    listen {address};
    location / {{
      proxy_pass http://{upstream};
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header Connection "";
      proxy_cache shared;
      proxy_cache_valid any 10m;
      add_header X-Cache $upstream_cache_status always;
      {directives}
    }}
  }}
}}
"#
    )
}
