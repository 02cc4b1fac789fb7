//! The second fence around files and, in the strict profile, around TCP: Landlock, as much of it as the kernel has.

use std::fmt::Display;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
};

use super::{HOME, PROXY_PORT, WORKSPACE};
use crate::{
    spec::Profile,
    wire::{Failure, FailureKind},
};

/// The newest version whose rights are named here; of an older kernel, all that it has is used.
const NEWEST: ABI = ABI::V9;

/// Where commands may write anything.
const WRITABLE: [&str; 4] = [WORKSPACE, HOME, "/tmp", "/dev/shm"];

pub(super) fn confine(profile: Profile) -> Result<(), Failure> {
    match restrict(profile)? {
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
        RulesetStatus::NotEnforced => Err(refused("the kernel enforces none of it")),
    }
}

fn refused(why: impl Display) -> Failure {
    Failure { kind: FailureKind::Landlock, step: "confine with Landlock".to_owned(), why: why.to_string() }
}

fn restrict(profile: Profile) -> Result<RulesetStatus, Failure> {
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))
        .and_then(|ruleset| ruleset.scope(Scope::AbstractUnixSocket | Scope::Signal))
        .map_err(refused)?;
    if profile == Profile::Strict {
        ruleset = ruleset.handle_access(AccessNet::BindTcp | AccessNet::ConnectTcp).map_err(refused)?;
    }
    let mut ruleset = ruleset.create().map_err(refused)?;
    for (path, access) in rights() {
        let directory = PathFd::new(path).map_err(refused)?;
        ruleset = ruleset.add_rule(PathBeneath::new(directory, access)).map_err(refused)?;
    }
    if profile == Profile::Strict {
        ruleset = ruleset.add_rule(NetPort::new(PROXY_PORT, AccessNet::ConnectTcp)).map_err(refused)?;
    }
    Ok(ruleset.restrict_self().map_err(refused)?.ruleset)
}

/// What may be done beneath which directory.
fn rights() -> Vec<(&'static str, BitFlags<AccessFs>)> {
    let read = AccessFs::from_read(NEWEST);
    let anything = AccessFs::from_all(NEWEST) & !(AccessFs::MakeBlock | AccessFs::MakeChar | AccessFs::IoctlDev);
    // Files of processes and devices can be written where their own modes allow it, but none can be made or removed.
    let devices = read | AccessFs::WriteFile | AccessFs::Truncate | AccessFs::IoctlDev;
    let mut rights = vec![("/", read), ("/dev", devices), ("/proc", read | AccessFs::WriteFile)];
    rights.extend(WRITABLE.map(|path| (path, anything)));
    rights
}
