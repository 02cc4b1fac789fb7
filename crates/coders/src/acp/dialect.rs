//! One conversation over the protocol.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use crate::{
    CoderCommand, CoderEnd, CoderEvent, Dialect, Heard, PlanStep, Start, Stream, Trouble, Unsupported,
    border::{MAX_LINE, MAX_STEPS, MAX_TEXT},
    names, text,
};

use super::{
    agent::Agent,
    errors::failure,
    permissions::{Permissions, answer},
    spend::Spend,
    tools::Tools,
};

/// Words that may wait until the program can take them.
const MAX_WAITING: usize = 64;
/// Thoughts are told in pieces of about this many bytes.
const THOUGHT: usize = 4096;
/// Lines without meaning that are told.
const MAX_NOTES: u32 = 50;
/// Where names lie in its lines.
const NAMES: [&str; 8] = [
    "/id",
    "/params/sessionId",
    "/params/update/toolCallId",
    "/params/update/messageId",
    "/params/toolCall/toolCallId",
    "/params/options/*/optionId",
    "/result/sessionId",
    "/result/authMethods/*/id",
];

/// What an answer is about.
#[derive(Debug)]
enum About {
    Initialize,
    Authenticate,
    Session,
    Model,
    Prompt,
}

/// The conversation.
pub(super) struct Conversation {
    start: Start,
    count: u64,
    open: BTreeMap<u64, About>,
    agent: Agent,
    authenticated: bool,
    session: Option<String>,
    /// Whether there is no conversation and will be none.
    lost: bool,
    /// Words that wait for the conversation, or for the end of the prompt that runs.
    waiting: VecDeque<String>,
    busy: bool,
    halted: bool,
    said: String,
    /// The message that `said` is of.
    message: Option<String>,
    thought: String,
    last_text: String,
    last_error: String,
    notes: u32,
    tools: Tools,
    permissions: Permissions,
    spend: Spend,
}

impl Conversation {
    pub fn new(start: &Start) -> Self {
        Self {
            count: 0,
            open: BTreeMap::new(),
            agent: Agent::default(),
            authenticated: false,
            session: None,
            lost: false,
            waiting: VecDeque::new(),
            busy: false,
            halted: false,
            said: String::new(),
            message: None,
            thought: String::new(),
            last_text: String::new(),
            last_error: String::new(),
            notes: 0,
            tools: Tools::default(),
            permissions: Permissions::default(),
            spend: Spend::new(start.spent),
            start: start.clone(),
        }
    }

    fn request(&mut self, about: About, method: &str, params: &Value) -> String {
        self.count += 1;
        self.open.insert(self.count, about);
        json!({"jsonrpc": "2.0", "id": self.count, "method": method, "params": params}).to_string()
    }

    fn message(&mut self, line: &Value) -> Heard {
        match (line["method"].as_str(), line.get("id").filter(|id| !id.is_null())) {
            (Some("session/update"), None) => Heard::told(self.update(&line["params"])),
            (Some("session/request_permission"), Some(id)) => {
                let is_ours = self.busy && !self.halted && self.is_ours(&line["params"]);
                match is_ours.then(|| self.permissions.asked(id, &line["params"])) {
                    Some(Ok(event)) => Heard::told([event]),
                    Some(Err(answer)) => Heard::wrote(vec![answer]),
                    None => Heard::wrote(vec![answer(id, None)]),
                }
            }
            // Nothing was offered; some ask all the same.
            (Some(method), Some(id)) => {
                let error = json!({"code": -32601, "message": format!("{} is not offered", text::head(method, 100))});
                let line = json!({"jsonrpc": "2.0", "id": id, "error": error}).to_string();
                Heard::wrote(vec![line])
            }
            (Some(method), None) => Heard::told([CoderEvent::Other { kind: text::head(method, 100).to_owned() }]),
            (None, Some(id)) => match id.as_u64().and_then(|id| self.open.remove(&id)) {
                Some(about) if line["error"].is_null() => self.answered(&about, &line["result"]),
                Some(about) => self.refused(&about, &line["error"]),
                None => Heard::default(),
            },
            (None, None) => Heard::default(),
        }
    }

    fn is_ours(&self, about: &Value) -> bool {
        about["sessionId"].as_str().is_some() && about["sessionId"].as_str() == self.session.as_deref()
    }

