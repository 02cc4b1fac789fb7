//! Claude Code's dialect, by what the real program said.

mod recordings;

use crate::recording::replay;

/// Each recording in turn: lines in, events out.
macro_rules! tells {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            insta::assert_snapshot!(stringify!($name), replay("claude", stringify!($name)));
        })*
    };
}

tells!(
    always_broken,
    always_limited,
    bad_calls,
    broken_json,
    cut_by_length,
    cut_stream,
    denied,
    error_in_stream,
    helper,
    interrupted_in_question,
    interrupted_in_stream,
    interrupted_in_tool,
    no_credit,
    no_key,
    overloaded,
    own_limits,
    plain,
    planned,
    rate_limited,
    refused,
    resumed,
    sigint,
    sigkill,
    sigterm,
    steered,
    steered_late,
    too_long,
    tools,
    unknown_conversation,
    unreachable,
    wrong_key,
);
