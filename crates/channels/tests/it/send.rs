//! Sending against the double, with each thing that can go wrong.

use std::{sync::Arc, time::Duration};

use channels::{
    Button, Channel, ChannelError, ChannelErrorKind, Outbound, RemoteId, TelegramChannel, split,
    telegram::{Config, ConfigError},
};
use serde_json::json;
use testkit::telegram::{Fault, Rate, Settings, TelegramServer};
use tokio_util::sync::CancellationToken;

use crate::support::{Home, OWNER, Outcome, channel, config, home};

async fn ready() -> Outcome<(TelegramServer, Arc<TelegramChannel>, Home)> {
    let server = TelegramServer::start().await;
    server.open_chat(OWNER);
    let (channel, home) = channel(&server)?;
    Ok((server, channel, home))
}

async fn send(channel: &TelegramChannel, outbound: Outbound) -> Result<RemoteId, ChannelError> {
    channel.send(&OWNER.to_string(), outbound, CancellationToken::new()).await
}

fn text(markdown: &str) -> Outbound {
    Outbound::Text { markdown: markdown.to_owned() }
}

fn texts(server: &TelegramServer) -> Vec<String> {
    server.sent(OWNER).iter().map(|message| message.text().to_owned()).collect()
}

#[tokio::test]
async fn a_message_is_rendered_and_numbered() -> Outcome {
    let (server, channel, _home) = ready().await?;
    let id = send(&channel, text("**Done**: `a < b`")).await?;
    let sent = server.sent(OWNER);
    let message = sent.first().ok_or("nothing was sent")?;
    assert_eq!((message.id.to_string(), message.text()), (id.0, "Done: a < b"));
    let marks =
        [json!({ "type": "bold", "offset": 0, "length": 4 }), json!({ "type": "code", "offset": 6, "length": 5 })];
    assert_eq!(message.now.entities, marks);
    let calls = server.calls();
    let body = calls.first().map(|call| &call.body).ok_or("nothing was called")?;
    assert_eq!(body["link_preview_options"], json!({ "is_disabled": true }));
    Ok(())
}

#[tokio::test]
async fn a_long_answer_arrives_whole() -> Outcome {
    let (server, channel, _home) = ready().await?;
    let code: String = (0..500).map(|n| format!("let value_{n} = {n}; // <&> 😀\n")).collect();
    let answer = format!("Intro.\n\n```rust\n{code}```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nEnd.");
    for piece in split(&answer, channel.limits()) {
        send(&channel, text(&piece)).await?;
    }
    let all = texts(&server).join("\n");
    assert!((0..500).all(|n| all.contains(&format!("let value_{n} = {n}; // <&> 😀"))));
    assert!(all.starts_with("Intro.") && all.ends_with("End."));
    assert!(server.calls().iter().all(|call| call.status == Some(200)));
    Ok(())
}

#[tokio::test]
async fn buttons_carry_a_nonce_and_go_away_with_an_edit() -> Outcome {
    let (server, channel, _home) = ready().await?;
    let buttons = ["Approve", "Deny"].map(|label| Button { label: label.to_owned(), data: format!("{label}:nonce") });
    let outbound = Outbound::Buttons { markdown: "Run `make`?".to_owned(), buttons: buttons.to_vec() };
    let remote_id = send(&channel, outbound).await?;
    let data: Vec<String> =
        server.sent(OWNER).iter().flat_map(|message| message.buttons()).map(|button| button.data.clone()).collect();
    assert_eq!(data, ["Approve:nonce", "Deny:nonce"]);
    let press = server.push_callback(OWNER, remote_id.0.parse()?, "Approve:nonce");
    send(&channel, Outbound::AnswerButton { callback_id: press.clone(), text: "Approved".to_owned() }).await?;
    assert!(server.state().is_answered(&press));
    let edit = Outbound::Edit {
        remote_id: remote_id.clone(),
        markdown: "Run `make`? *Approved.*".to_owned(),
        buttons: Vec::new(),
    };
    assert_eq!(send(&channel, edit.clone()).await?, remote_id);
    let sent = server.sent(OWNER);
    let message = sent.first().ok_or("the message is gone")?;
    assert_eq!((message.text(), message.buttons().len(), message.earlier.len()), ("Run make? Approved.", 0, 1));
    // An edit that changes nothing has succeeded already.
    assert_eq!(send(&channel, edit).await?, remote_id);
    assert_eq!(server.calls().last().and_then(|call| call.status), Some(400));
    let nowhere =
        Outbound::Edit { remote_id: RemoteId("99999".to_owned()), markdown: "x".to_owned(), buttons: Vec::new() };
    assert_eq!(send(&channel, nowhere).await.map_err(|error| error.kind), Err(ChannelErrorKind::Permanent));
    let old = Outbound::AnswerButton { callback_id: "1".to_owned(), text: String::new() };
    assert_eq!(send(&channel, old).await.map_err(|error| error.kind), Err(ChannelErrorKind::Permanent));
    Ok(())
}

