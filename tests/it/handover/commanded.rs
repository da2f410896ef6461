//! `throughline handover`: the running process starts its successor itself, and goes on if that fails.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    os::unix::{fs::PermissionsExt, net::UnixDatagram},
    path::Path,
    process::Output,
    thread,
    time::Duration,
};

use tempfile::TempDir;

use super::shop_under;
use crate::support::{
    await_fact,
    origin::{Origin, PAGE},
    process::signal,
    proxy::Proxy,
};

/// A process that nobody but this test will end.
struct Orphan(u32);

impl Drop for Orphan {
    fn drop(&mut self) {
        signal(self.0, "KILL");
    }
}

/// Hands over by command; yields the process that serves now.
fn hand_over(proxy: &Proxy) -> Orphan {
    let output = proxy.command(&["handover"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stderr), proxy.stderr());
    let pid = text.strip_prefix("process ").and_then(|rest| rest.split_once(' ')).and_then(|(pid, _)| pid.parse().ok());
    Orphan(pid.unwrap_or_else(|| panic!("no process in {text:?}")))
}

fn is_alive(pid: u32) -> bool {
    // A process that has ended and that nobody has buried is not alive (proc(5), the third field).
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim().starts_with('Z'))
}

fn await_death(pid: u32) {
    await_fact(|| (!is_alive(pid)).then_some(()), || format!("the end of process {pid}"));
}

