//! Requests to the owner on the messengers: how each open one is shown with its buttons, and each settled one with how it
//! came out. It must not answer anything itself; `journal` decides when one is shown.

mod text;

use types::{ChannelId, RequestId};

pub(crate) use text::{Press, buttons, press, question_text, settled_text};

/// The cursor that keeps the messenger's number of the message that shows a request.
pub(crate) fn shown_cursor(request: RequestId, channel: &ChannelId) -> String {
    format!("request:{request}:{channel}")
}