    fn answered(&mut self, about: &About, result: &Value) -> Heard {
        match about {
            About::Initialize => {
                self.agent = Agent::read(result);
                self.begin()
            }
            About::Authenticate => self.begin(),
            About::Session => self.begun(result),
            About::Model => Heard::default(),
            About::Prompt => self.prompt_ended(result),
        }
    }

    fn refused(&mut self, about: &About, error: &Value) -> Heard {
        let (trouble, message) = failure(error);
        match about {
            About::Session if trouble == Trouble::Auth && !self.authenticated => self.authenticate(trouble, message),
            About::Session => {
                let trouble = if self.start.resume.is_some() { Trouble::Lost } else { trouble };
                self.without_conversation(trouble, message)
            }
            About::Initialize | About::Authenticate => self.without_conversation(trouble, message),
            About::Model => Heard::told([CoderEvent::Note { text: message }]),
            About::Prompt => {
                self.waiting.clear();
                let is_cancelled = self.halted;
                let end = CoderEnd::Failed { trouble, message };
                Heard::told(self.finish(if is_cancelled { CoderEnd::Interrupted } else { end }))
            }
        }
    }

    /// Asks for the conversation.
    fn begin(&mut self) -> Heard {
        let mut params = json!({"cwd": sandbox::WORKSPACE, "mcpServers": []});
        let method = match (&self.start.resume, self.start.fork) {
            (None, _) => "session/new",
            (Some(_), true) if self.agent.forks => "session/fork",
            // Without telling everything again.
            (Some(_), false) if self.agent.resumes => "session/resume",
            (Some(_), false) if self.agent.loads => "session/load",
            (Some(_), fork) => {
                let what = if fork { "copy" } else { "resume" };
                return self.without_conversation(Trouble::Lost, format!("it cannot {what} a conversation"));
            }
        };
        if let Some(id) = &self.start.resume {
            params["sessionId"] = json!(id);
        }
        let line = self.request(About::Session, method, &params);
        Heard::wrote(vec![line])
    }

    /// It wants to know who asks: by a key in its environment, where it offers that.
    fn authenticate(&mut self, trouble: Trouble, message: String) -> Heard {
        let Some(method) = self.agent.login.clone() else { return self.without_conversation(trouble, message) };
        self.authenticated = true;
        let line = self.request(About::Authenticate, "authenticate", &json!({"methodId": method}));
        Heard::wrote(vec![line])
    }

    fn without_conversation(&mut self, trouble: Trouble, message: String) -> Heard {
        self.lost = true;
        self.waiting.clear();
        let mut heard = Heard::broken(message.clone());
        if self.busy {
            heard.events = self.finish(CoderEnd::Failed { trouble, message });
        }
        heard
    }

    fn begun(&mut self, result: &Value) -> Heard {
        let named = result["sessionId"].as_str().map(str::to_owned);
        let Some(session) = named.or_else(|| self.start.resume.clone().filter(|_| !self.start.fork)) else {
            return self.without_conversation(Trouble::Crashed, "it made no conversation".to_owned());
        };
        self.session = Some(session.clone());
        let version = self.agent.version.clone();
        let mut lines = Vec::new();
        let mut told = Vec::new();
        match self.model(&session, result) {
            Some(Ok(line)) => lines.push(line),
            Some(Err(note)) => told.push(CoderEvent::Note { text: note }),
            None => {}
        }
        told.insert(0, CoderEvent::Started { session, model: self.start.model.clone(), version });
        if self.halted && self.busy {
            self.waiting.clear();
            told.extend(self.finish(CoderEnd::Interrupted));
        }
        lines.extend(self.next_prompt());
        Heard { events: told, lines, broken: None }
    }

    /// Chooses the model that the owner named, in one of the two ways that programs offer.
    fn model(&mut self, session: &str, result: &Value) -> Option<Result<String, String>> {
        let wanted = self.start.model.clone()?;
        let mut options = result["configOptions"].as_array().into_iter().flatten();
        if let Some(option) = options.find(|option| option["category"] == "model" || option["id"] == "model") {
            if option["currentValue"] == wanted.as_str() {
                return None;
            }
            let id = option["id"].as_str().filter(|id| names::is_fit(id)).unwrap_or("model");
            let params = json!({"sessionId": session, "configId": id, "value": wanted});
            return Some(Ok(self.request(About::Model, "session/set_config_option", &params)));
        }
        if result["models"]["currentModelId"] == wanted.as_str() {
            return None;
        }
        if !result["models"].is_null() {
            let params = json!({"sessionId": session, "modelId": wanted});
            return Some(Ok(self.request(About::Model, "session/set_model", &params)));
        }
        Some(Err(format!("it has no way to choose the model {wanted}")))
    }

