//! How a request reads in a chat, and what its buttons carry. Everything is made from structured data by this code: the
//! model's own words are quoted as such.

use channels::Button;
use types::{Answer, Ask, OwnerRequest, Question, Scope};

use super::{Stage, word};

/// The longest part of arguments or payload that a chat shows.
const MAX_SHOWN: usize = 1_500;
/// Suggested answers that become buttons.
const MAX_OPTIONS: usize = 8;
/// The longest label of a button, in characters.
const MAX_LABEL: usize = 40;

/// What a press means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Press<'a> {
    /// Yes to the approval with this nonce.
    Approve(&'a str),
    /// The rule of this scope is to be shown.
    Show(Scope, &'a str),
    /// Yes, and the rule that was shown is to be saved.
    Save(Scope, &'a str),
    /// No to it.
    Deny(&'a str),
    /// The suggested answer of this number.
    Option(&'a str, usize),
}

impl<'a> Press<'a> {
    /// What names the request.
    pub fn nonce(&self) -> &'a str {
        match self {
            Self::Approve(nonce)
            | Self::Show(_, nonce)
            | Self::Save(_, nonce)
            | Self::Deny(nonce)
            | Self::Option(nonce, _) => nonce,
        }
    }
}

/// Reads a button's data: one letter and the request's nonce.
pub(crate) fn press(data: &str) -> Option<Press<'_>> {
    let first = data.chars().next()?;
    let nonce = &data[first.len_utf8()..];
    if nonce.len() < 16 || nonce.len() > 63 || !nonce.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    match first {
        'y' => Some(Press::Approve(nonce)),
        't' => Some(Press::Show(Scope::Task, nonce)),
        'a' => Some(Press::Show(Scope::Always, nonce)),
        'T' => Some(Press::Save(Scope::Task, nonce)),
        'A' => Some(Press::Save(Scope::Always, nonce)),
        'n' => Some(Press::Deny(nonce)),
        digit => {
            let number = digit.to_digit(10).and_then(|number| usize::try_from(number).ok())?;
            Some(Press::Option(nonce, number))
        }
    }
}

/// The buttons of an open request.
pub(crate) fn buttons(request: &OwnerRequest, nonce: &str) -> Vec<Button> {
    let button = |label: &str, letter: char| button(label, letter, nonce);
    match &request.ask {
        Ask::Approval(question) if question.offer.is_some() => {
            vec![button("Approve", 'y'), button("Deny", 'n'), button("For this task …", 't'), button("Always …", 'a')]
        }
        Ask::Approval(_) => vec![button("Approve", 'y'), button("Deny", 'n')],
        Ask::Question { options, .. } => {
            let labels =
                options.iter().take(MAX_OPTIONS).map(|option| option.chars().take(MAX_LABEL).collect::<String>());
            labels.zip('0'..='9').map(|(label, digit)| button(&label, digit)).collect()
        }
    }
}

fn button(label: &str, letter: char, nonce: &str) -> Button {
    Button { label: label.to_owned(), data: format!("{letter}{nonce}") }
}

/// The buttons of an open approval whose answer has come so far.
pub(crate) fn stage_buttons(stage: Stage, nonce: &str) -> Vec<Button> {
    let once = button("Only this once", 'y', nonce);
    let deny = button("Deny", 'n', nonce);
    match stage {
        Stage::Rule(Scope::Once) => vec![once, deny],
        Stage::Rule(Scope::Task) => vec![button("Allow for this task", 'T', nonce), once, deny],
        Stage::Rule(Scope::Always) => vec![button("Always allow", 'A', nonce), once, deny],
        Stage::Code(_) => vec![deny],
    }
}

/// An open approval in words, when its answer has come so far.
pub(crate) fn stage_text(request: &OwnerRequest, question: &Question, stage: Stage) -> String {
    let (id, summary) = (request.id, inline_code(&question.effect.summary));
    let rule = question.offer.as_ref().map(|offer| fenced(&offer.text)).unwrap_or_default();
    let until = match stage {
        Stage::Rule(Scope::Always) | Stage::Code(Scope::Always) => "until you take it back",
        Stage::Rule(_) | Stage::Code(_) => "until this task ends",
    };
    match stage {
        Stage::Rule(_) => format!("**Approval {id}**: {summary}\nWith it, this rule would hold {until}:\n{rule}"),
        Stage::Code(Scope::Once) => {
            format!("**Approval {id}**: {summary}\nIt needs the code of your authenticator app. Write: `{id} 123456`")
        }
        Stage::Code(Scope::Task | Scope::Always) => format!(
            "**Approval {id}**: {summary}\nWith it, this rule will hold {until}:\n{rule}\nIt needs the code of your \
             authenticator app. Write: `{id} 123456`"
        ),
    }
}

/// An open request in words. A messenger without buttons shows the word that a typed yes needs.
pub(crate) fn question_text(request: &OwnerRequest, typed: Option<&str>) -> String {
    let minutes = request.expires_at.since(request.asked_at).as_secs().div_ceil(60);
    match &request.ask {
        Ask::Approval(question) => {
            let id = request.id;
            let word = typed.map(|nonce| format!(" {}", word(nonce))).unwrap_or_default();
            let others = match (&question.offer, typed) {
                (Some(_), Some(_)) => format!("\n/approve {id} always{word} shows a rule for calls like it."),
                (Some(_) | None, _) => String::new(),
            };
            format!(
                "{}\nValid for {minutes} min. /approve {id}{word} or /deny {id}{others}",
                approval(request, question)
            )
        }
        Ask::Question { text, options } => {
            let options: String = options.iter().map(|option| format!("\n- {}", one_line(option))).collect();
            let quoted = quote(text);
            format!("**The agent asks**\n\n{quoted}\n{options}\n\nAnswer in words, within {minutes} min.")
        }
    }
}

/// A settled request in words.
pub(crate) fn settled_text(request: &OwnerRequest, answer: &Answer) -> String {
    let outcome = crate::commands::answer::outcome(answer);
    match &request.ask {
        Ask::Approval(question) => {
            let summary = inline_code(&question.effect.summary);
            format!("**Approval {}: {outcome}**\n{summary}", request.id)
        }
        Ask::Question { text, .. } => match answer {
            Answer::Text { text: said } => {
                format!("**The agent asked**\n\n{}\n\nYou said:\n\n{}", quote(text), quote(said))
            }
            Answer::Approved { .. } | Answer::Denied | Answer::Expired | Answer::Withdrawn => {
                format!("**The agent asked** ({outcome})\n\n{}", quote(text))
            }
        },
    }
}

fn approval(request: &OwnerRequest, question: &Question) -> String {
    let effect = &question.effect;
    let mut lines = vec![
        format!("**Approval {} needed**: {}", request.id, inline_code(&effect.summary)),
        format!("Why you are asked: {}.", question.reason),
        format!("Workspace: {}", question.workspace),
    ];
    for destination in &effect.destinations {
        lines.push(format!("To: {}", inline_code(destination)));
    }
    if effect.count > 1 {
        lines.push(format!("It would touch {} things.", effect.count));
    }
    if let Some(payload) = &effect.payload {
        lines.push(format!("It would send:\n{}", fenced(payload)));
    }
    lines.push(fenced(&question.arguments));
    lines.join("\n")
}

/// Foreign text as a quotation, line by line, so that it cannot pass for ours.
fn quote(text: &str) -> String {
    cut(text).lines().map(|line| format!("> {line}")).collect::<Vec<_>>().join("\n")
}

fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).take(200).collect()
}

