//! One end of a conversation between two processes: lines, and descriptors that come with them.

use std::{
    collections::VecDeque,
    io::{self, IoSlice, IoSliceMut, Write},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    time::{Duration, Instant},
};

use rustix::{
    cmsg_space,
    io::Errno,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
        recvmsg, sendmsg,
    },
};

use super::message::Message;
use crate::store::clock;

/// One end.
#[derive(Debug)]
pub struct Talk {
    stream: UnixStream,
    unread: Vec<u8>,
    descriptors: VecDeque<OwnedFd>,
}

/// Why there is no message.
#[derive(Debug, thiserror::Error)]
pub enum Silence {
    /// Nothing came in time.
    #[error("it said nothing in time")]
    Late,
    /// The other end is closed.
    #[error("it is gone")]
    Gone,
    /// What came is no message of ours.
    #[error("it speaks another language; both processes must be Throughline of a version that hands over")]
    Strange,
}

impl Talk {
    /// Over a connected socket.
    ///
    /// # Errors
    /// When the socket can't be used.
    pub fn over(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
        Ok(Self { stream, unread: Vec::new(), descriptors: VecDeque::new() })
    }

    /// Says something.
    ///
    /// # Errors
    /// When the other end is gone.
    pub fn say(&self, message: &Message) -> io::Result<()> {
        (&self.stream).write_all(&line(message)?)
    }

    /// Says something and hands over a descriptor with it.
    ///
    /// # Errors
    /// When the other end is gone.
    pub fn hand(&self, message: &Message, descriptor: impl AsFd) -> io::Result<()> {
        let line = line(message)?;
        let descriptors = [descriptor.as_fd()];
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let sent = sendmsg(&self.stream, &[IoSlice::new(&line)], &mut control, SendFlags::NOSIGNAL)?;
        (&self.stream).write_all(line.get(sent..).unwrap_or_default())
    }

    /// Waits for the next message.
    ///
    /// # Errors
    /// When there is none in time, or never.
    pub fn hear(&mut self, within: Duration) -> Result<Message, Silence> {
        let until = clock::instant() + within;
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return serde_json::from_slice(&line).map_err(|_| Silence::Strange);
            }
            if self.unread.len() > MAX_LINE {
                return Err(Silence::Strange);
            }
            self.read(until)?;
        }
    }

    /// The descriptor that came with a message; they come in the same order.
    pub fn descriptor(&mut self) -> Option<OwnedFd> {
        self.descriptors.pop_front()
    }

    fn read(&mut self, until: Instant) -> Result<(), Silence> {
        let left = until.saturating_duration_since(clock::instant());
        // A timeout of zero would be none.
        if left.is_zero() || self.stream.set_read_timeout(Some(left)).is_err() {
            return Err(Silence::Late);
        }
        let mut bytes = [0; 4096];
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(8))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut into = [IoSliceMut::new(&mut bytes)];
        let count = match recvmsg(&self.stream, &mut into, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Ok(received) => received.bytes,
            Err(Errno::INTR) => return Ok(()),
            Err(Errno::AGAIN) => return Err(Silence::Late),
            Err(_) => return Err(Silence::Gone),
        };
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                // Those beyond are closed here.
                let room = MAX_DESCRIPTORS.saturating_sub(self.descriptors.len());
                self.descriptors.extend(descriptors.take(room));
            }
        }
        if count == 0 {
            return Err(Silence::Gone);
        }
        self.unread.extend_from_slice(bytes.get(..count).unwrap_or_default());
        Ok(())
    }
}

fn line(message: &Message) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}

/// The longest message; reasons are bounded, and a path has at most 4,096 bytes.
const MAX_LINE: usize = 128 * 1024;
/// More listeners than anybody has.
const MAX_DESCRIPTORS: usize = 4096;
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::{
        net::{SocketAddr, TcpListener, TcpStream},
        os::fd::OwnedFd,
    };

    use super::*;
    use crate::proxy::sockets::Role;

    fn pair() -> (Talk, Talk) {
        let (one, other) = UnixStream::pair().unwrap();
        (Talk::over(one).unwrap(), Talk::over(other).unwrap())
    }

    #[test]
    fn sockets_arrive_in_order_and_still_listen() {
        let (old, mut new) = pair();
        let configured: SocketAddr = "127.0.0.1:80".parse().unwrap();
        let message = Message::Socket { role: Role::Listener, configured };
        let addresses: Vec<SocketAddr> = (0..20)
            .map(|_| {
                let socket = TcpListener::bind("127.0.0.1:0").unwrap();
                old.hand(&message, &socket).unwrap();
                socket.local_addr().unwrap()
            })
            .collect();
        old.say(&Message::AllSockets).unwrap();
        drop(old);
        for address in addresses {
            assert_eq!(new.hear(WRITE_TIMEOUT).unwrap(), message);
            let socket = TcpListener::from(new.descriptor().unwrap());
            assert_eq!(socket.local_addr().unwrap(), address, "its other owner has closed it");
            TcpStream::connect(address).unwrap();
        }
        assert_eq!(new.hear(WRITE_TIMEOUT).unwrap(), Message::AllSockets);
        assert!(new.descriptor().is_none());
        assert!(matches!(new.hear(WRITE_TIMEOUT), Err(Silence::Gone)));
    }

    #[test]
    fn strange_words_silence_and_floods_are_told_apart() {
        let heard = |bytes: &[u8]| {
            let (one, other) = UnixStream::pair().unwrap();
            other.set_nonblocking(true).unwrap();
            let mut talk = Talk::over(one).unwrap();
            let mut rest = bytes;
            loop {
                rest = match (&other).write(rest) {
                    Ok(count) => &rest[count..],
                    Err(_) => rest,
                };
                match talk.hear(Duration::from_millis(20)) {
                    Err(Silence::Late) if !rest.is_empty() => {}
                    heard => return heard,
                }
            }
        };
        assert!(matches!(heard(b"{\"is\":\"rea"), Err(Silence::Late)));
        assert!(matches!(heard(b"GET / HTTP/1.1\r\n"), Err(Silence::Strange)));
        assert!(matches!(heard(b"{\"is\":\"later\"}\n"), Err(Silence::Strange)));
        assert!(matches!(heard(&vec![b'a'; 1 << 20]), Err(Silence::Strange)));
        assert!(matches!(heard(b"{\"is\":\"ready\",\"of\":\"a later version\"}\n"), Ok(Message::Ready)));
    }

    #[test]
    fn what_is_no_socket_is_no_listener() {
        let (old, mut new) = pair();
        let file = tempfile::tempfile().unwrap();
        old.hand(&Message::Ready, &file).unwrap();
        assert_eq!(new.hear(WRITE_TIMEOUT).unwrap(), Message::Ready);
        let descriptor: OwnedFd = new.descriptor().unwrap();
        assert!(TcpListener::from(descriptor).local_addr().is_err());
    }
}
