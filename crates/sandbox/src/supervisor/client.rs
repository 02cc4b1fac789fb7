//! The daemon's end of a supervisor.

use std::{
    collections::HashMap,
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use policy::Grant;
use rustix::{
    fs::{CWD, Mode, OFlags, openat, unlinkat},
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with, sockopt::socket_peercred},
    process::{Signal, WaitId, WaitIdOptions, geteuid, pidfd_send_signal, waitid},
};
use serde_json::Value;
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::{
    Program, Records, SupervisedSpec,
    frames::{Frame, Incoming, MAX_TEXT, Outgoing, connection},
    journal,
    protocol::{Answer, Ask, OTHER_LANGUAGE, Order, PROTOCOL, Refusal, Tell, Welcome, Written},
    records, start,
};
use crate::{
    SandboxError, TerminalProgram, cgroup,
    running::{require, watch as watch_descriptor},
};

/// The socket in a supervisor's directory.
pub(super) const SOCKET: &str = "socket";
/// How long an answer may take: the start of a program on a machine that swaps.
const ANSWER: Duration = Duration::from_secs(45);
/// How long to wait before knocking again where too many do.
const KNOCK_AGAIN: Duration = Duration::from_millis(20);
/// How long the end of everything may take before the supervisor itself is killed.
pub(super) const END: Duration = Duration::from_secs(12);
/// Orders on their way.
const MAX_ORDERS: usize = 64;
/// Bytes of the lines of one order.
const MAX_WRITTEN: usize = 8 * 1024 * 1024;

/// A supervisor that this program speaks with. Clones speak over the same connection; when the last one is dropped, the
/// supervisor goes on alone.
#[derive(Clone, Debug)]
pub struct Supervised {
    inner: Arc<Inner>,
}

/// A supervisor that was started or found again, and what it keeps for the daemon.
#[derive(Debug)]
pub struct Attached {
    /// The supervisor.
    pub supervised: Supervised,
    /// The socket that listens on the proxy's port inside its sandbox.
    pub door: OwnedFd,
    /// What [`SupervisedSpec::custody`] was.
    pub custody: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Inner {
    directory: PathBuf,
    records: Arc<File>,
    welcome: Welcome,
    process: AsyncFd<OwnedFd>,
    orders: mpsc::Sender<Vec<u8>>,
    waiting: Arc<Waiting>,
    written: watch::Receiver<Written>,
    next: AtomicU64,
    /// What nobody else begins the names of orders with.
    name: String,
    /// Dropping it ends them.
    _tasks: JoinSet<()>,
}

/// Who waits for answers, by number. None once the connection is broken.
#[derive(Debug)]
struct Waiting(Mutex<Option<HashMap<u64, oneshot::Sender<Answer>>>>);

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Option<HashMap<u64, oneshot::Sender<Answer>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Supervised {
    /// Starts a supervisor, which builds its sandbox. It goes on when this program ends. Records that an earlier one left in
    /// the directory are continued.
    ///
    /// # Errors
    /// The grant is for something else, another supervisor lives in the directory, or the sandbox cannot be built.
    pub async fn start(grant: &Grant, spec: SupervisedSpec) -> Result<Attached, SandboxError> {
        require(grant, &spec.sandbox.workspace.name, None)?;
        let directory = spec.directory.clone();
        let (incoming, mut outgoing) = start::start_process().await?;
        let (begin, custody) = start::begin(spec, grant.session())?;
        let begin = encode(0, "begin", begin)?;
        outgoing.send(&begin, &custody, &[]).await.map_err(SandboxError::process("given its specification"))?;
        greeted(directory, incoming, outgoing).await?.daemon()
    }

    /// Finds the supervisor that lives in a directory and takes over its door and custody. None when nobody lives there; what a
    /// dead one left behind but its whole records is removed then.
    ///
    /// # Errors
    /// Another daemon is attached and alive, or the supervisor cannot be understood or does not answer.
    pub async fn attach(directory: &Path) -> Result<Option<Attached>, SandboxError> {
        match greet(directory, true).await? {
            Some(greeted) => Ok(Some(greeted.daemon()?)),
            None => {
                let directory = directory.to_owned();
                let cleaned = tokio::task::spawn_blocking(move || clean(&directory)).await;
                cleaned.map_err(io::Error::other).flatten().map_err(SandboxError::process("cleaned up after"))?;
                Ok(None)
            }
        }
    }

    /// Finds the supervisor that lives in a directory, only to look on: it takes no order over this connection.
    pub async fn look(directory: &Path) -> Result<Option<Self>, SandboxError> {
        Ok(greet(directory, false).await?.map(|greeted| greeted.supervised))
    }

    /// Ends every supervisor that lives in a directory of `directory`, and says how many there were. For when no daemon runs.
    ///
    /// # Errors
    /// One could not be ended, after all others were; or the directory cannot be listed.
    pub async fn end_all(directory: &Path) -> Result<usize, SandboxError> {
        let entries = match std::fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(SandboxError::Supervisor(format!("{}: {error}", directory.display()))),
        };
        let mut ending = JoinSet::new();
        for path in entries.flatten().map(|entry| entry.path()).filter(|path| path.join(SOCKET).exists()) {
            ending.spawn(async move { Ok(usize::from(Self::put_down(&path).await?)) });
        }
        let results = ending.join_all().await;
        results.into_iter().try_fold(0, |sum, ended: Result<usize, SandboxError>| Ok(sum + ended?))
    }

