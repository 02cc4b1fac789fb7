//! Starting one command: a new process in its own session and groups, with nothing open but what it is given.

use std::{
    collections::BTreeMap,
    ffi::{CString, NulError},
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::process::{chdir, setsid};

use super::{
    HOME, WORKSPACE, enter_groups, kernel,
    terminal::{self, Terminal},
};
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

/// What was handed over with an order.
struct Given {
    output: Option<OwnedFd>,
    error: Option<OwnedFd>,
    input: Option<OwnedFd>,
    program: Option<OwnedFd>,
    terminal: Option<Terminal>,
    groups: Vec<OwnedFd>,
}

impl Given {
    fn new(run: &Run, fds: Vec<OwnedFd>) -> io::Result<Self> {
        let mut fds = fds.into_iter();
        let missing = || io::Error::new(io::ErrorKind::InvalidInput, "a descriptor is missing");
        let output = if run.terminal.is_none() { Some(fds.next().ok_or_else(missing)?) } else { None };
        let error = if run.has_error { Some(fds.next().ok_or_else(missing)?) } else { None };
        let input = if run.has_input { Some(fds.next().ok_or_else(missing)?) } else { None };
        let program = match run.program {
            Program::Shell(_) | Program::Named(_) => None,
            Program::Given(_) => Some(fds.next().ok_or_else(missing)?),
        };
        let terminal = run.terminal.map(Terminal::open).transpose()?;
        Ok(Self { output, error, input, program, terminal, groups: fds.collect() })
    }
}

/// Starts a command. Gives its process id, and our side of its terminal if it has one.
pub(super) fn start(
    run: &Run,
    env: &BTreeMap<String, String>,
    fds: Vec<OwnedFd>,
) -> io::Result<(i32, Option<OwnedFd>)> {
    let given = Given::new(run, fds)?;
    let environment = environment(run.terminal.is_some(), env, &run.env);
    let (paths, arguments) = program(&run.program, environment.get("PATH").copied().unwrap_or_default())?;
    let environment = strings(environment.into_iter().map(|(name, value)| format!("{name}={value}")))?;
    let directory = Path::new(WORKSPACE).join(run.directory.as_deref().unwrap_or("."));
    let (failure, report) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    match kernel::fork(0)? {
        kernel::Fork::Child => {
            drop(failure);
            let error = become_command(&given, &directory, &paths, &arguments, &environment);
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
                _ => Ok((pid, given.terminal.map(|terminal| terminal.ours))),
            }
        }
    }
}

/// The files that may be the program, in the order in which they are tried, and its arguments.
fn program(program: &Program, search: &str) -> io::Result<(Vec<CString>, kernel::Strings)> {
    let (paths, arguments) = match program {
        Program::Shell(script) => {
            let shell = if Path::new("/bin/bash").exists() { "/bin/bash" } else { "/bin/sh" };
            (vec![shell.to_owned()], vec![shell.to_owned(), "-c".to_owned(), script.clone()])
        }
        Program::Named(arguments) => {
            let name = arguments.first().filter(|name| !name.is_empty()).ok_or(io::ErrorKind::InvalidInput)?;
            let found =
                || search.split(':').filter(|place| place.starts_with('/')).map(|place| format!("{place}/{name}"));
            (if name.contains('/') { vec![name.clone()] } else { found().collect() }, arguments.clone())
        }
        Program::Given(arguments) => (Vec::new(), arguments.clone()),
    };
    let paths = paths.into_iter().map(CString::new).collect::<Result<_, _>>()?;
    Ok((paths, strings(arguments)?))
}

fn environment<'a>(
    has_terminal: bool,
    owners: &'a BTreeMap<String, String>,
    own: &'a BTreeMap<String, String>,
) -> BTreeMap<&'a str, &'a str> {
    let mut all: BTreeMap<&str, &str> = BTreeMap::from(ENVIRONMENT);
    if has_terminal {
        all.extend(terminal::ENVIRONMENT);
    }
    all.extend(owners.iter().chain(own).map(|(name, value)| (name.as_str(), value.as_str())));
    all
}

fn strings(all: impl IntoIterator<Item = String>) -> Result<kernel::Strings, NulError> {
    Ok(kernel::Strings::new(all.into_iter().map(CString::new).collect::<Result<_, _>>()?))
}

/// In the new process: everything up to the program itself. Returns only on failure.
fn become_command(
    given: &Given,
    directory: &Path,
    paths: &[CString],
    arguments: &kernel::Strings,
    environment: &kernel::Strings,
) -> io::Error {
    let prepared = || -> io::Result<()> {
        setsid()?;
        enter_groups(&given.groups)?;
        if let Some(input) = &given.input {
            kernel::place(input.as_fd(), 0)?;
        }
        if let Some(output) = &given.output {
            kernel::place(output.as_fd(), 1)?;
            kernel::place(given.error.as_ref().unwrap_or(output).as_fd(), 2)?;
        }
        if let Some(terminal) = &given.terminal {
            terminal.adopt()?;
        }
        chdir(directory)?;
        kernel::default_signals();
        Ok(())
    };
    match prepared() {
        // Everything else that is open closes itself when the program starts.
        Ok(()) => match &given.program {
            Some(file) => kernel::become_file(file, arguments, environment),
            None => become_first(paths, arguments, environment),
        },
        Err(error) => error,
    }
}

/// Becomes the first of the programs that exists. Returns only on failure: with that of a file that is there and cannot be
/// run, if there was one.
fn become_first(paths: &[CString], arguments: &kernel::Strings, environment: &kernel::Strings) -> io::Error {
    let mut answer = io::Error::from_raw_os_error(libc::ENOENT);
    for path in paths {
        let error = kernel::become_program(path, arguments, environment);
        match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) => {}
            Some(libc::EACCES) => answer = error,
            _ => return error,
        }
    }
    answer
}
