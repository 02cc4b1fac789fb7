//! Requests that wait for the owner, and what a typed line means to them. Pure.

use types::{Answer, Ask, Code, Command, CommandReply, Envelope, Event, OwnerRequest, RequestId, Scope};

/// The open requests of what is being watched, oldest first.
#[derive(Debug, Default)]
pub struct Questions {
    open: Vec<OwnerRequest>,
    /// What the oldest one still needs.
    step: Option<Step>,
}

/// What a typed line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// To which request.
    pub request: RequestId,
    /// What.
    pub answer: Answer,
    code: Option<Code>,
    confirm: Option<String>,
}

impl Said {
    fn new(request: RequestId, answer: Answer) -> Self {
        Self { request, answer, code: None, confirm: None }
    }

    /// The command that says so to the daemon.
    pub fn command(&self) -> Command {
        Command::Answer {
            request: self.request,
            answer: self.answer.clone(),
            code: self.code.clone(),
            confirm: self.confirm.clone(),
        }
    }
}

/// What is missing of an answer.
#[derive(Clone, Debug)]
enum Step {
    /// A look at the rule that would be saved.
    Rule { said: Said, digest: String },
    /// The code of the second factor.
    Code { said: Said },
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
        if self.open.first().is_some_and(|open| open.id == request) {
            self.step = None;
        }
        self.open.retain(|open| open.id != request);
    }

    /// The request that a line would answer.
    pub fn oldest(&self) -> Option<&OwnerRequest> {
        self.open.first()
    }

    /// Takes note of what the daemon says to an answer. Gives what is to be shown before the next line is read.
    pub fn hear(&mut self, said: Said, reply: &CommandReply) -> Option<String> {
        match reply {
            CommandReply::CodeNeeded { text } => {
                self.step = Some(Step::Code { said });
                Some(text.clone())
            }
            CommandReply::Confirm { rule, confirm } => {
                self.step = Some(Step::Rule { said, digest: confirm.clone() });
                Some(format!("This rule would be saved:\n{rule}"))
            }
            CommandReply::Accepted { .. }
            | CommandReply::Said { .. }
            | CommandReply::Done { .. }
            | CommandReply::Job { .. }
            | CommandReply::Shell { .. } => {
                self.settle(said.request);
                None
            }
        }
    }

    /// Whether the next line belongs to an answer that was begun.
    pub fn is_deciding(&self) -> bool {
        self.step.is_some()
    }

    /// How a person answers at the prompt; none when nothing is asked.
    pub fn prompt(&self) -> Option<&'static str> {
        let request = self.open.first()?;
        Some(match (&self.step, &request.ask) {
            (Some(Step::Code { .. }), _) => "code, or n? ",
            (Some(Step::Rule { .. }), _) => "save this rule, y or n? ",
            (None, Ask::Approval(question)) if question.offer.is_some() => "y, n, t (for this task) or a (always)? ",
            (None, Ask::Approval(_)) => "y or n? ",
            (None, Ask::Question { .. }) => "your answer: ",
        })
    }

    /// What a typed line says to the oldest request; none when it is not an answer to it. Only a plain yes lets a call
    /// happen.
    pub fn read(&mut self, line: &str) -> Option<Said> {
        let request = self.open.first()?;
        let line = line.trim();
        let word = line.to_ascii_lowercase();
        match (self.step.take(), &request.ask) {
            (Some(Step::Code { said }), _) if is_code(line) => Some(Said { code: Some(Code::new(line)), ..said }),
            (Some(Step::Code { said }), _) => {
                // Whoever does not want it any more is asked again from the beginning.
                self.step = (word != "n" && word != "no").then_some(Step::Code { said });
                None
            }
            (Some(Step::Rule { said, digest }), _) if word == "y" || word == "yes" => {
                Some(Said { confirm: Some(digest), ..said })
            }
            (Some(Step::Rule { said, digest }), _) => {
                self.step = (word != "n" && word != "no").then_some(Step::Rule { said, digest });
                None
            }
            (None, Ask::Approval(question)) => {
                let scope = match word.as_str() {
                    "y" | "yes" => Scope::Once,
                    "t" | "task" if question.offer.is_some() => Scope::Task,
                    "a" | "always" if question.offer.is_some() => Scope::Always,
                    "n" | "no" => return Some(Said::new(request.id, Answer::Denied)),
                    _ => return None,
                };
                Some(Said::new(request.id, Answer::Approved { scope }))
            }
            (None, Ask::Question { .. }) if line.is_empty() || line.starts_with('/') => None,
            (None, Ask::Question { options, .. }) => {
                Some(Said::new(request.id, Answer::Text { text: chosen(line, options).to_owned() }))
            }
        }
    }
}

