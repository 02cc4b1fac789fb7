//! `factotum audit-writer`: the writer of the audit log, for the service manager to run as another user.

use std::path::PathBuf;

use daemon::{WriterOptions, serve_audit};

use crate::{args::Context, error::Stop};

/// Own the audit log as another user than the agent, and append what the agent records.
#[derive(Debug, clap::Args)]
pub struct AuditWriter {
    /// Where to listen
    #[arg(long, value_name = "PATH", default_value = "/run/factotum-audit/socket")]
    socket: PathBuf,
    /// The log
    #[arg(long = "file", value_name = "PATH", default_value = "/var/lib/factotum-audit/audit.log")]
    file: PathBuf,
    /// The user that `factotum up` runs as: a name or a number
    #[arg(long, value_name = "USER", default_value = "factotum")]
    client: String,
    /// Let the kernel keep the log from shrinking (chattr +a); takes CAP_LINUX_IMMUTABLE
    #[arg(long)]
    append_only: bool,
    /// Put a file of so many megabytes aside
    #[arg(long, value_name = "COUNT", default_value_t = 64)]
    rotate_mb: u64,
}

impl AuditWriter {
    /// Serves until it is killed.
    pub fn run(self, context: &Context) -> Result<(), Stop> {
        let Self { socket, file, client, append_only, rotate_mb } = self;
        let options = WriterOptions { socket, log: file, client, append_only, rotate_mb };
        serve_audit(&options, |text| context.output.note(text))?;
        Ok(())
    }
}
