//! Google, as far as a writer of rows meets it: the streaming API of `BigQuery`, and those who give tokens.
//!
//! A service account's token is checked as Google checks it, by `openssl` and the public half of a key
//! that is made here.

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    await_fact,
    network::AdNetwork,
    response::Response,
    server::{Request, lock},
};

/// What a project has to do with rows: a table, and somebody who may write to it.
#[derive(Debug)]
pub(crate) struct Google {
    server: AdNetwork,
    key: Key,
    inserts: Arc<Mutex<Vec<Request>>>,
    counter: Arc<Mutex<Counter>>,
}

/// Where tokens are given out.
#[derive(Debug)]
struct Counter {
    given: usize,
    /// How many requests are still to be refused.
    refuses: usize,
    /// For how many seconds a token is good.
    lifetime: u64,
}

/// A key of the service account.
#[derive(Debug)]
struct Key {
    folder: TempDir,
    private: String,
}

/// A row as it came.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) insert_id: String,
    pub(crate) columns: BTreeMap<String, Value>,
}

pub(crate) const INSERT_ALL: &str = "/bigquery/v2/projects/my-project/datasets/tracking/tables/events/insertAll";
const ACCOUNT: &str = "writer@my-project.iam.gserviceaccount.com";
pub(crate) const SCOPE: &str = "https://www.googleapis.com/auth/bigquery.insertdata";
/// Where a virtual machine asks for its token (cloud.google.com/compute/docs/metadata/querying-metadata).
pub(crate) const METADATA: &str = "/computeMetadata/v1/instance/service-accounts/default/token";
/// The provider in a pool of workloads.
pub(crate) const AUDIENCE: &str =
    "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/o";

/// The first, second, … token of the metadata server and of the exchange of identities.
pub(crate) fn given(number: usize) -> String {
    format!("given-token-CANARY-{number}")
}

impl Google {
    /// Takes every row.
    pub(crate) fn start() -> Self {
        Self::answering([taken("")])
    }

    /// Answers successive inserts from a list; its last answer repeats.
    pub(crate) fn answering(answers: impl IntoIterator<Item = Response>) -> Self {
        let answers: Mutex<VecDeque<Response>> = Mutex::new(answers.into_iter().collect());
        Self::judging(move |_| {
            let mut answers = lock(&answers);
            let next = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
            next.expect("an answer")
        })
    }

    /// Answers inserts as `judge` decides.
    pub(crate) fn judging(judge: impl Fn(&[Row]) -> Response + Send + Sync + 'static) -> Self {
        let inserts = Arc::new(Mutex::new(Vec::new()));
        let counter = Arc::new(Mutex::new(Counter { given: 0, refuses: 0, lifetime: 3600 }));
        let (seen, tokens) = (Arc::clone(&inserts), Arc::clone(&counter));
        let server = AdNetwork::judging(move |request| match (request.method.as_str(), request.path()) {
            ("POST", INSERT_ALL) => {
                lock(&seen).push(request.clone());
                judge(&rows_of(request))
            }
            ("GET", METADATA) if request.headers.get("metadata-flavor") == Some("Google") => lock(&tokens).token(),
            // RFC 8693, and cloud.google.com/iam/docs/reference/sts/rest
            ("POST", "/sts/v1/token") => lock(&tokens).token(),
            _ => Response::new(404).body("no such thing"),
        });
        Self { server, key: Key::new(), inserts, counter }
    }

    /// `events.bigquery` of a configuration, one key per line, indented; `more` belongs to it.
    pub(crate) fn sink(&self, more: &str) -> String {
        let endpoint = format!("http://{}/bigquery/v2", self.server.address());
        format!("  bigquery: {{ dataset: tracking, table: events, endpoint: \"{endpoint}\", {more} }}\n")
    }

    /// The host and port of all of it.
    pub(crate) fn host(&self) -> String {
        self.server.address().to_string()
    }

    /// The service account's file.
    pub(crate) fn service_account(&self) -> String {
        json!({
            "type": "service_account",
            "project_id": "my-project",
            "private_key_id": "key-1",
            "private_key": self.key.private,
            "client_email": ACCOUNT,
            "client_id": "1",
            "token_uri": format!("http://{}/sts/v1/token", self.host()),
        })
        .to_string()
    }

    /// The configuration of a workload whose identity somebody else vouches for, by this file.
    pub(crate) fn external_account(&self, subject: &Path) -> String {
        json!({
            "type": "external_account",
            "audience": AUDIENCE,
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": format!("http://{}/sts/v1/token", self.host()),
            "credential_source": { "file": subject },
        })
        .to_string()
    }

    /// The inserts so far.
    pub(crate) fn inserts(&self) -> Vec<Request> {
        lock(&self.inserts).clone()
    }

    /// All other requests so far.
    pub(crate) fn questions(&self) -> Vec<Request> {
        self.server.received().into_iter().filter(|request| request.path() != INSERT_ALL).collect()
    }

    /// Waits until Google was asked for so many tokens.
    pub(crate) fn await_questions(&self, count: usize) {
        let questions = || self.questions().len();
        await_fact(|| (questions() >= count).then_some(()), || format!("{count} questions, not {}", questions()));
    }

    /// Gives tokens that are good for so many seconds.
    pub(crate) fn give_tokens_for(&self, seconds: u64) {
        lock(&self.counter).lifetime = seconds;
    }

