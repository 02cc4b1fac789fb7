//! Giving up every right: capabilities, the way to new ones, and the limits of each process.

use rustix::{
    process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit},
    thread::{
        CapabilitiesSecureBits, CapabilitySet, CapabilitySets, clear_ambient_capability_set, set_capabilities,
        set_capabilities_secure_bits, set_no_new_privs,
    },
};

use types::Invariant;

use super::{Step, kernel};
use crate::wire::{Failure, Setup};

/// Open files of one process.
const OPEN_FILES: u64 = 16_384;
const MIB: u64 = 1024 * 1024;

/// Gives up everything that is not needed to run commands.
pub(super) fn give_up_rights(setup: &Setup) -> Result<(), Failure> {
    limits(setup).step("set limits")?;
    capabilities().step("give up capabilities")?;
    set_no_new_privs(true).step("forbid new privileges")?;
    // Nothing inside may look into this process or take its descriptors.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).step("close this process to others")
}

fn limits(setup: &Setup) -> rustix::io::Result<()> {
    let both = |value: u64| Rlimit { current: Some(value), maximum: Some(value) };
    // Not 0: that would still hand the dying process to the host's handler of core files, where there is one.
    setrlimit(Resource::Core, both(1))?;
    setrlimit(Resource::Nofile, both(OPEN_FILES))?;
    if Invariant::QuotasHold.is_broken() {
        return Ok(());
    }
    setrlimit(Resource::Fsize, both(setup.quota.disk_mb.saturating_mul(MIB)))?;
    setrlimit(Resource::Nproc, both(setup.quota.pids))?;
    if setup.cap_each_process {
        setrlimit(Resource::Data, both(setup.quota.memory_mb.saturating_mul(MIB)))?;
    }
    Ok(())
}

fn capabilities() -> std::io::Result<()> {
    for capability in 0..64 {
        match kernel::drop_from_bounding_set(capability) {
            Ok(()) => {}
            // The kernel knows no more.
            Err(error) if error.kind() == std::io::ErrorKind::InvalidInput && capability > 0 => break,
            Err(error) => return Err(error),
        }
    }
    clear_ambient_capability_set()?;
    set_capabilities_secure_bits(
        CapabilitiesSecureBits::NO_ROOT
            | CapabilitiesSecureBits::NO_ROOT_LOCKED
            | CapabilitiesSecureBits::NO_SETUID_FIXUP
            | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
            | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED,
    )?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    Ok(())
}