#[tokio::test]
async fn drafts_where_they_are_known() -> Outcome {
    let (server, channel, _home) = ready().await?;
    let draft = |text: &str| Outbound::Draft { draft_id: 7, markdown: text.to_owned() };
    for state in ["", "Th", "Thinking **about"] {
        send(&channel, draft(state)).await?;
    }
    let seen: Vec<String> = server.drafts(OWNER).into_iter().map(|draft| draft.text).collect();
    assert_eq!(seen, ["Th", "Thinking **about"]);
    let group = channel.send("-100500", draft("x"), CancellationToken::new()).await;
    assert_eq!(group.map_err(|error| error.kind), Err(ChannelErrorKind::Unsupported));
    server.configure(|settings| settings.drafts = false);
    for _ in 0..3 {
        let refused = send(&channel, draft("more")).await;
        assert_eq!(refused.map_err(|error| error.kind), Err(ChannelErrorKind::Unsupported));
    }
    assert_eq!(server.state().count("sendMessageDraft"), 3, "an old server is asked once more and never again");
    send(&channel, Outbound::Typing).await?;
    assert_eq!(server.state().count("sendChatAction"), 1);
    Ok(())
}

#[tokio::test]
async fn a_chat_without_drafts_is_told_apart() -> Outcome {
    let (server, channel, _home) = ready().await?;
    server.fault("sendMessageDraft", Fault::status(400, "Bad Request: TEXTDRAFT_PEER_INVALID"));
    let refused = send(&channel, Outbound::Draft { draft_id: 7, markdown: "x".to_owned() }).await;
    assert_eq!(refused.map_err(|error| error.kind), Err(ChannelErrorKind::Unsupported));
    Ok(())
}

#[tokio::test]
async fn markup_that_is_not_accepted_goes_out_plain() -> Outcome {
    let (server, channel, _home) = ready().await?;
    let words = "Bad Request: can't parse entities: Unsupported start tag \"x\" at byte offset 0";
    server.fault("sendMessage", Fault::status(400, words));
    send(&channel, text("**bold** [docs](https://a.org/x)")).await?;
    assert_eq!(texts(&server), ["bold docs (a.org/…)"]);
    let calls = server.calls();
    assert_eq!(calls.last().map(|call| call.body.get("parse_mode").is_none()), Some(true));
    Ok(())
}

