//! The raw calls that attempts make.
#![expect(unsafe_code, reason = "the attempts are made below any wrapper that would refuse them")]

use std::{ffi::CStr, io};

use libc::{c_int, c_long};

use super::Verdict;

/// Exit codes of an attempt's process.
const HELD: c_int = 10;
const ESCAPED: c_int = 11;

/// The answer of the kernel to a raw call.
pub(super) fn raw(number: c_long, arguments: &[usize]) -> Result<usize, i32> {
    let argument = |index: usize| arguments.get(index).copied().unwrap_or(0);
    // SAFETY: run in a process of its own that ends right after; arguments are numbers, or addresses of C strings and
    // structures that outlive the call.
    let result =
        unsafe { libc::syscall(number, argument(0), argument(1), argument(2), argument(3), argument(4), argument(5)) };
    usize::try_from(result).map_err(|_| io::Error::last_os_error().raw_os_error().unwrap_or(0))
}

/// The address of a C string, for a raw call.
pub(super) fn text(string: &'static CStr) -> usize {
    string.as_ptr().addr()
}

/// Whether a call was refused as such: by a filter or for want of rights. Any other error means that the kernel looked at the
/// arguments, so the call was let through.
pub(super) fn is_refused(number: c_long, arguments: &[usize]) -> bool {
    matches!(raw(number, arguments), Err(libc::EPERM | libc::ENOSYS | libc::EACCES))
}

/// Runs one attempt in a process of its own.
pub(super) fn in_own_process(seconds: u32, attempt: impl FnOnce() -> bool) -> Verdict {
    // SAFETY: this program has one thread here, so the copy may do anything.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: both calls take numbers; the default action of the alarm ends this process.
        unsafe {
            libc::alarm(seconds);
            libc::_exit(if attempt() { HELD } else { ESCAPED })
        }
    }
    let mut status = 0;
    // SAFETY: the status is valid for writing.
    if pid < 0 || unsafe { libc::waitpid(pid, &mut status, 0) } != pid {
        return Verdict::Escaped;
    }
    judge(status)
}

fn judge(status: c_int) -> Verdict {
    if libc::WIFSIGNALED(status) {
        // The filter kills what is of another machine's kind.
        return if libc::WTERMSIG(status) == libc::SIGSYS { Verdict::Held } else { Verdict::Escaped };
    }
    match libc::WEXITSTATUS(status) {
        HELD => Verdict::Held,
        _ => Verdict::Escaped,
    }
}

/// The system call "which process is this" in the manner of 32-bit x86. Gives whether it was refused; the filter kills instead.
#[cfg(target_arch = "x86_64")]
pub(super) fn call_as_32_bit() -> bool {
    let mut number: u64 = 20;
    // A kernel without the 32-bit manner answers with a segmentation fault, which is as good a refusal.
    // SAFETY: the handler only ends this process, which was made for this attempt.
    unsafe { libc::signal(libc::SIGSEGV, end_as_held as extern "C" fn(c_int) as libc::sighandler_t) };
    // SAFETY: the call reads and writes no memory; it clobbers what is named.
    unsafe { std::arch::asm!("int 0x80", inout("rax") number, out("r8") _, out("r9") _, out("r10") _, out("r11") _) };
    i64::from_ne_bytes(number.to_ne_bytes()) < 0
}

#[cfg(target_arch = "x86_64")]
extern "C" fn end_as_held(_signal: c_int) {
    // SAFETY: ends this process.
    unsafe { libc::_exit(HELD) }
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn call_as_32_bit() -> bool {
    true
}
