//! The filter of system calls: everything is refused but the list in `syscalls`, some of it only with harmless arguments.
//! Two filters work together: one refuses with "not permitted", the other answers for calls that are newer than the list as
//! an older kernel would. A call of another machine's kind kills.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp as Compare, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter, sock_filter,
};

use super::{
    Step,
    syscalls::{FCHMODAT2, FIRST_UNKNOWN, FREE, FREE_NEW, FREE_OLD, SETRLIMIT, UNKNOWN},
};
use crate::{spec::Profile, wire::Failure};

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;
type Error = seccompiler::BackendError;

/// The bits that would let other users of the host run a file as its owner.
const SET_ID_BITS: u64 = 0o6000;
const FILE_KIND: u64 = libc::S_IFMT as u64;
/// `__O_TMPFILE`: the part of `O_TMPFILE` that no other flag has.
const TEMPORARY: u64 = 0o20_000_000;
const CREATES: u64 = libc::O_CREAT as u64 | TEMPORARY;
const NAMESPACES: u64 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u32 as u64;
/// Requests on terminals that type into them, reach the console or load another line discipline.
const TERMINAL_REQUESTS: [u64; 3] = [0x5412, 0x541c, 0x5423];

/// Installs the filters. Nothing can take them away again.
pub(super) fn confine(profile: Profile) -> Result<(), Failure> {
    let step = "confine with seccomp";
    let refusing = refusing(profile).step(step)?;
    // Of two refusals the one of the newer filter counts, so this order matters.
    apply_filter(&refusing).step(step)?;
    apply_filter(&answering()).step(step)
}

fn refusing(profile: Profile) -> Result<BpfProgram, Error> {
    let mut rules: Rules = FREE.iter().chain(FREE_OLD).chain(FREE_NEW).map(|number| (*number, Vec::new())).collect();
    files(&mut rules)?;
    processes(&mut rules)?;
    sockets(&mut rules, profile)?;
    let refusal = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    SeccompFilter::new(rules, refusal, SeccompAction::Allow, machine()?)?.try_into()
}

fn machine() -> Result<TargetArch, Error> {
    std::env::consts::ARCH.try_into()
}

/// One condition on the lower half of an argument, which is all that the kernel looks at for flags and modes.
fn low(argument: u8, compare: Compare, value: u64) -> Result<SeccompCondition, Error> {
    SeccompCondition::new(argument, Length::Dword, compare, value)
}

fn all(conditions: Vec<SeccompCondition>) -> Result<SeccompRule, Error> {
    SeccompRule::new(conditions)
}

/// Files: no set-id bits, no devices.
fn files(rules: &mut Rules) -> Result<(), Error> {
    let modes: &[(c_long, u8)] = &[
        (libc::SYS_fchmod, 1),
        (libc::SYS_fchmodat, 2),
        (FCHMODAT2, 2),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_chmod, 1),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_creat, 1),
    ];
    for (number, mode) in modes {
        rules.insert(*number, vec![all(vec![low(*mode, Compare::MaskedEq(SET_ID_BITS), 0)?])?]);
    }
    let opens: &[(c_long, u8)] = &[
        (libc::SYS_openat, 2),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_open, 1),
    ];
    for (number, flags) in opens {
        let makes_nothing = all(vec![low(*flags, Compare::MaskedEq(CREATES), 0)?])?;
        let plain = all(vec![low(*flags + 1, Compare::MaskedEq(SET_ID_BITS), 0)?])?;
        rules.insert(*number, vec![makes_nothing, plain]);
    }
    let nodes: &[(c_long, u8)] = &[
        (libc::SYS_mknodat, 2),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_mknod, 1),
    ];
    for (number, mode) in nodes {
        let kinds = [0, libc::S_IFREG, libc::S_IFIFO, libc::S_IFSOCK];
        let rule = |kind| all(vec![low(*mode, Compare::MaskedEq(FILE_KIND | SET_ID_BITS), u64::from(kind))?]);
        rules.insert(*number, kinds.into_iter().map(rule).collect::<Result<_, _>>()?);
    }
    let terminal = TERMINAL_REQUESTS.iter().map(|request| low(1, Compare::Ne, *request)).collect::<Result<_, _>>()?;
    rules.insert(libc::SYS_ioctl, vec![all(terminal)?]);
    Ok(())
}

