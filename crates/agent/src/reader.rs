//! The reader: a model call beside the session that looks at foreign text in its place and may do nothing. It gets the
//! output of one call that only looks, has no tools, and its answer is one of few values, counted in bits, or a text that
//! the session passes on by a handle without seeing it. So the session's label does not rise.
//!
//! What it may is what its parent may, attenuated: one tool, looking only, no process, one model call out of the parent's
//! budget. Nothing that it says or that fails comes through in words of its own.

mod answer;
mod permit;

use std::sync::Arc;

use policy::{Grant, canonical};
use serde::Deserialize;
use serde_json::{Value, json};
use store::{
    Author, BlockOrigin, CallRecord, MessageKind, NewMessage, NewReading, StoreError, Tx,
    audit::{AuditError, AuditKind},
};
use types::{
    Block, Effect, Integrity, Label, MediaBytes, Message, ModelRequest, Role, SessionId, Sink, Tool, ToolCall, ToolEnd,
    ToolOutput, ToolSpec,
};

use self::answer::{Form, picked};
use crate::{
    ask::{Asked, Audience, Bill, ask},
    breaker::may_pass_on,
    calls::Outcome,
    cap::{cap, line},
    estimate::request_bytes,
    gate, handles,
    models::{Model, ModelRole},
    perform::{Work, perform},
    progress::Progress,
    prompt::READER,
    run::Run,
    step::{OpenStep, Opened, Opening},
};

/// The tool's name.
const NAME: &str = "reader";
/// The most characters of a question.
const MAX_QUESTION: usize = 2_000;
/// The most tokens of an answer in a form, and of a text.
const ANSWER_TOKENS: u32 = 512;
const TEXT_TOKENS: u32 = 2_048;
/// The most characters of arguments in the audit log.
const AUDITED: usize = 4_000;

/// How the reader is described to the model. Every word is paid for with every request.
pub(crate) fn spec() -> ToolSpec {
    let text = || json!({"type": "string"});
    ToolSpec {
        name: NAME.to_owned(),
        description:
            "Make a call that only looks without seeing its output: foreign text then limits nothing. Returns \
                      `answer` to `question`; a handle (h_...) becomes its text in your reply or files."
                .to_owned(),
        input_schema: json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["tool", "input", "answer"],
            "properties": {
                "tool": text(),
                "input": {"type": "object"},
                "question": text(),
                "answer": {
                    "type": "object",
                    "description": "{type: bool|enum|set|int|date|name|handle, values?, min?, max?}",
                },
            },
        }),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    tool: String,
    input: Value,
    question: Option<String>,
    answer: Form,
}

/// A reading that was checked.
struct Reading {
    call: ToolCall,
    tool: Arc<dyn Tool<Grant>>,
    effect: Effect,
    question: Option<String>,
    form: Form,
    summary: String,
    /// The label of the texts in the arguments that the session has not read; none when it passes none on.
    passed_on: Option<Label>,
}

/// What the look brought: the reader's session, the text, and the label of that session with the text in it.
struct Look {
    session: SessionId,
    text: String,
    label: Label,
}

/// The model call that was made, and what it cost.
type Paid = Option<(OpenStep, Bill)>;

/// Whether a call is one of the reader.
pub(crate) fn is_called(run: &Run<'_>, call: &ToolCall) -> bool {
    call.name == NAME && run.deps.tools.has_reader()
}

/// What a reading would do, in a line.
pub(crate) fn summary(run: &Run<'_>, call: &ToolCall) -> String {
    checked(run, call).map_or_else(|_| NAME.to_owned(), |reading| reading.summary)
}

