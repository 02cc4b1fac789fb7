//! The table, cell by cell, and what holds for all of it: raising a label, leaving the owner out or acting on more never
//! makes a judgement milder.

use super::*;

/// What a call is besides its sink.
#[derive(Clone, Copy, Debug)]
struct Kind {
    name: &'static str,
    sink: Sink,
    read_only: bool,
    reversible: bool,
    payload: bool,
}

const fn kind(name: &'static str, sink: Sink) -> Kind {
    Kind { name, sink, read_only: false, reversible: false, payload: true }
}

const KINDS: [Kind; 13] = [
    Kind { payload: false, ..kind("S0 compute", Sink::Compute) },
    Kind { payload: false, ..kind("S1 workspace write", Sink::WorkspaceWrite) },
    Kind { payload: false, read_only: true, ..kind("S2 fetch", Sink::Fetch) },
    Kind { read_only: true, ..kind("S2 fetch with a body", Sink::Fetch) },
    kind("S3 send", Sink::Send),
    Kind { reversible: true, ..kind("S3 send, own and reversible", Sink::Send) },
    kind("S4 reply", Sink::Reply),
    kind("S5 persist", Sink::Persist),
    Kind { reversible: true, ..kind("S5 persist, own and reversible", Sink::Persist) },
    Kind { payload: false, read_only: true, ..kind("S6 credential that reads", Sink::Credential) },
    kind("S6 credential that writes", Sink::Credential),
    Kind { reversible: true, ..kind("S6 credential, own and reversible", Sink::Credential) },
    Kind { reversible: true, ..kind("S7 destructive", Sink::Destructive) },
];

/// A row per kind of call; a column per label (clean, owner, foreign, unknown), each for a foreign destination and for one
/// that the owner wrote. `.` is free, `?` is asked about, `p` becomes a proposal, `!` is denied.
const OWNER: &str = "\
S0 compute                         .. .. .. ..
S1 workspace write                 .. .. .. ..
S2 fetch                           .. .. .. ?.
S2 fetch with a body               .. .. ?. ??
S3 send                            .. .. ?. ??
S3 send, own and reversible        .. .. .. ..
S4 reply                           .. .. .. ..
S5 persist                         .. .. ?? ??
S5 persist, own and reversible     .. .. ?? ??
S6 credential that reads           .. .. .. ?.
S6 credential that writes          .. .. ?. ??
S6 credential, own and reversible  .. .. .. ..
S7 destructive                     ?? ?? ?? ??";

/// A sub-agent's turn, and a scheduled one.
const UNATTENDED: &str = "\
S0 compute                         .. .. .. ..
S1 workspace write                 .. .. .. ..
S2 fetch                           .. .. .. !.
S2 fetch with a body               .. .. !. !!
S3 send                            .. .. !. !!
S3 send, own and reversible        .. .. !. !!
S4 reply                           .. .. .. ..
S5 persist                         .. .. pp pp
S5 persist, own and reversible     .. .. pp pp
S6 credential that reads           .. .. .. !.
S6 credential that writes          .. .. !. !!
S6 credential, own and reversible  .. .. !. !!
S7 destructive                     !! !! !! !!";

/// A program's turn: a webhook, or somebody who may talk but is not the owner.
const PROGRAM: &str = "\
S0 compute                         !! !! !! !!
S1 workspace write                 !! !! !! !!
S2 fetch                           .. !! .. !!
S2 fetch with a body               !! !! !! !!
S3 send                            !! !! !! !!
S3 send, own and reversible        !! !! !! !!
S4 reply                           !! !! !! !!
S5 persist                         pp pp pp pp
S5 persist, own and reversible     pp pp pp pp
S6 credential that reads           .. !! .. !!
S6 credential that writes          !! !! !! !!
S6 credential, own and reversible  !! !! !! !!
S7 destructive                     !! !! !! !!";

fn case(kind: Kind, label: Label, origin: Origin, owners: bool) -> Case {
    let mut case = Case { origin, owners, ..Case::new(kind.sink, label) };
    case.effect.read_only = kind.read_only;
    case.effect.reversible = kind.reversible;
    if !kind.payload {
        case.effect.payload = None;
    }
    case
}

fn table(origin: Origin) -> String {
    let mark = |kind, label, owners| match case(kind, label, origin, owners).verdict(ToolRule::Policy) {
        Verdict::Allow => '.',
        Verdict::Ask => '?',
        Verdict::Propose => 'p',
        Verdict::Deny => '!',
    };
    let row = |kind: Kind| {
        let cells = LABELS.map(|label| format!("{}{}", mark(kind, label, false), mark(kind, label, true)));
        format!("{:<34} {}", kind.name, cells.join(" "))
    };
    KINDS.map(row).join("\n")
}

#[test]
fn the_table_is_the_documented_one() {
    assert_eq!(table(Origin::Owner), OWNER);
    assert_eq!(table(Origin::SubAgent), UNATTENDED);
    assert_eq!(table(Origin::Schedule), UNATTENDED);
    assert_eq!(table(Origin::Program), PROGRAM);
}

