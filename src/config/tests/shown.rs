//! What `show` prints of a configuration.

use super::*;

#[test]
fn what_show_prints_means_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let odd = folder.path().join("odd.yaml");
    write(&odd, ODD);
    for file in shipped().into_iter().chain([odd]) {
        // In the same folder: relative paths must mean the same.
        let shown = show::show(&file).unwrap_or_else(|error| panic!("{error}"));
        let again =
            Config::parse(&file, &shown, Environment::Ignored).unwrap_or_else(|error| panic!("{error}\n{shown}"));
        let first = load(&file);
        assert_eq!(first.server, again.server, "{}", file.display());
        let [first, again] = [first, again].map(|config| without_places(&format!("{:#?}", config.sites)));
        assert!(first == again, "{}:\n{}", file.display(), difference(&first, &again));
        let twice = show_text(&folder.path().join("again.yaml"), &shown);
        assert!(twice == shown, "{}:\n{}", file.display(), difference(&shown, &twice));
    }
}

/// Defaults of parameters know where they stand and whether they were quoted; neither has a meaning.
fn without_places(debug: &str) -> String {
    let is_place = |line: &str| ["line: ", "column: ", "file: ", "quoted: "].iter().any(|key| line.starts_with(key));
    let kept = debug.lines().filter(|line| !is_place(line.trim_start()));
    kept.collect::<Vec<_>>().join("\n")
}

fn show_text(file: &Path, text: &str) -> String {
    write(file, text);
    show::show(file).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn what_show_prints_has_the_defaults_that_are_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.yaml");
    let text = "listen: { address: 127.0.0.1:1 }
sites:
  - { name: a, hosts: a.example, upstream: http://a:1 }
  - name: b
    hosts: b.example
    upstream: { servers: [{ url: https://b }], host: upstream, tls: { ca: ca.pem }, health: { path: /up } }\n";
    let shown = show_text(&file, text);
    for expected in [
        "listen:\n  address: 127.0.0.1:1\n  proxy_protocol: false\n",
        "limits:\n  header_timeout: 10s\n",
        "    upstream:\n      url: http://a:1\n      host: preserve\n      connect_timeout: 2s\n      read_timeout: 300s\n",
        "      servers:\n        - url: https://b\n          weight: 1\n",
        "      host: upstream\n",
        "      tls:\n        ca: ca.pem\n        verify: true\n",
        "      health:\n        path: /up\n        interval: 5s\n        timeout: 2s\n",
    ] {
        assert!(shown.contains(expected), "no\n{expected}in\n{shown}");
    }
}
