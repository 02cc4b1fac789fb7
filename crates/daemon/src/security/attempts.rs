//! The attacks, one row each. An attempt works on baits of its own in a scratch directory, with the same code and the same
//! settings that the daemon uses; it must leave the owner's home, workspaces and secrets alone.

mod api;
mod approvals;
mod credentials;
mod delegation;
mod files;
mod honesty;
mod labels;
mod limits;
mod messengers;
mod network;
mod record;
mod revocation;
mod sandbox;
mod secrets;
mod settings;

use std::{path::PathBuf, time::Duration};

use ::sandbox::CanaryReport;
use tokio::sync::OnceCell;
use types::{BoxFuture, Invariant};

use super::{Outcome, Severity};
use crate::Config;

/// How long one attempt may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// What attempts are made against.
pub(super) struct Surroundings {
    /// The owner's home, which is only looked at.
    pub home: PathBuf,
    /// The owner's settings.
    pub config: Config,
    /// Where scratch directories may be made.
    pub scratch: PathBuf,
    /// The sandbox's own list of escapes, run once for all attempts that read it.
    canary: OnceCell<Result<CanaryReport, String>>,
}

impl Surroundings {
    /// Against these settings.
    pub fn new(home: PathBuf, config: Config, scratch: PathBuf) -> Self {
        Self { home, config, scratch, canary: OnceCell::new() }
    }

    /// What came of every escape on the list, from inside a sandbox with the owner's settings.
    pub async fn canary(&self) -> Result<&CanaryReport, String> {
        let run = || async { ::sandbox::canary(&self.config.sandbox).await.map_err(|error| error.to_string()) };
        self.canary.get_or_init(run).await.as_ref().map_err(Clone::clone)
    }
}

/// One attack.
pub(super) struct Attempt {
    /// A stable name.
    pub id: &'static str,
    /// The promise that it attacks.
    pub invariant: Invariant,
    /// What an attacker gains if it works.
    pub gain: &'static str,
    /// What to do if it works.
    pub fix: &'static str,
    /// How bad it is not to know.
    pub unknown: Severity,
    /// Tries it.
    pub run: for<'a> fn(&'a Surroundings) -> BoxFuture<'a, Outcome>,
}

const SANDBOX_FIX: &str = "run `factotum doctor --only sandbox`; use a kernel with user namespaces and Landlock, and no unattended work until it holds";
const OURS: &str = "this is a fault of the program: stop it, update it, and report it as SECURITY.md says";

