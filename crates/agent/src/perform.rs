//! Running one tool that policy has allowed: its progress, its end, a stop, a panic; and making its output fit for a model.

use std::{borrow::Cow, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use policy::Grant;
use serde_json::Value;
use tokio::sync::mpsc;
use types::{Event, Label, SessionId, Tool, ToolContext, ToolEnd, ToolOutput};

use crate::{
    calls::Outcome,
    cap::{MAX_CHARACTERS, cap},
    deps::Sighting,
    mask::{self, Pieces},
    run::Run,
};

/// How long a tool has to end after a stop. With what follows it must stay within two seconds.
const STOP_GRACE: Duration = Duration::from_millis(1_500);
/// Progress that is waiting to be shown; more is dropped.
const PROGRESS_QUEUE: usize = 64;

/// What is to be run, and for whom.
pub(crate) struct Work<'a> {
    pub tool: &'a Arc<dyn Tool<Grant>>,
    pub input: &'a Value,
    /// The vendor's id of the call.
    pub call: &'a str,
    /// The session that gets the output: the turn's own, or that of a reader.
    pub session: SessionId,
    /// The label of all that may be in the input.
    pub label: Label,
}

/// Runs the tool and makes its output fit for the model.
pub(crate) async fn perform(run: &Run<'_>, work: Work<'_>, grant: &Grant) -> Outcome {
    let (progress, mut seen) = mpsc::channel(PROGRESS_QUEUE);
    let context = ToolContext {
        session: work.session,
        turn: run.turn.id,
        call: work.call.to_owned(),
        workspace: run.workspace.clone(),
        label: work.label,
        cancel: run.halt.clone(),
        progress,
    };
    let mut pieces = Pieces::new(run.redactor());
    let show = |text: String| {
        if !text.is_empty() {
            run.publish(Event::ToolProgress { call: work.call.to_owned(), text });
        }
    };
    let running = AssertUnwindSafe(work.tool.run(grant, work.input, &context)).catch_unwind();
    let patience = async {
        run.halt.cancelled().await;
        tokio::time::sleep(STOP_GRACE).await;
    };
    tokio::pin!(running, patience);
    let done = loop {
        tokio::select! {
            biased;
            done = &mut running => break Some(done),
            Some(text) = seen.recv() => show(pieces.push(&text)),
            () = &mut patience => break None,
        }
    };
    while let Ok(text) = seen.try_recv() {
        show(pieces.push(&text));
    }
    show(pieces.finish());
    match done {
        Some(Ok(output)) => finished(run, work.tool, output).await,
        Some(Err(_panic)) => {
            Outcome::failed("the tool failed by a fault of its own; it may have had a part of its effect")
        }
        None => Outcome::broken_off(),
    }
}

async fn finished(run: &Run<'_>, tool: &Arc<dyn Tool<Grant>>, output: ToolOutput) -> Outcome {
    let end = match (output.is_error, run.halt.is_cancelled()) {
        (true, true) => ToolEnd::Stopped,
        (true, false) => ToolEnd::Error,
        (false, _) => ToolEnd::Ok,
    };
    // Masked before it is cut: half a secret would not be recognised.
    let masked = mask::foreign(&run.redactor(), &output.text);
    let text = cap(&masked, MAX_CHARACTERS);
    if let Cow::Owned(_) = masked {
        let place = format!("the output of the tool {}", tool.spec().name);
        let (session, turn) = (Some(run.session), Some(run.turn.id));
        (run.deps.seen)(Sighting { session, turn, place, text: output.text }).await;
        return Outcome { end, output: ToolOutput { text, ..output } };
    }
    Outcome { end, output: ToolOutput { text, ..output } }
}
