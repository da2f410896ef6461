//! A site under load: the same page for everyone, and nothing remembered.
//!
//! [`super::origin`] keeps every request for the test to look at, which a million of them would not fit.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use super::origin::PAGE;

/// A listener on loopback; stops accepting when dropped.
#[derive(Debug)]
pub(crate) struct Site {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
}

impl Site {
    /// Opens a site that answers every GET with [`PAGE`].
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let site = Self { address: listener.local_addr().unwrap(), stopped: Arc::default() };
        let stopped = Arc::clone(&site.stopped);
        let page = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\r\n{PAGE}",
            PAGE.len()
        );
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let page = page.clone();
                // An error here is the proxy's leaving.
                thread::spawn(move || serve(stream, page.as_bytes()).ok());
            }
        });
        site
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, which then closes the listener.
        drop(TcpStream::connect(self.address));
    }
}

fn serve(mut stream: TcpStream, page: &[u8]) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.read_until(b'\n', &mut line)? {
            0 => return Ok(()),
            // The end of a head; a GET has no body.
            _ if line == b"\r\n" => stream.write_all(page)?,
            _ => {}
        }
    }
}