/// All attacks, in the order of the invariants.
pub(super) const ALL: &[Attempt] = &[
    Attempt {
        id: "secrets.masked",
        invariant: Invariant::NoSecretReadable,
        gain: "a stored key, read by the model and carried off with its next words",
        fix: OURS,
        unknown: Severity::High,
        run: |around| Box::pin(secrets::masked(around)),
    },
    Attempt {
        id: "secrets.other-user",
        invariant: Invariant::NoSecretReadable,
        gain: "your secrets and conversations, from any account of this machine",
        fix: "close the home: chmod -R go-rwx on it; `factotum security audit --fix` does it",
        unknown: Severity::Info,
        run: |around| Box::pin(secrets::other_user(around)),
    },
    Attempt {
        id: "sandbox.or-nothing",
        invariant: Invariant::SandboxOrNothing,
        gain: "commands that run with your own rights when the sandbox cannot be built",
        fix: OURS,
        unknown: Severity::High,
        run: |around| Box::pin(sandbox::or_nothing(around)),
    },
    Attempt {
        id: "sandbox.network",
        invariant: Invariant::OnlyProxyOut,
        gain: "a way to the network that no rule and no record sees",
        fix: SANDBOX_FIX,
        unknown: Severity::High,
        run: |around| Box::pin(sandbox::network(around)),
    },
    Attempt {
        id: "egress.private-addresses",
        invariant: Invariant::JudgedAddress,
        gain: "the cloud's credentials of this machine, and whatever else trusts its network",
        fix: OURS,
        unknown: Severity::High,
        run: |around| Box::pin(network::private_addresses(around)),
    },
    Attempt {
        id: "labels.silent-send",
        invariant: Invariant::NoSilentSend,
        gain: "private text sent to an address that a web page or mail chose",
        fix: OURS,
        unknown: Severity::High,
        run: |around| Box::pin(labels::silent_send(around)),
    },
    Attempt {
        id: "labels.lowered",
        invariant: Invariant::LabelsRise,
        gain: "foreign text that counts as your own words",
        fix: OURS,
        unknown: Severity::High,
        run: |around| Box::pin(labels::lowered(around)),
    },
    Attempt {
        id: "approval.replay",
        invariant: Invariant::ApprovalBound,
        gain: "one yes of yours used for another call, or used twice",
        fix: OURS,
        unknown: Severity::High,
        run: |around| Box::pin(approvals::replay(around)),
    },
    Attempt {
        id: "approval.nobody",
        invariant: Invariant::UnattendedDenies,
        gain: "risky calls at night that nobody was asked about",
        fix: OURS,
        unknown: Severity::High,
        run: |around| Box::pin(approvals::nobody(around)),
    },
    Attempt {
        id: "sandbox.control-files",
        invariant: Invariant::ControlFilesClosed,
        gain: "your configuration, journal, vault or program rewritten by a command",
        fix: SANDBOX_FIX,
        unknown: Severity::High,
        run: |around| Box::pin(sandbox::control_files(around)),
    },
    Attempt {
        id: "channel.stranger",
        invariant: Invariant::SilenceForStrangers,
        gain: "anybody who finds the bot can talk to the model at your cost",
        fix: OURS,
        unknown: Severity::High,
        run: |around| Box::pin(messengers::stranger(around)),
    },
    Attempt {
        id: "channel.forged",
        invariant: Invariant::SenderAuthenticated,
        gain: "somebody with your display name speaks and approves as you",
        fix: OURS,
        unknown: Severity::High,
        run: |around| Box::pin(messengers::forged(around)),
    },
    Attempt {
        id: "api.login",
        invariant: Invariant::ApiGuarded,
        gain: "the whole agent, from a page in your browser or another account of this machine",
        fix: OURS,
        unknown: Severity::High,
        run: |around| Box::pin(api::login(around)),
    },
    Attempt {
        id: "delegation.widened",
        invariant: Invariant::DelegationAttenuates,
        gain: "a sub-session that may do what its parent was denied",
        fix: OURS,
        unknown: Severity::High,
        run: |around| Box::pin(delegation::widened(around)),
    },
    Attempt {
        id: "api.revoked",
        invariant: Invariant::RevocationIsLive,
        gain: "a stolen token that lives on after you replaced it",
        fix: OURS,
        unknown: Severity::High,
        run: |around| Box::pin(revocation::token(around)),
    },
    Attempt {
        id: "limits.stop",
        invariant: Invariant::StopIsOutside,
        gain: "work that goes on after you said STOP",
        fix: OURS,
        unknown: Severity::High,
        run: |around| Box::pin(limits::stop(around)),
    },
    Attempt {
        id: "limits.caps",
        invariant: Invariant::CapsHold,
        gain: "a month's budget burned in a night",
        fix: OURS,
        unknown: Severity::High,
        run: |around| Box::pin(limits::caps(around)),
    },
    Attempt {
        id: "audit.before-effect",
        invariant: Invariant::AuditBeforeEffect,
        gain: "acts that leave no trace",
        fix: OURS,
        unknown: Severity::High,
        run: |around| Box::pin(record::before_effect(around)),
    },
    Attempt {
        id: "files.beneath",
        invariant: Invariant::FilesBeneath,
        gain: "files of yours outside the workspace, read or overwritten through a link",
        fix: OURS,
        unknown: Severity::High,
        run: |around| Box::pin(files::beneath(around)),
    },
    Attempt {
        id: "egress.credentials",
        invariant: Invariant::CredentialSlot,
        gain: "your key in an issue, a page or another's account",
        fix: OURS,
        unknown: Severity::High,
        run: |around| Box::pin(credentials::misplaced(around)),
    },
    Attempt {
        id: "sandbox.quotas",
        invariant: Invariant::QuotasHold,
        gain: "a machine that swaps, fills its disk or no longer answers",
        fix: "run factotum where it may make control groups: as a systemd service with `Delegate=yes`",
        unknown: Severity::High,
        run: |around| Box::pin(sandbox::quotas(around)),
    },
    Attempt {
        id: "channel.attachments",
        invariant: Invariant::NothingOpened,
        gain: "a decoder's fault, triggered by a file that somebody sent",
        fix: OURS,
        unknown: Severity::Medium,
        run: |around| Box::pin(messengers::attachments(around)),
    },
    Attempt {
        id: "labels.persist",
        invariant: Invariant::PersistenceProposed,
        gain: "an instruction from a web page that comes back every day",
        fix: OURS,
        unknown: Severity::High,
        run: |around| Box::pin(labels::persist(around)),
    },
    Attempt {
        id: "settings.unsafe",
        invariant: Invariant::UnsafeRefuses,
        gain: "an agent that runs in a state which no other defence can make good",
        fix: OURS,
        unknown: Severity::High,
        run: |around| Box::pin(settings::unsafe_combinations(around)),
    },
    Attempt {
        id: "replies.clean",
        invariant: Invariant::RepliesClean,
        gain: "private text carried off by a picture that your messenger loads",
        fix: OURS,
        unknown: Severity::High,
        run: |around| Box::pin(messengers::replies(around)),
    },
    Attempt {
        id: "audit.honest",
        invariant: Invariant::AuditHonest,
        gain: "a green report that means nothing",
        fix: OURS,
        unknown: Severity::High,
        run: |around| Box::pin(honesty::notices(around)),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_stand_in_the_order_of_the_invariants_under_names_of_their_own() {
        assert!(ALL.windows(2).all(|pair| pair[0].invariant as u8 <= pair[1].invariant as u8));
        let mut ids: Vec<&str> = ALL.iter().map(|attempt| attempt.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), ALL.len());
    }
}