/// Text in a code span that it cannot leave.
fn inline_code(text: &str) -> String {
    let text = one_line(text);
    let ticks = "`".repeat(longest_run(&text) + 1);
    format!("{ticks} {text} {ticks}")
}

/// Text in a code block that it cannot leave.
pub(crate) fn fenced(text: &str) -> String {
    let text = cut(text);
    let fence = "`".repeat((longest_run(&text) + 1).max(3));
    format!("{fence}\n{text}\n{fence}")
}

fn longest_run(text: &str) -> usize {
    text.split(|character| character != '`').map(str::len).max().unwrap_or(0)
}

/// The beginning of a long text, with what is missing.
fn cut(text: &str) -> String {
    let total = text.chars().count();
    if total <= MAX_SHOWN {
        return text.to_owned();
    }
    let head: String = text.chars().take(MAX_SHOWN).collect();
    format!("{head}\n… {} more characters: `factotum approvals` shows all", total - MAX_SHOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buttons_are_read_strictly() {
        let nonce = "0123456789abcdef0123456789abcdef";
        let data = |letter: char| format!("{letter}{nonce}");
        assert_eq!(press(&data('y')), Some(Press::Approve(nonce)));
        assert_eq!(press(&data('n')), Some(Press::Deny(nonce)));
        assert_eq!(press(&data('a')), Some(Press::Show(Scope::Always, nonce)));
        assert_eq!(press(&data('T')), Some(Press::Save(Scope::Task, nonce)));
        assert_eq!(press(&data('3')), Some(Press::Option(nonce, 3)));
        for bad in ["", "y", "x0123456789abcdef0123456789abcdef", "y01", "yzzzzzzzzzzzzzzzzzzzz", "é0123456789abcdef00"]
        {
            assert_eq!(press(bad), None, "{bad}");
        }
        assert!(press(&format!("y{}", "a".repeat(64))).is_none());
    }

    #[test]
    fn foreign_text_cannot_leave_its_code() {
        assert_eq!(fenced("a```b"), "````\na```b\n````");
        assert_eq!(inline_code("a`b\nc"), "`` a`b c ``");
        assert_eq!(quote("a\n/approve 1"), "> a\n> /approve 1");
    }
}
