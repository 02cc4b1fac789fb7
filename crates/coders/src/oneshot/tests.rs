//! One-shot programs: what their lines and codes mean, and how they are started.

use super::*;
use crate::{CoderCommand, CoderEnd, CoderEvent, Stream, Trouble};

const ID: &str = "5b2c1d7e-0a4f-4c3b-9d6e-000000000001";

fn start() -> Start {
    Start { fresh: ID.to_owned(), ..Start::default() }
}

/// How a run ends that says these lines; `!` marks standard error.
fn end(coder: &dyn Coder, lines: &[&str], code: Option<i32>) -> CoderEnd {
    let mut dialect = coder.dialect(&start());
    assert_eq!(dialect.open(), Vec::<String>::new());
    dialect.command(&CoderCommand::Prompt { text: "mend the sum".to_owned() }).expect("a fresh one takes a prompt");
    for line in lines {
        let (stream, line) = line.strip_prefix('!').map_or((Stream::Out, *line), |line| (Stream::Err, line));
        dialect.heard(stream, line);
    }
    let events = dialect.ended(code);
    assert!(!dialect.is_busy());
    match events.last() {
        Some(CoderEvent::Finished { end }) => end.clone(),
        other => panic!("{other:?}"),
    }
}

fn trouble(end: &CoderEnd) -> Option<Trouble> {
    match end {
        CoderEnd::Failed { trouble, .. } => Some(*trouble),
        CoderEnd::Done { .. } | CoderEnd::Interrupted => None,
    }
}

#[test]
fn forge_is_judged_by_its_own_remark_and_never_by_its_exit_code() {
    let begin = format!("\u{1b}[33m●\u{1b}[0m [12:00:00] Initialize {ID}");
    let finish = format!("\u{1b}[36m●\u{1b}[0m [12:00:09] \u{1b}[2mFinished\u{1b}[0m {ID}");
    let spinner = "!\u{1b}[2K⠋ Working 1s\r⠙ Working 2s";
    let done = end(&Forge, &[&begin, spinner, "The sum is right.", &finish], Some(0));
    assert_eq!(done, CoderEnd::Done { text: "The sum is right.".to_owned() });
    let wrong_key = "!● [12:00:01] ERROR: POST http://127.0.0.1:1/v1/chat/completions: 401 Unauthorized";
    let too_long = "!● [12:00:01] ERROR: This model's maximum context length is 128000 tokens";
    let someone_else = "● [12:00:09] Finished 00000000-0000-0000-0000-000000000000";
    let limited = "● [12:00:08] Maximum request (100) per turn achieved";
    for (case, lines, code, expected) in [
        ("a wrong key, exit code 0", vec![&*begin, wrong_key], Some(0), Trouble::Auth),
        ("a conversation that is too long, exit code 0", vec![&*begin, too_long], Some(0), Trouble::Overflow),
        ("an interrupt, exit code 0", vec![&*begin, "I will"], Some(0), Trouble::Crashed),
        ("its first call without a terminal, exit code 0", vec![], Some(0), Trouble::Crashed),
        ("a signal", vec![&*begin, "I will"], None, Trouble::Crashed),
        ("a signal after it finished", vec![&*begin, &*finish], None, Trouble::Crashed),
        ("another conversation's end", vec![&*begin, someone_else], Some(0), Trouble::Crashed),
        ("its own limit", vec![&*begin, limited, &*finish], Some(0), Trouble::OwnLimit),
    ] {
        assert_eq!(trouble(&end(&Forge, &lines, code)), Some(expected), "{case}");
    }
}

#[test]
fn others_are_judged_by_their_exit_code_or_by_a_text() {
    let command = || vec!["tool".to_owned(), "{prompt}".to_owned()];
    let by_code = OneShot::new(command(), None);
    assert_eq!(end(&by_code, &["ok"], Some(0)), CoderEnd::Done { text: "ok".to_owned() });
    assert_eq!(trouble(&end(&by_code, &["!429 Too Many Requests"], Some(1))), Some(Trouble::RateLimited));
    let by_text = OneShot::new(command(), Some("ALL DONE".to_owned()));
    assert_eq!(end(&by_text, &["ok", "== ALL DONE =="], Some(3)), CoderEnd::Done { text: "ok".to_owned() });
    assert_eq!(trouble(&end(&by_text, &["ok"], Some(0))), Some(Trouble::Crashed));
}

#[test]
fn arguments_are_filled_in_and_left_out() {
    let words = ["aider", "--model", "{model}", "--chat", "{session}", "--file", "{prompt_file}", "-m", "{prompt}"];
    let coder = OneShot::new(words.map(str::to_owned).to_vec(), None);
    let launch = coder.launch(&start(), Some("say {model} and $(id)"));
    let file = format!("{}/.prompt.md", sandbox::HOME);
    assert_eq!(launch.argv, ["aider", "--chat", ID, "--file", &file, "-m", "say {model} and $(id)"]);
    assert_eq!(launch.seed[0].content, "say {model} and $(id)");
    let again = Start { model: Some("m/large".to_owned()), resume: Some("earlier".to_owned()), ..start() };
    assert_eq!(coder.launch(&again, Some("x")).argv[1..5], ["--model", "m/large", "--chat", "earlier"]);
}

#[test]
fn what_it_cannot_do_is_said_clearly() {
    let mut dialect = Forge.dialect(&start());
    assert_eq!(dialect.command(&CoderCommand::Interrupt), Ok(Vec::new()));
    dialect.command(&CoderCommand::Prompt { text: "x".to_owned() }).expect("a fresh one takes a prompt");
    for (command, words) in [
        (CoderCommand::Steer { text: "y".to_owned() }, "forge cannot be told anything while it works"),
        (CoderCommand::Interrupt, "forge cannot be interrupted: it is killed"),
        (CoderCommand::Prompt { text: "y".to_owned() }, "forge takes one prompt and ends"),
    ] {
        assert_eq!(dialect.command(&command).map_err(|error| error.to_string()), Err(words.to_owned()));
    }
}
