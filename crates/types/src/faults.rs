//! Broken on purpose: each promise of the security model can be switched off in a test build, to prove that the tests and
//! `factotum security audit` notice. Without the feature `faults` every switch is a constant `false` and the compiler
//! removes the branch. No IO: who starts the process reads the switches from its environment and sets them here.

/// The promises that hold with a fully malicious model. The numbers are those of the table in `docs/invariants.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Invariant {
    /// No real secret is readable in a sandbox, a context, a workspace, a log or a chat.
    NoSecretReadable = 1,
    /// Every command runs in the sandbox, or not at all.
    SandboxOrNothing,
    /// Only the proxy reaches the network.
    OnlyProxyOut,
    /// The proxy dials allowed, public addresses alone, and dials what it judged.
    JudgedAddress,
    /// What is private does not leave a session with foreign text without approval.
    NoSilentSend,
    /// Labels only rise.
    LabelsRise,
    /// An approval runs what was shown, once, for the owner, in time.
    ApprovalBound,
    /// Nobody present means no.
    UnattendedDenies,
    /// Control files are out of reach of commands and file tools.
    ControlFilesClosed,
    /// Strangers get silence.
    SilenceForStrangers,
    /// A channel's sender is authenticated.
    SenderAuthenticated,
    /// The API asks for a credential and checks Origin and Host.
    ApiGuarded,
    /// A child never gets more than its parent.
    DelegationAttenuates,
    /// Revocation acts on what is running.
    RevocationIsLive,
    /// STOP works outside the model.
    StopIsOutside,
    /// Caps are counted from what the provider reports, across restarts.
    CapsHold,
    /// Each call is recorded before its effect.
    AuditBeforeEffect,
    /// File tools stay beneath the workspace.
    FilesBeneath,
    /// A credential goes into its own slot alone.
    CredentialSlot,
    /// Quotas hold.
    QuotasHold,
    /// Nothing that comes in is opened by itself.
    NothingOpened,
    /// What persists from a session with foreign text is only a proposal.
    PersistenceProposed,
    /// An unsafe combination refuses to start.
    UnsafeRefuses,
    /// Replies carry nothing hidden.
    RepliesClean,
    /// The security audit tries what it reports.
    AuditHonest,
}

impl Invariant {
    /// Whether a test switched this promise off. Always false in a build that is not for tests.
    pub fn is_broken(self) -> bool {
        #[cfg(feature = "faults")]
        {
            enabled::BROKEN.load(std::sync::atomic::Ordering::Relaxed) & (1 << self as u8) != 0
        }
        #[cfg(not(feature = "faults"))]
        {
            false
        }
    }
}

#[cfg(feature = "faults")]
pub use enabled::{VARIABLE, broken, set_broken};

#[cfg(feature = "faults")]
mod enabled {
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A bit for each promise that is switched off.
    pub(super) static BROKEN: AtomicU32 = AtomicU32::new(0);

    /// The environment variable from which a test build takes the numbers of the promises to break, such as `5,17`.
    pub const VARIABLE: &str = "FACTOTUM_BREAK";

    /// Switches off the promises with these numbers, written as in [`VARIABLE`]; all others hold. What is no number is
    /// passed over.
    pub fn set_broken(numbers: &str) {
        let numbers = numbers.split(',').filter_map(|number| number.trim().parse::<u8>().ok());
        let bits = numbers.filter(|number| (1..=25).contains(number)).fold(0, |bits, number| bits | 1 << number);
        BROKEN.store(bits, Ordering::Relaxed);
    }

    /// The numbers that are switched off, in the form that [`set_broken`] reads: for a child process.
    pub fn broken() -> String {
        let bits = BROKEN.load(Ordering::Relaxed);
        let numbers: Vec<String> =
            (1..=25_u8).filter(|number| bits & (1 << number) != 0).map(|number| number.to_string()).collect();
        numbers.join(",")
    }

    #[cfg(test)]
    mod tests {
        use super::{super::Invariant, *};

        #[test]
        fn switches_are_read_and_written() {
            set_broken("5, 25,99,x");
            assert!(Invariant::NoSilentSend.is_broken() && Invariant::AuditHonest.is_broken());
            assert!(!Invariant::NoSecretReadable.is_broken());
            assert_eq!(broken(), "5,25");
        }
    }
}
