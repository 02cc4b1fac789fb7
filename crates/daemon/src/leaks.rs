//! What happens when a secret is seen where it must not be: it is masked, refused from then on, recorded, and the owner
//! is told where it was, what to revoke and how. Which sightings count is decided in `docs/decisions/0005-dead-secrets.md`.
//! It must not look for secrets by itself: whoever takes text in, or lets it out, asks.

use std::{
    borrow::Cow,
    collections::HashSet,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, PoisonError},
};

use agent::Sighting;
use egress::{Dead, Known, Standing, Vault};
use policy::leak::{self, Finding, Severity};
use serde_json::{Value, json};
use store::{
    Store,
    audit::{AuditEntry, AuditKind},
};
use types::{Clock, Event, Invariant, Level, SecretName};

/// How many texts that look like secrets are remembered as told; after that, one may be told again.
const MAX_TOLD: usize = 1024;
/// How many findings of one text are told. The rest is masked all the same.
const MAX_NOTICES: usize = 5;

/// Watches over texts that come in and go out. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Leaks(Arc<Inner>);

struct Inner {
    vault: Vault,
    store: Store,
    clock: Arc<dyn Clock>,
    /// What the owner was told already, by a keyed hash: the texts themselves must not be kept.
    told: Mutex<HashSet<u64>>,
    hasher: RandomState,
}

impl Leaks {
    /// Watches for the values of this vault, and for what looks like one.
    pub fn new(vault: Vault, store: Store, clock: Arc<dyn Clock>) -> Self {
        let (told, hasher) = (Mutex::default(), RandomState::new());
        Self(Arc::new(Inner { vault, store, clock, told, hasher }))
    }

    /// The text as it may be kept or shown: without known values, and without what is surely a secret.
    pub fn mask<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if Invariant::NoSecretReadable.is_broken() {
            return Cow::Borrowed(text);
        }
        match self.0.vault.redactor().redact(text) {
            Cow::Borrowed(text) => leak::redact_patterns(text, Severity::High),
            Cow::Owned(text) => Cow::Owned(leak::redact_patterns(&text, Severity::High).into_owned()),
        }
    }

    /// Masks a text that came in at `place`, and deals with what was in it.
    pub async fn take_in(&self, text: String, place: String) -> String {
        match self.mask(&text) {
            Cow::Borrowed(_) => text,
            Cow::Owned(masked) => {
                self.seen(Sighting { session: None, turn: None, place, text }).await;
                masked
            }
        }
    }

    /// Deals with a text in which something was masked: known secrets that were in use die, and the owner is told.
    pub async fn seen(&self, sighting: Sighting) {
        let known: Vec<Known> = self.0.vault.known_in(&sighting.text);
        let findings: Vec<Finding> = leak::scan(&sighting.text);
        for one in known.iter().take(MAX_NOTICES) {
            self.known(one, &findings, &sighting).await;
        }
        let own = |finding: &Finding| {
            known.iter().any(|one| (finding.from..finding.to).contains(&one.at) || one.at == finding.from)
        };
        let unknown = findings.iter().filter(|finding| finding.severity == Severity::High && !own(finding));
        for finding in unknown.take(MAX_NOTICES) {
            self.unknown(finding, &sighting).await;
        }
    }

    async fn known(&self, one: &Known, findings: &[Finding], sighting: &Sighting) {
        let how = findings.iter().find(|finding| finding.from <= one.at && one.at < finding.to).map(Finding::remedy);
        match one.standing {
            Standing::Current if one.is_certain => {}
            Standing::Current | Standing::Dead | Standing::Former => return,
        }
        match self.kill(one.name.clone(), &sighting.place).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                tracing::error!(%error, secret = %one.name, "a secret was seen where it must not be, and cannot be marked dead");
            }
        }
        self.record(sighting, json!({"event": "dead", "name": one.name, "place": sighting.place})).await;
        self.tell(sighting, Level::Error, dead_notice(&one.name, &sighting.place, how.as_deref())).await;
    }

    async fn kill(&self, name: SecretName, place: &str) -> Result<bool, String> {
        let vault = self.0.vault.clone();
        let dead = Dead::new(self.0.clock.now(), "it was seen where it must not be", place);
        let marked = tokio::task::spawn_blocking(move || vault.mark_dead(&name, dead)).await;
        marked.map_err(|_| "marking it broke off".to_owned())?.map_err(|error| error.to_string())
    }

    async fn unknown(&self, finding: &Finding, sighting: &Sighting) {
        let hash = self.0.hasher.hash_one(&sighting.text[finding.from..finding.to]);
        {
            let mut told = self.0.told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.len() >= MAX_TOLD {
                told.clear();
            }
            if !told.insert(hash) {
                return;
            }
        }
        let detail = json!({"event": "pattern", "kind": finding.kind, "place": sighting.place, "line": finding.line});
        self.record(sighting, detail).await;
        self.tell(sighting, Level::Warning, pattern_notice(finding, &sighting.place)).await;
    }

    async fn record(&self, sighting: &Sighting, detail: Value) {
        let (session, turn) = (sighting.session, sighting.turn);
        let entry = AuditEntry { session, turn, call: None, kind: AuditKind::Secret, detail };
        if let Err(error) = self.0.store.audit().append(entry).await {
            tracing::error!(%error, "a sighting of a secret could not be written to the audit log");
        }
    }

    async fn tell(&self, sighting: &Sighting, level: Level, text: String) {
        let (session, turn) = (sighting.session, sighting.turn);
        let told = self.0.store.transact(move |tx| tx.record(session, turn, Event::Notice { level, text })).await;
        if let Err(error) = told {
            tracing::error!(%error, "the owner could not be told of a secret that was seen");
        }
    }
}

/// What the owner is told of a known secret.
pub(crate) fn dead_notice(name: &SecretName, place: &str, how: Option<&str>) -> String {
    let how = how.unwrap_or("Revoke it where it was issued.");
    format!(
        "The secret `{name}` was seen in {place}. Whoever could read that may have it, so it is dead: it is not used any \
         more. {how} Then give the new one with `factotum secret rotate {name}`."
    )
}

/// What the owner is told of a text that looks like a secret.
pub(crate) fn pattern_notice(finding: &Finding, place: &str) -> String {
    let (name, remedy) = (finding.kind().name, finding.remedy());
    let begins = if finding.begins.is_empty() { String::new() } else { format!("{}..., ", finding.begins) };
    let article = if name.starts_with(['A', 'a', 'O', 'o', 'u']) { "an" } else { "a" };
    format!(
        "What looks like {article} {name} ({begins}line {}) was seen in {place}, and masked. If it is real, take it as \
         leaked. {remedy} Keys for the agent are stored with `factotum secret set NAME`, never sent as a message.",
        finding.line
    )
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn notices_say_where_what_and_how() {
        let token = format!("ghp_{}", "a1B2c3D4e5F6".repeat(3));
        let finding = leak::scan(&token).remove(0);
        let text = pattern_notice(&finding, "your message on telegram/home");
        assert!(
            text.contains("your message on telegram/home") && text.contains("github.com/settings/tokens"),
            "{text}"
        );
        assert!(!text.contains(&token), "{text}");
        let text = dead_notice(&SecretName::new("git").unwrap(), "the file notes.txt", Some(&finding.remedy()));
        assert!(text.contains("notes.txt") && text.contains("factotum secret rotate git"), "{text}");
    }
}
