//! How the tests of the doubles speak to them.
#![expect(clippy::disallowed_methods, reason = "the tests speak to the double as any client does")]
#![expect(clippy::unwrap_used, reason = "a double that does not answer fails the test")]

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::ModelServer;

/// One exchange in HTTP/1.0, whose answers end with the connection and are not in chunks.
pub(super) async fn exchange(server: &ModelServer, head: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let request = format!("{head}\r\nhost: double\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}
