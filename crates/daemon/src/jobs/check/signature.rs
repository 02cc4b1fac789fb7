//! What stays the same while something fails in the same way: the names of the tests that fail, where a runner that is known
//! tells them, and otherwise the words of the failure without what changes from one run to the next. Pure.

mod runners;

use std::{borrow::Cow, collections::BTreeSet, sync::LazyLock};

use regex::Regex;
use sha2::{Digest, Sha256};

/// The longest signature, in characters, beside its digest.
const MAX_SHOWN: usize = 300;
/// The last lines that are compared where no runner is known.
const MAX_LINES: usize = 200;
/// The longest line that is compared, in characters.
const MAX_LINE: usize = 300;

/// The signature of an output. Two outputs with the same one have failed in the same way, as far as can be told.
pub fn signature(output: &str) -> String {
    let text = without_escapes(output);
    let names = runners::failing(&text);
    if names.is_empty() { of_words(&text) } else { of_names(&names) }
}

/// The names, as many as fit; where some do not, a digest of all.
fn of_names(names: &BTreeSet<String>) -> String {
    let mut shown = String::new();
    for (number, name) in names.iter().enumerate() {
        if shown.chars().count() + name.chars().count() > MAX_SHOWN {
            let all: Vec<&str> = names.iter().map(String::as_str).collect();
            let first: String = if number == 0 { name.chars().take(MAX_SHOWN).collect() } else { shown };
            return format!("{first}; {} in all #{}", names.len(), digest(&all.join("\n")));
        }
        if number > 0 {
            shown.push_str("; ");
        }
        shown.push_str(name);
    }
    shown
}

/// The last line that tells of a failure, and a digest of all lines as a set: programs that run side by side write in any order.
fn of_words(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(normal).filter(|line| !line.is_empty() && !is_progress(line)).collect();
    let last = &lines[lines.len().saturating_sub(MAX_LINES)..];
    let telling = last.iter().rev().find(|line| TELLING.is_match(line)).or(last.last());
    let Some(telling) = telling else { return "no output".to_owned() };
    let set: BTreeSet<&str> = last.iter().map(String::as_str).collect();
    let all: Vec<&str> = set.into_iter().collect();
    format!("{} #{}", telling.chars().take(MAX_SHOWN).collect::<String>(), digest(&all.join("\n")))
}

fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text)).chars().take(10).collect()
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the literal is tested")
}

static TELLING: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)error|fail|panic|exception|not found|undefined|cannot"));
static ESCAPES: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-_]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
});
static PROGRESS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^(?:Compiling|Finished|Running|Downloading|Downloaded|Fresh|Checking|Building|Updating|Blocking|Locking|Adding|Collecting|Installing|Using cached|stack backtrace|\[INFO\]|ok |PASS |=== RUN|--- PASS)",
    )
});

/// What changes from run to run, and what stands for it. In this order: the earlier ones hold parts of the later ones.
static CHANGING: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    [
        (r"\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b", "<id>"),
        (r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?)?(?:Z|[+-]\d\d:?\d\d)?", "<time>"),
        (r"\b\d\d?:\d\d:\d\d(?:[.,]\d+)?\b", "<time>"),
        (r"\b0x[0-9a-fA-F]+\b", "<address>"),
        (r"/workspace/", ""),
        (r"(?:/tmp|/home/agent|/var/folders)/[^\s:'\x22)]*", "<path>"),
        (r"\b(?:[0-9a-f]*\d[0-9a-f]*[a-f][0-9a-f]*|[0-9a-f]*[a-f][0-9a-f]*\d[0-9a-f]*)\b", "<hex>"),
        (r"\d+(?:[.,]\d+)*(?:\s?(?:ns|µs|us|ms|s|m|h|[KMGk]i?B)\b|%)?", "N"),
        (r"\s+", " "),
    ]
    .map(|(text, stands)| (pattern(text), stands))
    .to_vec()
});

/// A line without what changes from run to run.
fn normal(line: &str) -> String {
    let line: String = line.chars().take(MAX_LINE).collect();
    let mut line = Cow::Owned(line);
    for (changing, stands) in CHANGING.iter() {
        // A short word of letters such as `bad` or `face` has no digit, so that it is no hexadecimal number.
        let replaced = changing.replace_all(&line, *stands).into_owned();
        line = Cow::<'_, str>::Owned(replaced);
    }
    line.trim().to_owned()
}

fn is_progress(line: &str) -> bool {
    PROGRESS.is_match(line)
}

/// A text without what moves a terminal's cursor or changes its colours.
pub(super) fn without_escapes(text: &str) -> String {
    ESCAPES.replace_all(&text.replace("\r\n", "\n"), "").replace('\r', "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_the_same_failure_have_the_same_signature() {
        let one = "2026-11-21T10:00:00Z worker 17 started at 0x7ffd0\n/workspace/src/x.c:12: error: no such field `a`\nmake: *** [all] Error 2\n";
        let two = "2026-12-01 11:30:22.123 worker 9 started at 0x1\nsrc/x.c:99: error: no such field `a`\nmake: *** [all] Error 2\n";
        assert_eq!(signature(one), signature(two));
        assert!(signature(one).starts_with("make: *** [all] Error N #"), "{}", signature(one));
        let other = "worker 1\nsrc/x.c:12: error: no such field `b`\nmake: *** [all] Error 2\n";
        assert_ne!(signature(one), signature(other));
        // The order of lines does not count, nor colours, nor what is only progress.
        assert_eq!(
            signature("a fails\nb\n"),
            signature("b\n\u{1b}[31ma fails\u{1b}[0m\n   Compiling x v1\n").replace("b #", "a fails #")
        );
        assert_eq!(signature(""), "no output");
    }

    #[test]
    fn what_changes_is_left_out_of_a_line() {
        for (line, expected) in [
            ("took 12.5ms, 3 of 4", "took N, N of N"),
            ("id 3fa85f64-5717-4562-b3fc-2c963f66afa6 at 12:01:59.001", "id <id> at <time>"),
            ("commit 1a2b3c4d5e6f of /tmp/abc123/x.rs: gone", "commit <hex> of <path>: gone"),
            ("  File \"/workspace/a/b.py\", line 7", "File \"a/b.py\", line N"),
            ("the word bad, and face, stay", "the word bad, and face, stay"),
        ] {
            assert_eq!(normal(line), expected, "{line}");
        }
    }

    #[test]
    fn many_names_are_cut_and_still_told_apart() {
        let names = |last: &str| -> BTreeSet<String> {
            (0..100).map(|n| format!("module::test_{n:03}")).chain([last.to_owned()]).collect()
        };
        let (one, two) = (of_names(&names("x")), of_names(&names("y")));
        assert!(one.contains("101 in all #") && one.len() < 400, "{one}");
        assert_ne!(one, two);
        assert_eq!(of_names(&["b".to_owned(), "a".to_owned()].into()), "a; b");
    }
}
