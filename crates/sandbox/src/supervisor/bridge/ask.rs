//! One request over a connection of its own.

use std::{future, pin::pin, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::http1,
    header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue},
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{sync::mpsc, time::timeout};

use super::{
    events::Events,
    line::{self, Asked},
    serve::Connect,
};

/// The largest body of an answer.
const MAX_BODY: usize = 3 * 1024 * 1024;
/// The largest head of an answer, all header fields together.
const MAX_HEAD: usize = 64 * 1024;
/// How long a connection may take to be made.
const CONNECTING: Duration = Duration::from_secs(10);

/// Makes a request and writes all lines about it but the last, which it gives.
pub(super) async fn ask(connect: &Connect, port: u16, asked: &Asked, out: &mpsc::Sender<String>) -> String {
    match exchange(connect, port, asked, out).await {
        Ok(last) => last,
        Err(why) => line::failed(&asked.id, &why),
    }
}

async fn exchange(connect: &Connect, port: u16, asked: &Asked, out: &mpsc::Sender<String>) -> Result<String, String> {
    let request = request(port, asked)?;
    let descriptor = timeout(CONNECTING, connect()).await.map_err(|_| "no connection in time".to_owned())??;
    let stream = std::net::TcpStream::from(descriptor);
    let stream = stream.set_nonblocking(true).and_then(|()| tokio::net::TcpStream::from_std(stream));
    let stream = TokioIo::new(stream.map_err(|error| format!("the connection cannot be used: {error}"))?);
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(MAX_HEAD).handshake(stream).await.map_err(|error| explain(&error))?;
    // What becomes of the connection is seen by the request.
    let driving = async {
        _ = connection.await;
        future::pending::<()>().await;
    };
    let talking = async {
        let limit = asked.timeout();
        let late = |_| format!("no answer within {} seconds", limit.as_secs());
        let response = timeout(limit, sender.send_request(request)).await.map_err(late)?;
        let response = response.map_err(|error| explain(&error))?;
        if asked.stream && response.status().is_success() {
            return Ok(follow(&asked.id, response, out).await);
        }
        timeout(limit, whole(&asked.id, response)).await.map_err(late)?
    };
    tokio::select! {
        last = talking => last,
        () = driving => Err("the connection was lost".to_owned()),
    }
}

fn request(port: u16, asked: &Asked) -> Result<Request<Full<Bytes>>, String> {
    if !asked.path.starts_with('/') {
        return Err("the path does not begin with a slash".to_owned());
    }
    let body = if asked.body.is_null() { Bytes::new() } else { asked.body.to_string().into() };
    let mut request = Request::builder()
        .method(asked.method.as_str())
        .uri(asked.path.as_str())
        .header(HOST, format!("127.0.0.1:{port}"))
        .body(Full::new(body))
        .map_err(|error| format!("this cannot be asked: {error}"))?;
    if asked.body != Value::Null {
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    for (name, value) in &asked.headers {
        let bad = || format!("the header {name:?} cannot be sent");
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        request.headers_mut().insert(name, HeaderValue::from_str(value).map_err(|_| bad())?);
    }
    Ok(request)
}

async fn whole(id: &str, response: Response<Incoming>) -> Result<String, String> {
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), MAX_BODY).collect().await;
    let body = body.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
        Some(_) => format!("the answer has more than {MAX_BODY} bytes"),
        None => format!("the answer broke off: {error}"),
    })?;
    Ok(line::answered(id, status, &body.to_bytes()))
}

/// Passes events on until the stream ends. Gives the line that says why.
async fn follow(id: &str, response: Response<Incoming>, out: &mpsc::Sender<String>) -> String {
    let mut events = Events::new();
    let mut body = pin!(response.into_body());
    if out.send(line::opened(id, 200)).await.is_err() {
        return line::closed(id, "nobody listens");
    }
    loop {
        let data = match body.frame().await {
            None => return line::closed(id, "the program ended the stream"),
            Some(Err(error)) => return line::closed(id, &explain(&error)),
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
        };
        for event in events.push(&data) {
            if out.send(line::event(id, &event)).await.is_err() {
                return line::closed(id, "nobody listens");
            }
        }
    }
}

/// The whole chain of an error, since its end says what happened.
fn explain(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
