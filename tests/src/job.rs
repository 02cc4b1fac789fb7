//! A whole scene: the doubles of a model vendor and of Telegram, a repository, and a configured home.

use std::time::Duration;

use testkit::{
    model::{ModelServer, Reply, SeenRequest},
    telegram::{Button, Settings, State, TelegramServer},
};
use tokio::runtime::Runtime;

use crate::{
    Home, Repository,
    brain::{Next, fixer},
    home::{KEY, OWNER, config},
    process::run,
};

/// How long a whole job may take on a loaded machine.
pub const WAIT: Duration = Duration::from_secs(60);

/// The scene. The runtime carries the doubles and must outlive them.
pub struct Job {
    pub chat: Chat,
    pub model: ModelServer,
    pub home: Home,
    pub repository: Repository,
    _runtime: Runtime,
}

impl Job {
    /// A scene whose model fixes the repository's failing tests.
    pub fn new(dialect: &str) -> Self {
        Self::with_brain(dialect, |request| match fixer(request) {
            Next::Call { say, tool, input } => Reply::tools(say, [(tool, input)]),
            Next::Say(text) => Reply::say(text),
        })
    }

    /// A scene with another model.
    pub fn with_brain(dialect: &str, brain: impl Fn(&SeenRequest) -> Reply + Send + Sync + 'static) -> Self {
        Self::with(dialect, Settings::default(), |config| config, brain)
    }

    /// A scene with another model, another kind of Telegram and a changed configuration.
    pub fn with(
        dialect: &str,
        settings: Settings,
        configure: impl Fn(String) -> String,
        brain: impl Fn(&SeenRequest) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (model, telegram) =
            runtime.block_on(async { (ModelServer::start(brain).await, TelegramServer::start_with(settings).await) });
        telegram.open_chat(OWNER);
        let home = Home::new();
        let repository = Repository::with_failing_tests(&home.beside("billing"));
        let base = match dialect {
            "openai-chat" | "openai-responses" => format!("{}/v1", model.base_url()),
            _ => model.base_url(),
        };
        home.configure(&configure(config(dialect, &base, &repository.path, Some(&telegram.base_url()))));
        for (name, value) in [("lab-key", KEY), ("telegram-token", telegram.token())] {
            let finished = run(&home.path(), &["secret", "set", name], value);
            assert_eq!(finished.code, Some(0), "{finished:?}");
        }
        let chat = Chat { server: telegram, handle: runtime.handle().clone() };
        Self { chat, model, home, repository, _runtime: runtime }
    }

    /// All that belongs to the chat's token and the model's key.
    pub fn secrets(&self) -> [String; 2] {
        [KEY.to_owned(), self.chat.server.token().to_owned()]
    }
}

/// The owner's side of the Telegram double.
pub struct Chat {
    pub server: TelegramServer,
    handle: tokio::runtime::Handle,
}

impl Chat {
    /// The owner writes.
    pub fn say(&self, text: &str) {
        self.server.push_text(OWNER, text);
    }

    /// Something arrives.
    pub fn push(&self, update: serde_json::Value) {
        self.server.push_update(update);
    }

    /// What the bot's messages in the owner's chat say at present.
    pub fn messages(&self) -> Vec<String> {
        self.server.sent(OWNER).iter().map(|message| message.text().to_owned()).collect()
    }

    /// Waits for a message of the bot that holds `part`, and gives it whole.
    pub fn wait_for_answer(&self, part: &str, limit: Duration) -> String {
        let find = |texts: Vec<String>| texts.into_iter().find(|text| text.contains(part));
        let seen = self.handle.block_on(
            self.server.wait_for(limit, |state| state.sent(OWNER).iter().any(|message| message.text().contains(part))),
        );
        assert!(seen, "no message with {part:?} came; the chat has {:#?}", self.messages());
        find(self.messages()).unwrap_or_default()
    }

    /// Waits until the double's state is as wanted.
    pub fn wait(&self, what: &str, limit: Duration, wanted: impl Fn(&State) -> bool) {
        let seen = self.handle.block_on(self.server.wait_for(limit, wanted));
        assert!(seen, "{what} did not happen; the chat has {:#?}", self.server.sent(OWNER));
    }

    /// Waits for a message with buttons in the owner's chat, and gives its number and them.
    pub fn wait_for_buttons(&self, limit: Duration) -> (i64, Vec<Button>) {
        self.wait("a message with buttons", limit, |state| !with_buttons(state).is_empty());
        with_buttons(&self.server.state()).pop().unwrap()
    }

    /// Waits until no message in the owner's chat has buttons.
    pub fn wait_for_no_buttons(&self, limit: Duration) {
        self.wait("the end of all buttons", limit, |state| with_buttons(state).is_empty());
    }

    /// The owner presses the button with this label under that message. Gives the number of the press.
    pub fn press(&self, (message, buttons): &(i64, Vec<Button>), label: &str) -> String {
        let button = buttons.iter().find(|button| button.text == label);
        self.server.push_callback(OWNER, *message, &button.unwrap_or_else(|| panic!("no {label}: {buttons:?}")).data)
    }

    /// Waits until the bot has said anything.
    pub fn wait_for_any_message(&self, limit: Duration) {
        let seen = self.handle.block_on(self.server.wait_for(limit, |state| !state.sent(OWNER).is_empty()));
        assert!(seen, "nothing was said");
    }

    /// Waits until the daemon asks for updates.
    pub fn wait_until_polling(&self) {
        let limit = Duration::from_secs(10);
        assert!(self.handle.block_on(self.server.wait_for(limit, |state| state.count("getUpdates") > 0)), "no poll");
    }

    /// The calls that reach somebody, by name and body.
    pub fn outgoing(&self) -> Vec<String> {
        let calls = self.server.calls();
        calls
            .iter()
            .filter(|call| call.reaches_someone())
            .map(|call| format!("{} {}", call.method, call.body))
            .collect()
    }

    /// Whether a draft or an edit showed this while the job ran.
    pub fn saw_progress(&self, part: &str) -> bool {
        self.outgoing().iter().any(|call| {
            (call.starts_with("sendMessageDraft") || call.starts_with("editMessageText")) && call.contains(part)
        })
    }
}

/// The bot's messages in the owner's chat that have buttons.
fn with_buttons(state: &State) -> Vec<(i64, Vec<Button>)> {
    let messages = state.sent(OWNER).into_iter().filter(|message| !message.buttons().is_empty());
    messages.map(|message| (message.id, message.buttons().to_vec())).collect()
}
