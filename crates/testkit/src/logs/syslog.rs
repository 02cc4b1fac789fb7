//! A syslog server: RFC 5424 messages with octet counting (RFC 6587).

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// The most bytes of one message.
const MAX_MESSAGE: usize = 1 << 20;

/// A server that keeps what it is sent. Dropping it closes its port and its connections.
pub struct SyslogServer {
    address: SocketAddr,
    heard: Arc<Mutex<Heard>>,
    _tasks: JoinSet<()>,
    hang_up: Arc<Mutex<CancellationToken>>,
}

#[derive(Default)]
struct Heard {
    messages: Vec<String>,
    /// Messages that are thrown away before the connection is closed, as a server that dies does.
    lose: usize,
}

impl SyslogServer {
    /// Listens on this port of the loopback device; 0 takes a free one.
    ///
    /// # Panics
    /// When the port is taken.
    pub async fn start(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("the port is free");
        let address = listener.local_addr().expect("it listens");
        let heard = Arc::new(Mutex::new(Heard::default()));
        let hang_up = Arc::new(Mutex::new(CancellationToken::new()));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, heard.clone(), hang_up.clone()));
        Self { address, heard, _tasks: tasks, hang_up }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The next so many messages are read and lost, and the connection is closed after them.
    pub fn lose(&self, messages: usize) {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).lose = messages;
    }

    /// Closes all connections.
    pub fn hang_up(&self) {
        let mut token = self.hang_up.lock().unwrap_or_else(PoisonError::into_inner);
        token.cancel();
        *token = CancellationToken::new();
    }

    /// Every whole message so far, with its head.
    pub fn messages(&self) -> Vec<String> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).messages.clone()
    }

    /// What the messages say, without their heads.
    pub fn texts(&self) -> Vec<String> {
        // PRI and version, time, host, program, process, message id, structured data, text.
        self.messages().iter().filter_map(|message| message.splitn(8, ' ').nth(7).map(str::to_owned)).collect()
    }
}

async fn accept(listener: TcpListener, heard: Arc<Mutex<Heard>>, hang_up: Arc<Mutex<CancellationToken>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (heard, stop) = (heard.clone(), hang_up.lock().unwrap_or_else(PoisonError::into_inner).clone());
        connections.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                _ = serve(stream, &heard) => {}
            }
        });
    }
}

async fn serve(stream: TcpStream, heard: &Mutex<Heard>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = Vec::new();
        if reader.read_until(b' ', &mut length).await? == 0 {
            return Ok(());
        }
        let length = String::from_utf8_lossy(&length).trim().parse::<usize>().unwrap_or(usize::MAX);
        if length > MAX_MESSAGE {
            return Ok(());
        }
        let mut message = vec![0; length];
        reader.read_exact(&mut message).await?;
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.lose > 0 {
            heard.lose -= 1;
            if heard.lose == 0 {
                return Ok(());
            }
            continue;
        }
        heard.messages.push(String::from_utf8_lossy(&message).into_owned());
    }
}
