//! Frames over a UNIX stream socket: a JSON text and, where one is needed, bytes that are not JSON, with descriptors beside
//! them. Lengths are capped, and memory is taken as bytes come, not as they are promised.

use std::{
    collections::VecDeque,
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use tokio::io::{Interest, unix::AsyncFd};

use crate::running::watch;

/// The longest JSON text, in bytes: the longest lines with every character escaped.
pub(super) const MAX_TEXT: usize = 32 * 1024 * 1024;
/// The most bytes beside it.
pub(super) const MAX_BYTES: usize = 1024 * 1024;
/// The most descriptors of one frame.
const MAX_FDS: usize = 4;
/// Two lengths and a count.
const HEAD: usize = 9;
/// How much is read at once.
const CHUNK: usize = 16 * 1024;

/// One message.
#[derive(Debug, Default)]
pub(super) struct Frame {
    /// JSON.
    pub text: Vec<u8>,
    /// Anything.
    pub bytes: Vec<u8>,
    /// Descriptors.
    pub fds: Vec<OwnedFd>,
}

/// The receiving half of a connection.
#[derive(Debug)]
pub(super) struct Incoming {
    socket: Arc<AsyncFd<OwnedFd>>,
    buffer: Vec<u8>,
    fds: VecDeque<OwnedFd>,
}

/// The sending half.
#[derive(Debug)]
pub(super) struct Outgoing {
    socket: Arc<AsyncFd<OwnedFd>>,
}

/// Makes a connection of a stream socket.
pub(super) fn connection(socket: OwnedFd) -> io::Result<(Incoming, Outgoing)> {
    rustix::io::ioctl_fionbio(&socket, true)?;
    let socket = Arc::new(watch(socket, Interest::READABLE | Interest::WRITABLE)?);
    let incoming = Incoming { socket: socket.clone(), buffer: Vec::new(), fds: VecDeque::new() };
    Ok((incoming, Outgoing { socket }))
}

impl Incoming {
    /// The next frame; none when the other side is gone. Nothing is lost when this is given up while it waits.
    pub async fn next(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.take()? {
                return Ok(Some(frame));
            }
            let Self { socket, buffer, fds } = self;
            let got = socket.async_io(Interest::READABLE, |socket| receive(socket.as_fd(), buffer, fds)).await?;
            if got == 0 {
                let is_whole = buffer.is_empty();
                return if is_whole { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    /// The first frame of the buffer, if it is whole.
    fn take(&mut self) -> io::Result<Option<Frame>> {
        let Some((head, rest)) = self.buffer.split_first_chunk::<HEAD>() else { return Ok(None) };
        let [a, b, c, d, e, f, g, h, count] = *head;
        let length = |bytes| usize::try_from(u32::from_le_bytes(bytes)).unwrap_or(usize::MAX);
        let (text, bytes, count) = (length([a, b, c, d]), length([e, f, g, h]), usize::from(count));
        if text > MAX_TEXT || bytes > MAX_BYTES || count > MAX_FDS {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame is too large"));
        }
        let Some((text, rest)) = rest.split_at_checked(text) else { return Ok(None) };
        let Some(bytes) = rest.get(..bytes) else { return Ok(None) };
        if self.fds.len() < count {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a descriptor is missing"));
        }
        let frame = Frame { text: text.to_vec(), bytes: bytes.to_vec(), fds: self.fds.drain(..count).collect() };
        self.buffer.drain(..HEAD + frame.text.len() + frame.bytes.len());
        self.buffer.shrink_to(CHUNK);
        Ok(Some(frame))
    }
}

fn receive(socket: BorrowedFd<'_>, buffer: &mut Vec<u8>, fds: &mut VecDeque<OwnedFd>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let mut chunk = [0; CHUNK];
    let got = recvmsg(socket, &mut [IoSliceMut::new(&mut chunk)], &mut beside, RecvFlags::CMSG_CLOEXEC)?;
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    if got.flags.contains(ReturnFlags::CTRUNC) || fds.len() > MAX_FDS {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "too many descriptors"));
    }
    buffer.extend(chunk.iter().take(got.bytes));
    Ok(got.bytes)
}

impl Outgoing {
    /// Sends a frame. A frame that was given up half-way has broken the connection.
    pub async fn send(&mut self, text: &[u8], bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let too_long = || io::Error::new(io::ErrorKind::InvalidInput, "the message is too long");
        if text.len() > MAX_TEXT || bytes.len() > MAX_BYTES || fds.len() > MAX_FDS {
            return Err(too_long());
        }
        let length = |part: &[u8]| u32::try_from(part.len()).map_err(|_| too_long());
        let mut whole = Vec::with_capacity(HEAD + text.len() + bytes.len());
        whole.extend(length(text)?.to_le_bytes());
        whole.extend(length(bytes)?.to_le_bytes());
        whole.push(u8::try_from(fds.len()).map_err(|_| too_long())?);
        whole.extend(text);
        whole.extend(bytes);
        let (mut rest, mut fds) = (whole.as_slice(), fds);
        while !rest.is_empty() {
            let sent = self.socket.async_io(Interest::WRITABLE, |socket| transmit(socket.as_fd(), rest, fds)).await?;
            rest = rest.get(sent..).unwrap_or_default();
            // They went with the first byte.
            fds = &[];
        }
        Ok(())
    }
}

fn transmit(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors"));
    }
    Ok(sendmsg(socket, &[IoSlice::new(bytes)], &mut beside, SendFlags::NOSIGNAL)?)
}

#[cfg(test)]
mod tests {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
        Ok(socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?)
    }

    #[tokio::test]
    async fn frames_come_whole_with_their_descriptors() -> Outcome {
        let (one, two) = pair()?;
        let ((_, mut out), (mut incoming, _)) = (connection(one)?, connection(two)?);
        let (reader, _writer) = rustix::pipe::pipe()?;
        let long = vec![b'x'; 3 * 1024 * 1024];
        let send = async {
            out.send(b"{}", b"", &[]).await?;
            out.send(&long, b"secret", &[reader.as_fd()]).await?;
            out.send(b"3", b"", &[reader.as_fd(), reader.as_fd()]).await
        };
        let receive = async {
            let mut all = Vec::new();
            for _ in 0..3 {
                let frame = incoming.next().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
                all.push((frame.text.len(), frame.bytes, frame.fds.len()));
            }
            io::Result::Ok(all)
        };
        let (sent, received) = tokio::join!(send, receive);
        sent?;
        assert_eq!(received?, [(2, vec![], 0), (long.len(), b"secret".to_vec(), 1), (1, vec![], 2)]);
        drop(out);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_too_large_or_torn_is_refused() -> Outcome {
        let cases: [(&[u8], &str); 4] = [
            (&[255, 255, 255, 255, 0, 0, 0, 0, 0], "a frame is too large"),
            (&[1, 0, 0, 0, 255, 255, 255, 255, 0], "a frame is too large"),
            (&[1, 0, 0, 0, 0, 0, 0, 0, 1, b'x'], "a descriptor is missing"),
            (&[9, 0, 0, 0, 0, 0, 0, 0, 0, b'x'], "unexpected end of file"),
        ];
        for (bytes, expected) in cases {
            let (one, two) = pair()?;
            let (mut incoming, _out) = connection(one)?;
            rustix::io::write(&two, bytes)?;
            drop(two);
            let error = incoming.next().await.err().ok_or("it was taken")?;
            assert_eq!(error.to_string(), expected);
        }
        Ok(())
    }
}