    /// Refuses so many requests for a token.
    pub(crate) fn give_no_tokens(&self, requests: usize) {
        lock(&self.counter).refuses = requests;
    }

    /// Every row of every insert so far, repeats included.
    pub(crate) fn rows(&self) -> Vec<Row> {
        self.inserts().iter().flat_map(rows_of).collect()
    }

    /// Waits until the rows that came are what is wanted.
    pub(crate) fn await_rows(&self, what: &str, is_wanted: impl Fn(&[Row]) -> bool) -> Vec<Row> {
        await_fact(|| Some(self.rows()).filter(|rows| is_wanted(rows)), || format!("{what}: {:#?}", self.rows()))
    }

    /// A part of the service account's key, which must not turn up anywhere.
    pub(crate) fn canary(&self) -> &str {
        self.key.private.lines().nth(3).expect("a key of several lines")
    }

    /// Checks that an insert proves that it comes from the service account.
    pub(crate) fn assert_signed(&self, request: &Request) {
        let header = request.headers.get("authorization").expect("a proof of identity");
        let token = header.strip_prefix("Bearer ").expect("a bearer token");
        let (signed, signature) = token.rsplit_once('.').expect("a signature");
        let (head, claims) = signed.split_once('.').expect("claims");
        self.key.assert_signature(signed, &URL_SAFE_NO_PAD.decode(signature).unwrap());
        let read = |part: &str| -> Value { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap() };
        assert_eq!(read(head), json!({ "alg": "RS256", "typ": "JWT", "kid": "key-1" }));
        let claims = read(claims);
        assert_eq!(
            (&claims["iss"], &claims["sub"], &claims["scope"]),
            (&json!(ACCOUNT), &json!(ACCOUNT), &json!(SCOPE))
        );
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let (from, to) = (claims["iat"].as_u64().unwrap(), claims["exp"].as_u64().unwrap());
        assert!(from <= now && now < to && to - from <= 3700, "{claims}");
    }
}

/// The answer to rows that were taken, but for these errors.
pub(crate) fn taken(errors: &str) -> Response {
    let body = format!(r#"{{"kind":"bigquery#tableDataInsertAllResponse","insertErrors":[{errors}]}}"#);
    Response::new(200).header("Content-Type", "application/json").body(body)
}

/// An error as Google's APIs answer it.
pub(crate) fn refusal(status: u16, reason: &str) -> Response {
    let error =
        json!({ "code": status, "message": "a message", "errors": [{ "reason": reason, "message": "a message" }] });
    Response::new(status).header("Content-Type", "application/json").body(json!({ "error": error }).to_string())
}

impl Counter {
    fn token(&mut self) -> Response {
        if let Some(refuses) = self.refuses.checked_sub(1) {
            self.refuses = refuses;
            return Response::new(400).body(r#"{"error":"invalid_grant","error_description":"CANARY-proof"}"#);
        }
        self.given += 1;
        let token = json!({
            "access_token": given(self.given),
            "expires_in": self.lifetime,
            "token_type": "Bearer",
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        });
        Response::new(200).header("Content-Type", "application/json").body(token.to_string())
    }
}

fn rows_of(request: &Request) -> Vec<Row> {
    let body = request.json();
    let row = |row: &Value| Row {
        insert_id: row["insertId"].as_str().expect("an id").to_owned(),
        columns: row["json"].as_object().expect("a row").clone().into_iter().collect(),
    };
    body["rows"].as_array().expect("rows").iter().map(row).collect()
}

impl Row {
    pub(crate) fn text(&self, column: &str) -> &str {
        self.columns[column].as_str().unwrap_or_default()
    }

    /// Checks it against the schema that operators make their table from.
    pub(crate) fn assert_fits(&self, schema: &[Value]) {
        let names: Vec<&str> = schema.iter().map(|column| column["name"].as_str().unwrap()).collect();
        assert!(self.columns.keys().all(|name| names.contains(&name.as_str())), "{self:?}");
        for column in schema {
            let (name, value) = (column["name"].as_str().unwrap(), &self.columns[column["name"].as_str().unwrap()]);
            let fits = match column["type"].as_str().unwrap() {
                "STRING" => value.is_string(),
                "INTEGER" => value.is_i64(),
                "TIMESTAMP" => value.as_str().is_some_and(|text| text.len() == 24 && text.ends_with('Z')),
                other => panic!("no such type: {other}"),
            };
            assert!(fits || value.is_null() && column["mode"] == "NULLABLE", "{name} is {value}");
        }
    }
}

impl Key {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", &path("key.pem")]);
        openssl(&["pkey", "-in", &path("key.pem"), "-pubout", "-out", &path("public.pem")]);
        let private = fs::read_to_string(path("key.pem")).unwrap();
        Self { folder, private }
    }

    fn assert_signature(&self, signed: &str, signature: &[u8]) {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        fs::write(path("signed"), signed).unwrap();
        fs::write(path("signature"), signature).unwrap();
        let public = path("public.pem");
        openssl(&["dgst", "-sha256", "-verify", &public, "-signature", &path("signature"), &path("signed")]);
    }
}

fn openssl(arguments: &[&str]) {
    let status = Command::new("openssl").args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(status.expect("openssl is installed").success(), "openssl {arguments:?}");
}
