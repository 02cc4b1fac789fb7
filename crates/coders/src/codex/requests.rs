//! What Codex is asked for: requests, and what each was for until it is answered.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::Start;

/// The policy by which it asks before each command and each patch.
pub(super) const POLICY: &str = "untrusted";
/// Who is asked: we, and no second model.
pub(super) const REVIEWER: &str = "user";

/// A request that waits for its answer.
pub(super) enum Sent {
    Initialize,
    Thread,
    TurnStart,
    /// What the turn is told.
    Steer(String),
}

/// The requests of one process. Their numbers are counted from 1.
#[derive(Default)]
pub(super) struct Requests {
    next: u64,
    sent: BTreeMap<u64, Sent>,
}

impl Requests {
    fn request(&mut self, sent: Sent, method: &str, params: &Value) -> String {
        self.sent.insert(self.next + 1, sent);
        self.aside(method, params)
    }

    /// A request whose answer changes nothing.
    fn aside(&mut self, method: &str, params: &Value) -> String {
        self.next += 1;
        json!({"id": self.next, "method": method, "params": params}).to_string()
    }

    /// What the answered request was for.
    pub fn answered(&mut self, id: &Value) -> Option<Sent> {
        self.sent.remove(&id.as_u64()?)
    }

    /// Whether a request had this number.
    pub fn was_sent(&self, id: &Value) -> bool {
        id.as_u64().is_some_and(|id| (1..=self.next).contains(&id))
    }

    /// Whether it is not known yet if something that was said came in time.
    pub fn is_steering(&self) -> bool {
        self.sent.values().any(|sent| matches!(sent, Sent::Steer(_)))
    }

    pub fn initialize(&mut self) -> String {
        let client = json!({"name": "factotum", "title": "Factotum", "version": env!("CARGO_PKG_VERSION")});
        // Ending the commands of an interrupted turn is behind the experimental interface.
        let params = json!({"clientInfo": client, "capabilities": {"experimentalApi": true}});
        self.request(Sent::Initialize, "initialize", &params)
    }

    pub fn thread(&mut self, start: &Start) -> String {
        let mut params =
            json!({"approvalPolicy": POLICY, "approvalsReviewer": REVIEWER, "sandbox": "danger-full-access"});
        if let Some(model) = &start.model {
            params["model"] = json!(model);
        }
        let method = match &start.resume {
            Some(thread) => {
                params["threadId"] = json!(thread);
                params["excludeTurns"] = json!(true);
                if start.fork { "thread/fork" } else { "thread/resume" }
            }
            None => "thread/start",
        };
        self.request(Sent::Thread, method, &params)
    }

    pub fn turn(&mut self, thread: Option<&str>, texts: impl Iterator<Item = String>) -> String {
        let params = json!({
            "threadId": thread,
            "input": texts.map(|text| json!({"type": "text", "text": text})).collect::<Vec<_>>(),
            "approvalPolicy": POLICY,
            "approvalsReviewer": REVIEWER,
        });
        self.request(Sent::TurnStart, "turn/start", &params)
    }

    /// Says something to a turn, which is told again where it came too late.
    pub fn steer(&mut self, thread: Option<&str>, turn: &str, text: &str) -> String {
        self.request(Sent::Steer(text.to_owned()), "turn/steer", &said(thread, turn, text))
    }

    /// Says something that is of no use later.
    pub fn remark(&mut self, thread: Option<&str>, turn: &str, text: &str) -> String {
        self.aside("turn/steer", &said(thread, turn, text))
    }

    pub fn interrupt(&mut self, thread: Option<&str>, turn: &str) -> String {
        self.aside("turn/interrupt", &json!({"threadId": thread, "turnId": turn}))
    }

    /// Ends the commands of an interrupted turn: Codex lets them run.
    pub fn clean(&mut self, thread: Option<&str>) -> String {
        self.aside("thread/backgroundTerminals/clean", &json!({"threadId": thread}))
    }
}

fn said(thread: Option<&str>, turn: &str, text: &str) -> Value {
    let input = json!([{"type": "text", "text": text}]);
    json!({"threadId": thread, "expectedTurnId": turn, "input": input})
}
