//! The table (in `table`), and the binding of an approval to what was shown.

use proptest::prelude::*;
use serde_json::json;
use types::{Answer, Scope};

use super::*;
use crate::{canonical, needs_second_factor, redeem};

mod table;

const SINKS: [Sink; 8] = [
    Sink::Compute,
    Sink::WorkspaceWrite,
    Sink::Fetch,
    Sink::Send,
    Sink::Reply,
    Sink::Persist,
    Sink::Credential,
    Sink::Destructive,
];
const LABELS: [Label; 4] = [Label::CLEAN, Label::OWNER, Label::FOREIGN, Label::UNKNOWN];
const ORIGINS: [Origin; 4] = [Origin::Owner, Origin::SubAgent, Origin::Schedule, Origin::Program];

/// From the mildest to the strictest. A proposal waits for the owner as a question does, and nobody there to answer is
/// stricter than that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Allow,
    Ask,
    Propose,
    Deny,
}

#[derive(Debug)]
struct Case {
    effect: Effect,
    input: Value,
    workspace: WorkspaceName,
    label: Label,
    origin: Origin,
    owners: bool,
    touched: u32,
}

impl Case {
    fn new(sink: Sink, label: Label) -> Self {
        let effect = Effect {
            sink,
            read_only: false,
            destinations: vec!["example.com".to_owned()],
            reversible: false,
            payload: Some("payload".to_owned()),
            summary: "tool: summary".to_owned(),
            count: 1,
        };
        let workspace = WorkspaceName::new("work").expect("the name is valid");
        Self {
            effect,
            input: json!({"b": 1, "a": [2]}),
            workspace,
            label,
            origin: Origin::Owner,
            owners: false,
            touched: 0,
        }
    }

    fn request(&self) -> Request<'_> {
        Request {
            tool: "tool",
            input: &self.input,
            effect: &self.effect,
            label: self.label,
            origin: self.origin,
            session: SessionId(1),
            turn: TurnId(2),
            workspace: &self.workspace,
            workspace_state: Some("state"),
            destinations_are_owners: self.owners,
            touched: self.touched,
        }
    }

    fn verdict(&self, rule: ToolRule) -> Verdict {
        match decide(&self.request(), &rules(rule)) {
            Decision::Allow(grant) => {
                assert_eq!((grant.sink(), grant.is_read_only()), (self.effect.sink, self.effect.read_only));
                assert_eq!((grant.session(), grant.workspace()), (Some(SessionId(1)), &self.workspace));
                Verdict::Allow
            }
            Decision::Ask(question) => {
                assert_eq!(*question, super::question(&self.request(), &rules(rule), &question.reason));
                Verdict::Ask
            }
            Decision::Propose(question) => {
                assert_eq!(*question, super::question(&self.request(), &rules(rule), &question.reason));
                Verdict::Propose
            }
            Decision::Deny(_) => Verdict::Deny,
        }
    }
}

fn rules(rule: ToolRule) -> Rules {
    Rules { tools: [("tool".to_owned(), rule)].into(), version: 7 }
}

