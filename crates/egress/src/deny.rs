//! Why a request does not go out: a closed list, each with what the owner may change. The texts are shown inside sandboxes
//! and to the model, so they carry hosts, rules and numbers, and never a path, a header or a body.

use crate::{address::AddressClass, path::PathError, rules::RuleId, target::TargetError};

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DenyReason {
    /// The target could not be read.
    #[error("{0}")]
    Target(#[from] TargetError),
    /// The path could not be read.
    #[error("{0}")]
    PathForm(#[from] PathError),
    /// No rule is about the host.
    #[error("no rule allows {host}; the owner can add one under [[workspaces.NAME.egress.rules]], or a preset")]
    Host {
        /// The host.
        host: String,
    },
    /// The rules about the host do not have the port.
    #[error("no rule allows {target}; the owner can add the port to `ports` of the host's rule")]
    Port {
        /// Host and port.
        target: String,
    },
    /// Plain http where only https is allowed.
    #[error("{target} may not be reached in the clear; use https, or the owner sets `plain_http` in the host's rule")]
    PlainHttp {
        /// Host and port.
        target: String,
    },
    /// The rules about the host do not have the method.
    #[error("no rule allows {method} at {host}; the owner can add it to `methods` of the host's rule")]
    Method {
        /// The method.
        method: String,
        /// The host.
        host: String,
    },
    /// The rules about the host do not have the path.
    #[error("no rule allows this path at {host}; the owner can add it to `paths` of the host's rule")]
    Path {
        /// The host.
        host: String,
    },
    /// Path and query are longer than the rule allows.
    #[error("the path and query exceed the {most} bytes of the rule `{rule}` (`max_url_bytes`)")]
    LongUrl {
        /// The rule.
        rule: RuleId,
        /// Its cap.
        most: u64,
    },
    /// A body where the rule has none.
    #[error("the rule `{rule}` allows no request body (`body`)")]
    Body {
        /// The rule.
        rule: RuleId,
    },
    /// A change of protocol.
    #[error("the rule `{rule}` allows no change of protocol (`upgrade`)")]
    Upgrade {
        /// The rule.
        rule: RuleId,
    },
    /// The rule asks for a secret that is bound to the request, and there is none.
    #[error(
        "the rule `{rule}` needs a secret that is bound to this host, method and path; the owner sets one with \
         `factotum secret set`, and names it in the workspace's `secrets`"
    )]
    NeedsSecret {
        /// The rule.
        rule: RuleId,
    },
    /// A request that is no reading, from programs that may only read.
    #[error(
        "the programs of a job may only read by the rule `{rule}`; what a job is to send, such as a branch, leaves by the job's \
         own push, after the owner's approval"
    )]
    OnlyReads {
        /// The rule.
        rule: RuleId,
    },
    /// A request that is no reading, from a workspace that holds foreign text.
    #[error(
        "{method} at {host}, which the rule `{rule}` allows, is refused while the workspace or the session holds foreign text: a \
         job worked there, or something was fetched, and programs may only read; the owner can look at what is there and set \
         `trust_foreign = true` under [workspaces.NAME.egress]"
    )]
    Foreign {
        /// The method.
        method: String,
        /// The host.
        host: String,
        /// The rule that would allow it.
        rule: RuleId,
    },
    /// A rule forbids it.
    #[error("the rule `{rule}` denies it")]
    DeniedByRule {
        /// The rule.
        rule: RuleId,
    },
    /// TLS would go through unopened from a session that has read foreign text.
    #[error("the rule `{rule}` lets TLS through unopened, which a session that has read foreign text may not use")]
    PassThroughTainted {
        /// The rule.
        rule: RuleId,
    },
    /// The name has no address, or the resolver did not answer.
    #[error("{host} could not be resolved: {why}")]
    Unresolved {
        /// The host.
        host: String,
        /// What the resolver said.
        why: String,
    },
    /// An address that may not be dialled.
    #[error("{host} leads to {class} addresses, which may not be reached{hint}")]
    Address {
        /// The host.
        host: String,
        /// The kind of the first such address.
        class: AddressClass,
        /// What to do, where something can be done.
        hint: &'static str,
    },
    /// The agent's own API.
    #[error("{host} leads to the agent's own API, which may not be reached")]
    Guarded {
        /// The host.
        host: String,
    },
    /// This machine's own addresses are not known.
    #[error("this machine's own addresses could not be read ({why}), so nothing can be judged")]
    OwnAddresses {
        /// What the kernel said.
        why: String,
    },
    /// More bytes than the rule allows for one request.
    #[error("more than the {most} bytes that the rule `{rule}` lets one request {direction}")]
    TooMuch {
        /// The rule.
        rule: RuleId,
        /// Its cap.
        most: u64,
        /// `send` or `receive`.
        direction: &'static str,
    },
    /// More bytes than the rule allows for one day.
    #[error("the day's {most} bytes that the rule `{rule}` lets this workspace {direction} are used up")]
    DayUsedUp {
        /// The rule.
        rule: RuleId,
        /// Its cap.
        most: u64,
        /// `send` or `receive`.
        direction: &'static str,
    },
    /// The audit log did not take the record of the intent.
    #[error("the request could not be recorded in the audit log, and what is not recorded does not happen")]
    Unrecorded,
    /// What the other layers found: a disagreement of SNI and host, a foreign credential, bytes that are no TLS.
    #[error("{0}")]
    Protocol(&'static str),
}

impl DenyReason {
    /// A word for audit records, one for each reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Target(_) => "target",
            Self::PathForm(_) => "path-form",
            Self::Host { .. } => "host",
            Self::Port { .. } => "port",
            Self::PlainHttp { .. } => "plain-http",
            Self::Method { .. } => "method",
            Self::Path { .. } => "path",
            Self::LongUrl { .. } => "long-url",
            Self::Body { .. } => "body",
            Self::Upgrade { .. } => "upgrade",
            Self::NeedsSecret { .. } => "needs-secret",
            Self::OnlyReads { .. } => "only-reads",
            Self::Foreign { .. } => "foreign",
            Self::DeniedByRule { .. } => "denied-by-rule",
            Self::PassThroughTainted { .. } => "pass-through-tainted",
            Self::Unresolved { .. } => "unresolved",
            Self::Address { .. } => "address",
            Self::Guarded { .. } => "guarded",
            Self::OwnAddresses { .. } => "own-addresses",
            Self::TooMuch { .. } => "too-much",
            Self::DayUsedUp { .. } => "day-used-up",
            Self::Unrecorded => "unrecorded",
            Self::Protocol(_) => "protocol",
        }
    }
}
