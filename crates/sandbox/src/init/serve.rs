//! PID 1 at work: takes orders, starts commands, reports how they ended, and buries orphans. When the socket closes, because
//! the sandbox is stopped or the program outside died in whatever way, it ends, and the kernel kills everything else inside.

use std::{
    collections::{BTreeMap, HashMap},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    process::{Pid, Signal, WaitOptions, kill_process_group, wait},
};

use super::{Step, kernel, kill, network, run_command};
use crate::wire::{End, Failure, News, Order, Program, encode, receive, send};

struct Commands<'a> {
    socket: BorrowedFd<'a>,
    env: &'a BTreeMap<String, String>,
    /// The leaders that have not ended, by process.
    running: HashMap<i32, u64>,
}

/// Serves until the socket closes. Returns only on failure.
pub(super) fn serve(
    socket: BorrowedFd<'_>,
    signals: &OwnedFd,
    env: &BTreeMap<String, String>,
    mut buffer: Vec<u8>,
) -> Result<(), Failure> {
    let mut commands = Commands { socket, env, running: HashMap::new() };
    loop {
        let mut waiting = [PollFd::new(&socket, PollFlags::IN), PollFd::new(signals, PollFlags::IN)];
        match poll(&mut waiting, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).step("wait for orders"),
        }
        let [orders, ended] = waiting.map(|fd| !fd.revents().is_empty());
        if ended {
            // Several endings may be one signal, so its content says nothing.
            _ = rustix::io::read(signals, &mut [0_u8; 512]);
            commands.bury()?;
        }
        if orders {
            match receive::<Order>(socket, &mut buffer).step("read an order")? {
                Some((order, fds)) => commands.follow(order, fds)?,
                None => kernel::exit_now(0),
            }
        }
    }
}

impl Commands<'_> {
    fn follow(&mut self, order: Order, fds: Vec<OwnedFd>) -> Result<(), Failure> {
        match order {
            Order::Setup(_) => Err(super::failed("read an order", "a second specification")),
            Order::Run(run) => {
                let id = run.id;
                match run_command::start(&run, self.env, fds) {
                    Ok((pid, terminal)) => {
                        self.running.insert(pid, id);
                        match run.program {
                            Program::Named(_) => self.tell_with(&News::Started { id }, terminal.as_ref()),
                            Program::Shell(_) | Program::Given(_) => Ok(()),
                        }
                    }
                    Err(error) => self.tell(&News::NotStarted { id, why: error.to_string() }),
                }
            }
            Order::Kill { id } => {
                for pid in self.leaders(&[id]) {
                    kill::tree(pid);
                    // The group may have ended by itself meanwhile.
                    _ = kill_process_group(pid, Signal::KILL);
                }
                Ok(())
            }
            Order::Interrupt { id } => {
                for pid in self.leaders(&[id]) {
                    // The same.
                    _ = kill_process_group(pid, Signal::INT);
                }
                Ok(())
            }
            Order::Connect { id, port } => match network::connect(port) {
                Ok(connection) => self.tell_with(&News::Started { id }, Some(&connection)),
                Err(error) => self.tell(&News::NotStarted { id, why: error.to_string() }),
            },
            Order::KillRest { spare } => {
                kill::all_but(&self.leaders(&spare));
                Ok(())
            }
        }
    }

    /// The first processes of these commands, as far as they run.
    fn leaders(&self, ids: &[u64]) -> Vec<Pid> {
        let of = self.running.iter().filter(|(_, command)| ids.contains(command));
        of.filter_map(|(pid, _)| Pid::from_raw(*pid)).collect()
    }

    /// Takes notice of every process that has ended.
    fn bury(&mut self) -> Result<(), Failure> {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => {
                    let Some(id) = self.running.remove(&pid.as_raw_nonzero().get()) else { continue };
                    let end = match (status.exit_status(), status.terminating_signal()) {
                        (Some(code), _) => End::Code(code),
                        (None, signal) => End::Signal(signal.unwrap_or(0)),
                    };
                    self.tell(&News::Ended { id, end })?;
                }
                Ok(None) | Err(Errno::CHILD) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error).step("bury a process"),
            }
        }
    }

    fn tell(&self, news: &News) -> Result<(), Failure> {
        self.tell_with(news, None)
    }

    fn tell_with(&self, news: &News, descriptor: Option<&OwnedFd>) -> Result<(), Failure> {
        let bytes = encode(news).step("report")?;
        let descriptor = descriptor.map(AsFd::as_fd);
        send(self.socket.as_fd(), &bytes, descriptor.as_slice()).step("report")
    }
}
