//! What only a new process can change: sockets, the state folder, threads.

use crate::config::{
    Config, Listener, Server,
    problem::{Place, Problem, Problems, Severity},
    tree::Node,
};

/// The changes between the configuration in force and another one that cannot be taken up.
pub(super) fn changes(in_force: &Server, config: &Config) -> Vec<Problem> {
    let Server { listen, admin, admin_token, state, fleet, threads, .. } = in_force;
    let new = &config.server;
    let changed = [
        ("listen", listen.len() != new.listen.len() || !listen.iter().zip(&new.listen).all(|(a, b)| is_like(a, b))),
        ("admin", (admin, admin_token) != (&new.admin, &new.admin_token)),
        ("state", (state, fleet) != (&new.state, &new.fleet)),
        ("threads", *threads != new.threads),
    ];
    let keys: Vec<&str> = changed.into_iter().filter(|(_, is_changed)| *is_changed).map(|(key, _)| key).collect();
    if keys.is_empty() {
        return Vec::new();
    }
    let file = config.texts.file.display().to_string();
    // A key that was removed has no place any more.
    let top = Place { file: file.as_str().into(), line: 1, column: 1 };
    let root = Node::parse(&file, config.texts.main(), &Problems::default());
    let place = |key: &str| {
        root.as_ref().and_then(|root| root.entry(key)).map_or_else(|| top.clone(), |node| node.place.clone())
    };
    let problem = |key: &str| Problem {
        place: place(key),
        path: key.to_owned(),
        message: "this cannot be changed while the process runs; nothing of the file was taken up".to_owned(),
        remedy: Some("restart it, or hand over to a new process with `throughline handover`".to_owned()),
        severity: Severity::Error,
    };
    keys.into_iter().map(problem).collect()
}

/// Whether the socket can stay as it is; other certificates can be shown on it.
fn is_like(one: &Listener, other: &Listener) -> bool {
    let without_files = |listener: &Listener| Listener { tls: Vec::new(), ..listener.clone() };
    one.tls.is_empty() == other.tls.is_empty() && without_files(one) == without_files(other)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Environment;

    fn config(text: &str) -> Config {
        let text = format!("{text}\nsites: [{{ upstream: 'http://127.0.0.1:1' }}]\n");
        Config::parse(Path::new("a.yaml"), &text, Environment::Ignored).unwrap_or_else(|error| panic!("{error}"))
    }

    fn refused(before: &str, after: &str) -> Vec<String> {
        let told = changes(&config(before).server, &config(after));
        told.iter().map(|problem| format!("{}: {}", problem.place, problem.path)).collect()
    }

    #[test]
    fn sockets_state_and_threads_stay_and_their_certificates_may_change() {
        let tls = |cert: &str| format!("listen: {{ address: 127.0.0.1:1, tls: [{{ cert: {cert}, key: a.key }}] }}");
        assert!(refused(&tls("a.pem"), &tls("b.pem")).is_empty());
        assert!(refused("threads: 2", "threads: 2\nmax_page_delay: 10ms\nlimits: { max_connections: 9 }").is_empty());
        for (before, after, told) in [
            ("", "\nlisten: 127.0.0.1:1", "a.yaml:2:9: listen"),
            ("listen: 127.0.0.1:1", "", "a.yaml:1:1: listen"),
            ("listen: 127.0.0.1:1", &tls("a.pem"), "a.yaml:1:9: listen"),
            ("listen: 127.0.0.1:1", "listen: [127.0.0.1:1, 127.0.0.1:2]", "a.yaml:1:9: listen"),
            ("", "admin: { listen: 127.0.0.1:2 }", "a.yaml:1:8: admin"),
            ("", "state: { path: elsewhere }", "a.yaml:1:8: state"),
            ("threads: 1", "threads: 2", "a.yaml:1:10: threads"),
        ] {
            assert_eq!(refused(before, after), [told], "{before} → {after}");
        }
    }
}
