//! From a name to addresses. Must not judge them: that is the judge's part, which dials what it judged and never resolves
//! a second time. The system's own resolver is asked, so that the owner's hosts file, split DNS and resolvers in the
//! local network keep working. A resolver of our own would be twenty more crates for the same answers.

use std::{
    io,
    net::{IpAddr, ToSocketAddrs},
    sync::Arc,
    time::Duration,
};

use tokio::sync::Semaphore;
use types::BoxFuture;

use crate::target::DnsName;

/// The most addresses of one answer that are looked at.
pub const MAX_ADDRESSES: usize = 16;
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(8);
/// The most questions that wait at once. The system's resolver cannot be interrupted, so each holds a thread.
const AT_ONCE: usize = 32;

/// Finds the addresses of names.
pub trait Resolve: Send + Sync {
    /// The addresses of a name, in the order of preference; an empty answer is an error of kind `NotFound`.
    fn resolve<'a>(&'a self, name: &'a DnsName) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// The resolver of the operating system.
#[derive(Clone, Debug)]
pub struct SystemResolver {
    places: Arc<Semaphore>,
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a DnsName) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(self.ask_in_time(name.as_str()))
    }
}

impl SystemResolver {
    /// The addresses of a host that the system knows, even one that is no [`DnsName`].
    pub(crate) async fn ask_in_time(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let answer = tokio::time::timeout(PATIENCE, self.ask(name.to_owned())).await;
        let addresses = answer.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        if addresses.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(addresses) }
    }

    async fn ask(&self, name: String) -> io::Result<Vec<IpAddr>> {
        let place = self.places.clone().acquire_owned().await.map_err(io::Error::other)?;
        let asked = tokio::task::spawn_blocking(move || {
            // The place is held until the system answers, even if nobody waits for it any more.
            let _place = place;
            let mut addresses: Vec<IpAddr> = Vec::new();
            for address in (name.as_str(), 0).to_socket_addrs()?.map(|address| address.ip()) {
                if !addresses.contains(&address) && addresses.len() < MAX_ADDRESSES {
                    addresses.push(address);
                }
            }
            Ok(addresses)
        });
        asked.await.map_err(io::Error::other)?
    }
}

/// A resolver that answers from a table, one scripted answer after the other: for tests, a rebinding server among them.
#[derive(Debug, Default)]
pub struct TableResolver {
    names: std::sync::Mutex<std::collections::BTreeMap<String, Vec<Vec<IpAddr>>>>,
    asked: std::sync::Mutex<Vec<String>>,
}

impl TableResolver {
    /// Adds an answer for a name. Answers are given in the order in which they were added; the last one stays.
    #[must_use]
    pub fn with(self, name: &str, addresses: &[&str]) -> Self {
        self.add(name, addresses);
        self
    }

    /// As [`TableResolver::with`], in place. What is no address is left out.
    pub fn add(&self, name: &str, addresses: &[&str]) {
        let answer = addresses.iter().filter_map(|address| address.parse().ok()).collect();
        lock(&self.names).entry(name.to_owned()).or_default().push(answer);
    }

    /// The names that were asked for, in order.
    pub fn asked(&self) -> Vec<String> {
        lock(&self.asked).clone()
    }
}

impl Resolve for TableResolver {
    fn resolve<'a>(&'a self, name: &'a DnsName) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        lock(&self.asked).push(name.as_str().to_owned());
        let mut names = lock(&self.names);
        let answer = names
            .get_mut(name.as_str())
            .and_then(|answers| if answers.len() > 1 { Some(answers.remove(0)) } else { answers.first().cloned() });
        let answer = answer.filter(|answer| !answer.is_empty()).ok_or_else(|| io::ErrorKind::NotFound.into());
        Box::pin(std::future::ready(answer))
    }
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
