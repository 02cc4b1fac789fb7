//! The double behaves like the real server where a client can tell.
#![expect(clippy::disallowed_methods, reason = "the tests speak to the double as any client does")]

use std::{io, net::SocketAddr, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

use super::{Fault, Rate, Settings, TelegramServer};

const USER: i64 = 5;

/// Calls a method with the right token. An error when the connection ends without an answer.
async fn call(server: &TelegramServer, method: &str, body: Value) -> io::Result<(u16, Value)> {
    call_path(server, &format!("/bot{}/{method}", server.token()), body).await
}

async fn call_path(server: &TelegramServer, path: &str, body: Value) -> io::Result<(u16, Value)> {
    let address: SocketAddr = server.base_url().trim_start_matches("http://").parse().map_err(io::Error::other)?;
    let mut stream = TcpStream::connect(address).await?;
    let body = body.to_string();
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nHost: double\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(format!("{head}{body}").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    Ok((status, serde_json::from_str(body)?))
}

fn texts(answer: &Value) -> Vec<&str> {
    let updates = answer["result"].as_array().map(Vec::as_slice).unwrap_or_default();
    updates.iter().filter_map(|update| update["message"]["text"].as_str()).collect()
}

async fn refusal(server: &TelegramServer, method: &str, body: Value) -> io::Result<String> {
    let (status, answer) = call(server, method, body).await?;
    assert_eq!((answer["ok"].as_bool(), answer["error_code"].as_u64()), (Some(false), Some(status.into())));
    Ok(answer["description"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn tokens_are_checked() -> io::Result<()> {
    let server = TelegramServer::start().await;
    assert_eq!(call(&server, "getMe", json!({})).await?.0, 200);
    for (path, status) in [("/bot424242:wrong/getMe", 401), ("/botnonsense/getMe", 404), ("/", 404)] {
        assert_eq!(call_path(&server, path, json!({})).await?.0, status, "{path}");
    }
    assert_eq!(refusal(&server, "sendPigeon", json!({})).await?, "Not Found: method not found");
    Ok(())
}

#[tokio::test]
async fn updates_stay_until_a_higher_offset_confirms_them() -> io::Result<()> {
    let server = TelegramServer::start().await;
    for text in ["one", "two", "three"] {
        server.push_text(USER, text);
    }
    let (_, first) = call(&server, "getUpdates", json!({ "limit": 2 })).await?;
    assert_eq!(texts(&first), ["one", "two"]);
    let (_, again) = call(&server, "getUpdates", json!({})).await?;
    assert_eq!(texts(&again), ["one", "two", "three"]);
    let offset = again["result"][1]["update_id"].as_i64();
    let (_, rest) = call(&server, "getUpdates", json!({ "offset": offset })).await?;
    assert_eq!(texts(&rest), ["two", "three"]);
    let (_, future) = call(&server, "getUpdates", json!({ "offset": 2_000_000_000 })).await?;
    assert_eq!(texts(&future), ["two", "three"], "an offset from the future confirms nothing");
    let (_, last) = call(&server, "getUpdates", json!({ "offset": -1 })).await?;
    assert_eq!(texts(&last), ["three"]);
    assert_eq!(server.state().pending().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_poll_waits_and_ends_with_the_first_update() -> io::Result<()> {
    let server = TelegramServer::start().await;
    let began = Instant::now();
    let (_, empty) = call(&server, "getUpdates", json!({ "timeout": 1 })).await?;
    assert!(texts(&empty).is_empty() && began.elapsed() >= Duration::from_secs(1));
    let began = Instant::now();
    let (answer, ()) = tokio::join!(call(&server, "getUpdates", json!({ "timeout": 30 })), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        server.push_text(USER, "now");
    });
    assert_eq!(texts(&answer?.1), ["now"]);
    assert!(began.elapsed() < Duration::from_secs(5));
    Ok(())
}

#[tokio::test]
async fn unwanted_kinds_are_not_queued() -> io::Result<()> {
    let server = TelegramServer::start().await;
    call(&server, "getUpdates", json!({ "allowed_updates": ["callback_query"] })).await?;
    assert_eq!(server.push_update(json!({ "message": {} })), None);
    assert!(server.push_update(json!({ "callback_query": {} })).is_some());
    Ok(())
}

#[tokio::test]
async fn polls_and_webhooks_exclude_each_other() -> io::Result<()> {
    let server = TelegramServer::start().await;
    let (older, newer) = tokio::join!(call(&server, "getUpdates", json!({ "timeout": 20 })), async {
        assert!(server.wait_for(Duration::from_secs(5), |state| state.count("getUpdates") == 1).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
        call(&server, "getUpdates", json!({ "timeout": 1 })).await
    });
    let (older, newer) = (older?, newer?);
    assert_eq!((older.0, newer.0), (409, 200));
    assert!(older.1["description"].as_str().is_some_and(|words| words.contains("terminated by other getUpdates")));
    server.set_webhook("https://example.org");
    let words = refusal(&server, "getUpdates", json!({})).await?;
    assert!(words.contains("while webhook is active"), "{words}");
    call(&server, "deleteWebhook", json!({})).await?;
    assert_eq!(call(&server, "getUpdates", json!({})).await?.0, 200);
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused() -> io::Result<()> {
    let server = TelegramServer::start().await;
    server.open_chat(USER);
    server.block(6, true);
    let long = "é".repeat(4097);
    for (body, expected) in [
        (json!({ "chat_id": USER, "text": "" }), "Bad Request: message text is empty"),
        (json!({ "chat_id": USER, "text": "<b> </b>", "parse_mode": "HTML" }), "Bad Request: text must be non-empty"),
        (json!({ "chat_id": USER, "text": long }), "Bad Request: message is too long"),
        (json!({ "chat_id": 99, "text": "x" }), "Bad Request: chat not found"),
        (json!({ "text": "x" }), "Bad Request: chat_id is empty"),
        (json!({ "chat_id": 6, "text": "x" }), "Forbidden: bot was blocked by the user"),
        (
            json!({ "chat_id": USER, "text": "<b>x", "parse_mode": "HTML" }),
            "Bad Request: can't parse entities: Can't find end tag corresponding to start tag \"b\"",
        ),
    ] {
        assert_eq!(refusal(&server, "sendMessage", body).await?, expected);
    }
    let data = "x".repeat(65);
    let markup = json!({ "inline_keyboard": [[{ "text": "a", "callback_data": data }]] });
    let body = json!({ "chat_id": USER, "text": "x", "reply_markup": markup });
    assert_eq!(refusal(&server, "sendMessage", body).await?, "Bad Request: BUTTON_DATA_INVALID");
    // The markup does not count towards the length.
    let fits = json!({ "chat_id": USER, "text": format!("<b>{}</b>", "é".repeat(4096)), "parse_mode": "HTML" });
    assert_eq!(call(&server, "sendMessage", fits).await?.0, 200);
    Ok(())
}

#[tokio::test]
async fn too_much_is_refused_for_a_while() -> io::Result<()> {
    let chat_rate = Rate { burst: 2.0, per_second: 0.1 };
    let server = TelegramServer::start_with(Settings { chat_rate, ..Settings::default() }).await;
    server.open_chat(USER);
    let body = json!({ "chat_id": USER, "text": "x" });
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let (status, answer) = call(&server, "sendMessage", body.clone()).await?;
        statuses.push((status, answer["parameters"]["retry_after"].as_u64()));
    }
    assert_eq!(statuses, [(200, None), (200, None), (429, Some(10))]);
    Ok(())
}

#[tokio::test]
async fn a_pressed_button_waits_only_so_long() -> io::Result<()> {
    let callback_lifetime = Duration::from_millis(50);
    let server = TelegramServer::start_with(Settings { callback_lifetime, ..Settings::default() }).await;
    server.open_chat(USER);
    let press = server.push_callback(USER, 1, "x");
    assert_eq!(call(&server, "answerCallbackQuery", json!({ "callback_query_id": press })).await?.0, 200);
    assert!(server.state().is_answered(&press));
    let late = server.push_callback(USER, 1, "x");
    tokio::time::sleep(Duration::from_millis(80)).await;
    let words = refusal(&server, "answerCallbackQuery", json!({ "callback_query_id": late })).await?;
    assert!(words.contains("query is too old"), "{words}");
    Ok(())
}

#[tokio::test]
async fn connections_are_closed_before_or_after_the_deed() -> io::Result<()> {
    let server = TelegramServer::start().await;
    server.open_chat(USER);
    let body = json!({ "chat_id": USER, "text": "x" });
    for (fault, there) in [(Fault::CloseBefore, 0), (Fault::CloseAfter, 1)] {
        server.fault("sendMessage", fault.clone());
        assert!(call(&server, "sendMessage", body.clone()).await.is_err(), "{fault:?}");
        assert_eq!(server.sent(USER).len(), there, "{fault:?}");
    }
    let statuses: Vec<Option<u16>> = server.calls().iter().map(|call| call.status).collect();
    assert_eq!(statuses, [None, None]);
    Ok(())
}
