//! What of a program's events is passed on: each cut to its bounds, and of each kind so much in a turn. All of it stays in the
//! records. Pure, so that the same records always give the same events. Start with [`Border`].

use crate::{
    Action, CoderEnd, CoderEvent, Permission, PlanStep,
    text::{head, tail},
};

/// The most bytes of one text or thought.
pub(crate) const MAX_TEXT: usize = 32 * 1024;
/// The most bytes of a remark, an error, a reason.
pub(crate) const MAX_REMARK: usize = 2_000;
/// The most bytes of a line: a summary, the name of a tool, a step of a plan, a model.
pub(crate) const MAX_LINE: usize = 500;
/// The most bytes of a file's name; Linux has no longer ones.
pub(crate) const MAX_PATH: usize = 4_096;
/// The most steps of a plan.
pub(crate) const MAX_STEPS: usize = 200;
/// The most bytes of what a permission is for. It is never cut, because nobody may allow what was not shown: one that is
/// longer is refused.
pub(crate) const MAX_ASKED: usize = 64 * 1024;
/// The most files of one permission.
const MAX_FILES: usize = 200;
/// The most events of one line, but for those that a job cannot go on without.
pub(crate) const MAX_EVENTS: usize = 1_000;

/// Pieces of a text are gathered to about this many bytes, so that a word is not an event.
const PIECE: usize = 48;

/// The most bytes of one piece.
const MAX_PIECE: usize = 4 * 1024;

/// What a turn may tell: bytes of pieces, texts and thoughts, and numbers of the rest.
const PIECES: usize = 256 * 1024;
const TEXTS: usize = 1024 * 1024;
const THOUGHTS: usize = 256 * 1024;
const FILES: usize = 2_000;
const PLANS: usize = 500;
const STARTS: usize = 100;
const REMARKS: usize = 500;

/// The border between one program and whoever listens to it.
#[derive(Debug, Default)]
pub(crate) struct Border {
    told: Told,
    /// Pieces of a text that were not told yet.
    piece: String,
    /// Whether it was remarked that not everything is told.
    remarked: bool,
}

/// What was told in this turn.
#[derive(Debug, Default)]
struct Told {
    pieces: usize,
    texts: usize,
    thoughts: usize,
    files: usize,
    plans: usize,
    starts: usize,
    remarks: usize,
}

impl Border {
    /// What is told of the events of one line, each of which [`fit`] has cut.
    pub fn pass(&mut self, events: Vec<CoderEvent>) -> Vec<CoderEvent> {
        let mut passed = Vec::new();
        for event in events {
            self.one(event, &mut passed);
        }
        passed
    }

    fn one(&mut self, event: CoderEvent, passed: &mut Vec<CoderEvent>) {
        if let CoderEvent::TextDelta { text } = event {
            return self.more(&text, passed);
        }
        match &event {
            // What follows as a whole needs no more pieces.
            CoderEvent::Text { .. } | CoderEvent::Finished { .. } => self.piece.clear(),
            CoderEvent::Spent(_) => {}
            _ => self.rest(passed),
        }
        let has_room = !is_spare(&event) || passed.len() < MAX_EVENTS;
        if has_room && self.told.takes(&event) {
            if matches!(event, CoderEvent::Finished { .. }) {
                (self.told, self.remarked) = (Told::default(), false);
            }
            passed.push(event);
        } else if !std::mem::replace(&mut self.remarked, true) {
            let text = "it says and does more than is told here; its records have all of it".to_owned();
            passed.push(CoderEvent::Note { text });
        }
    }

    /// A piece of a text.
    fn more(&mut self, text: &str, passed: &mut Vec<CoderEvent>) {
        let room = PIECES.saturating_sub(self.told.pieces);
        let text = head(text, room.min(MAX_PIECE));
        self.told.pieces += text.len();
        self.piece.push_str(text);
        if self.piece.len() >= PIECE {
            self.rest(passed);
        }
    }

    fn rest(&mut self, passed: &mut Vec<CoderEvent>) {
        if !self.piece.is_empty() {
            passed.push(CoderEvent::TextDelta { text: std::mem::take(&mut self.piece) });
        }
    }
}

impl Told {
    /// Whether an event is told, which counts it.
    fn takes(&mut self, event: &CoderEvent) -> bool {
        let (told, more, most) = match event {
            CoderEvent::Text { text } => (&mut self.texts, text.len(), TEXTS),
            CoderEvent::Thinking { text } => (&mut self.thoughts, text.len(), THOUGHTS),
            CoderEvent::FileChanged { .. } => (&mut self.files, 1, FILES),
            CoderEvent::Plan { .. } => (&mut self.plans, 1, PLANS),
            CoderEvent::Started { .. } => (&mut self.starts, 1, STARTS),
            CoderEvent::Retrying { .. }
            | CoderEvent::Waiting { .. }
            | CoderEvent::Note { .. }
            | CoderEvent::Other { .. } => (&mut self.remarks, 1, REMARKS),
            // Whoever drives it bounds these: by the tools that are open, by the job's limit of tools, by the permissions that
            // wait, by what a conversation has used.
            CoderEvent::TextDelta { .. }
            | CoderEvent::ToolStarted { .. }
            | CoderEvent::ToolFinished { .. }
            | CoderEvent::PermissionAsked(_)
            | CoderEvent::PermissionWithdrawn { .. }
            | CoderEvent::Spent(_)
            | CoderEvent::Finished { .. } => return true,
        };
        *told = told.saturating_add(more.max(1));
        *told <= most
    }
}

