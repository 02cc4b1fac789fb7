//! Claude Code's stream of JSON lines, both ways. Every line is looked at leniently: what is missing or of another kind than
//! expected is left out, what is unknown is told as such.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::{
    CoderCommand, CoderEnd, CoderEvent, Dialect, Heard, PINS, Permission, Start, Stream as Pipe, Totals, Trouble,
    Unsupported, Verdict, border::MAX_REMARK, names, text,
};

use super::{ends, plan::Plan, tools};

/// Tools and questions that are kept in mind at once, and the bytes of all that is asked.
const MAX_OPEN: usize = 1_024;
const MAX_OPEN_BYTES: usize = 16 * 1024 * 1024;
/// Where names lie in its lines.
const NAMES: [&str; 8] = [
    "/session_id",
    "/uuid",
    "/request_id",
    "/command_uuid",
    "/parent_tool_use_id",
    "/response/request_id",
    "/message/content/*/id",
    "/message/content/*/tool_use_id",
];
/// After so many tools it is asked what it has used, because it says so by itself only at the end of a turn.
const ASK_USED: u32 = 3;

/// A tool that runs.
struct Tool {
    /// What it changes if it goes well.
    file: Option<String>,
}

/// A conversation with one program.
pub(super) struct Stream {
    fresh: String,
    /// What the conversation had used before this program.
    before: Totals,
    /// What the program has forgotten of that, once it has said its first total.
    forgotten: Option<Totals>,
    spent: Option<Totals>,
    session: Option<String>,
    busy: bool,
    interrupted: bool,
    /// How many messages were written, and those of them that the program has not begun with.
    written: u64,
    unread: BTreeSet<String>,
    /// Whether the program tells when it begins with a message.
    tells_reading: bool,
    requests: u64,
    tools_since: u32,
    asks_used: Option<String>,
    /// What is asked, by the number of the question.
    asked: BTreeMap<String, Asked>,
    tools: BTreeMap<String, Tool>,
    plan: Plan,
    /// The last line on its standard error.
    complaint: String,
}

/// A question that waits.
struct Asked {
    /// The arguments that a yes repeats.
    input: Value,
    /// How long they are.
    bytes: usize,
}

impl Stream {
    pub fn new(start: &Start) -> Self {
        let resumed = start.resume.is_some();
        Self {
            fresh: start.fresh.clone(),
            before: if resumed { start.spent } else { Totals::default() },
            forgotten: None,
            spent: None,
            session: None,
            busy: false,
            interrupted: false,
            written: 0,
            unread: BTreeSet::new(),
            tells_reading: false,
            requests: 0,
            tools_since: 0,
            asks_used: None,
            asked: BTreeMap::new(),
            tools: BTreeMap::new(),
            plan: Plan::default(),
            complaint: String::new(),
        }
    }

    /// A request of ours, and its number.
    fn request(&mut self, request: &Value) -> (String, String) {
        self.requests += 1;
        let id = format!("f{}", self.requests);
        (json!({"type": "control_request", "request_id": id, "request": request}).to_string(), id)
    }

    fn ask_used(&mut self) -> String {
        let (line, id) = self.request(&json!({"subtype": "get_usage", "skip_behaviors": true, "detached": true}));
        self.asks_used = Some(id);
        line
    }

    fn message(&mut self, text: &str) -> String {
        self.written += 1;
        // What begins with a slash would be a command for the program itself, and never reach its model.
        let space = if text.starts_with('/') { " " } else { "" };
        let content = format!("{space}{text}");
        let mut line = json!({"type": "user", "message": {"role": "user", "content": content}});
        // With a number of its own, an interrupt can take back a message that was not read yet.
        if let Some(stem) = self.fresh.get(..24).filter(|stem| stem.ends_with('-')) {
            let id = format!("{stem}{:012x}", self.written);
            line["uuid"] = json!(id);
            self.unread.insert(id);
        }
        line.to_string()
    }

