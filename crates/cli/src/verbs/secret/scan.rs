//! `factotum secret scan`: secrets where none should be.

use daemon::offline::{self, ScanFinding, ScanOptions, ScanReport};
use types::{FailureKind, WorkspaceName};

use crate::{args::Context, error::Stop, show::table};

/// Looks for known secrets, in any encoding, and for what looks like a key of a well-known kind: in the files of all
/// workspaces (`.git` included, packed history not), in the journal and in log files. A known secret that is found is
/// dead from then on. Values are never shown.
#[derive(Debug, clap::Args)]
pub struct ScanVerb {
    /// Look through this workspace alone
    #[arg(long, value_name = "NAME")]
    workspace: Option<WorkspaceName>,
    /// Mask what was found in the files of workspaces
    #[arg(long)]
    fix: bool,
    /// Leave known secrets in use
    #[arg(long)]
    keep: bool,
}

impl ScanVerb {
    /// Tells what was found; the exit code is that of a task without success if anything was.
    pub fn run(self, context: &Context) -> Result<(), Stop> {
        let options = ScanOptions { workspace: self.workspace, fix: self.fix, keep: self.keep };
        let report = offline::secret_scan(&context.home, &options)?;
        for place in report.passed_over.iter().take(20) {
            context.output.note(&format!("note: not looked at: {place}"));
        }
        context.output.fact(&report, words)?;
        if report.findings.is_empty() { Ok(()) } else { Err(Stop::Verdict(FailureKind::Task.exit_code())) }
    }
}

fn words(report: &ScanReport) -> String {
    if report.findings.is_empty() {
        return format!("no secrets were found in {} texts", report.searched);
    }
    let row = |one: &ScanFinding| {
        let line = one.line.map(|line| format!(":{line}")).unwrap_or_default();
        let what = match (&one.secret, one.kind) {
            (Some(name), _) => format!("the secret {name}"),
            (None, Some(kind)) => kind.to_owned(),
            (None, None) => String::new(),
        };
        let done = match (one.killed, one.masked) {
            (true, true) => "dead, masked",
            (true, false) => "dead",
            (false, true) => "masked",
            (false, false) => "",
        };
        [format!("{}{line}", one.place), what, done.to_owned(), one.remedy.clone()]
    };
    let rows: Vec<_> = report.findings.iter().map(row).collect();
    table(["WHERE", "WHAT", "DONE", "WHAT TO DO"], &rows)
}
