//! `factotum log`: the audit log.

use std::path::PathBuf;

use daemon::offline;
use serde_json::Value;

use crate::{args::Context, error::Stop};

/// The audit log: every effect that the agent intended, and what came of it.
#[derive(Debug, clap::Args)]
pub struct Log {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Show records, oldest first; with --json, one JSON array
    Show {
        /// Only records after this number
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        after: u64,
        /// At most this many
        #[arg(long, value_name = "COUNT", default_value_t = 1000)]
        limit: usize,
    },
    /// Find any record that was edited, removed or moved
    Verify {
        /// Compare it with a shipped copy as well: a file, or the directory of a target
        #[arg(long, value_name = "PATH")]
        copy: Option<PathBuf>,
    },
}

impl Log {
    /// Shows or verifies.
    pub fn run(self, context: &Context) -> Result<(), Stop> {
        match self.what {
            What::Show { after, limit } => {
                let records = offline::log_show(&context.home, after, limit)?;
                context.output.fact(&records, |records| records.iter().map(line).collect::<Vec<_>>().join("\n"))
            }
            What::Verify { copy: Some(copy) } => {
                let verified = offline::log_verify_copy(&context.home, &copy)?;
                context.output.fact(&verified, |verified| {
                    format!(
                        "{} records are as they were written; the copy holds records {} to {}, and they are the same",
                        verified.log.records, verified.copy.first, verified.copy.last
                    )
                })
            }
            What::Verify { copy: None } => {
                let verified = offline::log_verify(&context.home)?;
                context.output.fact(&verified, |verified| {
                    format!(
                        "{} records are as they were written; the last hash is {}",
                        verified.records, verified.last_hash
                    )
                })
            }
        }
    }
}

/// A record on one line: the parts that every record has, then its detail.
fn line(record: &Value) -> String {
    let at = record["at"].as_i64().map(|at| crate::show::time(types::Timestamp(at))).unwrap_or_default();
    let place: Vec<String> = ["session", "turn", "call"]
        .iter()
        .filter(|key| !record[**key].is_null())
        .map(|key| format!("{key} {}", plain(&record[*key])))
        .collect();
    let text = format!(
        "{} {at} {} [{}] {}",
        plain(&record["seq"]),
        plain(&record["kind"]),
        place.join(", "),
        record["detail"]
    );
    daemon::terminal::neutral(&text).replace('\n', " ")
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::line;

    #[test]
    fn a_record_stays_on_its_line() {
        let record = json!({
            "seq": 7, "at": "later", "kind": "tool_intent", "session": 1, "turn": 2, "call": "c\n8 forged",
            "detail": { "tool": "exec" }, "prev": "00", "hash": "11"
        });
        assert_eq!(line(&record), "7  tool_intent [session 1, turn 2, call c 8 forged] {\"tool\":\"exec\"}");
    }
}
