//! Text for a terminal.

use types::Event;

/// Markdown as plain text.
pub fn render(markdown: &str) -> String {
    let _ = markdown;
    todo!()
}

/// Text of any origin with everything that a terminal would obey made harmless.
pub fn neutral(text: &str) -> String {
    let _ = text;
    todo!()
}

/// One event as lines for a person who watches; none for events that are not shown.
pub fn event(event: &Event) -> Option<String> {
    let _ = event;
    todo!()
}