    fn system(&mut self, line: &Value) -> Vec<CoderEvent> {
        let text = |key: &str| line[key].as_str().map(str::to_owned);
        let note = |text: String| remark(&text);
        match line["subtype"].as_str().unwrap_or_default() {
            "init" => {
                self.busy = true;
                let session = text("session_id").unwrap_or_default();
                let first = self.session.replace(session.clone()).is_none();
                let version = text("claude_code_version");
                let untried = version.as_deref().filter(|version| first && !is_tried(version)).map(|version| {
                    let text = format!("this version of Claude Code, {}, was not tried", text::head(version, 80));
                    CoderEvent::Note { text }
                });
                let started = CoderEvent::Started { session, model: text("model"), version };
                [Some(started), untried].into_iter().flatten().collect()
            }
            "api_retry" => {
                let status = line["error_status"].as_u64().map(|status| format!("status {status}: "));
                let error = line["error"].as_str().map_or_else(|| line["error"].to_string(), str::to_owned);
                vec![CoderEvent::Retrying {
                    attempt: line["attempt"].as_u64().and_then(|attempt| u32::try_from(attempt).ok()),
                    wait_ms: line["retry_delay_ms"].as_u64(),
                    error: text::head(&format!("{}{error}", status.unwrap_or_default()), MAX_REMARK).to_owned(),
                }]
            }
            "status" => match line["status"].as_str() {
                Some("compacting") => vec![CoderEvent::Waiting { what: "its conversation is made shorter".to_owned() }],
                _ => Vec::new(),
            },
            "compact_boundary" => note("its conversation was made shorter".to_owned()),
            "informational"
            | "notification"
            | "model_fallback"
            | "model_refusal_fallback"
            | "model_refusal_no_fallback" => text("content").or_else(|| text("text")).map(note).unwrap_or_default(),
            "permission_denied" => note(format!("it denied itself {}", line["tool_name"].as_str().unwrap_or("a tool"))),
            // Its model's thinking, in numbers only; hooks and background work have words of their own.
            "thinking_tokens" | "session_state_changed" | "ui_invalidate" => Vec::new(),
            unknown => vec![CoderEvent::Other { kind: format!("system/{}", text::head(unknown, 80)) }],
        }
    }

    fn assistant(&mut self, line: &Value) -> Vec<CoderEvent> {
        self.busy = true;
        let message = &line["message"];
        let synthetic = message["model"] == "<synthetic>";
        let blocks = message["content"].as_array().map(Vec::as_slice).unwrap_or_default();
        // What a helper of its own says is not what it says; what a helper does, it does.
        let helper = line["parent_tool_use_id"].is_string();
        let mut events = Vec::new();
        for block in blocks {
            let text = |key: &str| block[key].as_str().unwrap_or_default().to_owned();
            match block["type"].as_str().unwrap_or_default() {
                "text" if synthetic => events.extend(remark(&text("text"))),
                "text" if helper => events.push(CoderEvent::Other { kind: "helper/text".to_owned() }),
                "text" => events.push(CoderEvent::Text { text: text("text") }),
                "thinking" if helper => {}
                "thinking" => events.push(CoderEvent::Thinking { text: text("thinking") }),
                "redacted_thinking" => {}
                "tool_use" => events.extend(self.tool(text("id"), &text("name"), &block["input"])),
                unknown => events.push(CoderEvent::Other { kind: format!("assistant/{}", text::head(unknown, 80)) }),
            }
        }
        events
    }

    fn tool(&mut self, id: String, name: &str, input: &Value) -> Vec<CoderEvent> {
        let plan = Plan::whole(name, input).map(|steps| CoderEvent::Plan { steps });
        if self.tools.len() < MAX_OPEN {
            let tool = Tool { file: tools::changed(name, input) };
            self.tools.insert(id.clone(), tool);
        }
        let started = CoderEvent::ToolStarted { id, tool: name.to_owned(), summary: tools::summary(name, input) };
        [Some(started), plan].into_iter().flatten().collect()
    }

    fn user(&mut self, line: &Value) -> Heard {
        if line["isReplay"] == true {
            return Heard::default();
        }
        let mut heard = Heard::default();
        let blocks = line["message"]["content"].as_array().map(Vec::as_slice).unwrap_or_default();
        for block in blocks.iter().filter(|block| block["type"] == "tool_result") {
            let id = block["tool_use_id"].as_str().unwrap_or_default().to_owned();
            let ok = block["is_error"] != true;
            let tool = self.tools.remove(&id);
            let tail = tools::tail(&block["content"]);
            heard.events.push(CoderEvent::ToolFinished { id, ok, tail });
            let file = tool.filter(|_| ok).and_then(|tool| tool.file);
            heard.events.extend(file.map(|path| CoderEvent::FileChanged { path }));
            if self.plan.hear(&line["tool_use_result"]) {
                heard.events.push(CoderEvent::Plan { steps: self.plan.steps() });
            }
            self.tools_since += 1;
        }
        if self.tools_since >= ASK_USED && self.asks_used.is_none() && self.busy {
            self.tools_since = 0;
            heard.lines.push(self.ask_used());
        }
        heard
    }

