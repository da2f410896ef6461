//! Networks that ask for tokens, and those who give tokens out, on real sockets.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
};

use http::{HeaderMap, Method};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::sleep,
};
use url::Url;

use super::*;
use crate::{
    delivery::{
        mask::Mask,
        outbound::{Credentials, Outbound, TokenRule},
        route::Route,
    },
    tracking::verdict::Verdict,
};

/// A server that answers as `react` says, and remembers requests.
#[derive(Clone)]
struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn that(react: impl Fn(&str) -> (u16, String) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let party = Self { address: listener.local_addr().unwrap(), seen: Arc::default() };
        let (seen, react) = (Arc::clone(&party.seen), Arc::new(react));
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let (seen, react) = (Arc::clone(&seen), Arc::clone(&react));
                tokio::spawn(async move { serve(connection, &seen, &*react).await });
            }
        });
        party
    }

    /// Gives out tokens with these answers in turn; the last repeats.
    async fn giving<const N: usize>(answers: [(u16, &str); N]) -> Self {
        let answers: Mutex<VecDeque<_>> =
            Mutex::new(answers.into_iter().map(|(status, body)| (status, body.to_owned())).collect());
        Self::that(move |_| {
            let mut answers = answers.lock();
            if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0].clone() }
        })
        .await
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().clone()
    }
}

async fn serve(mut connection: TcpStream, seen: &Mutex<Vec<String>>, react: &(dyn Fn(&str) -> (u16, String) + Sync)) {
    let mut request = Vec::new();
    while let Ok(byte) = connection.read_u8().await {
        request.push(byte);
        if !request.ends_with(b"\r\n\r\n") {
            continue;
        }
        let head = String::from_utf8(std::mem::take(&mut request)).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        connection.read_exact(&mut body).await.unwrap();
        let whole = head + &String::from_utf8(body).unwrap();
        let (status, text) = react(&whole);
        seen.lock().push(whole);
        let length = text.len();
        // Long enough for others to come meanwhile.
        sleep(Duration::from_millis(50)).await;
        let answer =
            format!("HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{text}");
        connection.write_all(answer.as_bytes()).await.unwrap();
    }
}

#[derive(Default)]
struct Noted(AtomicUsize);