/// One reading. It only looks, so after a crash it is made again.
pub(crate) async fn read(run: &Run<'_>, record: &CallRecord) -> Result<Outcome, StoreError> {
    let reading = match checked(run, &record.call) {
        Ok(reading) => reading,
        Err(refused) => return Ok(Outcome::failed(run.redactor().redact(&refused))),
    };
    if let Some(refused) = no_room(run, &reading)? {
        return Ok(Outcome::failed(refused));
    }
    let decision = permit::permit(run, &reading)?;
    if let Err(error) = audit_intent(run, &reading, &decision).await {
        return Ok(Outcome::failed(format!("nothing was done, because the audit log cannot be written: {error}")));
    }
    let grant = match decision {
        Ok(grant) => grant,
        Err(why) => return Ok(Outcome::denied(why)),
    };
    if run.halt.is_cancelled() {
        return Ok(Outcome::not_run());
    }
    let outcome = match look(run, &reading, &grant).await? {
        Ok(look) => tell(run, &reading, look).await?,
        Err(outcome) => outcome,
    };
    let detail = json!({ "tool": NAME, "end": outcome.end, "bits": reading.form.bits() });
    if let Err(error) = gate::audit(run, &reading.call.id, AuditKind::ToolOutcome, detail).await {
        tracing::error!(%error, turn = %run.turn.id, "the outcome of a reading could not be written to the audit log");
    }
    Ok(outcome)
}

/// Checks the arguments; mistakes go back to the model.
fn checked(run: &Run<'_>, call: &ToolCall) -> Result<Reading, String> {
    let arguments: Arguments = serde_json::from_value(call.input.clone())
        .map_err(|error| format!("{error}; the fields are: tool, input, question?, answer"))?;
    let Arguments { tool: name, input, question, answer: form } = arguments;
    form.check()?;
    let question = question.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    if question.is_none() && form != Form::Handle {
        return Err("`question` is missing; only a handle goes without one".to_owned());
    }
    if question.as_ref().is_some_and(|text| text.chars().count() > MAX_QUESTION) {
        return Err(format!("`question` has more than {MAX_QUESTION} characters"));
    }
    let tool = run.deps.tools.find(&name).ok_or_else(|| "there is no tool of this name to look with".to_owned())?;
    if form == Form::Name && !tool.lists_names() {
        return Err("this tool gives more than a list of names, of which none can be picked".to_owned());
    }
    let mut effect = tool.assess(&input).map_err(|invalid| invalid.0)?;
    // The line names handles and does not show their texts.
    let summary = format!("{NAME}: {}", line(&effect.summary, 200));
    let given = ToolCall { id: call.id.clone(), name, input };
    let (call, passed_on) = handles::expanded(run, &given).map_err(|error| error.to_string())?;
    if passed_on.is_some() {
        let unfit = "the arguments do not fit once the handles are replaced by their texts";
        effect = tool.assess(&call.input).map_err(|_| unfit.to_owned())?;
    }
    let looks = match effect.sink {
        Sink::Compute | Sink::Fetch | Sink::Credential => effect.read_only && effect.payload.is_none(),
        Sink::WorkspaceWrite | Sink::Send | Sink::Reply | Sink::Persist | Sink::Destructive => false,
    };
    if !looks {
        return Err("this call does more than look, so the reader cannot make it".to_owned());
    }
    Ok(Reading { call, tool: tool.clone(), effect, question, form, summary, passed_on })
}

/// Why the answer may not be told any more: the session's readers have told too much.
fn no_room(run: &Run<'_>, reading: &Reading) -> Result<Option<String>, StoreError> {
    let (used, most) = (run.deps.store.bits_read(run.session)?, run.deps.settings.reader_bits);
    let (left, wanted) = (most.saturating_sub(used), reading.form.bits());
    Ok((wanted > left).then(|| {
        format!(
            "this answer could tell {wanted} bits of foreign text, and the readers of this session may tell {left} more: \
             ask for a narrower form or a handle, or make the call yourself"
        )
    }))
}

/// Makes the call and stores what it gave in a session of the reader's own.
async fn look(run: &Run<'_>, reading: &Reading, grant: &Grant) -> Result<Result<Look, Outcome>, StoreError> {
    let (parent, turn, call, summary) = (run.session, run.turn.id, reading.call.id.clone(), reading.summary.clone());
    let known = run.label()?.join(reading.passed_on.unwrap_or(Label::CLEAN));
    let session = run
        .commit(move |tx: &mut Tx<'_>| {
            tx.start_call(turn, &call, &summary, true)?;
            tx.create_reader(parent, known, &summary)
        })
        .await?;
    let work = Work {
        tool: &reading.tool,
        input: &reading.call.input,
        call: &reading.call.id,
        session: run.session,
        label: known,
    };
    let Outcome { end, output: ToolOutput { text, label: brought, .. } } = perform(run, work, grant).await;
    let (kept, summary, call) = (text.clone(), reading.summary.clone(), reading.call.id.clone());
    let label = run
        .commit(move |tx: &mut Tx<'_>| {
            let origin = BlockOrigin { turn: Some(turn), call: Some(&call) };
            let joined = tx.raise_label_by(session, brought, origin, &summary)?;
            tx.append_message(said(session, Author::Tool, Role::User, kept, brought))?;
            Ok(joined)
        })
        .await?;
    Ok(match end {
        ToolEnd::Ok => Ok(Look { session, text, label }),
        // Our own words may be told; anybody else's could speak through an error.
        ToolEnd::Error if brought.integrity == Integrity::Trusted && reading.passed_on.is_none() => {
            Err(Outcome::failed(text))
        }
        ToolEnd::Error => Err(Outcome::failed("the call of the reader failed; why is not shown")),
        ToolEnd::Stopped | ToolEnd::Denied | ToolEnd::Unknown => Err(Outcome::not_run()),
    })
}