#[test]
fn every_sink_has_a_row() {
    for sink in SINKS {
        assert!(KINDS.iter().any(|kind| kind.sink == sink), "{sink:?}");
    }
}

#[test]
fn many_small_calls_are_asked_about_as_one_large_one() {
    for (sink, counts) in [(Sink::Send, true), (Sink::Credential, true), (Sink::Persist, true), (Sink::Fetch, false)] {
        let asks = |touched, count| {
            let mut case = Case { touched, ..Case::new(sink, Label::OWNER) };
            case.effect.count = count;
            case.effect.payload = case.effect.payload.filter(|_| sink != Sink::Fetch);
            case.verdict(ToolRule::Policy) == Verdict::Ask
        };
        assert!(!asks(0, 1) && !asks(0, BULK - 1) && !asks(BULK - 2, 1), "{sink:?}");
        assert_eq!(asks(0, BULK), counts, "{sink:?}");
        assert_eq!((asks(BULK - 1, 1), asks(BULK, 1), asks(2 * BULK - 1, 1)), (counts, false, counts), "{sink:?}");
        assert!(!asks(u32::MAX, u32::MAX), "{sink:?}");
    }
}

#[test]
fn rules_only_make_it_stricter() {
    for (kind, label, origin) in KINDS
        .iter()
        .flat_map(|kind| LABELS.into_iter().flat_map(move |label| ORIGINS.map(|origin| (*kind, label, origin))))
    {
        for owners in [false, true] {
            let case = case(kind, label, origin, owners);
            let base = case.verdict(ToolRule::Policy);
            assert_eq!(case.verdict(ToolRule::Deny), Verdict::Deny, "{case:?}");
            let asked = case.verdict(ToolRule::Ask);
            assert!(asked >= base, "{case:?}");
            assert!(kind.read_only || asked != Verdict::Allow, "{case:?}");
        }
    }
}

fn any_case() -> impl Strategy<Value = (Kind, Label, Label, Origin, bool, u32)> {
    let origin = proptest::sample::select(&ORIGINS[..]);
    (proptest::sample::select(&KINDS[..]), label(), label(), origin, any::<bool>(), 0..3 * BULK)
}

proptest! {
    #[test]
    fn a_higher_label_is_never_judged_more_mildly((kind, low, other, origin, owners, touched) in any_case()) {
        let verdict = |label| Case { touched, ..case(kind, label, origin, owners) }.verdict(ToolRule::Policy);
        prop_assert!(verdict(low) <= verdict(low.join(other)));
    }

    #[test]
    fn without_the_owner_it_is_never_judged_more_mildly((kind, label, _, origin, owners, touched) in any_case()) {
        let verdict = |origin| Case { touched, ..case(kind, label, origin, owners) }.verdict(ToolRule::Policy);
        prop_assert!(verdict(Origin::Owner) <= verdict(origin));
    }

    #[test]
    fn a_foreign_destination_is_never_judged_more_mildly((kind, label, _, origin, _, touched) in any_case()) {
        let verdict = |owners| Case { touched, ..case(kind, label, origin, owners) }.verdict(ToolRule::Policy);
        prop_assert!(verdict(true) <= verdict(false));
    }

    #[test]
    fn what_cannot_be_taken_back_is_never_judged_more_mildly((kind, label, _, origin, owners, _) in any_case()) {
        let verdict = |reversible| case(Kind { reversible, ..kind }, label, origin, owners).verdict(ToolRule::Policy);
        prop_assert!(verdict(true) <= verdict(false));
    }
}

/// Each promise of the table, broken, lets its attack through.
#[cfg(feature = "faults")]
mod broken {
    use types::faults::set_broken;

    use super::*;

    fn free(sink: Sink, origin: Origin) -> bool {
        (Case { origin, ..Case::new(sink, Label::UNKNOWN) }).verdict(ToolRule::Policy) == Verdict::Allow
    }

    #[test]
    fn a_silent_send_needs_its_promise_broken() {
        assert!(!free(Sink::Send, Origin::Owner) && !free(Sink::Fetch, Origin::Owner));
        set_broken("5");
        assert!(free(Sink::Send, Origin::Owner) && free(Sink::Fetch, Origin::Owner));
    }

    #[test]
    fn an_unattended_act_needs_its_promise_broken() {
        assert!(!free(Sink::Destructive, Origin::Schedule));
        set_broken("8");
        assert!(free(Sink::Destructive, Origin::Schedule));
    }

    #[test]
    fn a_silent_memory_needs_its_promise_broken() {
        assert!(!free(Sink::Persist, Origin::Owner) && !free(Sink::Persist, Origin::Schedule));
        set_broken("22");
        assert!(free(Sink::Persist, Origin::Owner) && free(Sink::Persist, Origin::Schedule));
    }
}