impl DeliveryObserver for Noted {
    fn attempted(&self, _: &str, _: &str, _: &'static str, _: Duration) {}
    fn settled(&self, _: &str, _: &str, _: Verdict) {}
    fn address_refused(&self, site: &str, network: &str) {
        assert_eq!((site, network), ("shop", "mine"));
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

struct World {
    sender: Sender,
    destination: Arc<Destination>,
    noted: Arc<Noted>,
}

fn rule(giver: SocketAddr) -> TokenRule {
    TokenRule {
        url: Url::parse(&format!("http://{giver}/token")).unwrap(),
        client_id: "us".into(),
        client_secret: Some("p@ss".into()),
        scope: Some("postbacks read".into()),
        audience: Some("https://net.example".into()),
        refresh_token: None,
        credentials: Credentials::Header,
    }
}

impl World {
    fn new(token: Option<TokenRule>) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let outbound =
            Outbound { route: Arc::new(Route::default()), token: token.map(Arc::new), mask: Mask::new(["p@ss"]) };
        let destination = Destination { outbound, ..Destination::plain("mine") };
        let destinations = Destinations::new(vec![destination]);
        let noted = Arc::new(Noted::default());
        let clients = Clients::of(&destinations, &Clients::default()).unwrap();
        let sender = Sender::new(&destinations, clients, Arc::clone(&noted) as Arc<dyn DeliveryObserver>);
        let destination = Arc::clone(destinations.iter().next().unwrap());
        Self { sender, destination, noted }
    }

    fn send(&self, url: &str) -> impl Future<Output = Result<Reply, RetryReason>> + Send + use<> {
        let url = Url::parse(url).unwrap();
        let postback = Postback { method: Method::GET, url, headers: HeaderMap::new(), body: Vec::new() };
        self.sender.send(&self.destination, postback)
    }

    /// The statuses of so many attempts at the same time.
    async fn send_together(&self, count: usize, url: &str) -> Vec<Result<u16, RetryReason>> {
        let mut sending = JoinSet::new();
        for _ in 0..count {
            sending.spawn(self.send(url));
        }
        sending.join_all().await.into_iter().map(|sent| sent.map(|reply| reply.status)).collect()
    }
}

/// A network that knows this token alone.
async fn knowing(token: &'static str) -> (Server, String) {
    let expected = format!("authorization: bearer {token}\r\n");
    let network = Server::that(move |request| {
        let status = if request.to_lowercase().contains(&expected) { 200 } else { 401 };
        (status, format!("you sent {request}"))
    })
    .await;
    let url = format!("http://{}/pb", network.address);
    (network, url)
}

const FIRST: (u16, &str) = (200, r#"{"access_token":"first","token_type":"bearer","expires_in":3600}"#);
const SECOND: (u16, &str) = (200, r#"{"access_token":"second","token_type":"Bearer","expires_in":3600}"#);

#[tokio::test]
async fn one_token_serves_all_who_wait_for_it() {
    let giver = Server::giving([FIRST]).await;
    let (network, url) = knowing("first").await;
    let world = World::new(Some(rule(giver.address)));
    assert_eq!(world.send_together(8, &url).await, [Ok(200); 8]);
    let asked = giver.seen();
    let [request] = asked.as_slice() else { panic!("{asked:?}") };
    assert!(request.starts_with("POST /token HTTP/1.1\r\n"), "{request}");
    // us:p%40ss, as RFC 6749, section 2.3.1, wants it encoded.
    assert!(request.contains("authorization: Basic dXM6cCU0MHNz\r\n"), "{request}");
    let body = "grant_type=client_credentials&scope=postbacks+read&audience=https%3A%2F%2Fnet.example";
    assert!(request.ends_with(body), "{request}");
    assert_eq!(network.seen().len(), 8);
}

#[tokio::test]
async fn credentials_can_stand_in_the_body() {
    let giver = Server::giving([FIRST]).await;
    let (_network, url) = knowing("first").await;
    let world = World::new(Some(TokenRule { credentials: Credentials::Body, ..rule(giver.address) }));
    assert_eq!(world.send(&url).await.unwrap().status, 200);
    let request = giver.seen().remove(0);
    assert!(request.contains("client_id=us&client_secret=p%40ss") && !request.contains("authorization"), "{request}");
}

#[tokio::test]
async fn a_token_that_is_refused_is_replaced_once() {
    let giver = Server::giving([FIRST, SECOND]).await;
    let (network, url) = knowing("second").await;
    let world = World::new(Some(rule(giver.address)));
    // The first one is new, so the network's word stands.
    assert_eq!(world.send(&url).await.unwrap().status, 401);
    assert_eq!(giver.seen().len(), 1);
    // Now it may have been revoked.
    assert_eq!(world.send(&url).await.unwrap().status, 200);
    assert_eq!((giver.seen().len(), network.seen().len()), (2, 3));
    // A network that refuses every token is asked twice for each attempt, not for ever.
    let (stubborn, url) = knowing("none").await;
    assert_eq!(world.send(&url).await.unwrap().status, 401);
    assert_eq!((giver.seen().len(), stubborn.seen().len()), (3, 2));
}

#[tokio::test]
async fn an_account_that_gets_no_token_is_unauthorized_and_an_outage_is_none() {
    for (answer, reason) in [
        ((400, r#"{"error":"invalid_client"}"#), RetryReason::Unauthorized),
        ((401, "<html>no"), RetryReason::Unauthorized),
        ((503, "later"), RetryReason::Status),
        ((302, ""), RetryReason::Status),
        ((200, "<html>"), RetryReason::Status),
        ((200, r#"{"access_token":"a\r\nb","token_type":"bearer"}"#), RetryReason::Status),
        ((200, r#"{"access_token":"a","token_type":"mac"}"#), RetryReason::Status),
    ] {
        let giver = Server::giving([answer]).await;
        let (network, url) = knowing("first").await;
        let world = World::new(Some(rule(giver.address)));
        assert_eq!(world.send_together(4, &url).await, [Err(reason); 4], "{answer:?}");
        assert_eq!((giver.seen().len(), network.seen().len()), (1, 0), "one failure counts for all: {answer:?}");
    }
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let world = World::new(Some(rule(gone)));
    assert_eq!(world.send("http://127.0.0.1:9/").await.unwrap_err(), RetryReason::Connect);
}

#[tokio::test]
async fn a_refresh_token_that_is_replaced_is_followed() {
    // They end at once, so each attempt fetches another.
    let giver = Server::giving([
        (200, r#"{"access_token":"a","token_type":"bearer","expires_in":0,"refresh_token":"r2"}"#),
        (200, r#"{"access_token":"b","token_type":"bearer","expires_in":0}"#),
        (400, r#"{"error":"invalid_grant"}"#),
    ])
    .await;
    let network = Server::that(|_| (200, String::new())).await;
    let url = format!("http://{}/", network.address);
    let world = World::new(Some(TokenRule { refresh_token: Some("r1".into()), scope: None, ..rule(giver.address) }));
    assert!(world.send(&url).await.is_ok() && world.send(&url).await.is_ok());
    assert_eq!(world.send(&url).await.unwrap_err(), RetryReason::Unauthorized);
    let asked = giver.seen();
    for (request, token) in asked.iter().zip(["r1", "r2", "r2"]) {
        let grant = format!("grant_type=refresh_token&refresh_token={token}&audience");
        assert!(request.contains(&grant), "{request}");
    }
    assert_eq!(asked.len(), 3);
}

#[tokio::test]
async fn what_a_network_repeats_of_our_secrets_is_not_kept() {
    let giver = Server::giving([FIRST]).await;
    let (_network, url) = knowing("first").await;
    let world = World::new(Some(rule(giver.address)));
    let reply = world.send(&format!("{url}?key=p%40ss&click=abc")).await.unwrap();
    let raw = String::from_utf8(reply.body.clone().unwrap()).unwrap();
    assert!(raw.contains("Bearer first") && raw.contains("p%40ss"), "the rules judge what came: {raw}");
    let kept = crate::store::AnswerRecord::excerpt(
        &reply.masked(reply.body.as_deref().unwrap()),
        &crate::tracking::event::Payload::default(),
    );
    assert!(kept.contains("click=abc") && kept.contains("Bearer ***"), "{kept}");
    assert!(!kept.contains("first") && !kept.contains("p%40ss"), "{kept}");
    assert!(!format!("{:?} {reply:?}", world.destination).contains("p@ss"));
}

#[tokio::test]
async fn a_refused_address_is_counted() {
    let world = World::new(None);
    assert_eq!(world.send("http://localhost:9/").await.unwrap_err(), RetryReason::RefusedAddress);
    assert_eq!(world.noted.0.load(Ordering::Relaxed), 1);
    // The giver of tokens stands under the same rule.
    let mut giver = rule("127.0.0.1:9".parse().unwrap());
    giver.url = Url::parse("http://localhost:9/token").unwrap();
    let world = World::new(Some(giver));
    assert_eq!(world.send("http://127.0.0.1:9/").await.unwrap_err(), RetryReason::RefusedAddress);
    assert_eq!(world.noted.0.load(Ordering::Relaxed), 1);
}
