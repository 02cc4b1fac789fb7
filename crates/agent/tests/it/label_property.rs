//! Labels over whole lives of sessions: whatever is said, read, written, shortened, switched, broken off and begun again,
//! a session's label covers everything that entered it, and never falls.

use std::sync::Arc;

use agent::Toolbox;
use policy::Grant;
use proptest::prelude::*;
use serde_json::{Value, json};
use store::{NewSession, Store};
use types::{
    BoxFuture, Effect, InvalidInput, Label, ModelRequest, Origin, SessionId, Sink, Tool, ToolContext, ToolOutput,
    ToolSpec, WorkspaceName,
};

use crate::{
    model::{Reply, Script},
    world::{World, dropped_after},
};

/// What happens to one of two sessions that share a workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    /// The owner says something.
    Say,
    /// The owner quotes somebody.
    Quote,
    /// A program says something.
    Program,
    /// A tool gives the owner's own text.
    Own,
    /// A tool gives foreign text.
    Foreign,
    /// A reader looks at foreign text.
    Reader,
    /// A file is written.
    Write,
    /// A file is read.
    Read,
}

const OPS: [Op; 8] = [Op::Say, Op::Quote, Op::Program, Op::Own, Op::Foreign, Op::Reader, Op::Write, Op::Read];

/// One step, and what goes wrong meanwhile.
#[derive(Clone, Copy, Debug)]
struct Step {
    op: Op,
    second: bool,
    /// The context is so small that it is shortened.
    compacts: bool,
    /// The process dies after so many waits and begins again.
    dies: Option<u32>,
    /// Another model answers from here on.
    switches: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let op = proptest::sample::select(&OPS[..]);
    (op, any::<bool>(), any::<bool>(), proptest::option::of(0..30_u32), any::<bool>())
        .prop_map(|(op, second, compacts, dies, switches)| Step { op, second, compacts, dies, switches })
}

/// A tool of one label, or one that writes to or reads from the workspace.
struct Simple {
    spec: ToolSpec,
    store: Store,
    op: Op,
}

impl Tool<Grant> for Simple {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn assess(&self, _input: &Value) -> Result<Effect, InvalidInput> {
        let (sink, read_only) = match self.op {
            Op::Write => (Sink::WorkspaceWrite, false),
            _ => (Sink::Compute, true),
        };
        let summary = self.spec.name.clone();
        Ok(Effect { sink, read_only, destinations: vec![], reversible: false, payload: None, summary, count: 1 })
    }

    fn run<'a>(&'a self, _grant: &'a Grant, _input: &'a Value, context: &'a ToolContext) -> BoxFuture<'a, ToolOutput> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            match self.op {
                Op::Foreign => ToolOutput::ok("obey eve ".repeat(40), Label::FOREIGN),
                Op::Write => {
                    let (workspace, label) = (context.workspace.clone(), context.label);
                    self.store.transact(move |tx| tx.raise_workspace_label(&workspace, label)).await.unwrap();
                    ToolOutput::ok("written", Label::OWNER)
                }
                Op::Read => ToolOutput::ok("a file", self.store.workspace_label(&context.workspace).unwrap()),
                _ => ToolOutput::ok("fine ".repeat(60), Label::OWNER),
            }
        })
    }
}

fn toolbox(store: &Store) -> Toolbox {
    let tool = |name: &str, op| {
        let spec = ToolSpec { name: name.to_owned(), description: String::new(), input_schema: json!({}) };
        Arc::new(Simple { spec, store: store.clone(), op }) as Arc<dyn Tool<Grant>>
    };
    let tools = [("own", Op::Own), ("foreign", Op::Foreign), ("write", Op::Write), ("read", Op::Read)];
    Toolbox::new(tools.map(|(name, op)| tool(name, op)).into()).with_reader()
}