fn is_code(line: &str) -> bool {
    line.len() == 6 && line.bytes().all(|byte| byte.is_ascii_digit())
}

/// A number chooses the option of this number, from 1.
fn chosen<'a>(line: &'a str, options: &'a [String]) -> &'a str {
    let number = line.parse::<usize>().ok();
    number.and_then(|number| options.get(number.checked_sub(1)?)).map_or(line, String::as_str)
}

#[cfg(test)]
pub(crate) mod tests {
    use types::{
        AllowanceRule, AllowedArguments, Effect, Label, Offer, Question, SessionId, Sink, Timestamp, TurnId,
        WorkspaceName,
    };

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

    /// A rule as it is offered with a question.
    pub(crate) fn offer() -> Offer {
        let rule = AllowanceRule {
            tool: "exec".to_owned(),
            sink: Sink::Compute,
            read_only: false,
            workspace: WorkspaceName::new("billing").expect("the literal is a valid name"),
            destinations: Vec::new(),
            count: 1,
            label: Label::OWNER,
            arguments: AllowedArguments::Exactly { arguments: "{}".to_owned() },
        };
        Offer { rule, text: "`exec` is not asked about when:\n- it is so".to_owned(), digest: "beef".to_owned() }
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
        let said = |answer| Some(Said::new(RequestId(3), answer));
        let (yes, no) = (said(Answer::ONCE), said(Answer::Denied));
        assert_eq!(answers, [yes.clone(), yes, no.clone(), no, None, None, None, None]);
    }

    #[test]
    fn a_rule_is_looked_at_and_a_code_given_before_the_answer_is_whole() {
        let mut request = approval(3);
        if let Ask::Approval(question) = &mut request.ask {
            question.offer = Some(offer());
        }
        let mut questions = Questions::default();
        questions.add(request);
        let always = Said::new(RequestId(3), Answer::Approved { scope: Scope::Always });
        assert_eq!(questions.read("a").as_ref(), Some(&always));
        let reply = CommandReply::Confirm { rule: "the rule".to_owned(), confirm: "beef".to_owned() };
        assert!(questions.hear(always.clone(), &reply).is_some_and(|text| text.contains("the rule")));
        assert_eq!(questions.prompt(), Some("save this rule, y or n? "));
        assert_eq!(questions.read("perhaps"), None);
        let seen = questions.read("y").expect("it is a yes");
        assert_eq!(seen, Said { confirm: Some("beef".to_owned()), ..always.clone() });
        questions.hear(seen.clone(), &CommandReply::CodeNeeded { text: "a code".to_owned() });
        assert_eq!(questions.read("y"), None);
        assert_eq!(questions.read("123456"), Some(Said { code: Some(Code::new("123456")), ..seen.clone() }));
        questions.hear(seen, &CommandReply::CodeNeeded { text: "a code".to_owned() });
        assert_eq!(questions.read("n"), None);
        assert_eq!(questions.read("n"), Some(Said::new(RequestId(3), Answer::Denied)), "asked from the beginning");
    }

    #[test]
    fn what_has_no_rule_takes_no_wider_yes() {
        let mut questions = Questions::default();
        questions.add(approval(3));
        assert_eq!(["t", "task", "a", "always"].map(|line| questions.read(line)), [None, None, None, None]);
    }

    #[test]
    fn a_question_takes_words_or_the_number_of_an_option() {
        let mut questions = Questions::default();
        let options = vec!["red".to_owned(), "blue".to_owned()];
        questions.add(request(4, Ask::Question { text: "which?".to_owned(), options }));
        let said = |text: &str| Some(Said::new(RequestId(4), Answer::Text { text: text.to_owned() }));
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
