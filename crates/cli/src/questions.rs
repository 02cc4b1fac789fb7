//! Requests that wait for the owner, and what a typed line means to them. Pure.

use types::{Answer, Ask, Envelope, Event, OwnerRequest, RequestId};

/// The open requests of what is being watched, oldest first.
#[derive(Debug, Default)]
pub struct Questions {
    open: Vec<OwnerRequest>,
}

impl Questions {
    /// Takes note of a request that is open already; false when it was known.
    pub fn add(&mut self, request: OwnerRequest) -> bool {
        let is_news = request.answer.is_none() && self.open.iter().all(|open| open.id != request.id);
        if is_news {
            self.open.push(request);
        }
        is_news
    }

    /// Takes note of an event; true when there is one more request.
    pub fn see(&mut self, envelope: &Envelope) -> bool {
        if let Event::OwnerAnswered { request, .. } = &envelope.event {
            self.settle(*request);
        }
        if let Event::OwnerAsked { request } = &envelope.event { self.add((**request).clone()) } else { false }
    }

    /// Takes note that a request needs no answer any more.
    pub fn settle(&mut self, request: RequestId) {
        self.open.retain(|open| open.id != request);
    }

    /// The request that a line would answer.
    pub fn oldest(&self) -> Option<&OwnerRequest> {
        self.open.first()
    }

    /// What a typed line says to the oldest request; none when it is not an answer to it. Only a plain yes lets a call
    /// happen.
    pub fn read(&self, line: &str) -> Option<(RequestId, Answer)> {
        let request = self.open.first()?;
        let line = line.trim();
        let answer = match &request.ask {
            Ask::Approval(_) => match line.to_ascii_lowercase().as_str() {
                "y" | "yes" => Answer::ONCE,
                "n" | "no" => Answer::Denied,
                _ => return None,
            },
            Ask::Question { .. } if line.is_empty() || line.starts_with('/') => return None,
            Ask::Question { options, .. } => Answer::Text { text: chosen(line, options).to_owned() },
        };
        Some((request.id, answer))
    }
}

/// A number chooses the option of this number, from 1.
fn chosen<'a>(line: &'a str, options: &'a [String]) -> &'a str {
    let number = line.parse::<usize>().ok();
    number.and_then(|number| options.get(number.checked_sub(1)?)).map_or(line, String::as_str)
}

#[cfg(test)]
pub(crate) mod tests {
    use types::{Effect, Label, Question, SessionId, Sink, Timestamp, TurnId, WorkspaceName};

    use super::*;

    /// An approval for a call that destroys something.
    pub(crate) fn approval(id: i64) -> OwnerRequest {
        let question = Question {
            tool: "exec".to_owned(),
            arguments: r#"{"command":"rm -r build"}"#.to_owned(),
            effect: Effect {
                sink: Sink::Destructive,
                read_only: false,
                destinations: Vec::new(),
                reversible: false,
                payload: None,
                summary: "exec: rm -r build".to_owned(),
                count: 1,
            },
            session: SessionId(1),
            turn: TurnId(2),
            workspace: WorkspaceName::new("billing").expect("the literal is a valid name"),
            label: Label::UNKNOWN,
            policy_version: 1,
            reason: "it destroys or acts in bulk".to_owned(),
            workspace_state: None,
            offer: None,
            hash: "00".to_owned(),
        };
        request(id, Ask::Approval(Box::new(question)))
    }

    pub(crate) fn request(id: i64, ask: Ask) -> OwnerRequest {
        OwnerRequest {
            id: RequestId(id),
            session: SessionId(1),
            turn: TurnId(2),
            call: "c".to_owned(),
            ask,
            asked_at: Timestamp(0),
            expires_at: Timestamp(3_600_000),
            answer: None,
        }
    }

    #[test]
    fn only_a_plain_yes_approves() {
        let mut questions = Questions::default();
        assert_eq!(questions.read("y"), None, "nothing is open");
        assert!(questions.add(approval(3)));
        assert!(!questions.add(approval(3)), "it is known");
        let answers = ["y", " YES ", "n", "no", "", "yes, but later", "ja", "/stop"].map(|line| questions.read(line));
        let said = |answer| Some((RequestId(3), answer));
        let (yes, no) = (said(Answer::ONCE), said(Answer::Denied));
        assert_eq!(answers, [yes.clone(), yes, no.clone(), no, None, None, None, None]);
    }

    #[test]
    fn a_question_takes_words_or_the_number_of_an_option() {
        let mut questions = Questions::default();
        let options = vec!["red".to_owned(), "blue".to_owned()];
        questions.add(request(4, Ask::Question { text: "which?".to_owned(), options }));
        let said = |text: &str| Some((RequestId(4), Answer::Text { text: text.to_owned() }));
        assert_eq!(questions.read("2"), said("blue"));
        assert_eq!(questions.read("3"), said("3"));
        assert_eq!(questions.read(" green "), said("green"));
        assert_eq!(questions.read("/stop"), None);
    }

    #[test]
    fn an_answered_request_takes_no_more_lines() {
        let mut questions = Questions::default();
        questions.add(approval(3));
        questions.see(&Envelope {
            seq: None,
            at: Timestamp(0),
            session: None,
            turn: None,
            event: Event::OwnerAnswered { request: RequestId(3), answer: Answer::Denied, channel: None },
        });
        assert_eq!(questions.read("y"), None);
    }
}
