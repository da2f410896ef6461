//! Servers that must not be trusted, servers that are not there, and the way to them.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::CertificateDer;

use super::*;

fn at(url: String, authorities: Vec<CertificateDer<'static>>) -> Fleet {
    Fleet::new(&FleetSettings { url, authorities }, "one".into()).unwrap()
}

async fn refusal(fleet: &Fleet) -> FleetError {
    let error = fleet.prepare().await.unwrap_err();
    for text in [error.to_string(), format!("{error:?}"), format!("{fleet:?}")] {
        assert!(!text.contains(PASSWORD) && !text.contains("\"owner\""), "{text}");
    }
    let FleetHealth::Away { reason, .. } = fleet.health() else { panic!("it is not ready") };
    assert_eq!(reason, error.to_string());
    error
}

#[tokio::test]
async fn a_server_that_may_lose_commits_is_refused() {
    let server = Postgres::alone(&[("fsync", "off")]);
    let fleet = node(&server.database(), "one");
    let error = refusal(&fleet).await;
    assert!(!error.is_transient() && error.to_string().contains("`fsync = on`"), "{error}");
}

#[tokio::test]
async fn commits_are_durable_even_where_others_do_not_ask_for_it() {
    let server = Postgres::alone(&[("synchronous_commit", "off")]);
    let fleet = node(&server.database(), "one");
    fleet.prepare().await.unwrap();
    let session = fleet.session().await.unwrap();
    for (setting, expected) in [("synchronous_commit", "on"), ("statement_timeout", "2s")] {
        let row = session.query_one(&format!("SHOW {setting}"), &[]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), expected);
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_way_to_the_database_is_said_without_its_secrets() {
    let database = Postgres::shared().database();
    let port = format!(":{}/", database.server().port());
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let free = format!(":{free}/");
    for (from, to, expected, is_transient) in [
        (PASSWORD, "another-canary", "the database refuses the user's password", false),
        (&port, &free, "no connection to the database: error connecting to server: Connection refused", true),
        ("/t", "/absent", "the database server has no database of this name", false),
        ("127.0.0.1", "throughline.invalid", "no connection to the database", true),
    ] {
        let fleet = at(format!("{}?sslmode=disable", database.url().replacen(from, to, 1)), Vec::new());
        let error = refusal(&fleet).await;
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!error.to_string().contains("another-canary"), "{error}");
        assert_eq!(error.is_transient(), is_transient, "{error}");
    }
    let fleet = at(format!("{}?sslmode=require", database.url()), Vec::new());
    let error = refusal(&fleet).await;
    assert!(error.to_string().contains("server does not support TLS"), "{error}");
}

#[tokio::test]
async fn pages_do_not_wait_for_a_database_that_is_away() {
    let server = Postgres::alone(&[]);
    let database = server.database();
    let fleet = node(&database, "one");
    let keys = [JourneyKey::from_bytes([1; 16])];
    assert!(fleet.recall(&keys, NOW).await.is_err(), "nobody has asked it yet");
    fleet.prepare().await.unwrap();
    assert_eq!(fleet.recall(&keys, NOW).await.unwrap(), None);

    server.crash();
    let error = fleet.due().await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    let FleetHealth::Away { since, .. } = fleet.health() else { panic!("it is away") };
    let started = clock::instant();
    for _ in 0..100 {
        assert!(fleet.recall(&keys, NOW).await.is_err());
        assert!(fleet.verdicts(&[event().id]).await.is_err());
    }
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert!(fleet.due().await.is_err());
    assert!(matches!(fleet.health(), FleetHealth::Away { since: still, .. } if still == since));

    server.start();
    fleet.due().await.unwrap();
    assert_eq!(fleet.health(), FleetHealth::Ready);
    assert_eq!(fleet.recall(&keys, NOW).await.unwrap(), None);
}

#[tokio::test]
async fn a_caller_that_stops_waiting_spoils_nothing_for_the_next() {
    let database = Postgres::shared().database();
    let fleet = node(&database, "one");
    fleet.prepare().await.unwrap();
    let waits = event();
    for _ in 0..30 {
        // Sometimes before anything was sent, sometimes in the middle of it.
        for micros in [0, 200, 1000, 3000] {
            drop(timeout(Duration::from_micros(micros), forward(&fleet, &waits, "1")).await);
        }
    }
    assert_ne!(forward(&fleet, &waits, "1").await, Forwarded::Duplicate);
    assert_eq!(database.sql("SELECT count(*) FROM throughline_outbox"), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nodes_that_start_together_make_the_tables_once_and_newer_ones_are_refused() {
    let database = Postgres::shared().database();
    let mut nodes = JoinSet::new();
    for name in ["one", "two", "three", "four"] {
        let fleet = node(&database, name);
        nodes.spawn(async move { fleet.prepare().await });
    }
    for result in nodes.join_all().await {
        result.unwrap();
    }
    let version = "SELECT version FROM throughline_schema";
    assert_eq!(database.sql(version), "102");
    database.sql("UPDATE throughline_schema SET version = 199");
    node(&database, "five").prepare().await.unwrap();
    assert_eq!(database.sql(version), "199", "a later step of the same kind is left alone");
    database.sql("UPDATE throughline_schema SET version = 200");
    let error = node(&database, "six").prepare().await.unwrap_err();
    assert!(error.to_string().contains("newer version (schema 200)"), "{error}");
}

#[tokio::test]
async fn a_database_that_was_made_anew_gets_its_tables_again() {
    let database = Postgres::shared().database();
    let fleet = node(&database, "one");
    fleet.prepare().await.unwrap();
    database.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
    assert!(fleet.due().await.is_err());
    assert!(fleet.due().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_certificate_is_believed_as_far_as_the_address_asks() {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".into()]).unwrap().signed_by(&key, &authority).unwrap();
    let server = Postgres::alone(&[]);
    server.put("server.crt", &certificate.pem());
    server.put("server.key", &key.serialize_pem());
    for (name, file) in [("ssl_cert_file", "server.crt"), ("ssl_key_file", "server.key")] {
        server.set(name, &server.folder().join(file).display().to_string());
    }
    server.set("ssl", "on");
    let database = server.database();
    let (trusted, nobody) = (vec![authority.der().clone()], Vec::new());
    let unknown = "invalid peer certificate: UnknownIssuer";
    for (host, mode, authorities, expected) in [
        ("localhost", "verify-full", &trusted, Ok(())),
        ("127.0.0.1", "verify-full", &trusted, Err("not valid for name")),
        ("127.0.0.1", "verify-ca", &trusted, Ok(())),
        ("127.0.0.1", "require", &trusted, Ok(())),
        ("localhost", "verify-full", &nobody, Err(unknown)),
        ("localhost", "verify-ca", &nobody, Err(unknown)),
        ("127.0.0.1", "require", &nobody, Ok(())),
        ("127.0.0.1", "prefer", &nobody, Ok(())),
    ] {
        let url = format!("{}?sslmode={mode}", database.url().replace("127.0.0.1", host));
        let fleet = at(url, authorities.clone());
        match expected {
            Ok(()) => {
                fleet.prepare().await.unwrap_or_else(|error| panic!("{host} {mode}: {error}"));
                let session = fleet.session().await.unwrap();
                let encrypted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
                assert!(session.query_one(encrypted, &[]).await.unwrap().get::<_, bool>(0), "{host} {mode}");
            }
            Err(expected) => {
                let error = refusal(&fleet).await;
                assert!(error.to_string().contains(expected), "{host} {mode}: {error}");
                assert!(!error.is_transient());
            }
        }
    }
}