    /// The program asks us something.
    fn asked(&mut self, line: &Value, bytes: usize) -> Heard {
        let id = line["request_id"].as_str().unwrap_or_default().to_owned();
        let request = &line["request"];
        match request["subtype"].as_str().unwrap_or_default() {
            "can_use_tool" if self.has_room(bytes) => {
                let tool = request["tool_name"].as_str().unwrap_or_default().to_owned();
                let input = &request["input"];
                self.asked.insert(id.clone(), Asked { input: input.clone(), bytes });
                let action = tools::action(&tool, input);
                let reason =
                    request["decision_reason"].as_str().map(|reason| text::head(reason, MAX_REMARK).to_owned());
                let asked = CoderEvent::PermissionAsked(Permission { id, tool, action, reason });
                Heard::told(vec![asked])
            }
            // Who does not know a dialog must leave it: the program closes it by itself.
            "request_user_dialog" => Heard::default(),
            unknown => {
                let response = json!({"subtype": "error", "request_id": id, "error": "this is not offered here"});
                let line = json!({"type": "control_response", "response": response}).to_string();
                let kind = format!("asks/{}", text::head(unknown, 80));
                Heard { events: vec![CoderEvent::Other { kind }], lines: vec![line], broken: None }
            }
        }
    }

    fn has_room(&self, bytes: usize) -> bool {
        let asked: usize = self.asked.values().map(|asked| asked.bytes).sum();
        self.asked.len() < MAX_OPEN && asked + bytes <= MAX_OPEN_BYTES
    }

    /// The program answers a request of ours.
    fn answered(&mut self, line: &Value) -> Vec<CoderEvent> {
        let response = &line["response"];
        let id = response["request_id"].as_str().unwrap_or_default();
        if response["subtype"] == "error" {
            if self.asks_used.as_deref() == Some(id) {
                // A version that cannot be asked says it at the end of each turn all the same.
                return Vec::new();
            }
            let error = response["error"].as_str().unwrap_or_default();
            return remark(error);
        }
        if self.asks_used.as_deref() == Some(id) {
            self.asks_used = None;
            if self.forgotten.is_none() && self.before != Totals::default() {
                let remembered = ends::totals(&response["response"]["session"]).unwrap_or_default();
                self.forgotten = Some(ends::without(self.before, remembered));
            }
            return self.used(&response["response"]["session"]);
        }
        Vec::new()
    }

    fn used(&mut self, said: &Value) -> Vec<CoderEvent> {
        let Some(said) = ends::totals(said) else { return Vec::new() };
        let before = self.before;
        // A version that could not be asked at the start: one that says less than there was has forgotten it.
        let forgotten = *self.forgotten.get_or_insert_with(|| {
            if said.cost.unwrap_or_default() < before.cost.unwrap_or_default() { before } else { Totals::default() }
        });
        let cost = said.cost.map(|cost| cost.plus(forgotten.cost.unwrap_or_default()));
        let totals = Totals { usage: said.usage.plus(forgotten.usage), cost };
        if self.spent == Some(totals) {
            return Vec::new();
        }
        self.spent = Some(totals);
        vec![CoderEvent::Spent(totals)]
    }

    fn result(&mut self, line: &Value) -> Vec<CoderEvent> {
        let mut events = self.used(line);
        let end = ends::of(line, self.interrupted);
        let done = matches!(end, CoderEnd::Done { .. });
        // A word that came too late for this turn begins the next one by itself.
        if done && self.tells_reading && !self.unread.is_empty() {
            return events;
        }
        self.settle();
        events.push(CoderEvent::Finished { end });
        events
    }

    fn settle(&mut self) {
        self.busy = false;
        self.interrupted = false;
        self.unread.clear();
        self.tools.clear();
        self.asked.clear();
    }

    fn delta(line: &Value) -> Vec<CoderEvent> {
        let delta = &line["event"]["delta"];
        match delta["text"].as_str().filter(|_| delta["type"] == "text_delta") {
            Some(text) => vec![CoderEvent::TextDelta { text: text.to_owned() }],
            None => Vec::new(),
        }
    }

