//! Conversations.

use daemon::api::views::{MessageView, SessionView};
use types::{Block, Role};

use super::{table, time};

/// The most characters of a tool's result in a conversation that is shown.
const MAX_RESULT: usize = 400;

/// A list of conversations. A star marks the one that messages go to.
pub fn sessions(sessions: &[SessionView]) -> String {
    if sessions.is_empty() {
        return "there are no sessions yet".to_owned();
    }
    let rows: Vec<[String; 6]> = sessions
        .iter()
        .map(|session| {
            [
                format!("{}{}", session.id, if session.current { "*" } else { "" }),
                session.key.clone().unwrap_or_default(),
                session.workspace.to_string(),
                time(session.updated_at),
                session.running.map(|turn| format!("task {turn}")).unwrap_or_default(),
                session.title.clone(),
            ]
        })
        .collect();
    table(["ID", "KEY", "WORKSPACE", "LAST USED", "RUNNING", "TITLE"], &rows)
}

/// One message of a conversation.
pub fn message(message: &MessageView) -> String {
    let who = match message.role {
        Role::User => "user",
        Role::Assistant => "agent",
    };
    let mut lines = vec![format!("[{}] {who}", time(message.at))];
    lines.extend(message.blocks.iter().filter_map(block));
    lines.join("\n")
}

fn block(block: &Block) -> Option<String> {
    match block {
        Block::Text { text } => Some(daemon::terminal::render(text)),
        Block::ToolUse { name, input, .. } => Some(daemon::terminal::neutral(&format!("→ {name} {input}"))),
        Block::ToolResult { content, is_error, .. } => {
            let mut shown: String = content.chars().take(MAX_RESULT).collect();
            if shown.len() < content.len() {
                shown.push('…');
            }
            let mark = if *is_error { "← failed: " } else { "← " };
            Some(daemon::terminal::neutral(&format!("{mark}{shown}")))
        }
        Block::Media { media } => Some(daemon::terminal::neutral(&media.stand_in())),
        Block::Thinking { .. } | Block::RedactedThinking { .. } | Block::Opaque { .. } => None,
    }
}
