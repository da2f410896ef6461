//! A wire that can be cut: a TCP relay whose behaviour a test changes while it runs.
//!
//! It stands between a worker and its network, or between a node and its database. What it is told
//! holds at once, for open connections as for new ones.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use socket2::{Domain, Socket, Type};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    time::sleep,
};

use super::await_fact;

/// A relay before one address; open connections are reset when it is dropped.
#[derive(Debug)]
pub(crate) struct FaultProxy {
    address: SocketAddr,
    way: watch::Sender<Way>,
    /// What the listener does already.
    heard: watch::Receiver<Way>,
    accepted: Arc<AtomicUsize>,
    /// Keeps the port ours while nothing listens there.
    _reserved: Socket,
}

/// What happens to bytes on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// They pass.
    Pass,
    /// They pass this much later, in each direction.
    Delay(Duration),
    /// Connections open, but no byte passes, and no end: what waits passes with the next [`Way::Pass`].
    BlackHole,
    /// Open connections are reset, new ones as soon as they are there.
    Reset,
    /// Each connection is reset once so many bytes of it went to the target.
    CutRequest(usize),
    /// Each connection is reset once so many bytes of it came from the target.
    CutAnswer(usize),
    /// Open connections are reset, and nobody listens.
    Refuse,
}

/// A direction, and how many bytes went that way.
struct Pump<'s> {
    from: ReadHalf<'s>,
    to: WriteHalf<'s>,
    passed: usize,
    limit: fn(Way) -> Option<usize>,
}

/// The connection is to be reset.
struct Broken;

