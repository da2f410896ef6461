//! A network on a real socket that does what it is told to.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What a network does with the n-th request (from 0).
#[derive(Clone, Copy)]
pub(super) enum Reaction {
    Answer(&'static str),
    /// The same after a while.
    Late(&'static str),
    /// Nothing, ever.
    Hang,
    /// Closes the connection.
    Reset,
    /// A body without end.
    Endless,
    /// A body that stops in the middle and stays open.
    Stall,
}

pub(super) const OK: Reaction = Reaction::Answer("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK");

pub(super) struct Network {
    pub(super) address: SocketAddr,
    pub(super) seen: Arc<Mutex<Vec<String>>>,
}

impl Network {
    pub(super) async fn that(react: impl Fn(usize) -> Reaction + Send + Copy + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(Self::serve(connection, Arc::clone(&noted), react));
            }
        });
        Self { address, seen }
    }

    async fn serve(mut connection: TcpStream, noted: Arc<Mutex<Vec<String>>>, react: impl Fn(usize) -> Reaction) {
        let mut head = Vec::new();
        while let Ok(byte) = connection.read_u8().await {
            head.push(byte);
            if !head.ends_with(b"\r\n\r\n") {
                continue;
            }
            let number = {
                let mut seen = noted.lock().unwrap();
                seen.push(String::from_utf8(std::mem::take(&mut head)).unwrap());
                seen.len() - 1
            };
            match react(number) {
                Reaction::Answer(answer) => connection.write_all(answer.as_bytes()).await.unwrap(),
                Reaction::Late(answer) => {
                    tokio::time::sleep(Duration::from_millis(1500)).await;
                    connection.write_all(answer.as_bytes()).await.unwrap();
                }
                Reaction::Hang => std::future::pending::<()>().await,
                Reaction::Reset => return,
                Reaction::Endless => {
                    connection.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                    while connection.write_all(&[b'x'; 1024]).await.is_ok() {}
                }
                Reaction::Stall => {
                    connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nOK").await.unwrap();
                    std::future::pending::<()>().await;
                }
            }
        }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/pb?click=abc", self.address)
    }

    pub(super) fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}
