//! [`Outbound`] into calls of the Bot API. Pure.

use serde_json::{Value, json};
use types::Invariant;

use crate::{
    Button, ChannelError, ChannelErrorKind, Outbound, RemoteId,
    format::{LinkText, Rich, neutral, telegram_html},
};

/// The most bytes of a button's data.
const MAX_BUTTON_DATA: usize = 64;
/// The most characters of a button's label that are sent.
const MAX_BUTTON_LABEL: usize = 60;
/// The most characters of the answer to a pressed button.
const MAX_BUTTON_ANSWER: usize = 200;

/// A call that is ready to be made.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    /// The method.
    pub method: &'static str,
    /// Its parameters.
    pub body: Value,
    /// The parameters to use when the server does not accept our markup.
    pub plain: Option<Value>,
}

/// The call that carries `outbound` to `chat`; none when there is nothing to show yet.
pub(super) fn render(chat: i64, outbound: &Outbound) -> Result<Option<Call>, ChannelError> {
    let call = match outbound {
        Outbound::Text { markdown } => message(json!({ "chat_id": chat }), "sendMessage", markdown)?,
        Outbound::Buttons { markdown, buttons } => {
            let body = json!({ "chat_id": chat, "reply_markup": keyboard(buttons)? });
            message(body, "sendMessage", markdown)?
        }
        Outbound::Edit { remote_id, markdown, buttons } => {
            let body = json!({
                "chat_id": chat,
                "message_id": message_id(remote_id)?,
                "reply_markup": if buttons.is_empty() { json!({ "inline_keyboard": [] }) } else { keyboard(buttons)? },
            });
            message(body, "editMessageText", markdown)?
        }
        Outbound::Draft { draft_id, markdown } => {
            if *draft_id == 0 {
                return Err(permanent("the number of a draft must not be zero"));
            }
            let rich = Rich::read(markdown, LinkText::Host);
            if rich.is_blank() {
                return Ok(None);
            }
            with_text(json!({ "chat_id": chat, "draft_id": draft_id }), "sendMessageDraft", &rich)
        }
        Outbound::Typing => {
            let body = json!({ "chat_id": chat, "action": "typing" });
            Call { method: "sendChatAction", body, plain: None }
        }
        Outbound::AnswerButton { callback_id, text } => {
            let short: String = text.chars().take(MAX_BUTTON_ANSWER).collect();
            let body = json!({ "callback_query_id": callback_id, "text": neutral(&short) });
            Call { method: "answerCallbackQuery", body, plain: None }
        }
    };
    Ok(Some(call))
}

/// What Telegram is given for a message in words: the request's parameters and the words that a person would read. For
/// audits, which look for what must not be in there.
pub fn rendered(markdown: &str) -> Option<(Value, String)> {
    let call = message(json!({}), "sendMessage", markdown).ok()?;
    Some((call.body, Rich::read(markdown, LinkText::Host).text()))
}

fn message(mut body: Value, method: &'static str, markdown: &str) -> Result<Call, ChannelError> {
    if Invariant::RepliesClean.is_broken() {
        body["text"] = markdown.into();
        return Ok(Call { method, body, plain: None });
    }
    let rich = Rich::read(markdown, LinkText::Host);
    if rich.is_blank() {
        return Err(permanent("the message shows nothing"));
    }
    // A preview is fetched by Telegram's servers, which would tell a page's owner that the message was written.
    body["link_preview_options"] = json!({ "is_disabled": true });
    Ok(with_text(body, method, &rich))
}

fn with_text(mut body: Value, method: &'static str, rich: &Rich) -> Call {
    let mut plain = body.clone();
    plain["text"] = rich.text().into();
    body["text"] = telegram_html(rich).into();
    body["parse_mode"] = "HTML".into();
    Call { method, body, plain: Some(plain) }
}

/// One row of buttons.
fn keyboard(buttons: &[Button]) -> Result<Value, ChannelError> {
    let row = buttons
        .iter()
        .map(|Button { label, data }| {
            if data.is_empty() || data.len() > MAX_BUTTON_DATA {
                return Err(permanent("a button's data must be 1 to 64 bytes"));
            }
            let short: String = label.chars().take(MAX_BUTTON_LABEL).collect();
            Ok(json!({ "text": neutral(&short), "callback_data": data }))
        })
        .collect::<Result<Vec<Value>, ChannelError>>()?;
    Ok(json!({ "inline_keyboard": [row] }))
}

fn message_id(remote_id: &RemoteId) -> Result<i64, ChannelError> {
    remote_id.0.parse().map_err(|_| permanent("the message's number is not one of Telegram"))
}

fn permanent(message: &str) -> ChannelError {
    ChannelError::new(ChannelErrorKind::Permanent, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_carry_markup_and_a_plain_way_out() {
        let buttons = vec![Button { label: "Approve".to_owned(), data: "a:0123456789abcdef".to_owned() }];
        let remote_id = RemoteId("77".to_owned());
        let markdown = "Run **make** <now>?".to_owned();
        let calls: Vec<Value> = [
            Outbound::Text { markdown: markdown.clone() },
            Outbound::Buttons { markdown: markdown.clone(), buttons: buttons.clone() },
            Outbound::Edit { remote_id, markdown: markdown.clone(), buttons: buttons.clone() },
            Outbound::Draft { draft_id: 5, markdown },
            Outbound::Typing,
            Outbound::AnswerButton { callback_id: "42".to_owned(), text: "Done".to_owned() },
        ]
        .iter()
        .filter_map(|outbound| render(9, outbound).ok().flatten())
        .map(|call| json!({ "method": call.method, "body": call.body, "plain": call.plain }))
        .collect();
        insta::assert_json_snapshot!(calls);
    }

    #[test]
    fn what_cannot_be_sent_is_refused_here() {
        let data = "x".repeat(65);
        let too_long =
            Outbound::Buttons { markdown: "a".to_owned(), buttons: vec![Button { label: data.clone(), data }] };
        let nowhere =
            Outbound::Edit { remote_id: RemoteId("$event".to_owned()), markdown: "a".to_owned(), buttons: Vec::new() };
        let blank = Outbound::Text { markdown: "[x]: https://example.org".to_owned() };
        let zero = Outbound::Draft { draft_id: 0, markdown: "a".to_owned() };
        for outbound in [too_long, nowhere, blank, zero] {
            let kind = render(9, &outbound).map_err(|error| error.kind);
            assert_eq!(kind, Err(ChannelErrorKind::Permanent), "{outbound:?}");
        }
        assert_eq!(render(9, &Outbound::Draft { draft_id: 1, markdown: " ".to_owned() }), Ok(None));
    }
}
