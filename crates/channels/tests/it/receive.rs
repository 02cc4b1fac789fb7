//! The receive loop against the double, with each thing that can go wrong.

use std::{sync::Arc, time::Duration};

use channels::{Channel, InboundKind, Polling, ReceiveEnd, TelegramChannel};
use serde_json::json;
use testkit::telegram::{Fault, TelegramServer};

use crate::support::{OWNER, Outcome, Receiving, SOON, channel, config, home};

#[tokio::test]
async fn what_arrives_is_handed_over_in_order() -> Outcome {
    let server = TelegramServer::start().await;
    let (channel, _home) = channel(&server)?;
    let mut receiving = Receiving::start(&channel);
    for text in ["one", "two", "three"] {
        server.push_text(OWNER, text);
    }
    for text in ["one", "two", "three"] {
        assert_eq!(receiving.next_text().await?, text);
    }
    let status = receiving.status(|status| status.polling == Polling::Receiving).await?;
    assert_eq!((status.account.as_deref(), status.last_error), (Some("double_bot"), None));
    assert!(server.wait_for(SOON, |state| state.pending().is_empty()).await, "confirmed updates are forgotten");
    receiving.stop().await?;
    assert_eq!(channel.status().polling, Polling::Stopped);
    Ok(())
}

#[tokio::test]
async fn a_server_that_cannot_tell_who_we_are_will_do() -> Outcome {
    let server = TelegramServer::start().await;
    server.fault("getMe", Fault::status(404, "Not Found"));
    server.push_text(OWNER, "hello");
    let (channel, _home) = channel(&server)?;
    let mut receiving = Receiving::start(&channel);
    assert_eq!(receiving.next_text().await?, "hello");
    receiving.stop().await
}

#[tokio::test]
async fn nothing_is_confirmed_before_it_is_durable() -> Outcome {
    let server = TelegramServer::start().await;
    let (channel, _home) = channel(&server)?;
    let mut receiving = Receiving::start(&channel);
    server.push_text(OWNER, "precious");
    let first = receiving.next().await?;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(server.state().pending().len(), 1, "the server still keeps it");
    // The daemon dies with the message in its hands.
    drop(first);
    receiving.stop().await?;
    assert_eq!(server.state().pending().len(), 1);
    let mut again = Receiving::start(&channel);
    let second = again.next().await?;
    assert_eq!(second.item.kind, InboundKind::Text { text: "precious".to_owned() });
    second.ack.confirm();
    assert!(server.wait_for(SOON, |state| state.pending().is_empty()).await);
    again.stop().await
}

#[tokio::test]
async fn what_was_not_stored_comes_again_with_the_same_number() -> Outcome {
    let server = TelegramServer::start().await;
    let (channel, _home) = channel(&server)?;
    server.push_text(OWNER, "one");
    server.push_text(OWNER, "two");
    let mut receiving = Receiving::start(&channel);
    let refused = receiving.next().await?;
    let number = refused.item.remote_id.clone();
    drop(refused.ack);
    receiving.next().await?.ack.confirm();
    receiving.status(|status| status.last_error.as_ref().is_some_and(|error| error.contains("again"))).await?;
    let repeated = receiving.next().await?;
    assert_eq!(repeated.item.remote_id, number);
    repeated.ack.confirm();
    assert_eq!(receiving.next_text().await?, "two");
    assert!(server.wait_for(SOON, |state| state.pending().is_empty()).await);
    receiving.stop().await
}

#[tokio::test]
async fn everybody_is_handed_over_and_nobody_is_answered() -> Outcome {
    let server = TelegramServer::start().await;
    let (channel, _home) = channel(&server)?;
    let mut receiving = Receiving::start(&channel);
    receiving.status(|status| status.polling == Polling::Starting || status.polling == Polling::Receiving).await?;
    assert!(server.wait_for(SOON, |state| state.count("getUpdates") > 0).await);
    let stranger = 666;
    let message = server.push_text(stranger, "let me in");
    server.push_edited(OWNER, 1, "changed");
    server.push_forwarded(OWNER, "somebody's words");
    server.push_group(OWNER, -100_500, "supergroup", "@double_bot hello");
    server.push_message(OWNER, json!({ "photo": [{ "file_id": "x" }], "caption": "open this" }));
    server.push_callback(stranger, message, "guess");
    server.push_update(json!({ "channel_post": { "message_id": 1 } }));
    let mut seen = Vec::new();
    for _ in 0..6 {
        let delivered = receiving.next().await?;
        let item = delivered.item;
        seen.push((item.sender.user, item.private, item.edited, item.forwarded));
        delivered.ack.confirm();
    }
    let owner = OWNER.to_string();
    let expected = [
        (stranger.to_string(), true, false, false),
        (owner.clone(), true, true, false),
        (owner.clone(), true, false, true),
        (owner.clone(), false, false, false),
        (owner, true, false, false),
        (stranger.to_string(), true, false, false),
    ];
    assert_eq!(seen, expected);
    assert!(server.wait_for(SOON, |state| state.pending().is_empty()).await);
    assert_eq!(server.bytes_out(), 0);
    assert_eq!(server.state().count("getFile"), 0);
    receiving.stop().await
}