impl FaultProxy {
    /// Starts one that passes everything to this address.
    pub(crate) fn to(target: SocketAddr) -> Self {
        let reserved = socket((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = reserved.local_addr().unwrap().as_socket().unwrap();
        let (way, orders) = watch::channel(Way::Pass);
        let (applied, heard) = watch::channel(Way::Pass);
        let accepted = Arc::<AtomicUsize>::default();
        let counter = Arc::clone(&accepted);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // Before anyone asks for the address.
        let first = runtime.block_on(async { listen(address) }).unwrap();
        thread::spawn(move || runtime.block_on(accept(first, target, orders, &applied, &counter)));
        Self { address, way, heard, accepted, _reserved: reserved }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what happens from now on; a refusing listener is closed when this returns.
    pub(crate) fn set(&self, way: Way) {
        self.way.send(way).expect("the relay runs");
        await_fact(|| (*self.heard.borrow() == way).then_some(()), || format!("{way:?}"));
    }

    /// How many connections were opened so far.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

/// Accepts until the handle is dropped.
async fn accept(
    first: TcpListener,
    target: SocketAddr,
    mut orders: watch::Receiver<Way>,
    applied: &watch::Sender<Way>,
    accepted: &AtomicUsize,
) {
    let address = first.local_addr().expect("it listens");
    let mut listener = Some(first);
    loop {
        let way = *orders.borrow_and_update();
        if way == Way::Refuse {
            listener = None;
        } else if listener.is_none() {
            listener = Some(listen(address).expect("the port is reserved"));
        }
        applied.send_replace(way);
        tokio::select! {
            changed = orders.changed() => if changed.is_err() { return },
            Ok((client, _)) = accept_on(listener.as_ref()) => {
                accepted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(connect(client, target, orders.clone()));
            }
        }
    }
}

async fn accept_on(listener: Option<&TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

/// Relays one connection to its end.
async fn connect(mut client: TcpStream, target: SocketAddr, orders: watch::Receiver<Way>) {
    // A target that is not there looks like one that resets.
    let Ok(mut site) = TcpStream::connect(target).await else { return reset(&client) };
    for stream in [&client, &site] {
        stream.set_nodelay(true).ok();
    }
    let broken = {
        let ((from_client, to_client), (from_site, to_site)) = (client.split(), site.split());
        let request = Pump { from: from_client, to: to_site, passed: 0, limit: Way::limit_of_request };
        let answer = Pump { from: from_site, to: to_client, passed: 0, limit: Way::limit_of_answer };
        tokio::try_join!(request.run(orders.clone()), answer.run(orders)).is_err()
    };
    if broken {
        reset(&client);
        reset(&site);
    }
}

impl Pump<'_> {
    async fn run(mut self, mut orders: watch::Receiver<Way>) -> Result<(), Broken> {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let read = tokio::select! {
                read = self.from.read(&mut buffer) => read.map_err(|_| Broken)?,
                changed = broken(&mut orders) => return Err(changed),
            };
            let allowed = self.pass(&mut orders).await?.saturating_sub(self.passed);
            if read == 0 {
                return self.to.shutdown().await.map_err(|_| Broken);
            }
            self.to.write_all(&buffer[..read.min(allowed)]).await.map_err(|_| Broken)?;
            self.passed += read;
            if allowed <= read {
                // Let what may pass arrive before the reset overtakes it.
                sleep(Duration::from_millis(10)).await;
                return Err(Broken);
            }
        }
    }

    /// Waits until bytes may pass, and says how many of this connection.
    async fn pass(&self, orders: &mut watch::Receiver<Way>) -> Result<usize, Broken> {
        loop {
            let way = *orders.borrow_and_update();
            match way {
                Way::Pass | Way::CutRequest(_) | Way::CutAnswer(_) => {
                    return Ok((self.limit)(way).unwrap_or(usize::MAX));
                }
                Way::Delay(delay) => {
                    sleep(delay).await;
                    return Ok(usize::MAX);
                }
                Way::BlackHole => orders.changed().await.map_err(|_| Broken)?,
                Way::Reset | Way::Refuse => return Err(Broken),
            }
        }
    }
}

impl Way {
    const fn limit_of_request(self) -> Option<usize> {
        if let Self::CutRequest(bytes) = self { Some(bytes) } else { None }
    }

    const fn limit_of_answer(self) -> Option<usize> {
        if let Self::CutAnswer(bytes) = self { Some(bytes) } else { None }
    }
}

/// Waits until open connections are to be reset.
async fn broken(orders: &mut watch::Receiver<Way>) -> Broken {
    // An error is the end of the relay, which resets as well.
    drop(orders.wait_for(|way| matches!(way, Way::Reset | Way::Refuse)).await.map(|_| ()));
    Broken
}

fn reset(stream: &TcpStream) {
    stream.set_zero_linger().ok();
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address)?;
    socket.listen(1024)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

/// A socket that is bound but does not listen: several may share the port until one does.
fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::{
        super::{
            origin::{Origin, PAGE},
            visitor::Visitor,
        },
        *,
    };

    fn asks(relay: &FaultProxy) -> io::Result<String> {
        let answer = Visitor::at(relay.address()).try_request("GET", "/", &[], "")?;
        if answer.is_complete() { Ok(answer.text()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    #[test]
    fn the_wire_does_what_it_is_told() {
        let origin = Origin::start();
        let relay = FaultProxy::to(origin.address());
        assert_eq!(asks(&relay).unwrap(), PAGE);
        for way in [Way::Reset, Way::Refuse, Way::CutAnswer(60), Way::CutRequest(20)] {
            relay.set(way);
            let error = asks(&relay).expect_err("an error");
            assert_eq!(error.kind() == io::ErrorKind::ConnectionRefused, way == Way::Refuse, "{way:?}: {error}");
            relay.set(Way::Pass);
            assert_eq!(asks(&relay).unwrap(), PAGE, "after {way:?}");
        }
        relay.set(Way::Delay(Duration::from_millis(100)));
        let began = Instant::now();
        assert_eq!(asks(&relay).unwrap(), PAGE);
        assert!(began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());
        assert_eq!(relay.accepted(), 9, "a refused connection is none");
    }

    #[test]
    fn what_fell_into_a_black_hole_comes_out_when_it_closes() {
        let origin = Origin::start();
        let relay = FaultProxy::to(origin.address());
        relay.set(Way::BlackHole);
        let mut visitor = Visitor::at(relay.address());
        let page = thread::spawn(move || visitor.get("/").text());
        thread::sleep(Duration::from_millis(200));
        assert!(!page.is_finished() && origin.requests().is_empty());
        relay.set(Way::Pass);
        assert_eq!(page.join().unwrap(), PAGE);
    }

    #[test]
    fn open_connections_are_cut_as_well() {
        let origin = Origin::start();
        let relay = FaultProxy::to(origin.address());
        let mut visitor = Visitor::at(relay.address()).on_one_connection();
        assert_eq!(visitor.get("/").text(), PAGE);
        relay.set(Way::Refuse);
        assert!(visitor.try_request("GET", "/", &[], "").is_err());
    }
}
