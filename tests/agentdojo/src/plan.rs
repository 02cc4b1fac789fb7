//! How a careful model does the owner's task: by a plan made from the owner's words alone, with a reader for what must be
//! looked up. The rule is one for all tasks: where each argument of each call can be had without reading foreign text,
//! the reader gives it; where one cannot, the text is read and the session is tainted. Pure.

use policy::canonical;
use serde_json::Value;
use types::{Integrity, Sink};

use crate::{
    bridge::{Case, Step},
    labels::{Kind, ResultLabel},
    words::{Shape, is_content, is_in_prompt, minutes, shape},
};

/// What a reader is asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Want {
    /// Whether the plan goes on.
    Yes,
    /// A whole number.
    Number,
    /// A date.
    Date,
    /// A time of day, in minutes.
    Minutes,
    /// One of the names that the directory lists, unread.
    Name,
    /// A text, unread.
    Text,
}

/// One thing that the model does.
#[derive(Clone, Debug, PartialEq)]
pub enum Move {
    /// A call with arguments that it knows.
    Call(Step),
    /// A reader's look at the result of a call, of which the honest answer is `honest`; the answer goes to `argument`.
    Read { step: Step, fills: Vec<Fill>, want: Want, honest: String, argument: String },
    /// A call of which these arguments come from the answers of readers.
    Filled { step: Step, fills: Vec<Fill> },
}

/// An argument that comes from answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Fill {
    /// The argument.
    pub argument: String,
    /// The index, where the argument is a list.
    pub index: Option<usize>,
    /// The shape that is made from the answers; none for a name or a text as it came.
    pub shape: Option<Shape>,
    /// The numbers of the answers, in the order of the reads.
    pub answers: Vec<usize>,
}

/// What is known about the tools.
pub type Kinds<'a> = dyn Fn(&str) -> Option<&'a Kind> + 'a;

/// The moves of a model that reads everything itself.
pub fn plain(case: &Case) -> Vec<Move> {
    case.plan.iter().cloned().map(Move::Call).collect()
}

/// The moves with readers; none where some argument cannot be had without reading.
pub fn with_readers<'a>(case: &Case, kinds: &Kinds<'a>) -> Option<Vec<Move>> {
    let last = case.plan.iter().rposition(|step| can_ask(step, kinds))?;
    let is_foreign = |step: &Step| kinds(&step.function).is_some_and(|kind| integrity(kind) == Integrity::Untrusted);
    let mut builder = Builder {
        case,
        kinds,
        moves: Vec::new(),
        answers: 0,
        is_used: vec![false; case.plan.len()],
        names: Vec::new(),
    };
    for (at, step) in case.plan[..=last].iter().enumerate() {
        // A read is made when something is wanted from it.
        if is_read(step, kinds) && is_foreign(step) {
            continue;
        }
        builder.act(at, step)?;
    }
    let looked_at: Vec<Step> = case.plan[..=last].iter().filter(|step| is_read(step, kinds)).cloned().collect();
    // What is left needs no clean session. The owner wants to hear of what was only read by the reader, too.
    let rest = looked_at.into_iter().filter(|_| !case.output.trim().is_empty()).chain(case.plan[last + 1..].to_vec());
    let mut moves = builder.moves;
    moves.extend(rest.map(Move::Call));
    Some(moves)
}

fn integrity(kind: &Kind) -> Integrity {
    match kind.result {
        ResultLabel::Clean | ResultLabel::Owner => Integrity::Trusted,
        ResultLabel::Foreign | ResultLabel::Unknown => Integrity::Untrusted,
    }
}

fn sink(step: &Step, kinds: &Kinds<'_>) -> Option<Sink> {
    kinds(&step.function).map(|kind| kind.effect(&step.function, &step.args).sink)
}

/// Whether a tainted session would be asked about it.
fn can_ask(step: &Step, kinds: &Kinds<'_>) -> bool {
    match sink(step, kinds) {
        Some(Sink::Compute | Sink::WorkspaceWrite | Sink::Reply | Sink::Fetch) | None => false,
        Some(Sink::Send | Sink::Persist | Sink::Credential | Sink::Destructive) => true,
    }
}

fn is_read(step: &Step, kinds: &Kinds<'_>) -> bool {
    matches!(sink(step, kinds), Some(Sink::Compute | Sink::Fetch))
}

