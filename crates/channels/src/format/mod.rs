//! How text is shaped for people: one reading of Markdown into [`Rich`] text, and one renderer for each messenger's
//! markup. Pure. Must never produce something that fetches by itself, hides where a link leads, or carries characters
//! that change how the text around them is shown. Start with [`Rich::read`].

mod html;
mod invisible;
mod link;
mod reader;
mod rich;
mod table;

pub use html::telegram_html;
pub use invisible::neutral;
pub use rich::{LinkText, Rich, Span, Style};
