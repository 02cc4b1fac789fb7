//! opencode's dialect, by what the real server said.

mod recordings;

use crate::recording::replay;

/// Each recording in turn: lines in, events out.
macro_rules! tells {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            insta::assert_snapshot!(stringify!($name), replay("opencode", stringify!($name)));
        })*
    };
}

tells!(
    bad_calls,
    broken_json,
    cut,
    denied,
    empty,
    ended_early,
    interrupted_permission,
    interrupted_text,
    length,
    overflow,
    overflow_for_good,
    plain,
    question,
    quota,
    retried,
    steered,
    tools,
    unauthorized,
    within,
);
