//! Going round in circles: the same calls with the same results, again and again.

use policy::canonical;
use store::{CallRecord, CallState};

/// How many times before the model is warned.
const WARN: usize = 3;
/// How many times before the turn ends.
const END: usize = 5;
/// The longest circle that is looked for, in calls.
const LONGEST: usize = 3;

/// What the last calls look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Something is new.
    Fine,
    /// The last calls were made this many times.
    Repeated(usize),
    /// It is not going to end by itself.
    Looping,
}

/// One finished call as it is compared: the tool, its arguments and its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Done {
    tool: String,
    arguments: String,
    result: String,
}

impl Done {
    /// The finished calls among these, in order. The result of a call that ended unknown is no result.
    pub(crate) fn of(calls: &[CallRecord]) -> Vec<(String, Self)> {
        let finished = calls.iter().filter(|record| matches!(record.state, CallState::Finished(_)));
        finished
            .map(|record| {
                let done = Self {
                    tool: record.call.name.clone(),
                    arguments: canonical(&record.call.input),
                    result: record.output.as_ref().map_or_else(String::new, |output| output.text.clone()),
                };
                (record.call.id.clone(), done)
            })
            .collect()
    }
}

/// Judges the end of a series of calls.
pub(crate) fn judge(calls: &[Done]) -> Verdict {
    let times = (1..=LONGEST).map(|length| times(calls, length)).max().unwrap_or(0);
    match times {
        END.. => Verdict::Looping,
        WARN.. => Verdict::Repeated(times),
        _ => Verdict::Fine,
    }
}

/// How many times the last `length` calls stand at the end, one after the other.
fn times(calls: &[Done], length: usize) -> usize {
    let mut blocks = calls.rchunks_exact(length);
    let Some(last) = blocks.next() else { return 0 };
    1 + blocks.take_while(|block| *block == last).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(series: &str, expected: Verdict) {
        let calls: Vec<Done> = series
            .chars()
            .map(|c| Done { tool: "t".into(), arguments: c.to_lowercase().to_string(), result: c.to_string() })
            .collect();
        assert_eq!(judge(&calls), expected, "{series}");
    }

    #[test]
    fn circles_are_found() {
        check("", Verdict::Fine);
        check("aa", Verdict::Fine);
        check("aaa", Verdict::Repeated(3));
        check("baaaa", Verdict::Repeated(4));
        check("aaaaa", Verdict::Looping);
        check("abab", Verdict::Fine);
        check("ababab", Verdict::Repeated(3));
        check("babababab", Verdict::Repeated(4));
        check("ababababab", Verdict::Looping);
        check("abcabcabc", Verdict::Repeated(3));
        check("abcabcabcabcabc", Verdict::Looping);
        check("abcdabcdabcdabcdabcd", Verdict::Fine);
    }

    #[test]
    fn another_result_breaks_the_circle() {
        check("aaaAa", Verdict::Fine);
        check("aAaA", Verdict::Fine);
    }
}
