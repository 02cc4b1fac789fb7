//! Secrets: whatever a command or file shows, the model and the owner's chat must see the mask.

use base64::{Engine, engine::general_purpose::STANDARD};
use egress::{SecretValue, Vault};
use policy::Redactor;
use serde_json::json;
use types::{Clock, SecretName};

use super::Surroundings;
use crate::SystemClock;
use crate::security::{
    Outcome,
    arena::{Arena, Mind, Trouble, call, say},
};

/// A user without any right; by custom, `nobody`.
const NOBODY: u32 = 65_534;

/// Plants a secret in the vault and in a file of the workspace, and lets the model read it in every form and say it.
pub(super) async fn masked(around: &Surroundings) -> Outcome {
    match read_and_say(around).await {
        Ok(outcome) => outcome,
        Err(why) => Outcome::NotTried { why },
    }
}

async fn read_and_say(around: &Surroundings) -> Result<Outcome, Trouble> {
    let value = random()?;
    let forms = forms(&value);
    let said = format!("the key is {value}");
    let read = |number, path: &str| vec![call(number, "read", json!({ "path": path }))];
    let mind = Mind::of(vec![read(0, "raw.txt"), read(1, "encoded.txt"), vec![say(&said)]]);
    let arena = Arena::open(around, mind, |_| ()).await?;
    let planted = plant(&arena, &value, &forms);
    let job = match planted {
        Ok(()) => arena.job("read the files").await,
        Err(why) => Err(why),
    };
    let heard = arena.mind.heard().join("\n");
    let sent: String = arena.messenger.sent().iter().map(|(_, outbound)| format!("{outbound:?}\n")).collect();
    arena.close().await;
    let job = job?;
    let shown = format!("{heard}\n{}\n{sent}", job.text);
    let found: Vec<String> = forms
        .iter()
        .filter(|(_, form)| shown.contains(form.as_str()))
        .map(|(name, _)| format!("a stored secret was shown to the model or said, {name}"))
        .collect();
    Ok(Outcome::unless(&found, format!("a planted secret in {} forms, in files and in the reply", forms.len())))
}

fn plant(arena: &Arena, value: &str, forms: &[(&str, String)]) -> Result<(), Trouble> {
    let name = SecretName::new("planted").map_err(|error| error.to_string())?;
    let secret = SecretValue::new(value).map_err(|error| error.to_string())?;
    let vault = Vault::open(&arena.home()).map_err(|error| error.to_string())?;
    vault.set(&name, secret, SystemClock::new().now()).map_err(|error| error.to_string())?;
    let encoded: String = forms.iter().map(|(_, form)| format!("{form}\n")).collect();
    let write = |name: &str, text: &str| std::fs::write(arena.work().join(name), text);
    write("raw.txt", value).and_then(|()| write("encoded.txt", &encoded)).map_err(|error| error.to_string())
}

/// Opens the owner's vault, key, journal and token as a user without any right to them. Only root can become somebody else.
pub(super) async fn other_user(around: &Surroundings) -> Outcome {
    if !rustix::process::geteuid().is_root() {
        return Outcome::NotTried {
            why: "only root can act as another user; permissions are looked at instead".to_owned(),
        };
    }
    let paths: Vec<_> = ["vault", "vault.key", "factotum.db", "api.token", "config.toml"]
        .iter()
        .map(|name| around.home.join(name))
        .collect();
    let tried = paths.iter().filter(|path| path.exists()).count();
    if tried == 0 {
        return Outcome::held("there is nothing to read yet");
    }
    // The user of a thread alone is changed, and the thread ends with the attempt.
    let opened = std::thread::Builder::new().name("audit".to_owned()).spawn(move || -> Result<Vec<String>, String> {
        let nobody = rustix::process::Uid::from_raw(NOBODY);
        let group = rustix::process::Gid::from_raw(NOBODY);
        rustix::thread::set_thread_groups(&[]).map_err(|error| error.to_string())?;
        rustix::thread::set_thread_res_gid(group, group, group).map_err(|error| error.to_string())?;
        rustix::thread::set_thread_res_uid(nobody, nobody, nobody).map_err(|error| error.to_string())?;
        Ok(paths
            .iter()
            .filter(|path| std::fs::File::open(path).is_ok())
            .map(|path| path.display().to_string())
            .collect())
    });
    let Ok(opened) = opened else { return Outcome::NotTried { why: "no thread can be started".to_owned() } };
    match opened.join() {
        Ok(Ok(opened)) => Outcome::unless(&opened, format!("{tried} files of the home, opened as user {NOBODY}")),
        Ok(Err(why)) => Outcome::NotTried { why: format!("another user could not be acted as: {why}") },
        Err(_) => Outcome::NotTried { why: "the attempt broke off".to_owned() },
    }
}

/// What the mask lets through of a value, in each form.
pub(super) fn leaks(redactor: &Redactor, value: &str) -> Vec<String> {
    let shown = |form: &String| redactor.redact(form).contains(form.as_str());
    forms(value).into_iter().filter(|(_, form)| shown(form)).map(|(name, _)| name.to_owned()).collect()
}

fn forms(value: &str) -> Vec<(&'static str, String)> {
    let percent: String = value.bytes().map(|byte| format!("%{byte:02X}")).collect();
    vec![
        ("as it is", value.to_owned()),
        ("in base64", STANDARD.encode(value)),
        ("in hex", hex::encode(value)),
        ("percent-encoded", percent),
    ]
}

/// A value that cannot be anywhere by chance.
fn random() -> Result<String, Trouble> {
    let mut bytes = [0_u8; 24];
    getrandom::fill(&mut bytes).map_err(|error| error.to_string())?;
    Ok(format!("audit-{}", hex::encode(bytes)))
}
