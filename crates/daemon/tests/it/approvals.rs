//! Approvals from the question to the rule that one leaves behind: buttons, words, the API, the second factor.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use channels::{Inbound, InboundKind};
use daemon::{Config, Daemon, client::Client};
use policy::totp::{Secret, step};
use serde_json::json;
use types::{Answer, Ask, Block, Clock, Code, Command, CommandReply, Event, OwnerRequest, Scope, Seq, Timestamp};

use crate::scene::{FakeChannel, FakeModel, GUEST, OWNER, Scene, message, options};

struct TestClock(AtomicI64);

impl TestClock {
    fn forward(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1_000, Ordering::SeqCst);
    }

    fn step(&self) -> u64 {
        step(u64::try_from(self.now().0 / 1_000).unwrap())
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// A model that writes a file when it is told to, and says what came of it.
fn writer() -> Arc<FakeModel> {
    FakeModel::new(|words| {
        if let Some(text) = words.strip_prefix("note ") {
            let input = json!({ "path": "note.txt", "content": text });
            return vec![Block::ToolUse { id: "call-1".to_owned(), name: "write".to_owned(), input }];
        }
        vec![Block::text(format!("it ended: {words}"))]
    })
}

const CONFIG: &str = "[api]\nlisten = \"127.0.0.1:0\"\n[tools]\nwrite = \"ask\"\n";

/// A daemon that asks about each write.
async fn asking(channel: Arc<FakeChannel>) -> (Scene, Arc<TestClock>) {
    let (home, model) = (tempfile::tempdir().unwrap(), writer());
    let clock = Arc::new(TestClock(AtomicI64::new(1_795_262_400_000)));
    let mut options = options(home.path(), &channel, &model);
    options.config = Some(Config::parse(CONFIG, Path::new("config.toml")).unwrap());
    options.clock = clock.clone();
    let daemon = Daemon::start(options).await.unwrap();
    (Scene { home, channel, model, daemon }, clock)
}

async fn open(client: &Client) -> OwnerRequest {
    let begun = Instant::now();
    loop {
        if let Some(request) = client.approvals().await.unwrap().pop() {
            return request;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "nothing was asked");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn press(number: &str, scene: &Scene, label: &str) -> Inbound {
    let buttons = scene.channel.buttons();
    let button = buttons.iter().find(|button| button.label.starts_with(label)).unwrap_or_else(|| panic!("{buttons:?}"));
    let kind = InboundKind::Button { nonce: button.data.clone(), callback_id: "c".to_owned(), message: None };
    Inbound { kind, ..message(number, OWNER, "") }
}

#[tokio::test]
async fn a_lasting_rule_is_shown_saved_used_and_taken_back() {
    let (scene, _) = asking(FakeChannel::new()).await;
    let client = scene.client().await;
    scene.channel.say("1", "note a").await;
    scene.channel.wait_for("Approval 1 needed").await;
    assert!(scene.channel.receive(press("2", &scene, "Always")).await);
    let shown = scene.channel.wait_for("until you take it back").await;
    assert!(shown.contains("its arguments are exactly"), "{shown}");
    assert_eq!(client.allowances().await.unwrap(), [], "it was saved before it was confirmed");
    assert!(scene.channel.receive(press("3", &scene, "Always allow")).await);
    scene.channel.wait_for("it ended: ").await;
    let rules = client.allowances().await.unwrap();
    assert_eq!(rules.len(), 1);
    // The same call is not asked about, another one is.
    let sent = scene.channel.texts().len();
    scene.channel.say("4", "note a").await;
    while client.allowances().await.unwrap()[0].uses == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!scene.channel.texts()[sent..].iter().any(|text| text.contains("needed")));
    scene.channel.say("5", "/allow").await;
    scene.channel.wait_for("Allowance 1").await;
    scene.channel.say("6", "/allow rm 1").await;
    scene.channel.wait_for("allowance 1 is taken back").await;
    assert_eq!(client.allowances().await.unwrap(), []);
    scene.channel.say("7", "note a").await;
    scene.channel.wait_for("Approval 2 needed").await;
    scene.daemon.stop().await;
}

#[tokio::test]
async fn a_lasting_rule_needs_its_digest_over_the_api() {
    let (scene, _) = asking(FakeChannel::new()).await;
    let client = scene.client().await;
    scene.channel.say("1", "note a").await;
    let request = open(&client).await;
    let Ask::Approval(question) = &request.ask else { panic!("{request:?}") };
    let digest = question.offer.clone().unwrap().digest;
    let say = |confirm: Option<&str>| Command::Answer {
        request: request.id,
        answer: Answer::Approved { scope: Scope::Always },
        code: None,
        confirm: confirm.map(str::to_owned),
    };
    for wrong in [None, Some(""), Some("0000000"), Some("0000000000000000")] {
        let reply = client.command(&say(wrong)).await.unwrap();
        assert!(matches!(reply, CommandReply::Confirm { ref confirm, .. } if *confirm == digest), "{reply:?}");
    }
    assert_eq!(client.approvals().await.unwrap().len(), 1);
    assert!(matches!(client.command(&say(Some(&digest))).await.unwrap(), CommandReply::Done { .. }));
    assert_eq!(client.allowances().await.unwrap().len(), 1);
    scene.daemon.stop().await;
}

#[tokio::test]
async fn an_answer_closes_the_question_everywhere_within_a_second() {
    let (scene, _) = asking(FakeChannel::new()).await;
    let client = scene.client().await;
    // Answered over the API: the messenger's message changes.
    scene.channel.say("1", "note a").await;
    scene.channel.wait_for("Approval 1 needed").await;
    let begun = Instant::now();
    client.command(&Command::answer(open(&client).await.id, Answer::Denied)).await.unwrap();
    let settled = scene.channel.wait_for("edit ").await;
    assert!(settled.contains("Approval 1: denied"), "{settled}");
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    scene.channel.wait_for("it ended: ").await;
    // Answered on the messenger: every client of the API hears of it.
    scene.channel.say("2", "note b").await;
    scene.channel.wait_for("Approval 2 needed").await;
    let mut events = client.events(Seq(0), None).await.unwrap();
    let begun = Instant::now();
    assert!(scene.channel.receive(press("3", &scene, "Approve")).await);
    loop {
        if let Event::OwnerAnswered { request, answer, .. } = events.next().await.unwrap().unwrap().event
            && request.0 == 2
        {
            assert_eq!(answer, Answer::ONCE);
            break;
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(client.approvals().await.unwrap(), []);
    scene.daemon.stop().await;
}

#[tokio::test]
async fn a_messenger_without_buttons_needs_the_word_that_was_shown() {
    let (scene, _) = asking(FakeChannel::without_buttons()).await;
    scene.channel.say("1", "note a").await;
    let question = scene.channel.wait_for("Approval 1 needed").await;
    let line = question.lines().find(|line| line.contains("/approve 1 ")).unwrap();
    let word = line.split("/approve 1 ").nth(1).unwrap().split_whitespace().next().unwrap();
    scene.channel.say("2", "/approve 1").await;
    scene.channel.wait_for("needs the word").await;
    scene.channel.say("3", "/approve 1 zzzzz").await;
    assert!(scene.channel.receive(message("4", GUEST, &format!("/approve 1 {word}"))).await);
    assert_eq!(scene.client().await.approvals().await.unwrap().len(), 1, "a guess or a guest counted");
    scene.channel.say("5", &format!("/approve 1 {word}")).await;
    scene.channel.wait_for("it ended: ").await;
    scene.daemon.stop().await;
}

/// Sets the second factor up and gives its secret.
async fn secured(client: &Client, clock: &TestClock) -> Secret {
    let secret = Secret::new([7; 20]);
    let set_up =
        |code: String| Command::SetUpTotp { secret: Code::new(secret.base32()), code: Code::new(code), present: None };
    assert!(client.command(&set_up("000000".to_owned())).await.is_err(), "a wrong code was taken");
    let reply = client.command(&set_up(secret.code(clock.step()))).await.unwrap();
    assert!(matches!(reply, CommandReply::Done { .. }), "{reply:?}");
    secret
}

#[tokio::test]
async fn what_widens_needs_the_code_and_a_code_counts_once() {
    let (scene, clock) = asking(FakeChannel::new()).await;
    let client = scene.client().await;
    let secret = secured(&client, &clock).await;
    scene.channel.say("1", "note a").await;
    scene.channel.wait_for("Approval 1 needed").await;
    scene.channel.receive(press("2", &scene, "For this task")).await;
    scene.channel.wait_for("until this task ends").await;
    scene.channel.receive(press("3", &scene, "Allow for this task")).await;
    scene.channel.wait_for("Write: `1 123456`").await;
    // The code that set it up was used.
    let used = secret.code(clock.step());
    scene.channel.say("4", &format!("1 {used}")).await;
    scene.channel.wait_for("4 more wrong ones").await;
    assert_eq!(client.approvals().await.unwrap().len(), 1);
    clock.forward(30);
    let code = secret.code(clock.step());
    scene.channel.say("5", &format!("1 {code}")).await;
    scene.channel.wait_for("it ended: ").await;
    assert!(scene.channel.texts().iter().any(|text| text.contains("for this task what the rule allows")));
    // Neither code went to the model or into the journal.
    assert!(!scene.model.asked().iter().any(|words| words.contains(&code) || words.contains(&used)));
    let home = scene.home;
    scene.daemon.stop().await;
    let journal = std::fs::read(home.path().join("factotum.db")).unwrap();
    for text in [code, secret.base32()] {
        assert!(!journal.windows(text.len()).any(|window| window == text.as_bytes()), "{text}");
    }
}

#[tokio::test]
async fn an_approval_of_one_harmless_call_needs_no_code() {
    let (scene, clock) = asking(FakeChannel::new()).await;
    let client = scene.client().await;
    secured(&client, &clock).await;
    scene.channel.say("1", "note a").await;
    let reply = client.command(&Command::answer(open(&client).await.id, Answer::ONCE)).await.unwrap();
    assert!(matches!(reply, CommandReply::Done { .. }), "{reply:?}");
    scene.daemon.stop().await;
}

#[tokio::test]
async fn five_wrong_codes_lock_it_for_a_quarter_of_an_hour_and_the_owner_is_told() {
    let (scene, clock) = asking(FakeChannel::new()).await;
    let client = scene.client().await;
    let secret = secured(&client, &clock).await;
    clock.forward(60);
    let off = |code: &str| Command::RemoveTotp { code: Code::new(code) };
    for _ in 0..5 {
        assert!(client.command(&off("000000")).await.is_err());
    }
    scene.channel.wait_for("wrong codes of the second factor").await;
    let right = secret.code(clock.step());
    let locked = client.command(&off(&right)).await.unwrap_err();
    assert!(locked.error.contains("15 min"), "{locked:?}");
    clock.forward(15 * 60);
    assert!(client.command(&off(&right)).await.is_err(), "an old code");
    assert!(client.command(&off(&secret.code(clock.step()))).await.is_ok());
    scene.daemon.stop().await;
}

#[tokio::test]
async fn a_configuration_that_widens_needs_the_code() {
    let (scene, clock) = asking(FakeChannel::new()).await;
    let client = scene.client().await;
    let secret = secured(&client, &clock).await;
    clock.forward(60);
    let put = |text: &str| std::fs::write(scene.home.path().join("config.toml"), text).unwrap();
    put(&format!("{CONFIG}exec = \"deny\"\n"));
    let narrower = client.command(&Command::Reload { code: None }).await.unwrap();
    assert!(matches!(narrower, CommandReply::Done { .. }), "{narrower:?}");
    put(CONFIG);
    let wider = client.command(&Command::Reload { code: None }).await.unwrap();
    assert!(matches!(&wider, CommandReply::CodeNeeded { text } if text.contains("`exec`")), "{wider:?}");
    let wrong = client.command(&Command::Reload { code: Some(Code::new("000000")) }).await;
    assert!(wrong.is_err(), "{wrong:?}");
    let code = Some(Code::new(secret.code(clock.step())));
    let done = client.command(&Command::Reload { code }).await.unwrap();
    assert!(matches!(done, CommandReply::Done { .. }), "{done:?}");
    scene.daemon.stop().await;
}

#[tokio::test]
async fn presses_of_others_and_made_up_buttons_do_nothing() {
    let (scene, _) = asking(FakeChannel::new()).await;
    let client = scene.client().await;
    scene.channel.say("1", "note a").await;
    scene.channel.wait_for("Approval 1 needed").await;
    let real = press("x", &scene, "Approve");
    let InboundKind::Button { nonce, .. } = &real.kind else { panic!("{real:?}") };
    let data = |data: String| InboundKind::Button { nonce: data, callback_id: "c".to_owned(), message: None };
    let save = format!("A{}", &nonce[1..]);
    let same_name = channels::Sender { user: "666".to_owned(), name: "Ann".to_owned() };
    let sent = scene.channel.texts().len();
    for (number, item) in [
        Inbound { sender: same_name.clone(), ..real.clone() },
        Inbound { sender: same_name, chat: "666".to_owned(), ..real.clone() },
        Inbound { private: false, chat: "-100".to_owned(), ..real.clone() },
        Inbound { edited: true, ..real.clone() },
        Inbound { forwarded: true, ..real.clone() },
        Inbound { from_bot: true, ..real.clone() },
        Inbound { kind: data(format!("y{}", "0".repeat(32))), ..real.clone() },
        Inbound { kind: data(save), ..real.clone() },
        Inbound { sender: channels::Sender { user: GUEST.to_owned(), name: String::new() }, ..real.clone() },
    ]
    .into_iter()
    .enumerate()
    {
        let item = Inbound { remote_id: format!("forged-{number}"), ..item };
        assert!(scene.channel.receive(item).await);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(client.approvals().await.unwrap().len(), 1, "a forged press counted");
    assert_eq!(scene.channel.texts().len(), sent, "something was said: {:?}", &scene.channel.texts()[sent..]);
    assert_eq!(client.allowances().await.unwrap(), []);
    scene.daemon.stop().await;
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_the_question_open_and_nobody_means_no() {
    let (scene, clock) = asking(FakeChannel::new()).await;
    let reply = {
        let client = scene.client().await;
        let command = Command::Send {
            text: "note a".to_owned(),
            session: None,
            workspace: None,
            when_busy: types::WhenBusy::Steer,
            id: None,
        };
        let reply = client.command(&command).await.unwrap();
        drop(client.events(Seq(0), None).await.unwrap());
        reply
    };
    assert!(matches!(reply, CommandReply::Accepted { .. }));
    let client = scene.client().await;
    let id = open(&client).await.id;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(client.approvals().await.unwrap().len(), 1, "it was settled by itself");
    clock.forward(601);
    let late = client.command(&Command::answer(id, Answer::ONCE)).await.unwrap_err();
    assert!(late.error.contains("expired"), "{late:?}");
    scene.daemon.stop().await;
}
