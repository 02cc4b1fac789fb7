//! The file tree: an empty file system with the system's programs, read-only, and the workspace. What is not put there does
//! not exist inside.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, mkdirat, openat2, readlinkat, symlinkat},
    io::Errno,
    mount::{MountAttrFlags, MountPropagationFlags, UnmountFlags, mount_change, unmount},
    process::{chdir, fchdir, pivot_root},
};

use types::Invariant;

use super::{
    HOME, SOURCE, Step, WORKSPACE,
    account::Ids,
    devices, failed,
    kernel::{self, MountChange, attribute},
    kernel_files,
    mount::Detached,
    system_files,
};
use crate::{
    Fixed,
    wire::{Failure, FailureKind, HostDirectory, Setup},
};

/// The system's own directories beside `/usr`: links into it on most systems, directories on others.
const SYSTEM: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// Any place that no source lies beneath does: the new tree hangs there until it becomes the root.
const SCAFFOLD: &str = "/proc";

/// Builds the tree and moves into it. Nothing of the host's remains reachable.
pub(super) fn build(setup: &Setup, ids: &Ids) -> Result<(), Failure> {
    let everything = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", everything).step("separate the mounts")?;
    let workspace = of_host("workspace", &setup.workspace, ids.workspace_map())?;
    let home = setup.home.as_ref().map(|home| of_host("home", home, ids.home_map())).transpose()?;
    let source = setup.source.as_ref().map(|source| of_host("source", source, ids.source_map())).transpose()?;
    let root = new_root().step("make the root")?;
    system(&root).step("mount the system's directories")?;
    system_files::place(&root, setup.proxy.as_ref()).step("place the system's files")?;
    devices::place(&root).step("place the devices")?;
    private_directories(&root, setup, ids).step("make the private directories")?;
    if let Some(home) = home {
        home.attach(&root, relative(HOME)).step("mount the home")?;
    }
    if let Some(source) = source {
        attach_source(source, &root).step("mount the source")?;
    }
    for directory in &setup.read_only {
        extra(&root, directory).step(&format!("mount {}", directory.path.display()))?;
    }
    workspace.attach(&root, relative(WORKSPACE)).step("mount the workspace")?;
    for fixed in &setup.fixed {
        fix(&root, fixed).step(&format!("fix {} in its place", fixed.path().display()))?;
    }
    if Invariant::ControlFilesClosed.is_broken() {
        beside_workspace(&root, setup, ids)?;
    }
    kernel_files::place(&root)?;
    let change = MountChange { set: attribute::READ_ONLY, recursive: false };
    kernel::change_mount(&root, change).step("protect the root")?;
    enter(root)?;
    rustix::system::sethostname(b"sandbox").step("set the host's name")
}

fn relative(path: &str) -> &str {
    path.trim_start_matches('/')
}

/// Mounts a part of the workspace on top of itself, so that it cannot be replaced. The workspace is not ours: nothing in it is
/// followed, and what is of another kind than a file or directory is left alone.
fn fix(root: &OwnedFd, fixed: &Fixed) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let workspace = openat2(root, relative(WORKSPACE), flags | OFlags::DIRECTORY, Mode::empty(), resolve)?;
    let place = match openat2(&workspace, fixed.path(), flags, Mode::empty(), resolve) {
        Ok(place) => place,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let kind = FileType::from_raw_mode(fstat(&place)?.st_mode);
    let is_open = match kind {
        FileType::Directory => fixed.is_open(),
        FileType::RegularFile => false,
        _ => return Ok(()),
    };
    let mount = Detached::of(&place)?;
    let mount = if is_open { mount } else { mount.read_only()? };
    mount.cover(&place)
}

/// A directory of the host, writable so far, with its owner shown as `map` says.
fn of_host(what: &str, directory: &HostDirectory, map: Option<&OwnedFd>) -> Result<Detached, Failure> {
    let step = format!("mount the {what}");
    let mount = Detached::of_checked(directory).step(&format!("open the {what}"))?.writable().step(&step)?;
    let Some(map) = map else { return Ok(mount) };
    if mount.owner().step(&step)? != (directory.uid, directory.gid) {
        return Err(failed(&step, "it was given to another owner meanwhile"));
    }
    let refused =
        |error: io::Error| Failure { kind: FailureKind::IdMapping, step: step.clone(), why: error.to_string() };
    mount.with_ids(map).map_err(refused)
}