    /// The next words that wait, if it can take them.
    fn next_prompt(&mut self) -> Option<String> {
        let is_prompted = self.open.values().any(|about| matches!(about, About::Prompt));
        let session = match (&self.session, self.lost) {
            (Some(session), _) => session.clone(),
            // Its refusal is what tells that the conversation is lost.
            (None, true) => self.start.resume.clone().unwrap_or_default(),
            (None, false) => return None,
        };
        if is_prompted || self.halted {
            return None;
        }
        let text = self.waiting.pop_front()?;
        let params = json!({"sessionId": session, "prompt": [{"type": "text", "text": text}]});
        Some(self.request(About::Prompt, "session/prompt", &params))
    }

    fn prompt_ended(&mut self, result: &Value) -> Heard {
        let mut told = self.flush();
        told.extend(self.spend.prompt(&result["usage"]).map(CoderEvent::Spent));
        let reason = result["stopReason"].as_str().unwrap_or_default();
        // Words that came meanwhile are answered before the turn is over.
        if reason == "end_turn" && !self.halted && !self.waiting.is_empty() {
            let lines = self.next_prompt().into_iter().collect();
            return Heard { events: told, lines, broken: None };
        }
        self.waiting.clear();
        let failed = |trouble, message: &str| CoderEnd::Failed { trouble, message: message.to_owned() };
        let text = self.last_text.clone();
        let end = match reason {
            _ if self.halted => CoderEnd::Interrupted,
            "cancelled" => CoderEnd::Interrupted,
            "end_turn" if text.trim().is_empty() => failed(Trouble::Server, "the model's answer was empty"),
            "end_turn" => CoderEnd::Done { text },
            "max_tokens" => failed(Trouble::Other, "the model's answer was cut by its limit of output"),
            "max_turn_requests" => failed(Trouble::OwnLimit, "it reached its own limit of requests"),
            "refusal" => failed(Trouble::Refused, "the model refused"),
            other => failed(Trouble::Other, &format!("it stopped for a reason of its own: {}", text::summary(other))),
        };
        told.extend(self.finish(end));
        Heard::told(told)
    }

    fn finish(&mut self, end: CoderEnd) -> Vec<CoderEvent> {
        self.busy = false;
        let mut told = self.flush();
        told.extend(self.tools.end());
        told.extend(self.permissions.end());
        told.push(CoderEvent::Finished { end });
        told
    }

    fn update(&mut self, params: &Value) -> Vec<CoderEvent> {
        let update = &params["update"];
        let kind = update["sessionUpdate"].as_str().unwrap_or_default();
        // What is told before the conversation is ours, or between turns, is told again from earlier.
        if kind == "usage_update" {
            return self.spend.cost(&update["cost"]).map(CoderEvent::Spent).into_iter().collect();
        }
        if !self.is_ours(params) || !self.busy {
            return Vec::new();
        }
        match kind {
            "agent_message_chunk" => self.chunk(update),
            "agent_thought_chunk" => {
                let mut told = self.flush_said();
                let more = update["content"]["text"].as_str().unwrap_or_default();
                self.thought.push_str(text::head(more, MAX_TEXT));
                if self.thought.len() >= THOUGHT {
                    told.extend(self.flush_thought());
                }
                told
            }
            "tool_call" | "tool_call_update" => {
                let mut told = self.flush();
                told.extend(self.tools.updated(update));
                told
            }
            "plan" => {
                let step = |entry: &Value| PlanStep {
                    text: text::head(entry["content"].as_str().unwrap_or_default(), MAX_LINE).to_owned(),
                    done: entry["status"] == "completed",
                };
                let entries = update["entries"].as_array().into_iter().flatten().take(MAX_STEPS);
                vec![CoderEvent::Plan { steps: entries.map(step).collect() }]
            }
            "user_message_chunk"
            | "available_commands_update"
            | "current_mode_update"
            | "config_option_update"
            | "session_info_update" => Vec::new(),
            kind => vec![CoderEvent::Other { kind: text::head(kind, 100).to_owned() }],
        }
    }