    /// Runs a program in the sandbox; one runs at a time. Gives the number of the run. `note` is kept in its record.
    pub async fn run(&self, grant: &Grant, program: Program, note: Value) -> Result<u64, SandboxError> {
        require(grant, &self.inner.welcome.workspace, self.inner.welcome.session)?;
        match self.order(Order::Run { program, note }).await? {
            Answer::Running { run } => Ok(run),
            other => Err(unexpected(&other)),
        }
    }

    /// Writes lines to the program, without their ends. They are recorded first, with their cause; lines that were recorded
    /// reach the program unless it ends or stops reading. No lines at all only leave the record. Refused without a program.
    pub async fn write(&self, cause: Value, lines: Vec<String>) -> Result<(), SandboxError> {
        if lines.iter().any(|line| line.contains('\n')) {
            return Err(SandboxError::Supervisor("a line has an end of line in it".to_owned()));
        }
        let bytes = lines.iter().map(String::len).sum::<usize>();
        if bytes > MAX_WRITTEN {
            return Err(SandboxError::TooLarge { bytes, limit: MAX_WRITTEN });
        }
        self.done(Order::Write { cause, lines }).await
    }

    /// Sends the program and its process group the signal of Ctrl-C.
    pub async fn interrupt(&self) -> Result<(), SandboxError> {
        self.done(Order::Interrupt).await
    }

    /// Kills the program with everything that it started, within two seconds. An `Ended` record is written by then. Nothing
    /// happens when none runs.
    pub async fn end_program(&self) -> Result<(), SandboxError> {
        self.done(Order::EndProgram).await
    }

    /// Starts a program at a terminal, for a person; panes join it with [`super::Screen`]. Nothing else may run meanwhile.
    pub async fn open_terminal(&self, grant: &Grant, program: TerminalProgram) -> Result<(), SandboxError> {
        require(grant, &self.inner.welcome.workspace, self.inner.welcome.session)?;
        self.done(Order::OpenTerminal { program }).await
    }

    /// Kills the program at the terminal with everything that it started. A `TerminalClosed` record is written by then. Nothing
    /// happens when none is open.
    pub async fn close_terminal(&self) -> Result<(), SandboxError> {
        self.done(Order::CloseTerminal).await
    }

