//! The system calls that no safe wrapper exists for. Each function does one call and turns its result into `io::Result`;
//! all other files of the sandbox's inside are free of `unsafe`.
#![expect(unsafe_code, reason = "raw system calls")]

use std::{
    ffi::{CStr, CString, c_char, c_int, c_long},
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    ptr,
};

/// The result of a call that answers -1 on failure.
fn checked(result: c_long) -> io::Result<c_long> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Attributes of mounts, as `linux/mount.h` numbers them.
pub(super) mod attribute {
    /// Nothing can be written.
    pub const READ_ONLY: u64 = 0x1;
    /// Set-user-id bits have no effect.
    pub const NO_SUID: u64 = 0x2;
    /// Devices cannot be opened.
    pub const NO_DEVICES: u64 = 0x4;
    /// Programs cannot be run.
    pub const NO_EXEC: u64 = 0x8;
    /// Owners are mapped through a user namespace.
    pub const MAP_IDS: u64 = 0x0010_0000;
}

/// `struct mount_attr` of the kernel's first version of it.
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// `KEYCTL_JOIN_SESSION_KEYRING` of `linux/keyctl.h`.
const JOIN_SESSION_KEYRING: c_long = 1;

/// What to do to a detached mount.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MountChange {
    /// Bits of [`attribute`] to set.
    pub set: u64,
    /// Whether mounts below it are changed as well.
    pub recursive: bool,
}

/// Sets attributes of the mount that `mount` is the root of, and makes it private.
pub(super) fn change_mount(mount: impl AsFd, change: MountChange) -> io::Result<()> {
    let attributes = MountAttributes { set: change.set, clear: 0, propagation: libc::MS_PRIVATE, user_namespace: 0 };
    set_attributes(mount.as_fd(), &attributes, change.recursive)
}

/// Shows the files of a detached mount under the ids that the user namespace `ids` maps theirs to.
pub(super) fn map_mount_ids(mount: impl AsFd, ids: impl AsFd) -> io::Result<()> {
    let user_namespace = u64::try_from(ids.as_fd().as_raw_fd()).unwrap_or(u64::MAX);
    let attributes = MountAttributes { set: attribute::MAP_IDS, clear: 0, propagation: 0, user_namespace };
    set_attributes(mount.as_fd(), &attributes, true)
}

fn set_attributes(mount: BorrowedFd<'_>, attributes: &MountAttributes, recursive: bool) -> io::Result<()> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is an empty C string, `attributes` is a valid structure of the given size for the call's duration.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            ptr::from_ref(attributes),
            size_of::<MountAttributes>(),
        )
    };
    checked(result).map(drop)
}

/// Which of the two processes goes on after a fork.
#[derive(Debug)]
pub(super) enum Fork {
    /// The new one.
    Child,
    /// The old one, with the new one's id and process descriptor.
    Parent(i32, OwnedFd),
}

/// Makes a process that goes on from here, like `fork`. `flags` are `CLONE_*` and must not share memory.
pub(super) fn fork(flags: c_int) -> io::Result<Fork> {
    assert_eq!(flags & (libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_VFORK), 0, "memory is never shared");
    let mut descriptor: RawFd = -1;
    let flags = c_long::from(flags | libc::CLONE_PIDFD | libc::SIGCHLD);
    // SAFETY: without CLONE_VM the new process has its own copy of everything, as with fork; a null stack means the copy
    // of the present one. This process has one thread, so no lock of the allocator is held by another. The descriptor's
    // address is valid for writing.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, ptr::from_mut(&mut descriptor), 0, 0) };
    match checked(pid)? {
        0 => Ok(Fork::Child),
        pid => {
            // SAFETY: the kernel has just put a new descriptor there that nobody else owns.
            let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
            Ok(Fork::Parent(i32::try_from(pid).map_err(io::Error::other)?, descriptor))
        }
    }
}

/// Ends this process without running anything else.
pub(super) fn exit_now(code: i32) -> ! {
    // SAFETY: it only ends the process.
    unsafe { libc::_exit(code) }
}