fn asked(case: &Case, rules: &Rules) -> Question {
    match decide(&case.request(), rules) {
        Decision::Ask(question) => *question,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_approval_lifts_the_call_that_was_shown() {
    let case = Case::new(Sink::Destructive, Label::OWNER);
    let rules = rules(ToolRule::Policy);
    let question = asked(&case, &rules);
    let grant = redeem(&question, &Answer::ONCE, &case.request(), &rules);
    assert_eq!(grant.expect("it was approved").sink(), Sink::Destructive);
    // The order of the fields is no difference.
    let other = Case { input: json!({"a": [2], "b": 1}), ..Case::new(Sink::Destructive, Label::OWNER) };
    assert!(redeem(&question, &Answer::ONCE, &other.request(), &rules).is_ok());
}

#[test]
fn only_an_approval_lifts() {
    let case = Case::new(Sink::Destructive, Label::OWNER);
    let rules = rules(ToolRule::Policy);
    let question = asked(&case, &rules);
    for answer in [Answer::Denied, Answer::Expired, Answer::Withdrawn, Answer::Text { text: "yes".to_owned() }] {
        assert!(redeem(&question, &answer, &case.request(), &rules).is_err(), "{answer:?}");
    }
}

type Change = (&'static str, fn(&mut Case));

#[test]
fn a_call_that_changed_in_any_part_is_refused() {
    let make = || Case::new(Sink::Destructive, Label::OWNER);
    let rules = rules(ToolRule::Policy);
    let question = asked(&make(), &rules);
    let changes: [Change; 14] = [
        ("an argument", |case| case.input = json!({"a": [2], "b": 2})),
        ("an argument more", |case| case.input["c"] = json!(null)),
        ("the type of an argument", |case| case.input["b"] = json!("1")),
        ("the sink", |case| case.effect.sink = Sink::Send),
        ("reading", |case| case.effect.read_only = true),
        ("the destination", |case| case.effect.destinations = vec!["example.org".to_owned()]),
        ("no destination", |case| case.effect.destinations.clear()),
        ("a destination more", |case| case.effect.destinations.push("example.org".to_owned())),
        ("taking back", |case| case.effect.reversible = true),
        ("the payload", |case| case.effect.payload = Some("payload ".to_owned())),
        ("the summary", |case| case.effect.summary.push('x')),
        ("the count", |case| case.effect.count = 2),
        ("the label", |case| case.label = Label::UNKNOWN),
        ("the workspace", |case| case.workspace = WorkspaceName::new("other").expect("the name is valid")),
    ];
    for (what, change) in changes {
        let mut case = make();
        change(&mut case);
        assert!(redeem(&question, &Answer::ONCE, &case.request(), &rules).is_err(), "{what}");
    }
    let case = make();
    let request = case.request();
    for (what, request) in [
        ("the tool", Request { tool: "other", ..request }),
        ("the session", Request { session: SessionId(9), ..request }),
        ("the turn", Request { turn: TurnId(9), ..request }),
        ("a file of the workspace", Request { workspace_state: Some("other"), ..request }),
        ("no state of the workspace", Request { workspace_state: None, ..request }),
    ] {
        assert!(redeem(&question, &Answer::ONCE, &request, &rules).is_err(), "{what}");
    }
    let later = Rules { version: 8, ..rules };
    assert!(redeem(&question, &Answer::ONCE, &request, &later).is_err(), "the policy");
}

#[test]
fn a_stored_question_that_was_tampered_with_is_refused() {
    let case = Case::new(Sink::Destructive, Label::OWNER);
    let rules = rules(ToolRule::Policy);
    let changes: [fn(&mut Question); 14] = [
        |question| question.tool.push('x'),
        |question| question.arguments = "{}".to_owned(),
        |question| question.effect.summary = "tool: harmless".to_owned(),
        |question| question.effect.destinations.clear(),
        |question| question.effect.payload = None,
        |question| question.effect.count = 0,
        |question| question.session = SessionId(3),
        |question| question.turn = TurnId(3),
        |question| question.label = Label::CLEAN,
        |question| question.policy_version = 0,
        |question| question.reason = "it is fine".to_owned(),
        |question| question.workspace_state = None,
        |question| question.workspace = WorkspaceName::new("other").expect("the name is valid"),
        |question| question.hash = "0".repeat(64),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut question = asked(&case, &rules);
        change(&mut question);
        assert!(redeem(&question, &Answer::ONCE, &case.request(), &rules).is_err(), "{number}");
    }
}

#[test]
fn what_persists_destroys_or_widens_needs_the_second_factor() {
    for sink in SINKS {
        let case = Case::new(sink, Label::OWNER);
        let question = question(&case.request(), &rules(ToolRule::Policy), "test");
        let strong = matches!(sink, Sink::Persist | Sink::Destructive);
        assert_eq!(needs_second_factor(&question, Scope::Once), strong, "{sink:?}");
        for scope in [Scope::Task, Scope::Always] {
            assert!(needs_second_factor(&question, scope), "{sink:?}");
        }
    }
}

#[test]
fn the_daemons_own_acts_have_the_least_grant() {
    let workspace = WorkspaceName::new("work").expect("the name is valid");
    for (act, expected) in [
        (Act::Canary, (Sink::Compute, false)),
        (Act::Snapshot, (Sink::Compute, true)),
        (Act::Undo, (Sink::WorkspaceWrite, false)),
        (Act::OwnerCommand, (Sink::WorkspaceWrite, false)),
        (Act::JobTree, (Sink::WorkspaceWrite, false)),
        (Act::JobCheck, (Sink::WorkspaceWrite, false)),
        (Act::JobLand, (Sink::WorkspaceWrite, false)),
    ] {
        let grant = decide_own(act, workspace.clone());
        assert_eq!((grant.sink(), grant.is_read_only()), expected, "{act:?}");
        assert_eq!((grant.session(), grant.workspace()), (None, &workspace));
    }
}

fn label() -> impl Strategy<Value = Label> {
    proptest::sample::select(&LABELS[..])
}

/// JSON as a model may write it.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(".{0,3}", inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn labels_form_a_lattice(a in label(), b in label(), c in label()) {
        prop_assert_eq!(a.join(b), b.join(a));
        prop_assert_eq!(a.join(b).join(c), a.join(b.join(c)));
        prop_assert_eq!(a.join(a), a);
        prop_assert!(a.join(b).covers(a) && a.join(b).covers(b));
        prop_assert!(!(c.covers(a) && c.covers(b)) || c.covers(a.join(b)));
        prop_assert_eq!(a.join(Label::CLEAN), a);
        prop_assert_eq!(a.join(Label::UNKNOWN), Label::UNKNOWN);
    }

    #[test]
    fn canonical_json_means_the_same_and_is_unique(value in value()) {
        let text = canonical(&value);
        prop_assert_eq!(&serde_json::from_str::<Value>(&text).expect("it is JSON"), &value);
        prop_assert_eq!(canonical(&serde_json::from_str(&text).expect("it is JSON")), text);
    }
}

#[test]
fn unread_text_speaks_wherever_it_leaves_or_is_believed() {
    for sink in SINKS {
        for reversible in [false, true] {
            let effect = Effect { reversible, ..Case::new(sink, Label::OWNER).effect };
            assert_eq!(label_of_call(Label::OWNER, None, &effect), Label::OWNER);
            let with_text = label_of_call(Label::OWNER, Some(Label::FOREIGN), &effect);
            let stays = sink == Sink::Persist && reversible;
            assert_eq!(with_text == Label::OWNER, stays, "{sink:?} {reversible}");
            // A session that has read foreign text gains nothing by a handle.
            assert_eq!(label_of_call(Label::UNKNOWN, Some(Label::FOREIGN), &effect), Label::UNKNOWN);
        }
    }
}
