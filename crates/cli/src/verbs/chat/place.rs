//! Where the next message goes: a session that was named, or the one that the owner is in, which slash commands change.

use daemon::client::Client;
use types::{Envelope, Failure, SessionId};

use crate::{verbs::sessions::is_named, watch::Watch};

/// The session that is talked in.
#[derive(Debug)]
pub struct Place {
    client: Client,
    /// What the command line named; `new` until it has been made.
    named: Option<String>,
    /// None while the named session does not exist.
    watch: Option<Watch>,
}

impl Place {
    /// Finds the session. Only what happens from here on is watched.
    pub async fn find(client: Client, named: Option<String>) -> Result<Self, Failure> {
        let mut place = Self { client, named, watch: None };
        place.look().await?;
        Ok(place)
    }

    /// The session, if it exists.
    pub fn session(&self) -> Option<SessionId> {
        self.watch.as_ref().map(Watch::session)
    }

    /// The name to send with the next message.
    pub fn name(&self) -> Option<String> {
        self.named.clone()
    }

    /// Looks where the owner is; true when that is another session than before.
    pub async fn look(&mut self) -> Result<bool, Failure> {
        let since = self.client.health().await?.last_seq;
        let sessions = self.client.sessions().await?;
        let found = sessions.iter().find(|session| match &self.named {
            Some(name) => is_named(session.id, session.key.as_deref(), name),
            None => session.current,
        });
        Ok(found.is_some_and(|found| self.go(found.id, since)))
    }

    /// Goes to the session that a message went to; true when that is another one than before.
    pub fn go(&mut self, session: SessionId, since: types::Seq) -> bool {
        if self.named.as_deref() == Some("new") {
            self.named = Some(session.to_string());
        }
        if self.session() == Some(session) {
            return false;
        }
        self.watch = Some(Watch::new(self.client.clone(), session, since));
        true
    }

    /// The next event of the session. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Result<Envelope, Failure> {
        match &mut self.watch {
            Some(watch) => watch.next().await,
            None => std::future::pending().await,
        }
    }
}