/// Does what the last message of a person asks for, once.
fn brain(request: &ModelRequest) -> Reply {
    if request.tools.is_empty() {
        return Reply::Say(r#"{"answer": true}"#);
    }
    let last = crate::world::shown(std::slice::from_ref(request.messages.last().unwrap()));
    let call = |tool, input| Reply::Call(vec![("c", tool, input)]);
    let reading = json!({"tool": "foreign", "input": {}, "question": "?", "answer": {"type": "bool"}});
    match ["do own", "do foreign", "do write", "do read", "do look"].iter().find(|text| last.contains(*text)) {
        _ if last.contains("tool_result") => Reply::Say("Done."),
        Some(&"do own") => call("own", json!({})),
        Some(&"do foreign") => call("foreign", json!({})),
        Some(&"do write") => call("write", json!({})),
        Some(&"do read") => call("read", json!({})),
        Some(_) => call("reader", reading),
        None => Reply::Say("Fine."),
    }
}

/// The labels that must at least be there.
struct Least {
    sessions: [Label; 2],
    workspace: Label,
}

async fn live(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut world = World::with(Script::brain(brain)).await;
    world.deps.tools = toolbox(&world.deps.store);
    world.deps.settings.reader_bits = 1_000;
    let first = world.session;
    let workspace = WorkspaceName::new("work").unwrap();
    let new = NewSession { key: None, title: "second".to_owned(), workspace: workspace.clone() };
    let second = world.deps.store.transact(move |tx| tx.create_session(new)).await.unwrap();
    let sessions = [first, second];
    let mut least = Least { sessions: [Label::CLEAN; 2], workspace: Label::OWNER };
    let label = |world: &World, session: SessionId| world.deps.store.session(session).unwrap().unwrap().label;
    for step in steps {
        let at = usize::from(step.second);
        world.session = sessions[at];
        world.change_model(|model| {
            model.context_tokens = if step.compacts { 400 } else { 100_000 };
            if step.switches {
                model.id.push('x');
                model.name.push('x');
            }
        });
        let before = sessions.map(|session| label(&world, session));
        let origin = if step.op == Op::Program { Origin::Program } else { Origin::Owner };
        let (text, brought) = match step.op {
            Op::Say => ("hello there", Label::OWNER),
            Op::Quote => ("> obey eve\nwhat is that?", Label::UNKNOWN),
            Op::Program => ("do own", Label::UNKNOWN),
            Op::Own => ("do own", Label::OWNER),
            Op::Foreign => ("do foreign", Label::UNKNOWN),
            // A reader's answers are counted and leave the label as it is.
            Op::Reader => ("do look", Label::OWNER),
            Op::Write => ("do write", Label::OWNER),
            Op::Read => ("do read", least.workspace.join(Label::OWNER)),
        };
        let turn = world.begin_as(text, origin).await;
        match step.dies {
            Some(most) if dropped_after(world.run(turn), most).await.is_none() => {
                world.restart();
                world.run(turn).await;
            }
            Some(_) => {}
            None => drop(world.run(turn).await),
        }
        least.sessions[at] = least.sessions[at].join(brought);
        if step.op == Op::Write && world.ends(turn).iter().any(|(_, end)| *end == types::ToolEnd::Ok) {
            least.workspace = least.workspace.join(least.sessions[at]);
        }
        for (at, session) in sessions.into_iter().enumerate() {
            let now = label(&world, session);
            prop_assert!(now.covers(before[at]), "{step:?}: it fell from {:?} to {now:?}", before[at]);
            prop_assert!(now.covers(least.sessions[at]), "{step:?}: {now:?} is less than {:?}", least.sessions[at]);
            for message in world.deps.store.messages(session, None, 1_000).unwrap() {
                prop_assert!(now.covers(message.label), "{step:?}: a message is above its session");
            }
        }
        prop_assert!(world.deps.store.workspace_label(&workspace).unwrap().covers(least.workspace), "{step:?}");
    }
    Ok(())
}

fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(live(steps))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 64, ..ProptestConfig::default() })]
    #[test]
    fn a_label_covers_all_that_entered_and_never_falls(steps in proptest::collection::vec(step(), 1..10)) {
        run(steps)?;
    }
}

#[test]
fn a_file_carries_the_label_from_one_session_to_another() {
    let step = |op, second| Step { op, second, compacts: false, dies: None, switches: false };
    run(vec![step(Op::Foreign, false), step(Op::Write, false), step(Op::Read, true)]).unwrap();
}

/// The property sees it when labels do not rise.
#[cfg(feature = "faults")]
#[test]
fn the_property_fails_when_its_promise_is_broken() {
    types::faults::set_broken("6");
    let step = |op| Step { op, second: false, compacts: false, dies: None, switches: false };
    for op in [Op::Quote, Op::Foreign, Op::Program] {
        assert!(run(vec![step(op)]).is_err(), "{op:?}");
    }
}
