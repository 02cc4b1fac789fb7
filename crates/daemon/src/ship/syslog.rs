//! A syslog server as a target: RFC 5424 messages with octet counting (RFC 6587), over TCP or TLS (RFC 5425). Syslog
//! confirms nothing, so records count as taken once the connection has stayed open for a moment after they were written.

use std::{sync::Arc, time::Duration};

use egress::{EgressError, Stream, StreamClient};
use store::audit::Line;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout, timeout_at},
};

/// Facility 13 (log audit), severity 6 (informational).
const PRIORITY: u32 = 13 * 8 + 6;
/// How long writing one batch may take.
const WRITE: Duration = Duration::from_secs(30);
/// For how long the connection must stay open after that.
const SETTLE: Duration = Duration::from_secs(1);

/// A connection to a syslog server.
pub(crate) struct Syslog {
    client: StreamClient,
    host: String,
    connection: Option<Box<dyn Stream>>,
}

impl Syslog {
    /// A server, with TLS verified against `authorities` or the system's.
    pub fn new(host: &str, port: u16, tls: bool, authorities: Option<&[u8]>) -> Result<Self, EgressError> {
        let client = if tls { StreamClient::tls(host, port, authorities)? } else { StreamClient::plain(host, port) };
        let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Ok(Self { client, host: field(&node), connection: None })
    }

    /// Writes records, and waits a moment for the server to refuse them.
    pub async fn send(&mut self, lines: &Arc<[Line]>) -> Result<(), String> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.client.connect().await.map_err(|error| format!("{}: {error}", self.client.authority()))?,
        };
        let text = frames(&self.host, std::process::id(), lines);
        let write = async {
            connection.write_all(&text).await?;
            connection.flush().await
        };
        match timeout(WRITE, write).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(format!("{}: the connection broke: {error}", self.client.authority())),
            Err(_) => return Err(format!("{} does not read", self.client.authority())),
        }
        let deadline = Instant::now() + SETTLE;
        let mut answer = [0; 512];
        loop {
            match timeout_at(deadline, connection.read(&mut answer)).await {
                Err(_) => break,
                Ok(Ok(0)) => return Err(format!("{} closed the connection", self.client.authority())),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(format!("{}: the connection broke: {error}", self.client.authority())),
            }
        }
        self.connection = Some(connection);
        Ok(())
    }
}

/// The messages, each after its length in bytes.
fn frames(host: &str, process: u32, lines: &[Line]) -> Vec<u8> {
    let mut text = Vec::new();
    for line in lines {
        let at = jiff::Timestamp::from_millisecond(line.at.0).map_or_else(|_| "-".to_owned(), |at| format!("{at:.3}"));
        let head = format!("<{PRIORITY}>1 {at} {host} factotum {process} audit - ");
        text.extend_from_slice(format!("{} ", head.len() + line.bytes.len()).as_bytes());
        text.extend_from_slice(head.as_bytes());
        text.extend_from_slice(&line.bytes);
    }
    text
}

/// A value of a message's head: visible ASCII, not empty, at most 255 characters.
fn field(text: &str) -> String {
    let clean: String = text.chars().filter(char::is_ascii_graphic).take(255).collect();
    if clean.is_empty() { "-".to_owned() } else { clean }
}

#[cfg(test)]
mod tests {
    use store::audit::Head;
    use types::Timestamp;

    use super::*;

    #[test]
    fn a_message_has_the_form_of_rfc_5424() {
        let line = Line { head: Head::start(), at: Timestamp(1_700_000_000_123), bytes: b"{\"seq\":1}".to_vec() };
        let text = String::from_utf8(frames("box", 7, &[line.clone(), line])).unwrap_or_default();
        let message = "<110>1 2023-11-14T22:13:20.123Z box factotum 7 audit - {\"seq\":1}";
        assert_eq!(text, format!("{0} {message}{0} {message}", message.len()));
        assert_eq!((field("a b\u{e9}\n"), field("\n")), ("ab".to_owned(), "-".to_owned()));
    }
}
