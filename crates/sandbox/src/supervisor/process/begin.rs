//! From the first order to a supervisor that stands: everything is built before anybody is told.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use rustix::process::{PidfdFlags, getpid, pidfd_open};
use tokio::time::timeout;

use super::{Deadlines, Supervisor, after, clients::Clients, now, why};
use crate::{
    Sandbox, SandboxError,
    supervisor::{
        What,
        frames::{Frame, Incoming, Outgoing, connection},
        journal::{Journal, Left},
        protocol::{Answer, Ask, Begin, Order, PROTOCOL, Refusal, Tell, Welcome},
    },
};

/// How long whoever started this process may take to say what for.
const FIRST_ORDER: Duration = Duration::from_secs(30);

/// Takes the first order and answers it. None when there is nothing to supervise.
pub(super) async fn begin(socket: OwnedFd) -> Option<Supervisor> {
    let (mut incoming, mut outgoing) = connection(socket).ok()?;
    let frame = timeout(FIRST_ORDER, incoming.next()).await.ok()?.ok()??;
    let Frame { text, bytes: custody, .. } = frame;
    let Ask { id, order, .. } = serde_json::from_slice(&text).ok()?;
    let built = match order {
        Order::Begin(begin) => build(*begin, custody).await,
        _ => Err(Refusal::other("it has not begun")),
    };
    match built {
        Ok(mut supervisor) => {
            supervisor.adopt(incoming, outgoing, id);
            Some(supervisor)
        }
        Err(refusal) => {
            let tell = Tell::Answer { id, answer: Answer::Refused(refusal) };
            // When nobody listens any more there is nobody to tell.
            _ = outgoing.send(&serde_json::to_vec(&tell).ok()?, b"", &[]).await;
            None
        }
    }
}

async fn build(begin: Begin, custody: Vec<u8>) -> Result<Supervisor, Refusal> {
    #[cfg(feature = "faults")]
    types::faults::set_broken(&begin.broken);
    let Begin { directory, limits, sandbox, session, .. } = begin;
    let spec = sandbox.into_spec()?;
    let workspace = spec.workspace.name.clone();
    // First, because only one supervisor can have them.
    let (mut journal, Left { runs, is_open, has_terminal }) =
        Journal::open(&directory, now).map_err(|error| io_refusal("its records cannot be opened", &error))?;
    let sandbox = Sandbox::start(spec).await?;
    let door = sandbox.proxy_listener().ok_or(SandboxError::Gone)?;
    if is_open {
        journal.add(What::Ended { code: None, signal: None, why: Some(why::DIED.to_owned()) });
    }
    if has_terminal {
        journal.add(What::TerminalClosed { code: None });
    }
    let own = pidfd_open(getpid(), PidfdFlags::empty())
        .map_err(|error| io_refusal("it cannot name itself", &error.into()))?;
    let clients = Clients::listen(&directory, journal.subscribe())
        .map_err(|error| io_refusal("its socket cannot be made", &error))?;
    let welcome = Welcome { protocol: PROTOCOL, workspace, session, written: journal.written() };
    Ok(Supervisor {
        clock: Deadlines { alone: Some(after(limits.alone)), total: after(limits.total), full: None },
        directory,
        limits,
        welcome,
        sandbox,
        door,
        custody,
        own,
        journal,
        clients,
        program: None,
        seat: None,
        fleeting: Vec::new(),
        is_thinned: false,
        runs,
        waiting: None,
    })
}

fn io_refusal(what: &str, error: &io::Error) -> Refusal {
    Refusal::other(format!("{what}: {error}"))
}

impl Supervisor {
    /// Makes whoever started this process the first daemon.
    fn adopt(&mut self, incoming: Incoming, outgoing: Outgoing, ask: u64) {
        let client = self.clients.add(incoming, outgoing);
        self.welcome(client, ask, true);
    }

    /// Descriptors for a client: this process, and the door for a daemon.
    pub(super) fn lend(&self, is_daemon: bool) -> io::Result<Vec<OwnedFd>> {
        let all = [Some(&self.own), is_daemon.then_some(&self.door)];
        all.into_iter().flatten().map(|fd| fd.as_fd().try_clone_to_owned()).collect()
    }
}