/// The directory that is only read.
fn attach_source(source: Detached, root: &OwnedFd) -> io::Result<()> {
    mkdirat(root, relative(SOURCE), Mode::from_raw_mode(0o755))?;
    source.read_only()?.attach(root, relative(SOURCE))
}

/// What a careless tree would show: everything that lies beside the workspace, to be written. Only for a broken build.
fn beside_workspace(root: &OwnedFd, setup: &Setup, ids: &Ids) -> Result<(), Failure> {
    let step = "mount what lies beside the workspace";
    let Some(parent) = setup.workspace.path.parent().filter(|parent| parent.parent().is_some()) else { return Ok(()) };
    let Some(mount) = Detached::of_host(parent).step(step)? else { return Ok(()) };
    let mount = match ids.workspace_map() {
        Some(map) => mount.with_ids(map).step(step)?,
        None => mount,
    };
    let path = parent.to_string_lossy();
    for (end, _) in relative(&path).match_indices('/') {
        make_beneath(root, &relative(&path)[..end]).step(step)?;
    }
    make_beneath(root, relative(&path)).step(step)?;
    mount.attach(root, relative(&path)).step(step)
}

fn new_root() -> io::Result<OwnedFd> {
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    let root = Detached::new("tmpfs", &[("size", "4m"), ("mode", "0755")], attributes)?;
    let handle = root.root().try_clone()?;
    root.attach(CWD, SCAFFOLD)?;
    for path in ["dev", "etc", "home", relative(HOME), "proc", "run", "tmp", "usr", "var", relative(WORKSPACE)] {
        mkdirat(&handle, path, Mode::from_raw_mode(0o755))?;
    }
    mkdirat(&handle, "var/empty", Mode::from_raw_mode(0o555))?;
    symlinkat("../tmp", &handle, "var/tmp")?;
    symlinkat("../run", &handle, "var/run")?;
    Ok(handle)
}

fn system(root: &OwnedFd) -> io::Result<()> {
    let usr = Detached::of_host(Path::new("/usr"))?.ok_or(io::ErrorKind::NotFound)?;
    usr.read_only()?.attach(root, "usr")?;
    for name in SYSTEM {
        let host = format!("/{name}");
        match readlinkat(CWD, &host, Vec::new()) {
            Ok(target) => symlinkat(target, root, name)?,
            Err(Errno::NOENT) => {}
            Err(_) => {
                mkdirat(root, name, Mode::from_raw_mode(0o755))?;
                if let Some(directory) = Detached::of_host(Path::new(&host))? {
                    directory.read_only()?.attach(root, name)?;
                }
            }
        }
    }
    Ok(())
}

/// A place for temporary files in memory, and a home unless there is one that stays.
fn private_directories(root: &OwnedFd, setup: &Setup, ids: &Ids) -> io::Result<()> {
    let (size, owner) = (format!("{}m", setup.quota.tmp_mb), ids.owner().to_string());
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    for (path, mode) in [(relative(HOME), "0700"), ("tmp", "1777"), ("dev/shm", "1777")] {
        if path == relative(HOME) && setup.home.is_some() {
            continue;
        }
        let options = [("size", size.as_str()), ("mode", mode), ("uid", &owner), ("gid", &owner)];
        Detached::new("tmpfs", &options, attributes)?.attach(root, path)?;
    }
    Ok(())
}

/// An extra mount of the owner's, seen where it is on the host.
fn extra(root: &OwnedFd, directory: &HostDirectory) -> io::Result<()> {
    let path = directory.path.to_str().ok_or_else(|| io::Error::other("its name is not UTF-8"))?;
    let mount = Detached::of_checked(directory)?.read_only()?;
    let path = relative(path);
    for (end, _) in path.match_indices('/') {
        make_beneath(root, &path[..end])?;
    }
    make_beneath(root, path)?;
    mount.attach(root, path)
}

/// Makes a directory unless there is one. Nothing but our own directories is on the way, and no links.
fn make_beneath(root: &OwnedFd, path: &str) -> io::Result<()> {
    match mkdirat(root, path, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    openat2(root, path, flags, Mode::empty(), resolve)?;
    Ok(())
}

/// Makes `root` the root and lets go of the old one.
fn enter(root: OwnedFd) -> Result<(), Failure> {
    let step = |error: Errno| failed("enter the new root", error);
    fchdir(root.as_fd()).map_err(step)?;
    pivot_root(".", ".").map_err(step)?;
    unmount(".", UnmountFlags::DETACH).map_err(step)?;
    chdir("/").map_err(step)
}
