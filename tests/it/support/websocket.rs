//! As much of a WebSocket client (RFC 6455) as the `DevTools` protocol needs: text, both ways.

use std::{
    io::{self, BufReader, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
};

use super::{
    SOCKET_TIMEOUT,
    http::{Head, latin1},
};

/// An open connection.
#[derive(Debug)]
pub(super) struct WebSocket {
    stream: BufReader<TcpStream>,
}

/// What comes next on the wire.
struct Frame {
    is_final: bool,
    opcode: u8,
    payload: Vec<u8>,
}

impl WebSocket {
    /// Connects and switches protocols.
    pub(super) fn open(address: SocketAddr, path: &str) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, SOCKET_TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SOCKET_TIMEOUT))?;
        let mut stream = BufReader::new(stream);
        // The key only has to look like one; it protects servers from caches, and there is none.
        write!(
            stream.get_mut(),
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )?;
        let head = Head::read(&mut stream)?.ok_or(ErrorKind::UnexpectedEof)?;
        assert!(head.start.contains(" 101 "), "no WebSocket: {}", latin1(&head.raw));
        Ok(Self { stream })
    }

    /// Sends one message. Clients must mask; a mask of zeros changes nothing.
    pub(super) fn send(&mut self, text: &str) -> io::Result<()> {
        let mut frame = vec![FINAL | TEXT];
        match u16::try_from(text.len()) {
            Ok(length @ 0..=125) => frame.push(MASKED | length.to_be_bytes()[1]),
            Ok(length) => {
                frame.push(MASKED | LENGTH_OF_16_BITS);
                frame.extend_from_slice(&length.to_be_bytes());
            }
            Err(_) => {
                frame.push(MASKED | LENGTH_OF_64_BITS);
                frame.extend_from_slice(&(text.len() as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(text.as_bytes());
        self.stream.get_mut().write_all(&frame)
    }

    /// Waits for one message.
    pub(super) fn receive(&mut self) -> io::Result<String> {
        let mut message = Vec::new();
        loop {
            let Frame { is_final, opcode, payload } = self.frame()?;
            match opcode {
                CLOSE => return Err(ErrorKind::ConnectionAborted.into()),
                CONTINUATION | TEXT => message.extend_from_slice(&payload),
                // Pings need no answer on loopback.
                _ => continue,
            }
            if is_final {
                return String::from_utf8(message).map_err(|error| io::Error::new(ErrorKind::InvalidData, error));
            }
        }
    }

    fn frame(&mut self) -> io::Result<Frame> {
        let [first, second] = self.bytes()?;
        let length = match second & !MASKED {
            LENGTH_OF_16_BITS => u64::from(u16::from_be_bytes(self.bytes()?)),
            LENGTH_OF_64_BITS => u64::from_be_bytes(self.bytes()?),
            length => u64::from(length),
        };
        let mut payload = vec![0; usize::try_from(length).expect("a message that fits into memory")];
        self.stream.read_exact(&mut payload)?;
        Ok(Frame { is_final: first & FINAL != 0, opcode: first & 0x0f, payload })
    }

    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;
const LENGTH_OF_16_BITS: u8 = 126;
const LENGTH_OF_64_BITS: u8 = 127;
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const CLOSE: u8 = 8;