#[tokio::test]
async fn refusals_have_their_kinds() -> Outcome {
    let (server, channel, _home) = ready().await?;
    let blocked = 55;
    server.block(blocked, true);
    for (target, kind) in [
        (blocked.to_string(), ChannelErrorKind::Permanent),
        ("123".to_owned(), ChannelErrorKind::Permanent),
        ("somebody".to_owned(), ChannelErrorKind::Permanent),
    ] {
        let refused = channel.send(&target, text("hello"), CancellationToken::new()).await;
        assert_eq!(refused.map_err(|error| (error.kind, error.maybe_sent)), Err((kind, false)), "{target}");
    }
    let too_long = send(&channel, text(&"x".repeat(4097))).await;
    assert_eq!(too_long.map_err(|error| error.kind), Err(ChannelErrorKind::Permanent));
    let retry_after = Duration::from_secs(40);
    for (fault, kind, maybe_sent) in [
        (Fault::status(401, "Unauthorized"), ChannelErrorKind::Auth, false),
        (Fault::status(500, "Internal Server Error"), ChannelErrorKind::Transient, true),
        (Fault::BadGateway, ChannelErrorKind::Transient, true),
        (Fault::too_many_requests(40), ChannelErrorKind::RateLimited { retry_after }, false),
    ] {
        server.fault("sendMessage", fault.clone());
        let refused = send(&channel, text("hello")).await;
        assert_eq!(refused.map_err(|error| (error.kind, error.maybe_sent)), Err((kind, maybe_sent)), "{fault:?}");
    }
    // The server's word is kept without asking it again.
    let before = server.calls().len();
    let refused = send(&channel, text("hello")).await.map_err(|error| error.kind);
    assert!(matches!(refused, Err(ChannelErrorKind::RateLimited { .. })), "{refused:?}");
    assert_eq!(server.calls().len(), before);
    assert_eq!(texts(&server), Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn it_is_known_when_a_message_may_have_arrived() -> Outcome {
    let (server, channel, _home) = ready().await?;
    for (fault, arrived) in [(Fault::CloseBefore, 0), (Fault::CloseAfter, 1), (Fault::MalformedJson, 2)] {
        server.fault("sendMessage", fault.clone());
        let lost = send(&channel, text("once?")).await;
        assert_eq!(
            lost.map_err(|error| (error.kind, error.maybe_sent)),
            Err((ChannelErrorKind::Transient, true)),
            "{fault:?}"
        );
        assert_eq!(texts(&server).len(), arrived, "{fault:?}");
    }
    server.fault("sendMessage", Fault::Hang);
    let cancel = CancellationToken::new();
    let target = OWNER.to_string();
    let (lost, ()) = tokio::join!(channel.send(&target, text("hanging"), cancel.clone()), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        cancel.cancel();
    });
    assert_eq!(lost.map_err(|error| (error.kind, error.maybe_sent)), Err((ChannelErrorKind::Cancelled, true)));
    let elsewhere = home(Some("1:x"))?;
    let nobody = TelegramChannel::new("home", config("http://127.0.0.1:1")?, elsewhere.vault.clone())?;
    let unreached = send(&nobody, text("x")).await;
    assert_eq!(unreached.map_err(|error| (error.kind, error.maybe_sent)), Err((ChannelErrorKind::Transient, false)));
    Ok(())
}

#[tokio::test]
async fn the_servers_limits_are_kept_without_being_told() -> Outcome {
    let chat_rate = Rate { burst: 5.0, per_second: 1.1 };
    let server = TelegramServer::start_with(Settings { chat_rate, ..Settings::default() }).await;
    server.open_chat(OWNER);
    let (channel, _home) = channel(&server)?;
    for n in 0..7 {
        send(&channel, text(&format!("message {n}"))).await?;
    }
    assert!(server.calls().iter().all(|call| call.status == Some(200)));
    Ok(())
}

#[tokio::test]
async fn no_error_shows_the_token() -> Outcome {
    let (server, channel, _home) = ready().await?;
    let mut words = Vec::new();
    for fault in [Fault::CloseBefore, Fault::MalformedJson, Fault::status(400, "Bad Request: strange\u{1b}[2J")] {
        server.fault("sendMessage", fault);
        words.push(format!("{:?}", send(&channel, text("x")).await));
    }
    words.push(format!("{:?}", channel.status()));
    let token = server.token();
    assert!(words.iter().all(|word| !word.contains(token) && !word.contains("double-token")), "{words:?}");
    assert!(words.iter().all(|word| !word.contains("\\u{1b}")), "{words:?}");
    Ok(())
}

#[test]
fn a_configuration_that_cannot_work_is_refused() -> Outcome {
    let good = config("https://api.telegram.org")?;
    assert_eq!(good.check(), Ok(()));
    let with = |change: fn(&mut Config)| {
        let mut config = good.clone();
        change(&mut config);
        config
    };
    assert_eq!(with(|config| config.allow.clear()).check(), Err(ConfigError::NobodyAllowed));
    assert_eq!(with(|config| config.allow.push(-5)).check(), Err(ConfigError::NotAUser { id: -5 }));
    assert_eq!(with(|config| config.poll_timeout_s = 51).check(), Err(ConfigError::PollTimeout { seconds: 51 }));
    let home = home(None)?;
    let nowhere = TelegramChannel::new("home", with(|config| config.api_base = "telegram".to_owned()), home.vault);
    assert!(matches!(nowhere.err(), Some(ConfigError::ApiBase { .. })));
    let unknown = json!({ "token": "t", "allow": [1], "webhook": true });
    assert!(serde_json::from_value::<Config>(unknown).is_err());
    let short: Config = serde_json::from_value(json!({ "token": "t", "allow": [1] }))?;
    assert_eq!((short.api_base.as_str(), short.poll_timeout_s), ("https://api.telegram.org", 50));
    Ok(())
}
