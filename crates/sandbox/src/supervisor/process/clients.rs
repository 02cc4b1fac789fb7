//! Whoever speaks with the supervisor: the daemon, and those that look on. Each has a task; the supervisor itself only sees
//! whole frames, in the order in which each client sent them.

use std::{
    collections::{HashMap, VecDeque},
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, accept_with, bind, listen, socket_with, sockopt::socket_peercred},
    process::geteuid,
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::{mpsc, watch},
    task::JoinSet,
};

use crate::{
    running::watch as watch_descriptor,
    supervisor::{
        client::{SOCKET, address},
        frames::{Frame, Incoming, Outgoing, connection},
        protocol::{Answer, Tell, Written},
    },
};

/// Clients at once.
const MAX_CLIENTS: usize = 16;
/// Frames that wait for the supervisor, and answers that wait for one client.
const QUEUE: usize = 16;
/// Answers that are remembered for orders that come again.
const MAX_REMEMBERED: usize = 64;

/// The number of a client.
pub(super) type ClientId = u64;

/// What a client did.
#[derive(Debug)]
pub(super) enum Heard {
    /// It sent a frame.
    Frame(Frame),
    /// It is gone, and everything that it had sent was heard.
    Gone,
}

/// Something to send, with what goes beside it.
#[derive(Debug)]
pub(super) struct Parcel {
    pub tell: Tell,
    pub bytes: Vec<u8>,
    pub fds: Vec<OwnedFd>,
}

/// What a client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It has not said who it is.
    Unknown,
    /// It looks on.
    Onlooker,
    /// It orders.
    Daemon,
}

#[derive(Debug)]
struct Client {
    role: Role,
    parcels: mpsc::Sender<Parcel>,
}

/// All clients.
#[derive(Debug)]
pub(super) struct Clients {
    listener: AsyncFd<OwnedFd>,
    all: HashMap<ClientId, Client>,
    next: ClientId,
    heard: mpsc::Receiver<(ClientId, Heard)>,
    hear: mpsc::Sender<(ClientId, Heard)>,
    written: watch::Receiver<Written>,
    tasks: JoinSet<()>,
    remembered: VecDeque<(String, Answer)>,
}

impl Clients {
    /// Listens in a directory, in place of a dead supervisor if there was one.
    pub fn listen(directory: &Path, written: watch::Receiver<Written>) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let place = openat(CWD, directory, flags, Mode::empty())?;
        match rustix::fs::unlinkat(&place, SOCKET, rustix::fs::AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        // The socket gets mode 0600, and there is one thread that could make anything else meanwhile: this one.
        let usual = rustix::process::umask(Mode::from_raw_mode(0o177));
        let bound = bind(&socket, &address(&place)?);
        rustix::process::umask(usual);
        bound?;
        listen(&socket, 8)?;
        let (hear, heard) = mpsc::channel(QUEUE);
        Ok(Self {
            listener: watch_descriptor(socket, Interest::READABLE)?,
            all: HashMap::new(),
            next: 0,
            heard,
            hear,
            written,
            tasks: JoinSet::new(),
            remembered: VecDeque::new(),
        })
    }

    /// What a client did next; lets new ones in meanwhile. Nothing is lost when this is given up while it waits.
    pub async fn next(&mut self) -> (ClientId, Heard) {
        loop {
            tokio::select! {
                Some((id, heard)) = self.heard.recv() => {
                    if matches!(heard, Heard::Gone) {
                        self.all.remove(&id);
                    }
                    return (id, heard);
                }
                Ok(socket) = accept(&self.listener) => {
                    // One that is gone again was never here.
                    _ = self.admit(socket);
                }
                Some(_) = self.tasks.join_next() => {}
            }
        }
    }

    fn admit(&mut self, socket: OwnedFd) -> io::Result<()> {
        if self.all.len() >= MAX_CLIENTS {
            // Whoever does not say who it is gives way.
            let silent = self.all.iter().filter(|(_, client)| client.role == Role::Unknown).map(|(id, _)| *id).min();
            self.all.remove(&silent.ok_or(io::ErrorKind::WouldBlock)?);
        }
        if socket_peercred(&socket)?.uid == geteuid() {
            let (incoming, outgoing) = connection(socket)?;
            self.add(incoming, outgoing);
        }
        Ok(())
    }