fn said(session: SessionId, author: Author, role: Role, text: String, label: Label) -> NewMessage {
    let (blocks, kind) = (vec![Block::text(text)], MessageKind::Normal);
    NewMessage { session, turn: None, role, blocks, author, label, kind }
}

/// From the text to the answer.
async fn tell(run: &Run<'_>, reading: &Reading, look: Look) -> Result<Outcome, StoreError> {
    let Some(question) = &reading.question else {
        return pass_on(run, reading, &look, look.text.clone(), None).await;
    };
    let (step, asked, bill) = match first_answer(run, reading, question, &look.text).await? {
        Ok(asked) => asked,
        Err(outcome) => return Ok(outcome),
    };
    let answer = said_by(&asked).map(|text| run.redactor().redact(&text).into_owned());
    let paid = Some((step, bill));
    match (&reading.form, answer) {
        (Form::Handle, Some(text)) => pass_on(run, reading, &look, text, paid).await,
        (Form::Name, Some(text)) if picked(&look.text, &text).is_some() => {
            // Which name it is was counted in bits; that it is one of the list is our own word.
            let label = Label { integrity: Integrity::Trusted, ..look.label };
            pass_on(run, reading, &Look { label, ..look }, text.trim().to_owned(), paid).await
        }
        (_, answer) => {
            let value = answer.as_deref().and_then(|text| reading.form.value(text));
            settle(run, reading, &look, answer.unwrap_or_default(), paid, None).await?;
            Ok(match value {
                Some(value) => told(json!({ "answer": value }).to_string(), look.label),
                None => Outcome::failed("the reader gave no answer of the form that was asked for"),
            })
        }
    }
}