struct Builder<'c, 'k, 'a> {
    case: &'c Case,
    kinds: &'k Kinds<'a>,
    moves: Vec<Move>,
    answers: usize,
    /// Which reads gave something.
    is_used: Vec<bool>,
    /// The names that were picked, with their answers.
    names: Vec<(String, usize)>,
}

impl Builder<'_, '_, '_> {
    /// A call that changes something, or that reads what is the owner's.
    fn act(&mut self, at: usize, step: &Step) -> Option<()> {
        let Value::Object(arguments) = &step.args else { return None };
        let mut fills = Vec::new();
        for (argument, value) in arguments {
            match value {
                Value::Array(items) => {
                    for (index, item) in items.iter().enumerate() {
                        fills.extend(self.fill(at, step, argument, Some(index), item)?);
                    }
                }
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                    fills.extend(self.fill(at, step, argument, None, value)?);
                }
            }
        }
        self.conditions(at)?;
        self.moves.push(match fills.is_empty() {
            true => Move::Call(step.clone()),
            false => Move::Filled { step: step.clone(), fills },
        });
        Some(())
    }

    /// The reads so far that gave nothing are there for a condition.
    fn conditions(&mut self, at: usize) -> Option<()> {
        for read in 0..at {
            if self.is_reader(read) && !self.is_used[read] {
                self.read(read, Want::Yes, "true", "")?;
            }
        }
        Some(())
    }

    /// Where a value comes from. The outer none: it cannot be had.
    fn fill(
        &mut self,
        at: usize,
        step: &Step,
        argument: &str,
        index: Option<usize>,
        value: &Value,
    ) -> Option<Option<Fill>> {
        let fill = |shape, answers| Some(Some(Fill { argument: argument.to_owned(), index, shape, answers }));
        let text = match value {
            Value::Null | Value::Bool(_) => return Some(None),
            Value::String(text) => text.clone(),
            Value::Number(_) => value.to_string(),
            Value::Array(_) | Value::Object(_) => canonical(value),
        };
        if text.is_empty() || is_in_prompt(&self.case.prompt, &text) || self.is_trusted(at, &text) {
            return Some(None);
        }
        if let Some(read) = self.directory(at, &text) {
            return fill(None, vec![self.read(read, Want::Name, &text, argument)?]);
        }
        if let Some(shape) = shape(value) {
            let answers = self.few_bits(at, argument, value, &text, shape)?;
            return if answers.is_empty() { Some(None) } else { fill(Some(shape), answers) };
        }
        let outputs: Vec<&str> = self.readers(at).map(|read| self.case.plan[read].output.as_str()).collect();
        if !is_content(&self.case.prompt, &outputs, &text) {
            // The planner's own words.
            return Some(None);
        }
        match takes_text(step, self.kinds) {
            true => {
                let read = self.source(at, &text)?;
                fill(None, vec![self.read(read, Want::Text, &text, argument)?])
            }
            false => None,
        }
    }

    /// The answers that a number or a date is made from; none where it is the planner's own.
    fn few_bits(&mut self, at: usize, argument: &str, value: &Value, text: &str, shape: Shape) -> Option<Vec<usize>> {
        let Some(read) = self.source(at, text) else { return Some(Vec::new()) };
        match shape {
            Shape::Number | Shape::Id => Some(vec![self.read(read, Want::Number, text, argument)?]),
            Shape::Amount => {
                let hundredths = format!("{:.0}", value.as_f64()? * 100.0);
                Some(vec![self.read(read, Want::Number, &hundredths, argument)?])
            }
            Shape::Date if self.is_shown(at, text) => Some(vec![self.read(read, Want::Date, text, argument)?]),
            Shape::Moment if text.split(' ').any(|part| self.is_foreign_part(at, part)) => {
                let (date, time) = text.split_once(' ')?;
                let minutes = minutes(time)?.to_string();
                let date = self.read(read, Want::Date, date, argument)?;
                Some(vec![date, self.read(read, Want::Minutes, &minutes, argument)?])
            }
            // A day or an hour that nothing showed is the planner's own choice.
            Shape::Date | Shape::Moment => Some(Vec::new()),
        }
    }

    fn is_foreign_part(&self, at: usize, part: &str) -> bool {
        !is_in_prompt(&self.case.prompt, part) && self.is_shown(at, part)
    }

    /// Whether something foreign that was read before shows this.
    fn is_shown(&self, before: usize, text: &str) -> bool {
        self.readers(before).any(|read| self.case.plan[read].output.contains(text))
    }

    fn is_reader(&self, at: usize) -> bool {
        let step = &self.case.plan[at];
        is_read(step, self.kinds)
            && (self.kinds)(&step.function).is_some_and(|kind| integrity(kind) == Integrity::Untrusted)
    }

    fn readers(&self, before: usize) -> impl DoubleEndedIterator<Item = usize> + '_ {
        (0..before).filter(|at| self.is_reader(*at))
    }

    /// Whether a tool whose word is trusted gave this value, as a whole word.
    fn is_trusted(&self, before: usize, text: &str) -> bool {
        let given = (0..before).filter(|at| !self.is_reader(*at)).map(|at| &self.case.plan[at]);
        let is_plain =
            |step: &&Step| (self.kinds)(&step.function).is_some_and(|kind| integrity(kind) == Integrity::Trusted);
        given.filter(is_plain).any(|step| is_in_prompt(&step.output, text))
    }

    /// The directory that lists this name.
    fn directory(&self, before: usize, text: &str) -> Option<usize> {
        let is_listed = |at: &usize| {
            let step = &self.case.plan[*at];
            let lists = (self.kinds)(&step.function).is_some_and(|kind| kind.directory);
            lists && step.output.lines().any(|line| names(line).contains(&text))
        };
        self.readers(before).find(is_listed)
    }

    /// The read that a value comes from: the last one that shows it, or else the last.
    fn source(&self, before: usize, text: &str) -> Option<usize> {
        let shows = |at: &usize| self.case.plan[*at].output.contains(text);
        self.readers(before).rfind(shows).or_else(|| self.readers(before).last())
    }

    /// Asks a reader. None if the call itself would need what was not read.
    fn read(&mut self, at: usize, want: Want, honest: &str, argument: &str) -> Option<usize> {
        let step = self.case.plan[at].clone();
        let Value::Object(arguments) = &step.args else { return None };
        let mut fills = Vec::new();
        for (name, value) in arguments {
            let items: Vec<(Option<usize>, &Value)> = match value {
                Value::Array(items) => items.iter().enumerate().map(|(index, item)| (Some(index), item)).collect(),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                    vec![(None, value)]
                }
            };
            for (index, item) in items {
                fills.extend(self.name(at, name, index, item)?);
            }
        }
        self.is_used[at] = true;
        if want == Want::Name
            && let Some(known) = self.names.iter().find(|(name, _)| name == honest)
        {
            return Some(known.1);
        }
        self.moves.push(Move::Read {
            step,
            fills,
            want: want.clone(),
            honest: honest.to_owned(),
            argument: argument.to_owned(),
        });
        self.answers += 1;
        if want == Want::Name {
            self.names.push((honest.to_owned(), self.answers - 1));
        }
        Some(self.answers - 1)
    }

    /// An argument of a call that a reader makes. The name of a directory is passed on unread; any other text that was
    /// read would be foreign in the call, so that it cannot be made.
    fn name(&mut self, at: usize, argument: &str, index: Option<usize>, value: &Value) -> Option<Option<Fill>> {
        let Some(text) = value.as_str() else { return Some(None) };
        if text.is_empty() || is_in_prompt(&self.case.prompt, text) {
            return Some(None);
        }
        if let Some(directory) = self.directory(at, text) {
            let answers = vec![self.read(directory, Want::Name, text, argument)?];
            return Some(Some(Fill { argument: argument.to_owned(), index, shape: None, answers }));
        }
        let outputs: Vec<&str> = self.readers(at).map(|read| self.case.plan[read].output.as_str()).collect();
        (!is_content(&self.case.prompt, &outputs, text)).then_some(None)
    }
}

/// The name in a line of a directory, which may stand behind what the list is called.
fn names(line: &str) -> [&str; 2] {
    let whole = line.trim_start_matches("- ");
    [whole, line.split_once(": ").map_or(whole, |(_, name)| name)]
}

/// Whether a text that nobody read may be an argument: what is written stays with the owner and can be taken back.
fn takes_text(step: &Step, kinds: &Kinds<'_>) -> bool {
    let Some(kind) = kinds(&step.function) else { return false };
    let effect = kind.effect(&step.function, &step.args);
    match effect.sink {
        Sink::WorkspaceWrite | Sink::Reply => true,
        Sink::Persist => effect.reversible,
        Sink::Compute | Sink::Fetch | Sink::Send | Sink::Credential | Sink::Destructive => false,
    }
}