/// Puts this process into new namespaces (`CLONE_NEW*`). It must have one thread.
pub(super) fn unshare(flags: c_int) -> io::Result<()> {
    // SAFETY: only namespaces are unshared, no descriptor table or memory.
    checked(unsafe { libc::unshare(flags) }.into()).map(drop)
}

/// Gives up one capability for good. `InvalidInput` when the kernel has no such capability.
pub(super) fn drop_from_bounding_set(capability: u32) -> io::Result<()> {
    // SAFETY: takes plain numbers.
    checked(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(capability), 0, 0, 0) }.into()).map(drop)
}

/// Leaves the session keyring of whoever started this program.
pub(super) fn join_new_keyring() -> io::Result<()> {
    // SAFETY: a null name asks for a new anonymous keyring.
    checked(unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, 0) }).map(drop)
}

/// Switches the loopback interface on.
pub(super) fn loopback_up(socket: impl AsFd) -> io::Result<()> {
    // SAFETY: all zeros is a valid value of this plain structure.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(c"lo".to_bytes()) {
        *to = c_char::from_ne_bytes([*from]);
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: the request is a valid structure for the call's duration.
    checked(unsafe { libc::ioctl(fd, libc::SIOCSIFFLAGS, ptr::from_ref(&request)) }.into()).map(drop)
}

/// Makes a descriptor that becomes readable when a child ends; the signal itself is blocked from then on.
pub(super) fn child_signals() -> io::Result<OwnedFd> {
    // SAFETY: all zeros is a valid set, which the next calls fill; the pointers are valid for their duration.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGCHLD);
        checked(libc::sigprocmask(libc::SIG_BLOCK, &set, ptr::null_mut()).into())?;
        let fd = checked(libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK).into())?;
        Ok(OwnedFd::from_raw_fd(i32::try_from(fd).map_err(io::Error::other)?))
    }
}

/// Gives every signal its default meaning and unblocks it, as a command expects it.
pub(super) fn default_signals() {
    // SAFETY: setting the default action installs no handler; signals that refuse it are left alone. The set is valid for
    // the call's duration.
    unsafe {
        for signal in 1..=libc::SIGRTMAX() {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &set, ptr::null_mut());
    }
}

/// Makes `to` a copy of `from` that survives the start of a program.
pub(super) fn place(from: BorrowedFd<'_>, to: RawFd) -> io::Result<()> {
    // SAFETY: the caller owns the numbers 0 to 2, the only ones used here; both are valid.
    checked(unsafe { libc::dup2(from.as_raw_fd(), to) }.into()).map(drop)
}

/// Closes every descriptor from `first` on.
pub(super) fn close_from(first: u32) -> io::Result<()> {
    // SAFETY: called before anything in this process owns such a descriptor, or right before a program is started.
    checked(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) }).map(drop)
}

/// A list of C strings with the end mark that `exec` needs.
#[derive(Debug)]
pub(super) struct Strings {
    pointers: Vec<*const c_char>,
    _owned: Vec<CString>,
}

impl Strings {
    pub fn new(owned: Vec<CString>) -> Self {
        // The pointers stay valid when the vector moves: they lead to the strings' own memory.
        let pointers = owned.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect();
        Self { pointers, _owned: owned }
    }
}

/// Becomes another program. Returns only on failure.
pub(super) fn become_program(path: &CStr, arguments: &Strings, environment: &Strings) -> io::Error {
    // SAFETY: both lists end with null and their strings live in `arguments` and `environment`.
    unsafe { libc::execve(path.as_ptr(), arguments.pointers.as_ptr(), environment.pointers.as_ptr()) };
    io::Error::last_os_error()
}

/// Becomes the program that `file` is. Returns only on failure.
pub(super) fn become_file(file: impl AsFd, arguments: &Strings, environment: &Strings) -> io::Error {
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: as above; the empty path with AT_EMPTY_PATH means the descriptor itself.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            fd,
            c"".as_ptr(),
            arguments.pointers.as_ptr(),
            environment.pointers.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    io::Error::last_os_error()
}

/// Takes over the descriptor with this number, which nothing else in this process may use.
pub(super) fn take(fd: RawFd) -> OwnedFd {
    // SAFETY: called once for the descriptor that this program was started with.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
