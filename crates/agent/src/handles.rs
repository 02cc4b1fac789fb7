//! Handles: names of texts that a session may pass on without having read them. Our code puts the text in where the name
//! goes out, into a reply or into the arguments of a call, and the call is judged with the text's label.

use serde_json::Value;
use store::StoreError;
use types::{Label, ToolCall, ToolEnd, ToolOutput};

use crate::{calls::Outcome, cap::cap, run::Run};

/// What every handle begins with, and how many hexadecimal digits follow.
const PREFIX: &str = "h_";
const DIGITS: usize = 12;
/// The most handles in one call or reply.
const MAX_HANDLES: usize = 32;
/// The most characters of one text in a reply.
const MAX_SHOWN: usize = 8_000;

/// A fresh handle; none when the system has no random numbers.
pub(crate) fn fresh() -> Option<String> {
    let mut bytes = [0_u8; DIGITS / 2];
    getrandom::fill(&mut bytes).ok()?;
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(format!("{PREFIX}{digits}"))
}

/// Where texts are put in.
struct Expansion<'a, 'b> {
    run: &'a Run<'b>,
    /// How many more handles are replaced.
    room: usize,
    /// The label of what was put in.
    label: Option<Label>,
}

/// The call with the texts in place of its handles, and their label; the call as it is when there are none.
pub(crate) fn expanded(run: &Run<'_>, call: &ToolCall) -> Result<(ToolCall, Option<Label>), StoreError> {
    let mut expansion = Expansion { run, room: MAX_HANDLES, label: None };
    let mut call = call.clone();
    expansion.value(&mut call.input)?;
    Ok((call, expansion.label))
}

/// A reply with the texts in place of its handles, each marked as a quotation. For the owner's eyes alone: it must not
/// enter a context.
pub(crate) fn in_reply(run: &Run<'_>, text: &str) -> Result<String, StoreError> {
    let quote = |text: &str| {
        let lines: Vec<String> = cap(text.trim(), MAX_SHOWN).lines().map(|line| format!("> {line}")).collect();
        format!("\n\n{}\n\n", lines.join("\n"))
    };
    Expansion { run, room: MAX_HANDLES, label: None }.text(text, quote)
}

impl Expansion<'_, '_> {
    fn value(&mut self, value: &mut Value) -> Result<(), StoreError> {
        match value {
            Value::String(text) => *text = self.text(text, str::to_owned)?,
            Value::Array(items) => items.iter_mut().try_for_each(|item| self.value(item))?,
            Value::Object(fields) => fields.values_mut().try_for_each(|field| self.value(field))?,
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
        Ok(())
    }

    /// Puts texts in. What they hold is not looked at again, so a text cannot name another.
    fn text(&mut self, text: &str, shown: impl Fn(&str) -> String) -> Result<String, StoreError> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, name, after)) = next(rest) {
            out.push_str(before);
            let known = if self.room > 0 { self.run.deps.store.handle(self.run.session, name)? } else { None };
            match known {
                Some(handle) => {
                    self.room -= 1;
                    self.label = Some(handle.label.join(self.label.unwrap_or(handle.label)));
                    out.push_str(&shown(&handle.text));
                }
                None => out.push_str(name),
            }
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }
}

/// The first word of a text that has the form of a handle, with what stands before and after it.
fn next(text: &str) -> Option<(&str, &str, &str)> {
    let is_word = |character: char| character.is_ascii_alphanumeric() || character == '_';
    for (at, _) in text.match_indices(PREFIX) {
        let end = at + PREFIX.len() + DIGITS;
        let Some(digits) = text.get(at + PREFIX.len()..end) else { continue };
        let (before, after) = (&text[..at], &text[end..]);
        let is_apart = !before.ends_with(is_word) && !after.starts_with(is_word);
        if is_apart && digits.chars().all(|digit| digit.is_ascii_digit() || ('a'..='f').contains(&digit)) {
            return Some((before, &text[at..end], after));
        }
    }
    None
}

/// The outcome without the tool's words.
pub(crate) fn unsaid(outcome: Outcome) -> Outcome {
    let text = match outcome.end {
        ToolEnd::Ok => "done; what the tool said is not shown, because the call passed on text that you have not read",
        ToolEnd::Error => "it failed; why is not shown, because the call passed on text that you have not read",
        ToolEnd::Stopped => "this was broken off while it ran, because the task was ended",
        // No tool ran.
        ToolEnd::Denied | ToolEnd::Unknown => return outcome,
    };
    let is_error = outcome.end != ToolEnd::Ok;
    let output = ToolOutput { text: text.to_owned(), is_error, label: Label::OWNER };
    Outcome { output, ..outcome }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_words_of_one_form() {
        let name = fresh().expect("the system has random numbers");
        assert_eq!(next(&name), Some(("", name.as_str(), "")));
        assert_eq!(next(&format!("see {name}.")), Some(("see ", name.as_str(), ".")));
        for text in ["h_12", "graph_0123456789ab", "h_0123456789abc", "h_0123456789AB", "h_", "h_0123456789\u{e4}b"] {
            assert_eq!(next(text), None, "{text}");
        }
    }
}
