//! One conversation with opencode's server: what its lines mean and what is written in turn.

use serde_json::{Value, json};

use crate::{CoderCommand, CoderEvent, Dialect, Heard, Start, Stream, Trouble, Unsupported, names};

use super::{
    messages::Messages,
    parts::Parts,
    permissions::Permissions,
    requests::{About, Requests, answer, escaped},
    spend::Spend,
    split,
    turn::Turn,
};

/// How often its server is asked whether it answers, before it did.
const MAX_PROBES: u32 = 40;
/// How often the stream of events is asked for again without a word from it in between.
const MAX_SILENT_STREAMS: u32 = 20;
/// The newest messages, which are asked for when the stream of events was lost.
const MESSAGES: u32 = 40;
/// Where names lie in the lines of the bridge.
const NAMES: [&str; 20] = [
    "/id",
    "/event/properties/id",
    "/event/properties/sessionID",
    "/event/properties/messageID",
    "/event/properties/partID",
    "/event/properties/requestID",
    "/event/properties/info/id",
    "/event/properties/info/sessionID",
    "/event/properties/info/parentID",
    "/event/properties/part/id",
    "/event/properties/part/messageID",
    "/event/properties/part/sessionID",
    "/body/id",
    "/body/*/id",
    "/body/*/sessionID",
    "/body/*/info/id",
    "/body/*/info/sessionID",
    "/body/*/parts/*/id",
    "/body/*/parts/*/messageID",
    "/body/*/parts/*/sessionID",
];

/// The conversation.
pub(super) struct Conversation {
    start: Start,
    requests: Requests,
    pub(super) messages: Messages,
    pub(super) parts: Parts,
    pub(super) permissions: Permissions,
    pub(super) spend: Spend,
    pub(super) turn: Turn,
    /// Prompts that wait until the conversation is known.
    waiting: Vec<(u64, String)>,
    /// Whether there is no conversation and will be none.
    lost: bool,
    /// How often the server did not answer at the beginning.
    probes: u32,
    /// Streams of events that were opened since the last word.
    pub(super) silent_streams: u32,
    /// The model's newest message in our conversation.
    pub(super) said: Option<String>,
    /// Whether the model's newest message has neither been completed nor failed.
    pub(super) answering: bool,
    /// The newest message when the turn began: what is told of older ones is about earlier turns.
    pub(super) before: Option<String>,
    /// Whether what there is must be asked for again, once it is known what there was.
    again: bool,
}

impl Conversation {
    pub fn new(start: &Start) -> Self {
        Self {
            requests: Requests::new(&start.fresh),
            messages: Messages::default(),
            parts: Parts::default(),
            permissions: Permissions::default(),
            spend: Spend::new(start.spent),
            turn: Turn::default(),
            waiting: Vec::new(),
            lost: false,
            probes: 0,
            silent_streams: 0,
            said: None,
            answering: false,
            before: None,
            again: false,
            start: start.clone(),
        }
    }

    /// A line of the bridge.
    fn bridged(&mut self, line: &Value) -> Heard {
        let Some(id) = line["id"].as_str() else { return Heard::default() };
        if let Some(event) = line.get("event") {
            return match self.requests.about(id) {
                Some(About::Events) => self.event(event),
                _ => Heard::default(),
            };
        }
        // An event was too large for a line: what there is must be asked for.
        if line.get("skipped").is_some() {
            return self.connected();
        }
        // A stream answers when it opens, and goes on.
        let is_open = line["status"].as_u64() == Some(200) && self.requests.about(id) == Some(&About::Events);
        if is_open {
            return Heard::default();
        }
        let Some(about) = self.requests.close(id) else { return Heard::default() };
        match about {
            About::Events => self.stream_lost(),
            about => match answer(line) {
                Ok(body) => self.answered(&about, body),
                Err((trouble, message)) => self.unanswered(&about, trouble, message),
            },
        }
    }

    fn answered(&mut self, about: &About, body: &Value) -> Heard {
        match about {
            About::Health => Heard::wrote(vec![self.requests.events()]),
            About::Session => self.session_known(body),
            About::Messages => self.caught_up(body),
            About::Permissions | About::Questions => {
                let prefix = if *about == About::Permissions { "per" } else { "que" };
                let listed: Vec<Value> = body.as_array().cloned().unwrap_or_default();
                let mut heard = Heard::told(self.permissions.only(&listed, prefix));
                heard.events.extend(listed.iter().filter_map(|asked| self.asked(asked)));
                heard
            }
            About::Status => self.status_known(body),
            About::Abort | About::Prompt(_) | About::Reply | About::Events => Heard::default(),
        }
    }

