//! Under whose id commands run. An ordinary user stays who they are, in a user namespace that knows nobody else. Root
//! becomes an id that no account has, and the workspace is mounted with its owner shown as that id.

use std::{fs, io, os::fd::OwnedFd};

use rustix::{
    fs::{Gid, Uid},
    thread::{CapabilitySet, LinkNameSpaceType},
};

use types::Invariant;

use super::{Step, failed, kernel};
use crate::wire::{Failure, FailureKind, HostDirectory, Setup};

/// The id that commands see as their own.
pub(super) const INNER_ID: u32 = 1000;
/// What root becomes. Outside of the ranges that systems and container engines hand out.
pub(crate) const NOBODYS_ID: u32 = 2_000_424_242;

/// All namespaces but the user's.
const NAMESPACES: i32 = libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;

/// Who started this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Account {
    /// Somebody who keeps their id.
    Ordinary,
    /// The machine's root, who must not.
    Root,
}

/// The user namespaces that building needs.
#[derive(Debug)]
pub(super) enum Ids {
    /// Everything happens in one that was entered already.
    Entered,
    /// Root builds first and enters later.
    Later {
        /// Knows only [`NOBODYS_ID`], as [`INNER_ID`].
        commands: OwnedFd,
        /// Shows the workspace's owner as [`NOBODYS_ID`].
        workspace: OwnedFd,
        /// The same for the owner of a home that stays.
        home: Option<OwnedFd>,
        /// The same for the owner of a source.
        source: Option<OwnedFd>,
    },
}

impl Account {
    /// Finds out who this is. Root without the right to make namespaces is refused rather than run commands as root.
    pub fn choose() -> Result<Self, Failure> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Ordinary);
        }
        let map = fs::read_to_string("/proc/self/uid_map").step("choose the user")?;
        if !knows_every_id(&map) {
            // Root of a container's user namespace: an ordinary user of the machine.
            return Ok(Self::Ordinary);
        }
        let rights = rustix::thread::capabilities(None).step("choose the user")?.effective;
        if rights.contains(CapabilitySet::SYS_ADMIN | CapabilitySet::SETUID | CapabilitySet::SETGID) {
            return Ok(Self::Root);
        }
        Err(failed("choose the user", "this is root, but without the capability to make namespaces"))
    }

    /// Enters all namespaces that the first process needs; it must be forked afterwards.
    pub fn enter_namespaces(self, setup: &Setup) -> Result<Ids, Failure> {
        let ids = match self {
            Self::Ordinary => {
                let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
                kernel::unshare(libc::CLONE_NEWUSER).map_err(refused)?;
                write_maps("self", Some("deny"), (INNER_ID, uid), (INNER_ID, gid)).map_err(refused)?;
                Ids::Entered
            }
            Self::Root => {
                Ids::Later {
                    commands: user_namespace((INNER_ID, NOBODYS_ID), (INNER_ID, NOBODYS_ID)).map_err(refused)?,
                    // That the directory still has this owner is checked before it is mounted.
                    workspace: showing(&setup.workspace).map_err(refused)?,
                    home: setup.home.as_ref().map(showing).transpose().map_err(refused)?,
                    source: setup.source.as_ref().map(showing).transpose().map_err(refused)?,
                }
            }
        };
        kernel::unshare(namespaces()).map_err(refused)?;
        Ok(ids)
    }
}

/// The network's own namespace is what leaves the proxy as the only way out.
fn namespaces() -> i32 {
    if Invariant::OnlyProxyOut.is_broken() { NAMESPACES & !libc::CLONE_NEWNET } else { NAMESPACES }
}

fn refused(error: io::Error) -> Failure {
    Failure { kind: FailureKind::UserNamespaces, step: "make namespaces".to_owned(), why: error.to_string() }
}

/// Whether a user namespace is the machine's own, by its map.
fn knows_every_id(map: &str) -> bool {
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// Says which ids a process's user namespace knows: (inside, outside) of the user and of the group.
fn write_maps(process: &str, groups: Option<&str>, user: (u32, u32), group: (u32, u32)) -> io::Result<()> {
    let line = |(inside, outside): (u32, u32)| format!("{inside} {outside} 1\n");
    if let Some(setting) = groups {
        fs::write(format!("/proc/{process}/setgroups"), setting)?;
    }
    fs::write(format!("/proc/{process}/uid_map"), line(user))?;
    fs::write(format!("/proc/{process}/gid_map"), line(group))
}

/// Makes a user namespace that shows the owner of a directory as [`NOBODYS_ID`].
fn showing(owned: &HostDirectory) -> io::Result<OwnedFd> {
    user_namespace((owned.uid, NOBODYS_ID), (owned.gid, NOBODYS_ID))
}

/// Makes a user namespace that this process does not enter. A short-lived process holds it until it is open.
fn user_namespace(user: (u32, u32), group: (u32, u32)) -> io::Result<OwnedFd> {
    let (wait, release) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    match kernel::fork(libc::CLONE_NEWUSER)? {
        kernel::Fork::Child => {
            drop(release);
            // It ends when the other side has let go of the pipe, whatever happened there.
            _ = rustix::io::read(&wait, &mut [0_u8; 1]);
            kernel::exit_now(0)
        }
        kernel::Fork::Parent(pid, process) => {
            let opened = write_maps(&pid.to_string(), None, user, group)
                .and_then(|()| fs::File::open(format!("/proc/{pid}/ns/user")));
            drop(release);
            let waited = rustix::process::WaitId::PidFd(std::os::fd::AsFd::as_fd(&process));
            rustix::process::waitid(waited, rustix::process::WaitIdOptions::EXITED)?;
            Ok(opened?.into())
        }
    }
}

impl Ids {
    /// The owner of files that building makes for commands, as the building process names it.
    pub fn owner(&self) -> u32 {
        match self {
            Self::Entered => INNER_ID,
            Self::Later { .. } => NOBODYS_ID,
        }
    }

    /// The namespace through which the workspace is mounted, where it is mapped.
    pub fn workspace_map(&self) -> Option<&OwnedFd> {
        match self {
            Self::Entered => None,
            Self::Later { workspace, .. } => Some(workspace),
        }
    }

    /// The same for a home that stays.
    pub fn home_map(&self) -> Option<&OwnedFd> {
        match self {
            Self::Entered => None,
            Self::Later { home, .. } => home.as_ref(),
        }
    }

    /// The same for a source.
    pub fn source_map(&self) -> Option<&OwnedFd> {
        match self {
            Self::Entered => None,
            Self::Later { source, .. } => source.as_ref(),
        }
    }

    /// Root becomes nobody, for good.
    pub fn leave_root(&self) -> Result<(), Failure> {
        let Self::Later { commands, .. } = self else { return Ok(()) };
        let step = "give up root";
        rustix::thread::set_thread_groups(&[]).step(step)?;
        rustix::thread::move_into_link_name_space(std::os::fd::AsFd::as_fd(commands), Some(LinkNameSpaceType::User))
            .step(step)?;
        let (uid, gid) = (Uid::from_raw(INNER_ID), Gid::from_raw(INNER_ID));
        // Only this thread is changed, and it is the only one.
        rustix::thread::set_thread_res_gid(gid, gid, gid).step(step)?;
        rustix::thread::set_thread_res_uid(uid, uid, uid).step(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_machines_own_namespace_knows_every_id() {
        assert!(knows_every_id("         0          0 4294967295\n"));
        assert!(!knows_every_id("         0     100000      65536\n"));
        assert!(!knows_every_id("         0       1000          1\n         1     100000      65536\n"));
    }
}
