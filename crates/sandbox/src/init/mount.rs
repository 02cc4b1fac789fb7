//! Detached mounts: made or copied from the host, changed while nothing can reach them, then put in place beneath a
//! directory that is open already. No path of the new tree is ever resolved from `/`.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags, fstat, openat2},
    io::Errno,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_string,
        fsmount, fsopen, move_mount, open_tree,
    },
};

use super::kernel::{self, MountChange, attribute};
use crate::wire::HostDirectory;

/// A mount that is not in place yet.
#[derive(Debug)]
pub(super) struct Detached(OwnedFd);

/// What holds for every mount of host files, whatever else does.
const FOREIGN: u64 = attribute::NO_SUID | attribute::NO_DEVICES;

impl Detached {
    /// A copy of what is mounted at a path of the host, with everything below; none when there is nothing.
    pub fn of_host(path: &Path) -> io::Result<Option<Self>> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
        match open_tree(CWD, path, flags) {
            Ok(mount) => Ok(Some(Self(mount))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A copy of a directory of the host, if it is still the one that was checked.
    pub fn of_checked(directory: &HostDirectory) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let found = openat2(CWD, &directory.path, flags, Mode::empty(), resolve)?;
        let now = fstat(&found)?;
        if (now.st_dev, now.st_ino) != (directory.device, directory.inode) {
            return Err(io::Error::other("it was replaced by another directory meanwhile"));
        }
        Self::of(&found)
    }

    /// A copy of what lies at a path beneath an open directory.
    pub fn beneath(directory: impl AsFd, path: &str) -> io::Result<Self> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
        Ok(Self(open_tree(directory, path, flags)?))
    }

    /// What a descriptor means, with everything below.
    pub fn of(place: impl AsFd) -> io::Result<Self> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_RECURSIVE
            | OpenTreeFlags::AT_EMPTY_PATH;
        Ok(Self(open_tree(place, "", flags)?))
    }

    /// A new file system.
    pub fn new(kind: &str, options: &[(&str, &str)], attributes: MountAttrFlags) -> io::Result<Self> {
        let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
        for (name, value) in options {
            fsconfig_set_string(context.as_fd(), *name, *value)?;
        }
        fsconfig_create(context.as_fd())?;
        Ok(Self(fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?))
    }

    /// Host files that can be read only.
    pub fn read_only(self) -> io::Result<Self> {
        let change = MountChange { set: FOREIGN | attribute::READ_ONLY, recursive: true };
        kernel::change_mount(&self.0, change)?;
        Ok(self)
    }

    /// Host files that can be written.
    pub fn writable(self) -> io::Result<Self> {
        kernel::change_mount(&self.0, MountChange { set: FOREIGN, recursive: true })?;
        Ok(self)
    }

    /// A device: the one thing on it that must work is the device.
    pub fn device(self) -> io::Result<Self> {
        let set = attribute::NO_SUID | attribute::NO_EXEC;
        kernel::change_mount(&self.0, MountChange { set, recursive: false })?;
        Ok(self)
    }

    /// Who owns its root directory, user and group.
    pub fn owner(&self) -> io::Result<(u32, u32)> {
        let found = fstat(&self.0)?;
        Ok((found.st_uid, found.st_gid))
    }

    /// Shows the owner of the files as the user namespace `ids` says.
    pub fn with_ids(self, ids: &OwnedFd) -> io::Result<Self> {
        kernel::map_mount_ids(&self.0, ids)?;
        Ok(self)
    }

    /// Puts it in place.
    pub fn attach(self, directory: impl AsFd, path: &str) -> io::Result<()> {
        Ok(move_mount(&self.0, "", directory, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
    }

    /// Puts it on top of what a descriptor means.
    pub fn cover(self, place: impl AsFd) -> io::Result<()> {
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        Ok(move_mount(&self.0, "", place, "", flags)?)
    }

    /// Its root directory, before or after it is in place.
    pub fn root(&self) -> &OwnedFd {
        &self.0
    }
}