    /// Ends everything: the program, the sandbox, the supervisor, its socket and its control groups. The records stay.
    pub async fn end(&self) {
        // Whatever it answers, its process must end.
        _ = self.order(Order::End).await;
        if timeout(END, self.inner.process.readable()).await.is_err() {
            tracing::error!("a supervisor did not end and is killed, which ends its sandbox");
            _ = pidfd_send_signal(self.inner.process.get_ref(), Signal::KILL);
            _ = timeout(END, self.inner.process.readable()).await;
        }
        // Only where this program is the one that buries orphans.
        _ = waitid(WaitId::PidFd(self.inner.process.get_ref().as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
        let directory = self.inner.directory.clone();
        // Nothing is left to clean where it ended by itself.
        _ = tokio::task::spawn_blocking(move || clean(&directory)).await;
    }

    /// The records, from the first on. They end when the supervisor has ended.
    pub fn records(&self) -> Records {
        Records::new(self.inner.records.clone(), Some(self.inner.written.clone()), Some(self.inner.clone()))
    }

    /// The number of the last record that is known to be written; 0 when there is none. Just after attaching, no record that
    /// an earlier daemon caused comes after it.
    pub fn written(&self) -> u64 {
        self.inner.written.borrow().seq
    }

    /// False once the supervisor has ended.
    pub fn is_alive(&self) -> bool {
        self.inner.waiting.lock().is_some()
    }

    async fn done(&self, order: Order) -> Result<(), SandboxError> {
        match self.order(order).await? {
            Answer::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    async fn order(&self, order: Order) -> Result<Answer, SandboxError> {
        let inner = &self.inner;
        let id = inner.next.fetch_add(1, Ordering::Relaxed);
        let text = encode(id, &format!("{}-{id}", inner.name), order)?;
        if text.len() > MAX_TEXT {
            return Err(SandboxError::TooLarge { bytes: text.len(), limit: MAX_TEXT });
        }
        let (sender, receiver) = oneshot::channel();
        inner.waiting.lock().as_mut().ok_or(SandboxError::Gone)?.insert(id, sender);
        let answered = async {
            inner.orders.send(text).await.map_err(|_| SandboxError::Gone)?;
            receiver.await.map_err(|_| SandboxError::Gone)
        };
        match timeout(ANSWER, answered).await {
            Ok(Ok(Answer::Refused(refusal))) => Err(refusal.into()),
            Ok(answer) => answer,
            Err(_) => {
                if let Some(waiting) = inner.waiting.lock().as_mut() {
                    waiting.remove(&id);
                }
                Err(mute())
            }
        }
    }
}

pub(super) fn encode(id: u64, name: &str, order: Order) -> Result<Vec<u8>, SandboxError> {
    let ask = Ask { id, name: name.to_owned(), order };
    serde_json::to_vec(&ask).map_err(|error| SandboxError::Supervisor(format!("it cannot be told: {error}")))
}

fn mute() -> SandboxError {
    SandboxError::Mute(ANSWER.as_secs())
}

fn unexpected(answer: &Answer) -> SandboxError {
    SandboxError::Supervisor(format!("it answers something else than was asked: {answer:?}"))
}

/// A supervisor that has answered the first order.
struct Greeted {
    supervised: Supervised,
    door: Option<OwnedFd>,
    custody: Vec<u8>,
}

impl Greeted {
    fn daemon(self) -> Result<Attached, SandboxError> {
        let Self { supervised, door, custody } = self;
        let door = door.ok_or_else(|| SandboxError::Supervisor("it did not lend its door".to_owned()))?;
        Ok(Attached { supervised, door, custody })
    }
}

/// Connects and says who this is. None when nobody listens.
async fn greet(directory: &Path, is_daemon: bool) -> Result<Option<Greeted>, SandboxError> {
    let Some(socket) = knock(directory).await.map_err(SandboxError::process("reached"))? else { return Ok(None) };
    let (incoming, mut outgoing) = connection(socket).map_err(SandboxError::process("reached"))?;
    let hello = encode(0, "hello", Order::Hello { protocol: PROTOCOL, is_daemon })?;
    outgoing.send(&hello, b"", &[]).await.map_err(SandboxError::process("greeted"))?;
    greeted(directory.to_owned(), incoming, outgoing).await.map(Some)
}

/// A connection to the socket in a directory; none when nobody listens there.
pub(super) async fn knock(directory: &Path) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let place = match openat(CWD, directory, flags, Mode::empty()) {
        Ok(place) => place,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    let until = Instant::now() + ANSWER;
    loop {
        match connect(&socket, &address(&place)?) {
            Ok(()) => break,
            Err(Errno::NOENT | Errno::CONNREFUSED) => return Ok(None),
            // Others knock at the same time.
            Err(Errno::AGAIN) if Instant::now() < until => sleep(KNOCK_AGAIN).await,
            Err(error) => return Err(error.into()),
        }
    }
    if socket_peercred(&socket)?.uid != geteuid() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "somebody else listens there"));
    }
    Ok(Some(socket))
}

/// The socket in an open directory. Addresses are short, and paths of directories need not be.
pub(super) fn address(directory: &OwnedFd) -> io::Result<SocketAddrUnix> {
    Ok(SocketAddrUnix::new(format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd()))?)
}