    fn unanswered(&mut self, about: &About, trouble: Trouble, message: String) -> Heard {
        match about {
            About::Health => {
                self.probes += 1;
                if self.probes < MAX_PROBES {
                    return Heard::wrote(vec![self.requests.health()]);
                }
                self.server_gone(message)
            }
            About::Session => {
                self.lost = true;
                for (prompt, _) in std::mem::take(&mut self.waiting) {
                    self.turn.refused(prompt, trouble, message.clone());
                }
                Heard { broken: Some(message), ..self.finish_if(self.turn.is_busy()) }
            }
            About::Prompt(prompt) => {
                self.turn.refused(*prompt, trouble, message);
                // Where a turn runs it goes on without these words; where none does, there is nothing to wait for.
                let line = self.requests.get(About::Status, "/session/status");
                Heard::wrote(vec![line])
            }
            About::Status => self.finish_if(self.turn.is_over_when_idle()),
            About::Messages => {
                let mut lines = vec![self.requests.get(About::Status, "/session/status")];
                lines.extend(self.asked_again());
                Heard { events: vec![CoderEvent::Note { text: message }], lines, broken: None }
            }
            About::Reply | About::Abort | About::Permissions | About::Questions | About::Events => {
                Heard::told(vec![CoderEvent::Note { text: message }])
            }
        }
    }

    fn session_known(&mut self, info: &Value) -> Heard {
        let Some(id) = info["id"].as_str() else {
            return self.unanswered(&About::Session, Trouble::Crashed, "its server made no conversation".to_owned());
        };
        self.messages.begin(id);
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let (session, version) = (id.to_owned(), text(&info["version"]));
        let mut events = vec![CoderEvent::Started { session, model: self.start.model.clone(), version }];
        // A copy says zero at first; what it goes on from was counted before.
        events.extend(self.spend.session(info).map(CoderEvent::Spent));
        let waiting = std::mem::take(&mut self.waiting);
        if self.turn.halted {
            for (prompt, _) in waiting {
                self.turn.refused(prompt, Trouble::Other, String::new());
            }
            let heard = self.finish_if(self.turn.is_busy());
            events.extend(heard.events);
            return Heard::told(events);
        }
        let lines = waiting.into_iter().filter_map(|(prompt, text)| self.prompt(prompt, &text)).collect();
        Heard { events, lines, broken: None }
    }

    /// The stream of events broke, or an event was too large for a line.
    fn stream_lost(&mut self) -> Heard {
        self.silent_streams += 1;
        if self.silent_streams > MAX_SILENT_STREAMS {
            return self.server_gone("its server does not tell what happens".to_owned());
        }
        Heard::wrote(vec![self.requests.events()])
    }

    /// Its server does not answer any more.
    fn server_gone(&mut self, why: String) -> Heard {
        self.turn.give_up(Trouble::Crashed, why.clone());
        Heard { broken: Some(why), ..self.finish_if(self.turn.is_busy()) }
    }

    /// The stream is open: everything from here on is told.
    pub(super) fn connected(&mut self) -> Heard {
        if let Some(session) = self.messages.session() {
            if self.requests.is_open(&About::Messages) {
                self.again = true;
                return Heard::default();
            }
            let path = format!("/session/{session}/message?limit={MESSAGES}");
            let lines = vec![
                self.requests.get(About::Messages, &path),
                self.requests.get(About::Permissions, "/permission"),
                self.requests.get(About::Questions, "/question"),
            ];
            return Heard::wrote(lines);
        }
        if self.lost || self.requests.is_open(&About::Session) {
            return Heard::default();
        }
        let line = match (&self.start.resume, self.start.fork) {
            (None, _) => {
                // With a title of its own it does not ask its model for one, which nobody would have counted.
                self.requests.post(About::Session, "/session", &json!({"title": "job"}))
            }
            (Some(id), false) => self.requests.get(About::Session, &format!("/session/{}", escaped(id))),
            (Some(id), true) => {
                self.requests.post(About::Session, &format!("/session/{}/fork", escaped(id)), &json!({}))
            }
        };
        Heard::wrote(vec![line])
    }