#[tokio::test]
async fn odd_updates_are_passed_over() -> Outcome {
    let server = TelegramServer::start().await;
    let (channel, _home) = channel(&server)?;
    server.push_update(json!({ "message": { "from": "nonsense" } }));
    server.push_update(json!({ "kind_of_next_year": { "deep": [1, 2, 3] } }));
    server.push_update(json!({}));
    server.push_text(OWNER, "after");
    let mut receiving = Receiving::start(&channel);
    assert_eq!(receiving.next_text().await?, "after");
    assert!(server.wait_for(SOON, |state| state.pending().is_empty()).await);
    receiving.stop().await
}

#[tokio::test]
async fn disturbances_pass() -> Outcome {
    let server = TelegramServer::start().await;
    let (channel, _home) = channel(&server)?;
    server.fault("getMe", Fault::status(500, "Internal Server Error: restart"));
    let mut receiving = Receiving::start(&channel);
    server.push_text(OWNER, "first");
    assert_eq!(receiving.next_text().await?, "first");
    for (n, fault) in [
        Fault::BadGateway,
        Fault::CloseBefore,
        Fault::MalformedJson,
        Fault::status(404, "Not Found: method not found"),
        Fault::too_many_requests(0),
    ]
    .into_iter()
    .enumerate()
    {
        // The present poll gives this message; the fault meets the next poll, and the message after it comes through.
        server.fault("getUpdates", fault);
        server.push_text(OWNER, &format!("message {n}"));
        assert_eq!(receiving.next_text().await?, format!("message {n}"));
        assert!(server.wait_for(SOON, |state| state.faults_left() == 0).await);
    }
    server.push_text(OWNER, "last");
    assert_eq!(receiving.next_text().await?, "last");
    receiving.status(|status| status.polling == Polling::Receiving && status.last_error.is_none()).await?;
    receiving.stop().await
}

#[tokio::test]
async fn an_answer_that_was_lost_is_asked_for_again() -> Outcome {
    let server = TelegramServer::start().await;
    let (channel, _home) = channel(&server)?;
    server.push_text(OWNER, "kept");
    server.fault("getUpdates", Fault::CloseAfter);
    let mut receiving = Receiving::start(&channel);
    assert_eq!(receiving.next_text().await?, "kept");
    receiving.stop().await
}

#[tokio::test]
async fn repeated_and_disordered_updates_keep_their_numbers() -> Outcome {
    let server = TelegramServer::start().await;
    let (channel, _home) = channel(&server)?;
    server.push_text(OWNER, "one");
    server.push_text(OWNER, "two");
    server.fault("getUpdates", Fault::ReverseUpdates);
    let mut receiving = Receiving::start(&channel);
    assert_eq!(receiving.next_text().await?, "two");
    assert_eq!(receiving.next_text().await?, "one");
    assert!(server.wait_for(SOON, |state| state.pending().is_empty()).await, "the highest number counts");
    server.fault("getUpdates", Fault::DuplicateUpdates);
    assert!(server.wait_for(SOON, |state| state.count("getUpdates") >= 3).await);
    server.push_text(OWNER, "twice");
    let first = receiving.next().await?;
    let number = first.item.remote_id.clone();
    first.ack.confirm();
    if let Ok(Some(second)) = tokio::time::timeout(Duration::from_millis(300), receiving.inbound.recv()).await {
        assert_eq!(second.item.remote_id, number, "a repeat is told by its number");
        second.ack.confirm();
    }
    receiving.stop().await
}