/// Whether a job goes on the same without it.
fn is_spare(event: &CoderEvent) -> bool {
    !matches!(
        event,
        CoderEvent::Started { .. }
            | CoderEvent::PermissionAsked(_)
            | CoderEvent::PermissionWithdrawn { .. }
            | CoderEvent::Spent(_)
            | CoderEvent::Finished { .. }
    )
}

/// The event with all its texts cut to their bounds. Names have theirs already, and what a permission is for is looked at by
/// [`is_shown_whole`].
pub(crate) fn fit(event: CoderEvent) -> CoderEvent {
    match event {
        CoderEvent::Started { session, model, version } => {
            let line = |text: Option<String>| text.map(|text| cut(text, MAX_LINE));
            CoderEvent::Started { session, model: line(model), version: line(version) }
        }
        CoderEvent::Text { text } => CoderEvent::Text { text: cut(text, MAX_TEXT) },
        CoderEvent::Thinking { text } => CoderEvent::Thinking { text: cut(text, MAX_TEXT) },
        CoderEvent::ToolStarted { id, tool, summary } => {
            CoderEvent::ToolStarted { id, tool: cut(tool, MAX_LINE), summary: cut(summary, MAX_LINE) }
        }
        CoderEvent::ToolFinished { id, ok, tail: output } => CoderEvent::ToolFinished { id, ok, tail: tail(&output) },
        CoderEvent::FileChanged { path } => CoderEvent::FileChanged { path: cut(path, MAX_PATH) },
        CoderEvent::Plan { mut steps } => {
            steps.truncate(MAX_STEPS);
            let step = |step: PlanStep| PlanStep { text: cut(step.text, MAX_LINE), ..step };
            CoderEvent::Plan { steps: steps.into_iter().map(step).collect() }
        }
        CoderEvent::PermissionAsked(asked) => {
            let reason = asked.reason.map(|reason| cut(reason, MAX_REMARK));
            CoderEvent::PermissionAsked(Permission { reason, ..asked })
        }
        CoderEvent::Retrying { attempt, wait_ms, error } => {
            CoderEvent::Retrying { attempt, wait_ms, error: cut(error, MAX_REMARK) }
        }
        CoderEvent::Waiting { what } => CoderEvent::Waiting { what: cut(what, MAX_REMARK) },
        CoderEvent::Finished { end } => CoderEvent::Finished { end: ended(end) },
        CoderEvent::Note { text } => CoderEvent::Note { text: cut(text, MAX_REMARK) },
        CoderEvent::Other { kind } => CoderEvent::Other { kind: cut(kind, MAX_LINE) },
        // A piece is cut by what a turn may tell.
        CoderEvent::TextDelta { .. } | CoderEvent::PermissionWithdrawn { .. } | CoderEvent::Spent(_) => event,
    }
}

fn ended(end: CoderEnd) -> CoderEnd {
    match end {
        CoderEnd::Done { text } => CoderEnd::Done { text: cut(text, MAX_TEXT) },
        CoderEnd::Interrupted => CoderEnd::Interrupted,
        CoderEnd::Failed { trouble, message } => CoderEnd::Failed { trouble, message: cut(message, MAX_REMARK) },
    }
}

/// Whether all that a permission is for can be shown.
pub(crate) fn is_shown_whole(asked: &Permission) -> bool {
    let action = match &asked.action {
        Action::Command { script } => script.len(),
        Action::Write { paths } | Action::Read { paths } => paths.iter().map(|path| path.len() + 1).sum(),
        Action::Fetch { target } => target.len(),
        Action::Other { arguments } => arguments.len(),
    };
    let files = match &asked.action {
        Action::Write { paths } | Action::Read { paths } => paths.len(),
        Action::Command { .. } | Action::Fetch { .. } | Action::Other { .. } => 0,
    };
    asked.tool.len() <= MAX_LINE && action <= MAX_ASKED && files <= MAX_FILES
}

/// The files of a question, each once. Of more than can be asked about, so many are kept that it is still too much.
pub(crate) fn files<'a>(all: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut files: Vec<String> = Vec::new();
    let mut bytes = 0;
    for file in all {
        if files.iter().any(|known| known == file) {
            continue;
        }
        let file = head(file, MAX_ASKED + 1);
        bytes += file.len() + 1;
        files.push(file.to_owned());
        if bytes > MAX_ASKED || files.len() > MAX_FILES {
            break;
        }
    }
    files
}

/// The beginning of a text, with a mark where it was cut.
fn cut(text: String, most: usize) -> String {
    if text.len() <= most { text } else { format!("{}…", head(&text, most.saturating_sub('…'.len_utf8()))) }
}

#[cfg(test)]
mod tests;
