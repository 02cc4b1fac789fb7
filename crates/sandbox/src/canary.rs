//! The self-test: every escape on the list is tried inside a real sandbox.

use crate::{SandboxConfig, SandboxError};

/// What came of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was stopped.
    Held,
    /// It got out. Unattended work must be refused.
    Escaped,
    /// It does not exist on this system, and why.
    NotApplicable(String),
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// A short stable name.
    pub id: String,
    /// What was tried.
    pub what: String,
    /// What came of it.
    pub outcome: Outcome,
}

/// How quotas are enforced here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum QuotaKind {
    /// By cgroups, version 2.
    V2,
    /// By cgroups, version 1.
    V1,
    /// By limits of each process only: memory is not capped for the sandbox as a whole.
    RlimitsOnly,
}

/// What came of all attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanaryReport {
    /// The attempts.
    pub rows: Vec<Row>,
    /// How quotas are enforced.
    pub quota: QuotaKind,
}

/// Builds a sandbox with a scratch workspace and tries every escape on the list inside.
pub async fn canary(_config: &SandboxConfig) -> Result<CanaryReport, SandboxError> {
    todo!()
}
