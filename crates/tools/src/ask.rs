//! `ask`: a question in words to the owner. It survives a restart: the call that is run again finds the question it had
//! put, open or answered, and does not put it twice.

use std::{sync::Arc, time::Duration};

use policy::Grant;
use serde::Deserialize;
use serde_json::{Value, json};
use store::{NewRequest, StoreError};
use types::{
    Answer, BoxFuture, Effect, InvalidInput, Label, OwnerRequest, Sink, Tool, ToolContext, ToolOutput, ToolSpec,
};

use crate::{
    arguments::{one_line, parse},
    reach::Reach,
    spec::{Field, Presence::*, looking, spec, text},
};

const FIELDS: &str = "question, options?";
/// How long the owner has.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);
const MAX_QUESTION: usize = 2_000;
const MAX_OPTIONS: usize = 6;
const MAX_OPTION: usize = 60;

pub(crate) struct Ask {
    spec: ToolSpec,
    reach: Arc<Reach>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    question: String,
    options: Option<Vec<String>>,
}

fn check(input: &Value) -> Result<(String, Vec<String>), InvalidInput> {
    let arguments: Arguments = parse(input, FIELDS)?;
    let refuse = |why: String| Err(InvalidInput(why));
    let options = arguments.options.unwrap_or_default();
    if arguments.question.trim().is_empty() {
        return refuse("`question` is empty".to_owned());
    }
    if arguments.question.chars().count() > MAX_QUESTION {
        return refuse(format!("`question` is too long; at most {MAX_QUESTION} characters"));
    }
    let fits = |option: &String| !option.trim().is_empty() && option.chars().count() <= MAX_OPTION;
    if options.len() > MAX_OPTIONS || !options.iter().all(fits) {
        return refuse(format!("`options` may hold {MAX_OPTIONS} short texts, each of 1 to {MAX_OPTION} characters"));
    }
    Ok((arguments.question, options))
}

impl Ask {
    pub(crate) fn new(reach: Arc<Reach>) -> Self {
        let options = json!({"type": "array", "items": {"type": "string"}});
        let fields = vec![Field("question", text(), Required), Field("options", options, Optional)];
        let description = "Ask the owner and wait for the answer; only when you cannot decide or find out yourself.";
        Self { spec: spec("ask", description, fields), reach }
    }

    async fn ask(&self, input: &Value, context: &ToolContext) -> Result<ToolOutput, ToolOutput> {
        let (question, options) = check(input).map_err(|error| ToolOutput::error(error.0))?;
        let failed = |error: StoreError| ToolOutput::error(format!("the question could not be put: {error}"));
        let (request, left) = self.put(question, options, context).await.map_err(failed)?;
        let answer = match request.answer {
            Some(answer) => answer,
            None => self.wait(&request, left, context).await?,
        };
        Ok(match answer {
            Answer::Text { text } => ToolOutput::ok(format!("the owner answered: {text}"), Label::OWNER),
            Answer::Approved { .. } => ToolOutput::ok("the owner answered: yes", Label::OWNER),
            Answer::Denied => ToolOutput::ok("the owner declined to answer", Label::OWNER),
            Answer::Expired => ToolOutput::error("nobody answered in time; go on without, or say what is needed"),
            Answer::Withdrawn => ToolOutput::error("the question was withdrawn because the task was stopped"),
        })
    }

    /// The question of this call and how long it is still open: the one that an earlier run put, else a new one. One
    /// call has one run at a time, so nothing puts it between the look and the transaction.
    async fn put(
        &self,
        text: String,
        options: Vec<String>,
        context: &ToolContext,
    ) -> Result<(OwnerRequest, Duration), StoreError> {
        let earlier = self.reach.store.request_for_call(context.turn, &context.call)?;
        let (session, turn, call) = (context.session, context.turn, context.call.clone());
        self.reach
            .store
            .transact(move |tx| {
                let now = tx.now();
                let request = match earlier {
                    Some(request) => request,
                    None => tx.ask_owner(NewRequest {
                        session,
                        turn,
                        call,
                        ask: types::Ask::Question { text, options },
                        expires_at: now.plus(PATIENCE),
                    })?,
                };
                let left = request.expires_at.since(now);
                Ok((request, left))
            })
            .await
    }

    async fn wait(&self, request: &OwnerRequest, left: Duration, context: &ToolContext) -> Result<Answer, ToolOutput> {
        let store = &self.reach.store;
        let failed = |error: StoreError| ToolOutput::error(format!("the answer could not be read: {error}"));
        let settled = tokio::select! {
            settled = store.wait_request(request.id) => settled.map_err(failed)?,
            // The question stays open: after a restart this call is run again, and a stopped turn withdraws it.
            () = context.cancel.cancelled() => return Err(ToolOutput::error("stopped before the owner answered")),
            () = tokio::time::sleep(left) => {
                let id = request.id;
                store.transact(move |tx| tx.answer(id, Answer::Expired, None)).await.map_err(failed)?;
                // An answer may have come in the same moment, and then it counts.
                store.request(id).map_err(failed)?.unwrap_or_else(|| request.clone())
            }
        };
        Ok(settled.answer.unwrap_or(Answer::Expired))
    }
}

impl Tool<Grant> for Ask {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn assess(&self, input: &Value) -> Result<Effect, InvalidInput> {
        let (question, _) = check(input)?;
        let summary = format!("ask: {}", one_line(&question, 200));
        Ok(Effect { sink: Sink::Reply, payload: Some(question), ..looking(summary) })
    }

    fn run<'a>(&'a self, _grant: &'a Grant, input: &'a Value, context: &'a ToolContext) -> BoxFuture<'a, ToolOutput> {
        Box::pin(async move { self.ask(input, context).await.unwrap_or_else(|output| output) })
    }
}