#[tokio::test]
async fn a_wrong_token_ends_it_with_a_clear_word() -> Outcome {
    let server = TelegramServer::start().await;
    for token in ["424242:wrong", "malformed"] {
        let home = home(Some(token))?;
        let channel = Arc::new(TelegramChannel::new("home", config(&server.base_url())?, home.vault.clone())?);
        let mut receiving = Receiving::start(&channel);
        let ReceiveEnd::Auth(why) = receiving.end().await? else { return Err("it ended otherwise".into()) };
        assert!(why.contains("@BotFather") && !why.contains(token), "{why}");
        assert_eq!(channel.status().polling, Polling::Refused);
    }
    let home = home(None)?;
    let channel = Arc::new(TelegramChannel::new("home", config(&server.base_url())?, home.vault.clone())?);
    let ReceiveEnd::Auth(why) = Receiving::start(&channel).end().await? else { return Err("it goes on".into()) };
    assert!(why.contains("telegram-token"), "{why}");
    Ok(())
}

#[tokio::test]
async fn a_token_that_is_revoked_later_ends_it() -> Outcome {
    let server = TelegramServer::start().await;
    let (channel, _home) = channel(&server)?;
    server.fault("getUpdates", Fault::status(401, "Unauthorized"));
    assert!(matches!(Receiving::start(&channel).end().await?, ReceiveEnd::Auth(_)));
    Ok(())
}

#[tokio::test]
async fn a_webhook_is_taken_away_once() -> Outcome {
    let server = TelegramServer::start().await;
    let (channel, _home) = channel(&server)?;
    server.set_webhook("https://example.org/hook");
    server.push_text(OWNER, "waiting since");
    let mut receiving = Receiving::start(&channel);
    assert_eq!(receiving.next_text().await?, "waiting since");
    assert_eq!(server.state().count("deleteWebhook"), 1);
    // Set again by another program: that one is not fought with.
    server.set_webhook("https://example.org/hook");
    receiving.status(|status| status.polling == Polling::Conflict).await?;
    assert_eq!(server.state().count("deleteWebhook"), 1);
    receiving.stop().await
}

#[tokio::test]
async fn a_conflict_is_waited_out_for_longer_than_a_poll() -> Outcome {
    let server = TelegramServer::start().await;
    let (channel, _home) = channel(&server)?;
    let words = "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running";
    server.fault("getUpdates", Fault::status(409, words));
    let mut receiving = Receiving::start(&channel);
    let status = receiving.status(|status| status.polling == Polling::Conflict).await?;
    assert!(status.last_error.is_some_and(|error| error.contains("only one bot instance")));
    let began = tokio::time::Instant::now();
    server.push_text(OWNER, "after the conflict");
    assert_eq!(receiving.next_text().await?, "after the conflict");
    assert!(began.elapsed() > Duration::from_secs(1), "{:?}", began.elapsed());
    receiving.status(|status| status.polling == Polling::Receiving).await?;
    receiving.stop().await
}

#[tokio::test]
async fn one_process_receives_once_for_a_bot() -> Outcome {
    let server = TelegramServer::start().await;
    let (channel, home) = channel(&server)?;
    let twin = Arc::new(TelegramChannel::new("work", config(&server.base_url())?, home.vault.clone())?);
    let first = Receiving::start(&channel);
    first.status(|status| status.polling == Polling::Receiving).await?;
    let second = Receiving::start(&twin);
    let status = second.status(|status| status.polling == Polling::Conflict).await?;
    assert!(status.last_error.is_some_and(|error| error.contains("another channel")));
    assert!(!server.calls().iter().any(|call| call.status == Some(409)), "the first one was not disturbed");
    first.stop().await?;
    second.status(|status| status.polling == Polling::Receiving).await?;
    second.stop().await
}

#[tokio::test]
async fn it_ends_at_once_while_it_polls_and_when_nobody_listens() -> Outcome {
    let server = TelegramServer::start().await;
    let (channel, _home) = channel(&server)?;
    let receiving = Receiving::start(&channel);
    assert!(server.wait_for(SOON, |state| state.count("getUpdates") > 0).await);
    let began = tokio::time::Instant::now();
    receiving.stop().await?;
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    let mut deaf = Receiving::start(&channel);
    deaf.inbound.close();
    server.push_text(OWNER, "hello?");
    assert_eq!(deaf.end().await?, ReceiveEnd::Closed);
    assert_eq!(server.state().pending().len(), 1);
    Ok(())
}
