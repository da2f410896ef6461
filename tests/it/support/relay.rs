//! The proxy that nobody should run: it hands every byte on as it came.
//!
//! The negative control of all that must be refused or repaired on the way.

use std::{
    io,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// A relay between visitors and one origin; stops accepting when dropped.
#[derive(Debug)]
pub(crate) struct Relay {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
}

impl Relay {
    /// Starts one before this origin.
    pub(crate) fn to(origin: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let relay = Self { address: listener.local_addr().unwrap(), stopped: Arc::default() };
        let stopped = relay.stopped.clone();
        thread::spawn(move || {
            for visitor in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(site) = TcpStream::connect(origin) else { return };
                for (mut from, mut to) in [(&visitor, &site), (&site, &visitor)].map(both) {
                    thread::spawn(move || {
                        io::copy(&mut from, &mut to).ok();
                        to.shutdown(Shutdown::Write).ok();
                    });
                }
            }
        });
        relay
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
    }
}

fn both((from, to): (&TcpStream, &TcpStream)) -> (TcpStream, TcpStream) {
    for stream in [from, to] {
        stream.set_nodelay(true).ok();
    }
    (from.try_clone().unwrap(), to.try_clone().unwrap())
}