    /// What was said while nobody listened. Of a conversation that was resumed, only what came since then.
    fn caught_up(&mut self, body: &Value) -> Heard {
        let messages = body.as_array().map(Vec::as_slice).unwrap_or_default();
        let known = messages.iter().position(|message| self.messages.kind(&message["info"]["id"]).is_some());
        let fresh = if self.start.resume.is_none() { Some(0) } else { None };
        // A prompt of ours that was taken up meanwhile is the last one of a person.
        let last = || messages.iter().rposition(|message| message["info"]["role"] == "user");
        let from = known.or(fresh).or_else(|| last().filter(|_| self.turn.is_waiting())).unwrap_or(messages.len());
        let mut heard = Heard::default();
        for message in &messages[from..] {
            heard.events.extend(self.message(&message["info"]).events);
            for part in message["parts"].as_array().into_iter().flatten() {
                heard.events.extend(self.part(part).events);
            }
        }
        heard.lines.push(self.requests.get(About::Status, "/session/status"));
        heard.lines.extend(self.asked_again());
        heard
    }

    /// What is asked for again because more was lost meanwhile.
    fn asked_again(&mut self) -> Vec<String> {
        if std::mem::take(&mut self.again) { self.connected().lines } else { Vec::new() }
    }

    pub(super) fn finish_if(&mut self, is_over: bool) -> Heard {
        if !is_over {
            return Heard::default();
        }
        let mut over = self.parts.end();
        over.extend(self.permissions.end());
        let end = self.turn.end(&self.parts.last_text);
        over.push(CoderEvent::Finished { end });
        Heard::told(over)
    }

    pub(super) fn abort_if(&mut self, wanted: bool) -> Vec<String> {
        let Some(session) = self.messages.session().filter(|_| wanted) else { return Vec::new() };
        if self.requests.is_open(&About::Abort) {
            return Vec::new();
        }
        vec![self.requests.post(About::Abort, &format!("/session/{session}/abort"), &json!({}))]
    }

    /// The line for a prompt; none while there is no conversation.
    fn prompt(&mut self, prompt: u64, text: &str) -> Option<String> {
        let session = match (self.messages.session(), self.lost) {
            (Some(session), _) => session.to_owned(),
            // Its refusal is what tells that the conversation is lost.
            (None, true) => escaped(self.start.resume.as_deref().unwrap_or("none")),
            (None, false) => {
                self.waiting.push((prompt, text.to_owned()));
                return None;
            }
        };
        let mut body = json!({"parts": [{"type": "text", "text": text}]});
        if let Some((provider, model)) = self.start.model.as_deref().and_then(split) {
            body["model"] = json!({"providerID": provider, "modelID": model});
        }
        Some(self.requests.post(About::Prompt(prompt), &format!("/session/{session}/prompt_async"), &body))
    }
}

impl Dialect for Conversation {
    fn open(&mut self) -> Vec<String> {
        vec![self.requests.health()]
    }

    fn heard(&mut self, stream: Stream, line: &str) -> Heard {
        if stream == Stream::Err {
            return Heard::default();
        }
        match serde_json::from_str::<Value>(line) {
            Ok(line) if line.is_object() => match names::unfit(&line, &NAMES) {
                Some(why) => Heard::broken(why),
                None => self.bridged(&line),
            },
            // Its own greeting, or a line that was cut.
            Ok(_) | Err(_) => Heard::default(),
        }
    }

    fn command(&mut self, command: &CoderCommand) -> Result<Vec<String>, Unsupported> {
        let unsupported = |why| Err(Unsupported { coder: "opencode", why });
        match command {
            CoderCommand::Prompt { text } | CoderCommand::Steer { text } => {
                if !self.turn.is_busy() {
                    self.before = self.messages.newest().map(str::to_owned);
                }
                match self.turn.say() {
                    Some(prompt) => Ok(self.prompt(prompt, text).into_iter().collect()),
                    None => unsupported("has not read what it was told before"),
                }
            }
            CoderCommand::Interrupt => {
                self.turn.halted = self.turn.is_busy();
                Ok(self.abort_if(self.turn.halted))
            }
            CoderCommand::Answer { permission, verdict } => {
                Ok(self.permissions.answer(&mut self.requests, permission, verdict).into_iter().collect())
            }
            CoderCommand::Close => unsupported("has no polite end: its server is killed"),
        }
    }

    fn ended(&mut self, code: Option<i32>) -> Vec<CoderEvent> {
        if !self.turn.is_busy() {
            return Vec::new();
        }
        let message = match code {
            Some(code) => format!("its server ended with exit code {code}"),
            None => "its server was killed".to_owned(),
        };
        self.turn.failed(Trouble::Crashed, message);
        self.finish_if(true).events
    }

    fn is_busy(&self) -> bool {
        self.turn.is_busy()
    }
}