#[test]
fn one_command_replaces_the_process_again_and_again() {
    let origin = Origin::start();
    let mut proxy = Proxy::with(&shop_under("", &origin)).argument("--strict").start();
    let first = hand_over(&proxy);
    assert_eq!(proxy.await_end().code(), Some(0), "{}", proxy.stderr());
    assert_eq!(proxy.visitor().get("/").text(), PAGE);
    assert_eq!(proxy.admin("/healthz").text(), "ok\n");
    let command = fs::read_to_string(format!("/proc/{}/cmdline", first.0)).unwrap();
    assert!(command.contains("\0--strict\0"), "the options stay: {command:?}");
    let second = hand_over(&proxy);
    await_death(first.0);
    assert_eq!(proxy.visitor().get("/").text(), PAGE);
    assert!(signal(second.0, "TERM"));
    await_death(second.0);
    assert!(proxy.visitor().try_request("GET", "/", &[], "").is_err(), "nobody listens any more");
    let output = proxy.command(&["handover"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no process that could hand over"), "{output:?}");
}

#[test]
fn a_successor_that_fails_leaves_the_old_process_serving_and_the_command_says_why() {
    let origin = Origin::start();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let good = shop_under("", &origin);
    let proxy = Proxy::with(&good).start();
    let address_in_use = format!("listen: [127.0.0.1:0, {}]", taken.local_addr().unwrap());
    let not_executable = proxy.folder().join("throughline.yaml").display().to_string();
    let cases: [(&str, &[&str], &[&str]); 6] = [
        ("max_page_delay: soon", &[], &["throughline.yaml:", "max_page_delay"]),
        (&address_in_use, &[], &["cannot listen on", &taken.local_addr().unwrap().to_string()]),
        ("", &["--binary", "/bin/false"], &["ended before it was ready", "exit status: 1"]),
        ("", &["--binary", "/no/such/binary"], &["/no/such/binary", "can't be started"]),
        ("", &["--binary", &not_executable], &["can't be started"]),
        ("", &["--binary", &script(proxy.folder(), "echo GET / >&0")], &["another language"]),
    ];
    for (keys, arguments, words) in cases {
        proxy.configure(&shop_under(keys, &origin));
        // A broken configuration does not even say where the running process is.
        let state = proxy.folder().join("state").display().to_string();
        let output: Output = proxy.command(&[&["handover", "--state", &state], arguments].concat());
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{keys} {arguments:?}: {errors}");
        for word in words {
            assert!(errors.contains(word), "{word} in {errors}");
        }
        assert_eq!(proxy.visitor().get("/").text(), PAGE);
        assert_eq!(proxy.admin("/readyz").status, 200);
        assert!(is_alive(proxy.pid()));
    }
    proxy.configure(&good);
    let _new = hand_over(&proxy);
    assert_eq!(proxy.visitor().get("/").text(), PAGE);
}

#[test]
#[ignore = "takes half a minute"]
fn a_successor_that_takes_too_long_is_ended() {
    let origin = Origin::start();
    let proxy = Proxy::with(&shop_under("", &origin)).start();
    let slow = script(proxy.folder(), "echo $$ > pid; exec sleep 300");
    let output = proxy.command(&["handover", "--binary", &slow]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("not ready within 30s"), "{errors}");
    let pid = fs::read_to_string(proxy.folder().join("pid")).unwrap();
    assert!(!is_alive(pid.trim().parse().unwrap()));
    assert_eq!(proxy.visitor().get("/").text(), PAGE);
}

#[test]
fn who_is_told_to_stop_during_a_hand_over_stops_and_leaves_nobody_behind() {
    let origin = Origin::start();
    let mut proxy = Proxy::with(&shop_under("", &origin)).start();
    let slow = script(proxy.folder(), "echo $$ > pid; exec sleep 300");
    let pid = proxy.folder().join("pid");
    let output = thread::scope(|scope| {
        let command = scope.spawn(|| proxy.command(&["handover", "--binary", &slow]));
        await_fact(|| fs::read_to_string(&pid).ok().filter(|text| text.ends_with('\n')), || "the successor".into());
        proxy.signal("TERM");
        command.join().unwrap()
    });
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("told to stop"), "{errors}");
    assert_eq!(proxy.await_end().code(), Some(0), "{}", proxy.stderr());
    await_death(fs::read_to_string(&pid).unwrap().trim().parse().unwrap());
    assert!(proxy.visitor().try_request("GET", "/", &[], "").is_err(), "nobody listens any more");
}

#[test]
fn systemd_hears_who_serves() {
    let origin = Origin::start();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let next = |wanted: &str| loop {
        let mut bytes = [0; 4096];
        let count = manager.recv(&mut bytes).unwrap_or_else(|error| panic!("no {wanted}: {error}"));
        let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
        if !text.starts_with("WATCHDOG=1") || wanted == "WATCHDOG=1" {
            assert!(text.lines().any(|line| line.starts_with(wanted)), "{text:?} is not {wanted}");
            return text;
        }
    };
    let mut proxy = Proxy::with(&shop_under("limits: { shutdown_grace: 7s }", &origin))
        .env("NOTIFY_SOCKET", path.to_str().unwrap())
        .env("WATCHDOG_USEC", "900000")
        .start();
    next("READY=1");
    next("WATCHDOG=1");
    let new = hand_over(&proxy);
    assert_eq!(next("MAINPID="), format!("MAINPID={}\n", new.0), "the old process says so, which is believed");
    next("READY=1");
    next("WATCHDOG=1");
    assert_eq!(proxy.await_end().code(), Some(0));
    assert!(signal(new.0, "TERM"));
    let stopping = next("STOPPING=1");
    assert!(stopping.contains("EXTEND_TIMEOUT_USEC=17000000\n"), "grace and postbacks: {stopping:?}");
    await_death(new.0);
}

#[test]
fn the_first_process_of_a_container_stays_until_its_successors_have_ended() {
    let origin = Origin::start();
    let mut proxy = Proxy::with(&shop_under("", &origin)).first_of_a_container().start();
    for _ in 0..2 {
        let output = proxy.command(&["handover"]);
        assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stderr), proxy.stderr());
        assert_eq!(proxy.visitor().get("/").text(), PAGE);
    }
    await_fact(
        || (proxy.stderr().matches("handed over to another process").count() == 2).then_some(()),
        || proxy.stderr(),
    );
    // What runs the container, as seen from here, and its first process.
    let container = proxy.pid();
    let child = BufReader::new(fs::File::open(format!("/proc/{container}/task/{container}/children")).unwrap());
    let first: u32 = child.lines().next().unwrap().unwrap().trim().parse().unwrap();
    assert!(is_alive(first));
    assert_eq!(proxy.visitor().get("/").text(), PAGE);
    assert!(signal(first, "TERM"));
    assert_eq!(proxy.await_end().code(), Some(0), "{}", proxy.stderr());
    assert!(proxy.visitor().try_request("GET", "/", &[], "").is_err(), "nobody listens any more");
}

/// Writes a program that an operator might take for the new binary.
fn script(folder: &Path, text: &str) -> String {
    let path = folder.join("new-binary");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}