    fn said(&mut self, line: &str) -> Heard {
        let bytes = line.len();
        let Ok(line) = serde_json::from_str::<Value>(line) else {
            return Heard::told(remark(line));
        };
        if let Some(why) = names::unfit(&line, &NAMES) {
            return Heard::broken(why);
        }
        let events = match line["type"].as_str().unwrap_or_default() {
            "system" => self.system(&line),
            "assistant" => self.assistant(&line),
            "user" => return self.user(&line),
            "stream_event" => Self::delta(&line),
            "control_request" => return self.asked(&line, bytes),
            "control_response" => self.answered(&line),
            "control_cancel_request" => {
                let id = line["request_id"].as_str().unwrap_or_default();
                let gone = self.asked.remove(id);
                gone.map(|_| CoderEvent::PermissionWithdrawn { id: id.to_owned() }).into_iter().collect()
            }
            "result" => self.result(&line),
            "command_lifecycle" => {
                let id = line["command_uuid"].as_str().unwrap_or_default();
                let is_read = line["state"] != "queued";
                self.tells_reading |= is_read && self.unread.remove(id);
                Vec::new()
            }
            "keep_alive" | "tool_progress" => Vec::new(),
            unknown => vec![CoderEvent::Other { kind: text::head(unknown, 80).to_owned() }],
        };
        Heard::told(events)
    }
}

/// Whether it is one of the versions that are tried with every change. Others are expected to work.
fn is_tried(version: &str) -> bool {
    PINS.iter().any(|pin| pin.coder == "claude" && pin.version == version)
}

/// What the program remarks, if it is anything.
fn remark(text: &str) -> Vec<CoderEvent> {
    let text = text::head(text.trim(), MAX_REMARK);
    if text.is_empty() { Vec::new() } else { vec![CoderEvent::Note { text: text.to_owned() }] }
}

impl Dialect for Stream {
    fn open(&mut self) -> Vec<String> {
        let (line, _) = self.request(&json!({"subtype": "initialize"}));
        let mut lines = vec![line];
        // What it remembers of an earlier program's total, before it adds to it: one that was killed has not kept it.
        if self.before != Totals::default() {
            lines.push(self.ask_used());
        }
        lines
    }

    fn heard(&mut self, stream: Pipe, line: &str) -> Heard {
        match stream {
            Pipe::Out => self.said(line),
            Pipe::Err => {
                if !line.trim().is_empty() {
                    self.complaint = text::head(line.trim(), MAX_REMARK).to_owned();
                }
                Heard::told(remark(line))
            }
        }
    }

    fn command(&mut self, command: &CoderCommand) -> Result<Vec<String>, Unsupported> {
        Ok(match command {
            CoderCommand::Prompt { text } | CoderCommand::Steer { text } => {
                self.busy = true;
                vec![self.message(text)]
            }
            CoderCommand::Interrupt if !self.busy => Vec::new(),
            CoderCommand::Interrupt => {
                self.interrupted = true;
                vec![self.request(&json!({"subtype": "interrupt", "cancel_queued": true})).0]
            }
            CoderCommand::Answer { permission, verdict } => {
                let Some(Asked { input, .. }) = self.asked.remove(permission) else { return Ok(Vec::new()) };
                let answer = match verdict {
                    Verdict::Allow => json!({"behavior": "allow", "updatedInput": input}),
                    Verdict::Deny { why } => json!({"behavior": "deny", "message": why, "interrupt": false}),
                };
                let response = json!({"subtype": "success", "request_id": permission, "response": answer});
                vec![json!({"type": "control_response", "response": response}).to_string()]
            }
            CoderCommand::Close => vec![self.request(&json!({"subtype": "end_session"})).0],
        })
    }

    fn ended(&mut self, code: Option<i32>) -> Vec<CoderEvent> {
        if !self.busy {
            return Vec::new();
        }
        let how = code.map_or_else(|| "by a signal".to_owned(), |code| format!("with code {code}"));
        let message = if self.complaint.is_empty() {
            format!("Claude Code ended {how} in the middle of its work")
        } else {
            format!("Claude Code ended {how}: {}", self.complaint)
        };
        self.settle();
        vec![CoderEvent::Finished { end: CoderEnd::Failed { trouble: Trouble::Crashed, message } }]
    }

    fn is_busy(&self) -> bool {
        self.busy
    }
}

#[cfg(test)]
mod tests;