/// Waits for the answer to the first order.
async fn greeted(directory: PathBuf, mut incoming: Incoming, outgoing: Outgoing) -> Result<Greeted, SandboxError> {
    let frame = timeout(ANSWER, incoming.next()).await;
    let frame = frame.map_err(|_| mute())?;
    let frame = frame.map_err(SandboxError::process("heard"))?.ok_or(SandboxError::Gone)?;
    let Frame { text, bytes: custody, fds } = frame;
    let nonsense = |why: &dyn std::fmt::Display| SandboxError::Foreign(format!("it speaks another language: {why}"));
    let welcome = match serde_json::from_slice(&text).map_err(|error| nonsense(&error))? {
        Tell::Answer { answer: Answer::Welcome(welcome), .. } => welcome,
        Tell::Answer { answer: Answer::Refused(Refusal::Other { why }), .. } if why.starts_with(OTHER_LANGUAGE) => {
            return Err(nonsense(&why));
        }
        Tell::Answer { answer: Answer::Refused(refusal), .. } => return Err(refusal.into()),
        other => return Err(nonsense(&format!("{other:?}"))),
    };
    if welcome.protocol != PROTOCOL {
        return Err(nonsense(&format!("number {}, ours is {PROTOCOL}", welcome.protocol)));
    }
    let mut fds = fds.into_iter();
    let process = fds.next().ok_or_else(|| nonsense(&"it does not say who it is"))?;
    let process = watch_descriptor(process, Interest::READABLE).map_err(SandboxError::process("watched"))?;
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| nonsense(&error))?;
    let records = records::open(&directory)?;
    let (orders, queue) = mpsc::channel(MAX_ORDERS);
    let (tell, written) = watch::channel(welcome.written);
    let waiting = Arc::new(Waiting(Mutex::new(Some(HashMap::new()))));
    let mut tasks = JoinSet::new();
    tasks.spawn(send_all(outgoing, queue));
    tasks.spawn(hear_all(incoming, waiting.clone(), tell));
    let (next, name) = (AtomicU64::new(1), hex::encode(random));
    let inner = Inner { directory, records, welcome, process, orders, waiting, written, next, name, _tasks: tasks };
    Ok(Greeted { supervised: Supervised { inner: Arc::new(inner) }, door: fds.next(), custody })
}

async fn send_all(mut outgoing: Outgoing, mut queue: mpsc::Receiver<Vec<u8>>) {
    while let Some(text) = queue.recv().await {
        // Whoever waits for an answer hears of it from the other half.
        if outgoing.send(&text, b"", &[]).await.is_err() {
            return;
        }
    }
}

/// Passes on what the supervisor tells until it is gone.
async fn hear_all(mut incoming: Incoming, waiting: Arc<Waiting>, written: watch::Sender<Written>) {
    loop {
        match incoming.next().await {
            Ok(Some(frame)) => match serde_json::from_slice(&frame.text) {
                Ok(Tell::Written(now)) => {
                    written.send_replace(now);
                }
                Ok(Tell::Answer { id, answer }) => {
                    let sender = waiting.lock().as_mut().and_then(|waiting| waiting.remove(&id));
                    if let Some(sender) = sender {
                        // Whoever asked may have given up.
                        _ = sender.send(answer);
                    }
                }
                // Something that only newer daemons know.
                Err(error) => tracing::debug!(%error, "a supervisor told something unknown"),
            },
            Ok(None) => break,
            Err(error) => {
                tracing::debug!(%error, "the connection to a supervisor broke");
                break;
            }
        }
    }
    waiting.lock().take();
}

/// Removes what a dead supervisor left.
pub(super) fn clean(directory: &Path) -> io::Result<()> {
    journal::mend(directory)?;
    cgroup::clean_stale();
    match unlinkat(CWD, directory.join(SOCKET), rustix::fs::AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