/// Processes: no namespaces, no foreign personality.
fn processes(rules: &mut Rules) -> Result<(), Error> {
    let no_namespaces = SeccompCondition::new(0, Length::Qword, Compare::MaskedEq(NAMESPACES), 0)?;
    rules.insert(libc::SYS_clone, vec![all(vec![no_namespaces])?]);
    let plain = all(vec![low(0, Compare::Eq, 0)?])?;
    let question = all(vec![low(0, Compare::Eq, u64::from(u32::MAX))?])?;
    rules.insert(libc::SYS_personality, vec![plain, question]);
    Ok(())
}

/// Sockets: TCP; UNIX and the kernel's routes unless the profile is strict.
fn sockets(rules: &mut Rules, profile: Profile) -> Result<(), Error> {
    let family = |family: i32| low(0, Compare::Eq, u64::from(family.unsigned_abs()));
    let protocol = |protocol: i32| low(2, Compare::Eq, u64::from(protocol.unsigned_abs()));
    // The kind shares its argument with two flags.
    let stream = || low(1, Compare::MaskedEq(0xf), u64::from(libc::SOCK_STREAM.unsigned_abs()));
    let mut allowed = Vec::new();
    for internet in [libc::AF_INET, libc::AF_INET6] {
        for tcp in [0, libc::IPPROTO_TCP] {
            allowed.push(all(vec![family(internet)?, stream()?, protocol(tcp)?])?);
        }
    }
    match profile {
        Profile::Default => {
            allowed.push(all(vec![family(libc::AF_UNIX)?])?);
            allowed.push(all(vec![family(libc::AF_NETLINK)?, protocol(libc::NETLINK_ROUTE)?])?);
        }
        Profile::Strict => {}
    }
    rules.insert(libc::SYS_socket, allowed);
    // Pairs lead nowhere but to the process itself and its children.
    rules.insert(libc::SYS_socketpair, vec![all(vec![family(libc::AF_UNIX)?])?]);
    Ok(())
}

/// Answers "no such call" for the calls in [`UNKNOWN`] and everything from [`FIRST_UNKNOWN`] on, which includes the
/// alternative numbering of x86-64 for 32-bit pointers. Answers "done" to setting the limit of core files, and leaves it: the
/// value 1 is the only one under which the kernel does not start the host's handler of core files, as the host's root.
fn answering() -> BpfProgram {
    let unknown = give(libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs());
    let mut program = vec![load(NUMBER), jump(JUMP_IF_AT_LEAST, FIRST_UNKNOWN, 0, 1), unknown.clone()];
    for number in UNKNOWN {
        program.extend([jump(JUMP_IF_EQUAL, small(*number), 0, 1), unknown.clone()]);
    }
    let (done, allowed) = (give(libc::SECCOMP_RET_ERRNO), give(libc::SECCOMP_RET_ALLOW));
    // Each block ends with both answers and begins with a jump over it.
    let set = [load(argument(0)), jump(JUMP_IF_EQUAL, libc::RLIMIT_CORE, 0, 1), done.clone(), allowed.clone()];
    let set_or_get = [
        load(argument(1)),
        jump(JUMP_IF_EQUAL, libc::RLIMIT_CORE, 0, 5),
        // Without a new value it only asks.
        load(argument(2)),
        jump(JUMP_IF_EQUAL, 0, 0, 2),
        load(argument(2) + 4),
        jump(JUMP_IF_EQUAL, 0, 1, 0),
        done,
        allowed.clone(),
    ];
    program.push(jump(JUMP_IF_EQUAL, small(SETRLIMIT), 0, 4));
    program.extend(set);
    program.push(jump(JUMP_IF_EQUAL, small(libc::SYS_prlimit64), 0, 8));
    program.extend(set_or_get);
    program.push(allowed);
    program
}

/// The offset of the call's number in what a filter sees.
const NUMBER: u32 = 0;

/// The offset of an argument's lower half; both supported machines put it first.
const fn argument(index: u32) -> u32 {
    16 + 8 * index
}

fn small(number: c_long) -> u32 {
    u32::try_from(number).expect("system calls have small numbers")
}

fn load(offset: u32) -> sock_filter {
    sock_filter { code: LOAD_WORD, jt: 0, jf: 0, k: offset }
}

fn jump(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

fn give(k: u32) -> sock_filter {
    sock_filter { code: RETURN, jt: 0, jf: 0, k }
}

const LOAD_WORD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const JUMP_IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const JUMP_IF_AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
