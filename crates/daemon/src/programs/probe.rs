//! Trying a coding agent: does its program start in a sandbox, and does a request of its own kind come through the door to its
//! vendor with the key put in. The request is for the list of models, which costs nothing.

use std::{sync::Arc, time::Duration};

use egress::{CredentialSlot, EgressRules};
use sandbox::{Command, ExitStatus};
use types::{Failure, WorkspaceName};

use super::{
    find::{Program, find},
    list::key_problem,
    sandboxed::{Bench, quoted, run},
};
use crate::{
    config::CoderConfig,
    core::Core,
    failure::{internal, user},
    network::{JobDoor, NewDoor, vendor_rules},
};

/// The name of the directory among our own workspaces.
const BENCH: &str = "coder-test";
/// How long the program may take for its version, and the vendor for its answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Asks for the list of models. What is asked stands in the environment, so that nothing of it is read as a script.
const ASK: &str = "command -v curl >/dev/null || exit 127; \
    curl -sS --max-time 50 -o /tmp/answer -w '%{http_code}\\n' -H \"$PROBE_HEADER\" -H 'anthropic-version: 2023-06-01' \
    \"$PROBE_URL\" 2>&1; head -c 600 /tmp/answer 2>/dev/null";

/// Tries a coding agent and says in lines what works. An error says what does not, and what to do.
pub(crate) async fn test(core: &Arc<Core>, name: &str) -> Result<String, Failure> {
    let (owned, name) = (core.clone(), name.to_owned());
    let work = async move { carry_out(&owned, &name).await };
    core.tasks.spawn(work).await.map_err(|_| internal("the test broke off"))?
}

async fn carry_out(core: &Core, name: &str) -> Result<String, Failure> {
    let live = core.live();
    let usual = CoderConfig::default();
    let coder = live.config.coders.get(name).unwrap_or(&usual);
    if coder.kind(name).is_none() {
        let name: String = name.chars().filter(|character| !character.is_control()).take(64).collect();
        return Err(user(
            format!("there is no coding agent `{name}`"),
            "`factotum coder list` names those that there are",
        ));
    }
    let program = find(&core.home, name, coder).map_err(|why| user(why, "install it, or mend config.toml"))?;
    let bench = Bench::new(core, BENCH)?;
    let door = {
        // A session of nobody's, so that no session's label rises.
        let workspace = WorkspaceName::new(BENCH).map_err(internal)?;
        let new = NewDoor { session: types::SessionId(0), workspace: &workspace, coder: Some(name) };
        core.ways.job_door(new).map_err(|why| user(why, "then test it again"))?
    };
    let mut lines = vec![starts(core, &bench, &door, &program).await?];
    let rules = vendor_rules(name, coder).map_err(internal)?;
    if rules.rules.is_empty() {
        lines.push("no vendor is configured for it, so it reaches only what its workspace allows".to_owned());
        return Ok(lines.join("\n"));
    }
    if let Some(problem) = key_problem(&core.vault, name, coder) {
        return Err(user(problem, "then test it again"));
    }
    lines.push(answers(core, &bench, &door, coder, &rules).await?);
    Ok(lines.join("\n"))
}

/// Whether the program starts, and which version it says it is.
async fn starts(core: &Core, bench: &Bench, door: &JobDoor, program: &Program) -> Result<String, Failure> {
    let mut command = Command::new("\"$PROBE_PROGRAM\" --version 2>&1", PATIENCE);
    command.env.insert("PROBE_PROGRAM".to_owned(), program.path.display().to_string());
    let ran = run(core, bench, door, command, |spec| spec.read_only.extend(program.mount.clone())).await?;
    let said = quoted(&ran.output, 200);
    match ran.status {
        ExitStatus::Code(0) => Ok(format!("program   {} starts in a sandbox: {said}", program.path.display())),
        ExitStatus::Code(127) => Err(user(
            format!("{} was not found in the sandbox", program.path.display()),
            "name the program by its whole path",
        )),
        ExitStatus::Signal(4) => Err(user(
            "the program was ended by an illegal instruction",
            "this processor lacks what it was built for; name another build as `program`",
        )),
        status => Err(user(
            format!("the program does not start ({status:?}): {said}"),
            "look whether this version runs on this system at all",
        )),
    }
}

