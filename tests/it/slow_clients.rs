//! Ten thousand visitors who hardly say anything, and one who wants a page.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    runtime::{Builder, Runtime},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::support::{
    origin::{Origin, PAGE},
    proxy::Proxy,
    visitor::Visitor,
};

const ADDRESSES: usize = 100;
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// How many connections this process and the proxy may have, ten thousand at most.
fn allowed() -> usize {
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    (limit.saturating_sub(500) / ADDRESSES * ADDRESSES).min(10_000)
}

fn connect_all(runtime: &Runtime, address: SocketAddr, count: usize) -> Vec<TcpStream> {
    runtime.block_on(async {
        let mut streams = Vec::with_capacity(count);
        for number in 0..count {
            let socket = TcpSocket::new_v4().unwrap();
            // No address has more than it may have.
            let source = u8::try_from(10 + number % ADDRESSES).unwrap();
            socket.bind(([127, 0, 1, source], 0).into()).unwrap();
            streams.push(timeout(Duration::from_secs(10), socket.connect(address)).await.unwrap().unwrap());
        }
        streams
    })
}

/// How long pages take, from the median to the worst.
fn latencies(visitor: &mut Visitor, time: Duration) -> (Duration, Duration, usize) {
    let (start, mut taken) = (Instant::now(), Vec::new());
    while start.elapsed() < time {
        let asked = Instant::now();
        assert_eq!(visitor.get("/").text(), PAGE);
        taken.push(asked.elapsed());
    }
    taken.sort_unstable();
    (taken[taken.len() / 2], taken[taken.len() - 1], taken.len())
}

#[test]
fn ten_thousand_slow_visitors_cost_little_and_do_not_slow_down_the_others() {
    let origin = Origin::start();
    let count = allowed();
    let proxy = Proxy::with(&format!(
        "limits: {{ header_timeout: 10s, max_connections: 20000 }}\nsites: [{{ upstream: \"http://{}\" }}]\n",
        origin.address()
    ))
    .start();
    let mut visitor = proxy.visitor();
    let alone = latencies(&mut visitor, Duration::from_secs(1));
    let each = |before: u64| proxy.memory().saturating_sub(before) / u64::try_from(count).unwrap();
    let before = proxy.memory();

    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let streams = connect_all(&runtime, proxy.address(), count);
    proxy.await_metric("throughline_connections", &[], u32::try_from(count).unwrap());
    let silent_bytes = each(before);
    let beside_silent = latencies(&mut visitor, Duration::from_secs(1));

    // From here on another thread drips a byte a second into each of them.
    let dripping = std::thread::spawn(move || {
        runtime.block_on(async {
            let mut visitors = JoinSet::new();
            for stream in streams {
                visitors.spawn(drip(stream));
            }
            visitors.join_all().await
        })
    });
    // A second byte has come, so each of them is read as a head.
    std::thread::sleep(Duration::from_secs(3));
    let dripping_bytes = each(before);
    let beside_dripping = latencies(&mut visitor, Duration::from_secs(4));
    let ended = dripping.join().unwrap();
    let timed_out = ended.iter().filter(|(said, _)| said.starts_with("HTTP/1.1 408")).count();
    let longest = ended.iter().map(|(_, after)| *after).max().unwrap();
    println!(
        "{count} connections: {silent_bytes} bytes each when silent, {dripping_bytes} in a dripping head, all closed after \
         {longest:?}; a page takes (median, worst, pages) {alone:?} alone, {beside_silent:?} beside the silent, \
         {beside_dripping:?} beside the dripping"
    );
    assert_eq!(timed_out, count);
    assert!(longest < HEADER_TIMEOUT + Duration::from_secs(6), "{longest:?}");
    let all = u32::try_from(count).unwrap();
    proxy.await_metric("throughline_refused_total", &[("reason", "header_timeout")], all);
    proxy.await_metric("throughline_connections", &[], 0);
    // Half of the second is the future with which Pingora 0.9.1 serves any request, allocated before its head is read.
    assert!(silent_bytes <= 8 << 10 && dripping_bytes <= 32 << 10, "{silent_bytes} {dripping_bytes}");
    for (median, worst, _) in [beside_silent, beside_dripping] {
        assert!(median < Duration::from_millis(100) && worst < Duration::from_secs(3), "{median:?} {worst:?}");
    }
}

/// Begins a request, a byte a second; what was said at the end, and how long after the first byte.
async fn drip(mut stream: TcpStream) -> (String, Duration) {
    let start = Instant::now();
    let head = b"GET /slow HTTP/1.1\r\nHost: shop.example\r\n";
    let (mut reader, mut writer) = stream.split();
    let mut said = String::new();
    let saying = async {
        for byte in head {
            if writer.write_all(&[*byte]).await.is_err() {
                return;
            }
            sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::select! {
        // Fails when the proxy closes while a byte is under way; what it said before counts.
        _ = reader.read_to_string(&mut said) => {}
        () = saying => {}
    }
    (said, start.elapsed())
}
