//! What a process knows of the vault: the secrets as last read, and every value it has seen, so that one that was
//! replaced stays masked.

use std::sync::Arc;

use policy::redact::Redactor;
use serde::Serialize;
use types::SecretName;

use super::{Binding, EnvName, KeySource, file::Stamp, sealed::Secrets, secret::SecretValue};

/// The most values of earlier times that stay masked; the oldest are dropped first.
const MAX_REMEMBERED: usize = 4096;

/// A value of so many bytes stands in a text for no other reason than that somebody put it there.
const CERTAIN: usize = 12;

/// A living secret with the places it may go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundSecret {
    /// Its name.
    pub name: SecretName,
    /// Where it may go; never empty.
    pub bindings: Vec<Binding>,
    /// The variable that shows its placeholder in a sandbox.
    pub env: Option<EnvName>,
}

/// What a known value is at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// In use.
    Current,
    /// In the vault and refused.
    Dead,
    /// Replaced or removed; it may still be good at its issuer.
    Former,
}

/// A known value that stands in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The secret.
    pub name: SecretName,
    /// What the value is at present.
    pub standing: Standing,
    /// Where it stands first, in bytes.
    pub at: usize,
    /// Whether it is long enough that it cannot stand there by chance.
    pub is_certain: bool,
}

#[derive(Default)]
pub(super) struct Cache {
    stamp: Option<Stamp>,
    source: Option<KeySource>,
    secrets: Secrets,
    bound: Arc<[BoundSecret]>,
    /// Every value seen since the start, in the redactor's order.
    seen: Vec<(SecretName, SecretValue)>,
    redactor: Arc<Redactor>,
}

impl Cache {
    pub fn stamp(&self) -> Option<Stamp> {
        self.stamp
    }

    pub fn source(&self) -> Option<KeySource> {
        self.source
    }

    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    pub fn bound(&self) -> Arc<[BoundSecret]> {
        self.bound.clone()
    }

    pub fn redactor(&self) -> Arc<Redactor> {
        self.redactor.clone()
    }

    /// Takes what was read, or written.
    pub fn replace(&mut self, stamp: Option<Stamp>, secrets: Secrets, source: Option<KeySource>) {
        (self.stamp, self.source, self.secrets) = (stamp, source, secrets);
        self.bound = self
            .secrets
            .iter()
            .filter(|(_, secret)| secret.dead.is_none() && !secret.bindings.is_empty())
            .map(|(name, secret)| BoundSecret {
                name: name.clone(),
                bindings: secret.bindings.clone(),
                env: secret.env.clone(),
            })
            .collect();
        let before = self.seen.len();
        for (name, secret) in &self.secrets {
            let values = secret.retired.iter().map(|old| &old.value).chain([&secret.value]);
            for value in values {
                if !self.seen.iter().any(|(_, known)| known == value) {
                    self.seen.push((name.clone(), value.clone()));
                }
            }
        }
        if self.seen.len() == before {
            return;
        }
        let excess = self.seen.len().saturating_sub(MAX_REMEMBERED);
        self.seen.drain(..excess);
        let values = self.seen.iter().map(|(name, value)| (name.clone(), value.expose().to_owned()));
        self.redactor = Arc::new(Redactor::new(values));
    }

    /// Which known values stand in a text. A value that several secrets share names each of them.
    pub fn known_in(&self, text: &str) -> Vec<Known> {
        let mut known: Vec<Known> = Vec::new();
        for found in self.redactor.find(text) {
            let Some((seen_as, value)) = self.seen.get(found.value) else { continue };
            let mut holders: Vec<(SecretName, Standing)> = self
                .secrets
                .iter()
                .filter(|(_, secret)| secret.value == *value)
                .map(|(name, secret)| {
                    (name.clone(), if secret.dead.is_some() { Standing::Dead } else { Standing::Current })
                })
                .collect();
            if holders.is_empty() {
                holders.push((seen_as.clone(), Standing::Former));
            }
            for (name, standing) in holders {
                if !known.iter().any(|earlier| earlier.name == name && earlier.standing == standing) {
                    let is_certain = value.expose().trim().len() >= CERTAIN;
                    known.push(Known { name, standing, at: found.from, is_certain });
                }
            }
        }
        known
    }
}