/// Whether the vendor answers through the door.
async fn answers(
    core: &Core,
    bench: &Bench,
    door: &JobDoor,
    coder: &CoderConfig,
    rules: &EgressRules,
) -> Result<String, Failure> {
    let Some(url) = models(rules) else {
        return Ok("its vendor has no request that costs nothing; not tried".to_owned());
    };
    let header = header(core, door, coder, &url)?;
    let mut command = Command::new(ASK, PATIENCE);
    command.env.insert("PROBE_URL".to_owned(), url.clone());
    command.env.insert("PROBE_HEADER".to_owned(), header);
    let ran = run(core, bench, door, command, |_| {}).await?;
    if ran.status == ExitStatus::Code(127) {
        return Err(user(
            "curl was not found in the sandbox, so the vendor was not asked",
            "install the package `curl`",
        ));
    }
    let (code, said) = ran.output.split_once('\n').unwrap_or((&ran.output, ""));
    explained(code.trim(), &quoted(said, 400))
        .map(|_| format!("vendor    {url} answers, with the key put in by the proxy"))
}

/// What an answer of the vendor, or of our own proxy, means.
fn explained(code: &str, said: &str) -> Result<(), Failure> {
    match code {
        "200" => Ok(()),
        "401" => Err(user(
            format!("the vendor does not take the key: {said}"),
            "store the right one with `factotum secret set`; for a subscription, log in again and store the new token",
        )),
        "403" => {
            Err(user(format!("the request was refused: {said}"), "the words tell whether the proxy or the vendor did"))
        }
        "429" => Err(user(
            format!("the vendor takes no more requests now: {said}"),
            "the key works; wait, or raise the quota",
        )),
        code if code.len() == 3 && code.starts_with('5') => {
            Err(user(format!("the vendor, or the way to it, is broken ({code}): {said}"), "try again later"))
        }
        code => Err(user(
            format!("the vendor was not reached ({code}): {said}"),
            "look at the network, and at `base_url` under [coders]",
        )),
    }
}

/// The address of the list of models, by the rules.
fn models(rules: &EgressRules) -> Option<String> {
    let rule = rules.rules.iter().find(|rule| rule.methods_cover("GET"))?;
    let paths: Vec<String> = rule.paths.iter().map(ToString::to_string).collect();
    // Of the two forms that an address of the owner's may have, the one with the version is the usual one.
    let path = paths.iter().rfind(|path| path.ends_with("/models"))?;
    let (host, port) = (rule.hosts.first()?, rule.ports.first()?);
    let scheme = if rule.plain_http { "http" } else { "https" };
    Some(format!("{scheme}://{host}:{port}{path}"))
}

/// The header with the placeholder, as the secret's binding to this host wants it.
fn header(core: &Core, door: &JobDoor, coder: &CoderConfig, url: &str) -> Result<String, Failure> {
    let Some((_, placeholder)) = &door.vendor else { return Ok("X-No-Key: none".to_owned()) };
    let bound = core.vault.list().map_err(internal)?;
    let info = bound.iter().find(|info| Some(&info.name) == coder.secret.as_ref());
    let host = url.split("://").nth(1).and_then(|rest| rest.split([':', '/']).next()).unwrap_or_default();
    let slot = info.and_then(|info| info.bindings.iter().find(|one| one.host.to_string() == host)).map(|one| &one.slot);
    Ok(match slot {
        Some(CredentialSlot::Header { name, prefix }) => format!("{name}: {prefix}{placeholder}"),
        Some(CredentialSlot::Basic { .. }) | None => format!("authorization: Bearer {placeholder}"),
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_models_is_asked_for_where_the_rules_allow_it() {
        let address = |name: &str, base_url: Option<&str>| {
            let coder = CoderConfig { base_url: base_url.map(str::to_owned), ..CoderConfig::default() };
            models(&vendor_rules(name, &coder).unwrap())
        };
        assert_eq!(address("claude", None).unwrap(), "https://api.anthropic.com:443/v1/models");
        assert_eq!(address("codex", None).unwrap(), "https://api.openai.com:443/v1/models");
        let own = address("claude", Some("https://llm.example.org:8443/x")).unwrap();
        assert_eq!(own, "https://llm.example.org:8443/x/v1/models");
    }

    #[test]
    fn each_kind_of_answer_has_its_words() {
        assert!(explained("200", "").is_ok());
        for (code, words) in [("401", "does not take the key"), ("403", "refused"), ("429", "no more requests")] {
            let failure = explained(code, "said").unwrap_err();
            assert!(failure.error.contains(words) && failure.error.contains("said") && failure.hint.is_some());
        }
        assert!(explained("502", "x").unwrap_err().error.contains("broken"));
        assert!(explained("000", "curl: (6)").unwrap_err().error.contains("not reached"));
    }
}
