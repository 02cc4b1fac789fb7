//! A coding agent for tests, whose language numbers everything that it writes.

use crate::{
    Action, Coder, CoderCommand, CoderEnd, CoderEvent, Dialect, Heard, Launch, Permission, Start, Stream, Totals,
    Transport, Trouble, Unsupported, Verdict,
};
use types::Usage;

pub(super) struct Parrot;

impl Coder for Parrot {
    fn name(&self) -> &'static str {
        "parrot"
    }

    fn launch(&self, _: &Start, _: Option<&str>) -> Launch {
        Launch {
            argv: vec!["parrot".to_owned()],
            env: Default::default(),
            seed: Vec::new(),
            transport: Transport::Lines,
        }
    }

    fn dialect(&self, start: &Start) -> Box<dyn Dialect> {
        Box::new(Talking { name: start.fresh.clone(), number: 0, busy: false })
    }

    fn interactive(&self, start: &Start) -> Launch {
        self.launch(start, None)
    }
}

struct Talking {
    name: String,
    /// What makes the order of lines and commands matter: each line that is written carries how much was heard before.
    number: u64,
    busy: bool,
}

impl Talking {
    fn line(&self, what: &str) -> String {
        format!("{} {} {what}", self.name, self.number)
    }

    fn end(&mut self, end: CoderEnd) -> Vec<CoderEvent> {
        self.busy = false;
        vec![CoderEvent::Finished { end }]
    }
}

impl Dialect for Talking {
    fn open(&mut self) -> Vec<String> {
        vec![self.line("hello"), self.line("options")]
    }

    fn heard(&mut self, stream: Stream, line: &str) -> Heard {
        self.number += 1;
        if stream == Stream::Err {
            return Heard::told(vec![CoderEvent::Note { text: line.to_owned() }]);
        }
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let text = rest.to_owned();
        let (mut lines, mut broken) = (Vec::new(), None);
        let events = match word {
            "started" => vec![CoderEvent::Started { session: text, model: None, version: None }],
            "say" => vec![CoderEvent::Text { text: text.clone() }, CoderEvent::Note { text }],
            "ping" => {
                lines = vec![self.line("pong"), self.line("pong again")];
                Vec::new()
            }
            "ask" => vec![CoderEvent::PermissionAsked(Permission {
                id: text.clone(),
                tool: "run".to_owned(),
                action: Action::Command { script: text },
                reason: None,
            })],
            "withdraw" => vec![CoderEvent::PermissionWithdrawn { id: text }],
            "tool" => vec![CoderEvent::ToolStarted { id: text, tool: "run".to_owned(), summary: String::new() }],
            "ran" => vec![CoderEvent::ToolFinished { id: text, ok: true, tail: String::new() }],
            "retry" => vec![CoderEvent::Retrying { attempt: None, wait_ms: None, error: text }],
            "used" => vec![CoderEvent::Spent(Totals {
                usage: Usage { input: text.parse().unwrap_or_default(), ..Usage::default() },
                cost: None,
            })],
            "useless" => {
                broken = Some("it is of no use".to_owned());
                Vec::new()
            }
            "done" => self.end(CoderEnd::Done { text }),
            "aborted" => self.end(CoderEnd::Interrupted),
            _ => vec![CoderEvent::Other { kind: word.to_owned() }],
        };
        Heard { events, lines, broken }
    }

    fn command(&mut self, command: &CoderCommand) -> Result<Vec<String>, Unsupported> {
        Ok(match command {
            CoderCommand::Prompt { text } | CoderCommand::Steer { text } => {
                self.busy = true;
                vec![self.line(text)]
            }
            CoderCommand::Interrupt if self.busy => vec![self.line("interrupt")],
            CoderCommand::Interrupt => Vec::new(),
            CoderCommand::Answer { permission, verdict } => {
                let word = if *verdict == Verdict::Allow { "yes" } else { "no" };
                vec![self.line(&format!("{word} {permission}"))]
            }
            CoderCommand::Close => return Err(Unsupported { coder: "parrot", why: "cannot be closed" }),
        })
    }

    fn ended(&mut self, _: Option<i32>) -> Vec<CoderEvent> {
        if !self.busy {
            return Vec::new();
        }
        let message = "it ended".to_owned();
        self.end(CoderEnd::Failed { trouble: Trouble::Crashed, message })
    }

    fn is_busy(&self) -> bool {
        self.busy
    }
}
