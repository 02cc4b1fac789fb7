//! Starting one command: a new process in its own session and groups, with nothing open but what it is given.

use std::{
    collections::BTreeMap,
    ffi::{CString, NulError},
    fs, io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::process::{Pid, Signal, chdir, kill_process, setsid};

use super::{HOME, WORKSPACE, enter_groups, kernel};
use crate::wire::{Program, Run};

/// What every command finds in its environment, before the owner's and its own additions.
const ENVIRONMENT: [(&str, &str); 10] = [
    // Wherever git looks for the system's configuration, ours is the one.
    ("GIT_CONFIG_SYSTEM", "/etc/gitconfig"),
    ("HOME", HOME),
    ("LANG", "C.UTF-8"),
    ("LOGNAME", "agent"),
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("SHELL", "/bin/sh"),
    ("TERM", "dumb"),
    ("TMPDIR", "/tmp"),
    ("USER", "agent"),
    ("PAGER", "cat"),
];

/// Descendants that are looked for when a command is killed without a group to kill.
const MAX_KILLED: usize = 100_000;

/// What was handed over with an order.
struct Given {
    output: OwnedFd,
    input: Option<OwnedFd>,
    program: Option<OwnedFd>,
    groups: Vec<OwnedFd>,
}

impl Given {
    fn new(run: &Run, fds: Vec<OwnedFd>) -> io::Result<Self> {
        let mut fds = fds.into_iter();
        let missing = || io::Error::new(io::ErrorKind::InvalidInput, "a descriptor is missing");
        let output = fds.next().ok_or_else(missing)?;
        let input = if run.has_input { Some(fds.next().ok_or_else(missing)?) } else { None };
        let program = match run.program {
            Program::Shell(_) => None,
            Program::Given(_) => Some(fds.next().ok_or_else(missing)?),
        };
        Ok(Self { output, input, program, groups: fds.collect() })
    }
}

/// Starts a command and gives its process id.
pub(super) fn start(run: &Run, env: &BTreeMap<String, String>, fds: Vec<OwnedFd>) -> io::Result<i32> {
    let given = Given::new(run, fds)?;
    let (path, arguments) = program(&run.program)?;
    let environment = environment(env, &run.env)?;
    let directory = Path::new(WORKSPACE).join(run.directory.as_deref().unwrap_or("."));
    let (failure, report) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    match kernel::fork(0)? {
        kernel::Fork::Child => {
            drop(failure);
            let error = become_command(&given, &directory, &path, &arguments, &environment);
            // When the report cannot be written either, the exit code must do.
            _ = rustix::io::write(&report, &error.raw_os_error().unwrap_or(0).to_ne_bytes());
            kernel::exit_now(127)
        }
        kernel::Fork::Parent(pid, _) => {
            drop(report);
            let mut answer = [0_u8; 4];
            // The pipe closes by itself when the program has started.
            match rustix::io::retry_on_intr(|| rustix::io::read(&failure, &mut answer))? {
                4 => Err(io::Error::from_raw_os_error(i32::from_ne_bytes(answer))),
                _ => Ok(pid),
            }
        }
    }
}

fn program(program: &Program) -> Result<(CString, kernel::Strings), NulError> {
    let (path, arguments) = match program {
        Program::Shell(script) => {
            let shell = if Path::new("/bin/bash").exists() { "/bin/bash" } else { "/bin/sh" };
            (shell, vec![shell.to_owned(), "-c".to_owned(), script.clone()])
        }
        Program::Given(arguments) => ("", arguments.clone()),
    };
    let arguments = arguments.into_iter().map(CString::new).collect::<Result<_, _>>()?;
    Ok((CString::new(path)?, kernel::Strings::new(arguments)))
}

fn environment(owners: &BTreeMap<String, String>, own: &BTreeMap<String, String>) -> Result<kernel::Strings, NulError> {
    let mut all: BTreeMap<&str, &str> = BTreeMap::from(ENVIRONMENT);
    all.extend(owners.iter().chain(own).map(|(name, value)| (name.as_str(), value.as_str())));
    let lines = all.into_iter().map(|(name, value)| CString::new(format!("{name}={value}")));
    Ok(kernel::Strings::new(lines.collect::<Result<_, _>>()?))
}

/// In the new process: everything up to the program itself. Returns only on failure.
fn become_command(
    given: &Given,
    directory: &Path,
    path: &CString,
    arguments: &kernel::Strings,
    environment: &kernel::Strings,
) -> io::Error {
    let prepared = || -> io::Result<()> {
        setsid()?;
        enter_groups(&given.groups)?;
        if let Some(input) = &given.input {
            kernel::place(input.as_fd(), 0)?;
        }
        kernel::place(given.output.as_fd(), 1)?;
        kernel::place(given.output.as_fd(), 2)?;
        chdir(directory)?;
        kernel::default_signals();
        Ok(())
    };
    match prepared() {
        // Everything else that is open closes itself when the program starts.
        Ok(()) => match &given.program {
            Some(file) => kernel::become_file(file, arguments, environment),
            None => kernel::become_program(path, arguments, environment),
        },
        Err(error) => error,
    }
}

/// Kills all descendants of a process, as far as they can be told from others: those whose parent has ended belong to
/// nobody. Used where there are no control groups to kill.
pub(super) fn kill_tree(leader: Pid) {
    let mut doomed = vec![leader.as_raw_nonzero().get()];
    let parents = parents();
    let mut next = 0;
    while let Some(parent) = doomed.get(next).copied() {
        next += 1;
        doomed.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        if doomed.len() > MAX_KILLED {
            break;
        }
    }
    for pid in doomed.into_iter().filter_map(Pid::from_raw) {
        // It may have ended meanwhile.
        _ = kill_process(pid, Signal::KILL);
    }
}

/// Every process inside with its parent.
fn parents() -> Vec<(i32, i32)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| *pid != 1).filter_map(|pid| Some((pid, parent_of(pid)?))).take(MAX_KILLED).collect()
}

fn parent_of(pid: i32) -> Option<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, so what follows its last parenthesis counts.
    text.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}