/// What the first reader says that answers; the last one's failure where none does.
async fn first_answer(
    run: &Run<'_>,
    reading: &Reading,
    question: &str,
    text: &str,
) -> Result<Result<(OpenStep, Asked, Bill), Outcome>, StoreError> {
    let mut failed = Vec::new();
    let mut next = run.pick(ModelRole::Reader, &failed)?;
    loop {
        let model = next.unwrap_or_else(|| run.deps.models.first().clone());
        let request = request(&model, reading, question, text);
        let step = match open(run, &model, &request).await? {
            Opened::Ask(step) => step,
            Opened::Limit(limit) => return Ok(Err(Outcome::failed(format!("the reader was not asked: {limit}")))),
            Opened::TooLong => return Ok(Err(Outcome::failed("the reader was not asked: the text is too long"))),
        };
        let request = ModelRequest { max_output_tokens: step.max_output, ..request };
        let asked = ask(run, &model, step, request, Audience::Nobody).await?;
        if run.halt.is_cancelled() && asked.outcome.is_err() {
            // The end of the turn counts the open call as spent.
            return Ok(Err(Outcome::not_run()));
        }
        if let Some(limit) = asked.limit {
            return Ok(Err(Outcome::failed(format!("the reader was not asked again: {limit}"))));
        }
        let bill = asked.bill(model.prices.as_ref(), step);
        failed.push(model.name.clone());
        let passes = asked.outcome.as_ref().is_err_and(|error| may_pass_on(error.kind));
        next = if passes { run.pick(ModelRole::Reader, &failed)? } else { None };
        if next.is_none() {
            return Ok(Ok((step, asked, bill)));
        }
        let (turn, (usage, cost)) = (run.turn.id, bill);
        run.commit(move |tx: &mut Tx<'_>| tx.settle(turn, step.step, usage, cost)).await?;
    }
}

async fn open(run: &Run<'_>, model: &Model, request: &ModelRequest) -> Result<Opened, StoreError> {
    let bytes = request_bytes(&request.system, &request.tools, &request.messages);
    let progress = Progress::load(&run.deps.store, run.session, run.turn.id)?;
    let mut opening = Opening::new(run.deps, model, progress, bytes);
    opening.compact = false;
    opening.max_output = request.max_output_tokens;
    let turn = run.turn.id;
    run.commit(move |tx: &mut Tx<'_>| opening.open(tx, turn, 0)).await
}

fn said_by(asked: &Asked) -> Option<String> {
    let reply = asked.outcome.as_ref().ok()?;
    let text = Message { role: Role::Assistant, blocks: reply.blocks.clone() }.text();
    (!text.trim().is_empty()).then_some(text)
}

fn request(model: &Model, reading: &Reading, question: &str, text: &str) -> ModelRequest {
    let tokens = if reading.form == Form::Handle { TEXT_TOKENS } else { ANSWER_TOKENS };
    let asked = format!("<text>\n{text}\n</text>\n\nQuestion: {question}\n{}", reading.form.instruction());
    ModelRequest {
        model: model.id.clone(),
        system: READER.into(),
        tools: Arc::new([]),
        messages: vec![Message::user(asked)],
        max_output_tokens: tokens.min(model.max_output_tokens),
        thinking_tokens: None,
        media: MediaBytes::default(),
        output: None,
        cache_key: None,
    }
}

/// Keeps a text under a fresh handle.
async fn pass_on(
    run: &Run<'_>,
    reading: &Reading,
    look: &Look,
    text: String,
    paid: Paid,
) -> Result<Outcome, StoreError> {
    let Some(name) = handles::fresh() else {
        return Ok(Outcome::failed("no handle could be made: the system gave no random numbers"));
    };
    let answer = if paid.is_some() { text.clone() } else { String::new() };
    settle(run, reading, look, answer, paid, Some((name.clone(), text))).await?;
    Ok(told(format!("{name} (write this name where the text is to stand)"), look.label))
}

/// Stores what the reader said in its own session, what it cost, and how much of it is told.
async fn settle(
    run: &Run<'_>,
    reading: &Reading,
    look: &Look,
    answer: String,
    paid: Paid,
    passed_on: Option<(String, String)>,
) -> Result<(), StoreError> {
    let (session, turn, reader, label) = (run.session, run.turn.id, look.session, look.label);
    let progress = Progress { open: None, ..Progress::load(&run.deps.store, session, turn)? };
    let (call, bits) = (reading.call.id.clone(), reading.form.bits());
    let new = NewReading { session, turn, call, reader, bits, passed_on, label };
    run.commit(move |tx: &mut Tx<'_>| {
        if let Some((step, (usage, cost))) = paid {
            tx.settle(turn, step.step, usage, cost)?;
            progress.save(tx, session)?;
        }
        if !answer.is_empty() {
            tx.append_message(said(reader, Author::Model, Role::Assistant, answer, label))?;
        }
        tx.add_reading(new)
    })
    .await
}

/// An answer in our form. It may tell of private things, but nobody else's words speak through it.
fn told(text: String, read: Label) -> Outcome {
    let label = Label { integrity: Integrity::Trusted, ..read };
    Outcome { end: ToolEnd::Ok, output: ToolOutput::ok(text, label) }
}

async fn audit_intent(run: &Run<'_>, reading: &Reading, decision: &Result<Grant, String>) -> Result<(), AuditError> {
    let (verdict, reason) = match decision {
        Ok(_) => ("allow", None),
        Err(reason) => ("deny", Some(reason.as_str())),
    };
    let detail = json!({
        "tool": NAME,
        "looks_with": reading.call.name,
        "arguments": cap(&run.redactor().redact(&canonical(&reading.call.input)), AUDITED),
        "sink": reading.effect.sink,
        "summary": run.redactor().redact(&reading.summary),
        "destinations": reading.effect.destinations,
        "bits": reading.form.bits(),
        "decision": verdict,
        "reason": reason,
    });
    gate::audit(run, &reading.call.id, AuditKind::ToolIntent, detail).await
}