    fn chunk(&mut self, update: &Value) -> Vec<CoderEvent> {
        let Some(more) = update["content"]["text"].as_str() else { return Vec::new() };
        let mut told = self.flush_thought();
        let message = update["messageId"].as_str().map(str::to_owned);
        if message != self.message {
            told.extend(self.flush_said());
            self.message = message;
        }
        self.said.push_str(text::head(more, MAX_TEXT.saturating_sub(self.said.len())));
        told.push(CoderEvent::TextDelta { text: more.to_owned() });
        told
    }

    /// The protocol does not say when a text is whole: the next thing that happens does.
    fn flush(&mut self) -> Vec<CoderEvent> {
        let mut told = self.flush_thought();
        told.extend(self.flush_said());
        told
    }

    fn flush_said(&mut self) -> Vec<CoderEvent> {
        if self.said.is_empty() {
            return Vec::new();
        }
        self.last_text = std::mem::take(&mut self.said);
        vec![CoderEvent::Text { text: self.last_text.clone() }]
    }

    fn flush_thought(&mut self) -> Vec<CoderEvent> {
        if self.thought.is_empty() {
            return Vec::new();
        }
        vec![CoderEvent::Thinking { text: std::mem::take(&mut self.thought) }]
    }
}

impl Dialect for Conversation {
    fn open(&mut self) -> Vec<String> {
        let files = json!({"readTextFile": false, "writeTextFile": false});
        let params = json!({"protocolVersion": 1, "clientCapabilities": {"fs": files, "terminal": false}});
        vec![self.request(About::Initialize, "initialize", &params)]
    }

    fn heard(&mut self, stream: Stream, line: &str) -> Heard {
        if stream == Stream::Err {
            if !line.trim().is_empty() {
                self.last_error = text::message(line);
            }
            return Heard::default();
        }
        match serde_json::from_str::<Value>(line) {
            Ok(message) if message.is_object() => match names::unfit(&message, &NAMES) {
                Some(why) => Heard::broken(why),
                None => self.message(&message),
            },
            Ok(_) | Err(_) if self.notes < MAX_NOTES && !line.trim().is_empty() => {
                self.notes += 1;
                Heard::told([CoderEvent::Note { text: text::summary(line) }])
            }
            Ok(_) | Err(_) => Heard::default(),
        }
    }

    fn command(&mut self, command: &CoderCommand) -> Result<Vec<String>, Unsupported> {
        let unsupported = |why| Err(Unsupported { coder: "acp", why });
        match command {
            CoderCommand::Prompt { text } | CoderCommand::Steer { text } => {
                if self.waiting.len() >= MAX_WAITING {
                    return unsupported("has not read what it was told before");
                }
                if !self.busy {
                    self.last_text.clear();
                    self.said.clear();
                    (self.busy, self.halted) = (true, false);
                }
                self.waiting.push_back(text.clone());
                Ok(self.next_prompt().into_iter().collect())
            }
            CoderCommand::Interrupt => {
                if !self.busy || self.halted {
                    return Ok(Vec::new());
                }
                self.halted = true;
                self.waiting.clear();
                let Some(session) = &self.session else { return Ok(Vec::new()) };
                let params = json!({"sessionId": session});
                let mut lines =
                    vec![json!({"jsonrpc": "2.0", "method": "session/cancel", "params": params}).to_string()];
                lines.extend(self.permissions.cancel());
                Ok(lines)
            }
            CoderCommand::Answer { permission, verdict } => {
                Ok(self.permissions.answer(permission, verdict).into_iter().collect())
            }
            CoderCommand::Close => unsupported("knows no polite end: it is killed"),
        }
    }

    fn ended(&mut self, code: Option<i32>) -> Vec<CoderEvent> {
        if !self.busy {
            return Vec::new();
        }
        let how = match code {
            Some(code) => format!("its program ended with exit code {code}"),
            None => "its program was killed".to_owned(),
        };
        let message = if self.last_error.is_empty() { how } else { format!("{how}: {}", self.last_error) };
        self.finish(CoderEnd::Failed { trouble: Trouble::Crashed, message })
    }

    fn is_busy(&self) -> bool {
        self.busy
    }
}