    /// Takes on a client and gives its number.
    pub fn add(&mut self, incoming: Incoming, outgoing: Outgoing) -> ClientId {
        self.next += 1;
        let (parcels, queue) = mpsc::channel(QUEUE);
        self.all.insert(self.next, Client { role: Role::Unknown, parcels });
        self.tasks.spawn(serve(self.next, incoming, outgoing, queue, self.hear.clone(), self.written.clone()));
        self.next
    }

    pub fn role(&self, id: ClientId) -> Role {
        self.all.get(&id).map_or(Role::Unknown, |client| client.role)
    }

    pub fn set_role(&mut self, id: ClientId, role: Role) {
        if let Some(client) = self.all.get_mut(&id) {
            client.role = role;
        }
    }

    /// Whether a daemon is attached.
    pub fn have_daemon(&self) -> bool {
        self.all.values().any(|client| client.role == Role::Daemon)
    }

    /// Sends something to a client. One that does not take its answers is let go.
    pub fn send(&mut self, id: ClientId, parcel: Parcel) {
        if let Some(client) = self.all.get(&id)
            && client.parcels.try_send(parcel).is_err()
        {
            self.all.remove(&id);
        }
    }

    pub fn answer(&mut self, id: ClientId, ask: u64, answer: Answer) {
        self.send(id, Parcel { tell: Tell::Answer { id: ask, answer }, bytes: Vec::new(), fds: Vec::new() });
    }

    /// What an order of this name was answered before.
    pub fn remembered(&self, name: &str) -> Option<Answer> {
        self.remembered.iter().find(|(known, _)| known == name).map(|(_, answer)| answer.clone())
    }

    pub fn remember(&mut self, name: String, answer: &Answer) {
        if self.remembered.len() >= MAX_REMEMBERED {
            self.remembered.pop_front();
        }
        self.remembered.push_back((name, answer.clone()));
    }

    /// Lets all clients go and waits until they have got what was sent to them.
    pub async fn part(self) {
        let Self { all, heard, mut tasks, .. } = self;
        drop((all, heard));
        while tasks.join_next().await.is_some() {}
    }
}

async fn accept(listener: &AsyncFd<OwnedFd>) -> io::Result<OwnedFd> {
    listener.async_io(Interest::READABLE, |socket| Ok(accept_with(socket.as_fd(), SocketFlags::CLOEXEC)?)).await
}

/// Speaks with one client until it is gone or let go.
async fn serve(
    id: ClientId,
    mut incoming: Incoming,
    mut outgoing: Outgoing,
    mut parcels: mpsc::Receiver<Parcel>,
    hear: mpsc::Sender<(ClientId, Heard)>,
    mut written: watch::Receiver<Written>,
) {
    // The welcome says how far the records had come, and comes first.
    let mut is_welcome = false;
    let listening = async {
        while let Ok(Some(frame)) = incoming.next().await {
            if hear.send((id, Heard::Frame(frame))).await.is_err() {
                break;
            }
        }
    };
    let speaking = async {
        loop {
            let parcel = tokio::select! {
                biased;
                parcel = parcels.recv() => match parcel {
                    Some(parcel) => parcel,
                    None => break,
                },
                Ok(()) = written.changed(), if is_welcome => {
                    let now = *written.borrow_and_update();
                    Parcel { tell: Tell::Written(now), bytes: Vec::new(), fds: Vec::new() }
                }
            };
            is_welcome = true;
            if post(&mut outgoing, &parcel).await.is_err() {
                // It is gone, but what it had said before counts, and is listened to up to its end.
                std::future::pending().await
            }
        }
    };
    tokio::select! {
        () = listening => {}
        () = speaking => {}
    }
    // It is heard last, after all that this client had sent.
    _ = hear.send((id, Heard::Gone)).await;
}

async fn post(outgoing: &mut Outgoing, parcel: &Parcel) -> io::Result<()> {
    let text = serde_json::to_vec(&parcel.tell).map_err(io::Error::other)?;
    let fds: Vec<BorrowedFd<'_>> = parcel.fds.iter().map(AsFd::as_fd).collect();
    outgoing.send(&text, &parcel.bytes, &fds).await
}
