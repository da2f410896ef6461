//! What Throughline is shipped in: unit, image, manifests and package, and the guide that explains them.
//!
//! Whether they are well-formed is for their own tools to say (`tests/run`); here they are held to what
//! the program really does.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "what does not hold should fail loudly, and it is looked at among real files"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;
use throughline::config::{Config, Environment};

const BINARY: &str = env!("CARGO_BIN_EXE_throughline");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn file(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn run(arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).output().expect("the binary starts")
}

/// The text passes the check without a word.
fn assert_in_order(name: &str, text: &str) -> Config {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("throughline.yaml");
    fs::write(&path, text).unwrap();
    let output = run(&["check", "--no-environment", path.to_str().unwrap()]);
    assert!(output.status.success() && output.stderr.is_empty(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    Config::parse(&path, text, Environment::Ignored).expect("it was in order")
}

/// The command line is understood up to its end.
fn assert_understood(arguments: &[&str]) {
    let output = run(&[arguments, &["--help"]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The values of a key in an INI file, in order.
fn values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

/// The number that follows a key, wherever it stands.
fn number(text: &str, key: &str) -> u64 {
    let (_, rest) = text.split_once(&format!("{key}: ")).unwrap_or_else(|| panic!("no {key}"));
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("{key} is no number"))
}

#[test]
fn the_unit_starts_what_exists_and_gives_it_time_to_end() {
    let unit = file("conf/systemd/throughline.service");
    let [start] = values(&unit, "ExecStart")[..] else { panic!("one command") };
    let words: Vec<&str> = start.split_whitespace().collect();
    assert_eq!(words[0], "/usr/bin/throughline");
    assert_understood(&words[1..]);
    // The exit status of a configuration with mistakes is the one that is not tried again.
    let folder = TempDir::new().unwrap();
    let broken = folder.path().join("throughline.yaml");
    fs::write(&broken, "sites: 1").unwrap();
    let refused = run(&["run", "-c", broken.to_str().unwrap()]).status.code().unwrap();
    assert_eq!(values(&unit, "RestartPreventExitStatus"), [refused.to_string()]);
    let grace = throughline::config::Limits::default().shutdown_grace.as_secs();
    let [stop] = values(&unit, "TimeoutStopSec")[..] else { panic!("one time") };
    assert!(stop.parse::<u64>().unwrap() > grace + 10, "the last postbacks take up to ten seconds");
    // `kill` is a word of the shell; a program of that name is not on every Debian. And a process that systemd has not
    // started itself must be waited for by somebody.
    for key in ["ExecReload", "ExecStop"] {
        let [command] = values(&unit, key)[..] else { panic!("one {key}") };
        assert!(command.starts_with("/bin/sh -c \"kill -") && command.contains("$MAINPID"), "{command}");
    }
    assert!(values(&unit, "ExecStop")[0].contains("while kill -0 $MAINPID"));
    // What the process says is believed of the main process alone, and it says which one that is.
    assert_eq!((values(&unit, "Type"), values(&unit, "NotifyAccess")), (vec!["notify"], vec!["main"]));
}

#[test]
fn the_accounts_and_folders_of_the_package_fit_together() {
    let (unit, users) = (file("conf/systemd/throughline.service"), file("conf/systemd/throughline.sysusers"));
    let [user] = values(&unit, "User")[..] else { panic!("one account") };
    let line = users.lines().find(|line| line.starts_with('u')).expect("an account");
    assert_eq!(line.split_whitespace().nth(1), Some(user));
    let config = assert_in_order("conf/debian/throughline.yaml", &file("conf/debian/throughline.yaml"));
    let [state] = values(&unit, "StateDirectory")[..] else { panic!("one folder") };
    assert_eq!(config.server.state, Path::new("/var/lib").join(state));
    assert!(values(&unit, "ExecStart")[0].ends_with(" -c /etc/throughline/throughline.yaml"));
    let script = file("conf/debian/postinst");
    let handover = script.lines().find_map(|line| line.trim().strip_prefix("/usr/bin/throughline ")).unwrap();
    assert_understood(&handover.trim_end_matches(" ||").split_whitespace().collect::<Vec<_>>());
    assert!(script.contains("#DEBHELPER#"));
}

#[test]
fn the_package_is_made_of_files_that_exist() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]).current_dir(root());
    let metadata: serde_json::Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
    let deb = &metadata["packages"][0]["metadata"]["deb"];
    let assets = deb["assets"].as_array().expect("assets");
    let mut targets = Vec::new();
    for asset in assets {
        let (source, target) = (asset[0].as_str().unwrap(), asset[1].as_str().unwrap());
        targets.push(target);
        if source == "target/release/throughline" {
            continue;
        }
        let (folder, name) = source.rsplit_once('/').unwrap_or((".", source));
        let folder = root().join(folder.trim_end_matches("/**"));
        match name.strip_prefix('*') {
            None => assert!(folder.join(name).is_file(), "{source}"),
            Some(ending) => {
                let mut names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
                assert!(names.any(|name| name.to_string_lossy().ends_with(ending)), "{source}");
            }
        }
    }
    let changelog = file(deb["changelog"].as_str().expect("a changelog"));
    let version = concat!("throughline (", env!("CARGO_PKG_VERSION"), "-1) ");
    assert!(changelog.starts_with(version), "{changelog}");
    for conffile in deb["conf-files"].as_array().expect("conffiles") {
        assert!(targets.iter().any(|target| format!("/{target}") == conffile.as_str().unwrap()), "{conffile}");
    }
    for folder in [&deb["maintainer-scripts"], &deb["systemd-units"]["unit-scripts"]] {
        assert!(root().join(folder.as_str().unwrap()).is_dir(), "{folder}");
    }
}

#[test]
fn the_image_starts_what_exists_on_a_configuration_that_is_in_order() {
    let dockerfile = file("Dockerfile");
    let words = |instruction: &str| {
        let line = dockerfile.lines().find_map(|line| line.strip_prefix(instruction)).expect(instruction);
        serde_json::from_str::<Vec<String>>(line.trim()).expect("the form without a shell")
    };
    assert_eq!(words("ENTRYPOINT"), ["/usr/bin/throughline"]);
    let command = words("CMD");
    assert_understood(&command.iter().map(String::as_str).collect::<Vec<_>>());
    let config = assert_in_order("conf/docker/throughline.yaml", &file("conf/docker/throughline.yaml"));
    assert!(dockerfile.contains("conf/docker/throughline.yaml /image/etc/throughline/throughline.yaml"));
    assert_eq!(command.last().unwrap(), "/etc/throughline/throughline.yaml");
    let exposed: Vec<String> =
        [config.server.listen[0].address.port(), config.server.admin.port()].map(|port| port.to_string()).into();
    assert!(dockerfile.contains(&format!("EXPOSE {}", exposed.join(" "))));
    assert!(dockerfile.contains(&format!("VOLUME {}", config.server.state.display())));
    // What is copied into the image has been put together before, of files that are there.
    let (build, image) = dockerfile.split_once("\nFROM gcr.io/").expect("two stages");
    let copied = image.lines().filter(|line| line.starts_with("COPY --from=build "));
    let places = copied.filter_map(|line| line.split(' ').find(|word| word.starts_with("/image/")));
    assert_eq!(places.inspect(|place| assert!(build.contains(&format!(" {place}")), "{place}")).count(), 3);
    let sources: Vec<&str> = build.split_whitespace().filter(|word| word.starts_with("conf/")).collect();
    assert!(!sources.is_empty() && sources.iter().all(|source| root().join(source).is_file()), "{sources:?}");
    // Cargo refuses to build a package whose targets are not there.
    let ignored = file(".dockerignore");
    for needed in ["/src", "/tests", "/benches", "/conf", "/build.rs", "/Cargo.lock"] {
        assert!(!ignored.lines().any(|line| line == needed), "{needed}");
    }
}

#[test]
fn the_manifests_agree_with_the_configuration_that_they_bring() {
    let map = file("conf/kubernetes/configmap.yaml");
    let (_, block) = map.split_once("  throughline.yaml: |\n").expect("the configuration");
    let text: String = block.lines().flat_map(|line| [line.strip_prefix("    ").unwrap_or(line), "\n"]).collect();
    let config = assert_in_order("the ConfigMap", &text);
    let set = file("conf/kubernetes/statefulset.yaml");
    let grace = config.server.limits.shutdown_grace.as_secs();
    let needed = number(&set, "sleep: { seconds") + grace + 10;
    assert!(number(&set, "terminationGracePeriodSeconds") > needed, "{needed} s and some room");
    for (name, port) in [("http", config.server.listen[0].address.port()), ("admin", config.server.admin.port())] {
        assert!(set.contains(&format!("{{ name: {name}, containerPort: {port} }}")), "{name} {port}");
    }
    for (probe, path) in [("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")] {
        assert!(set.contains(&format!("{probe}:\n            httpGet: {{ path: {path}, port: admin }}")), "{probe}");
    }
    let mounted = set.lines().find_map(|line| line.trim().strip_prefix("- { name: state, mountPath: ")).unwrap();
    assert!(config.server.state.starts_with(mounted.trim_end_matches(" }")));
    assert!(config.server.fleet.is_some(), "several instances are a fleet");
    let (secret, mut names) = (file("conf/kubernetes/secret.yaml"), 0);
    for rest in text.split("${").skip(1) {
        let (name, _) = rest.split_once('}').expect("a name");
        assert!(secret.contains(&format!("\n  {name}: ")), "{name}");
        names += 1;
    }
    assert!(names >= 3);
    let arguments = set.lines().find_map(|line| line.trim().strip_prefix("args: [")).unwrap();
    assert_understood(&arguments.trim_end_matches(']').split(", ").collect::<Vec<_>>());
}

#[test]
fn the_commands_of_the_guide_exist() {
    let guide = file("conf/guides/running.md");
    let mut count = 0;
    let mut is_shell = false;
    for line in guide.lines() {
        match line.strip_prefix("```") {
            Some(language) => is_shell = language == "sh",
            None if is_shell => {
                let command = line.split(" #").next().unwrap_or_default().trim();
                let command = command.strip_prefix("sudo ").unwrap_or(command);
                if let Some(arguments) = command.strip_prefix("throughline ") {
                    assert_understood(&arguments.split_whitespace().collect::<Vec<_>>());
                    count += 1;
                }
            }
            None => {}
        }
    }
    assert!(count >= 3, "{count}");
    for path in guide.split('`').filter(|word| word.starts_with("conf/")) {
        assert!(root().join(PathBuf::from(path)).exists(), "{path}");
    }
}
