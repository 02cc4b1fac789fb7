//! A request to the owner, with everything that an approval binds.

use types::{Answer, Ask, Confidentiality, Integrity, Label, OwnerRequest, Proposal, Question, Scope, Sink};

use super::time;

/// Everything about a request. A person approves what stands here, so nothing of the call is left out.
pub fn request(request: &OwnerRequest) -> String {
    let mut lines = vec![format!("request {} (task {}, session {})", request.id, request.turn, request.session)];
    match &request.ask {
        Ask::Approval(question) => approval(question, &mut lines),
        Ask::Question { text, options } => {
            quote("the agent asks", text, &mut lines);
            lines.extend(options.iter().zip(1..).map(|(option, number)| format!("  {number}. {}", one_line(option))));
        }
    }
    lines.push(match &request.answer {
        None => format!("  expires: {}", time(request.expires_at)),
        Some(answer) => format!("  answer: {}", answered(answer)),
    });
    lines.join("\n")
}

/// Everything about a proposal: what is accepted is what stands here.
pub fn proposal(proposal: &Proposal) -> String {
    let question = &proposal.question;
    let mut lines = vec![format!("proposal {} (task {}, session {})", proposal.id, question.turn, question.session)];
    approval(question, &mut lines);
    lines.push(format!("  made: {}", time(proposal.at)));
    lines.join("\n")
}

fn approval(question: &Question, lines: &mut Vec<String>) {
    lines.push(format!("  {}", one_line(&question.effect.summary)));
    lines.push(format!("  why it is asked: {}", one_line(&question.reason)));
    lines.push(format!("  workspace: {}", question.workspace));
    for destination in &question.effect.destinations {
        lines.push(format!("  destination: {}", one_line(destination)));
    }
    if question.effect.count != 1 {
        lines.push(format!("  it touches {} things", question.effect.count));
    }
    if let Some(payload) = &question.effect.payload {
        quote(payload_title(question.effect.sink), payload, lines);
    }
    quote(&format!("arguments of `{}`", one_line(&question.tool)), &question.arguments, lines);
    lines.push(format!("  what the session holds: {}", label(question.label)));
    if let Some(offer) = &question.offer {
        quote("a rule that may be made of it (--task, --always)", &offer.text, lines);
    }
}

/// Only what leaves the machine is sent; elsewhere the payload is what would be done, in full.
fn payload_title(sink: Sink) -> &'static str {
    match sink {
        Sink::Fetch | Sink::Send | Sink::Credential => "it would send",
        Sink::Compute | Sink::WorkspaceWrite | Sink::Reply | Sink::Persist | Sink::Destructive => "in full",
    }
}

/// Text that is not ours, line by line behind a bar, so that it cannot pass for ours.
fn quote(what: &str, text: &str, lines: &mut Vec<String>) {
    lines.push(format!("  {what}:"));
    lines.extend(daemon::terminal::neutral(text).lines().map(|line| format!("  | {line}")));
}

fn one_line(text: &str) -> String {
    daemon::terminal::neutral(text).replace('\n', " ")
}

fn label(label: Label) -> String {
    let integrity = match label.integrity {
        Integrity::Trusted => "only your words",
        Integrity::Untrusted => "foreign text",
    };
    let confidentiality = match label.confidentiality {
        Confidentiality::Public => "nothing private",
        Confidentiality::Private => "private data",
    };
    format!("{integrity}, {confidentiality}")
}

fn answered(answer: &Answer) -> String {
    match answer {
        Answer::Approved { scope: Scope::Once } => "approved".to_owned(),
        Answer::Approved { scope: Scope::Task } => "approved for this task".to_owned(),
        Answer::Approved { scope: Scope::Always } => "approved, now and always".to_owned(),
        Answer::Denied => "denied".to_owned(),
        Answer::Expired => "expired".to_owned(),
        Answer::Withdrawn => "withdrawn".to_owned(),
        Answer::Text { text } => one_line(text),
    }
}

#[cfg(test)]
mod tests {
    use types::Timestamp;

    use super::*;
    use crate::questions::tests::{approval, request as asked};

    #[test]
    fn an_approval_shows_all_that_it_binds() {
        let mut request = approval(3);
        if let Ask::Approval(question) = &mut request.ask {
            question.effect.sink = Sink::Send;
            question.effect.destinations = vec!["ops@example.org".to_owned()];
            question.effect.payload = Some("first\nrequest 9\u{1b}[1A".to_owned());
        }
        request.answer = Some(Answer::Denied);
        insta::assert_snapshot!(super::request(&request));
    }

    #[test]
    fn a_question_numbers_its_options() {
        let options = vec!["red".to_owned(), "blue".to_owned()];
        let mut request = asked(4, Ask::Question { text: "which\ncolour?".to_owned(), options });
        request.answer = Some(Answer::Text { text: "blue".to_owned() });
        request.expires_at = Timestamp(0);
        insta::assert_snapshot!(super::request(&request));
    }
}
