//! forge (forgecode), which takes a prompt, works and ends. Its exit code says nothing: it is 0 for a wrong key, a conversation
//! that is too long and an interrupt. What counts is its own remark that it finished this conversation.
//!
//! It asks for nothing and tells no numbers; its sandbox and the door are all that bounds it. Its state lies beneath the job's
//! home, with credentials that are written before its first start: without a terminal it would end there, content.

use std::collections::BTreeMap;

use serde_json::json;

use crate::{Coder, Dialect, Launch, SeedFile, Start, Transport};

use super::{
    dialect::{Judge, Run},
    plain, session,
};

/// Its directory, beneath the home.
const DIRECTORY: &str = ".forge";
/// The vendor that speaks OpenAI Chat Completions at an address of one's own.
const OWN_VENDOR: &str = "openai_compatible";

/// forge.
#[derive(Debug)]
pub struct Forge;

impl Coder for Forge {
    fn name(&self) -> &'static str {
        "forge"
    }

    fn launch(&self, start: &Start, prompt: Option<&str>) -> Launch {
        let words = ["forge", "--conversation-id", session(start), "-p", prompt.unwrap_or_default()];
        let argv = words.map(str::to_owned).to_vec();
        Launch { argv, env: environment(start), seed: seed(start), transport: Transport::Silent }
    }

    fn dialect(&self, start: &Start) -> Box<dyn Dialect> {
        Box::new(Run::new("forge", start, Judge::Forge))
    }

    fn interactive(&self, start: &Start) -> Launch {
        let mut argv = vec!["forge".to_owned()];
        if let Some(session) = &start.resume {
            argv.extend(["--conversation-id".to_owned(), session.clone()]);
        }
        let mut env = environment(start);
        // A person has a terminal with colours.
        for name in plain().keys() {
            env.remove(name);
        }
        Launch { argv, env, seed: seed(start), transport: Transport::Silent }
    }
}

/// `vendor/model`, or a model of [`OWN_VENDOR`] where there is an address.
fn model(start: &Start) -> Option<(&str, &str)> {
    let model = start.model.as_deref()?;
    if start.base_url.is_some() {
        return Some((OWN_VENDOR, model.strip_prefix("openai_compatible/").unwrap_or(model)));
    }
    model.split_once('/')
}

fn environment(start: &Start) -> BTreeMap<String, String> {
    let mut env = plain();
    env.insert("FORGE_CONFIG".to_owned(), format!("{}/{DIRECTORY}", sandbox::HOME));
    if let Some((vendor, model)) = model(start) {
        env.insert("FORGE_SESSION__PROVIDER_ID".to_owned(), vendor.to_owned());
        env.insert("FORGE_SESSION__MODEL_ID".to_owned(), model.to_owned());
    }
    env
}

fn seed(start: &Start) -> Vec<SeedFile> {
    let Some((_, key)) = &start.placeholder else { return Vec::new() };
    let vendor = model(start).map_or(OWN_VENDOR, |(vendor, _)| vendor);
    let mut entry = json!({"id": vendor, "auth_details": {"api_key": key}});
    if let Some(url) = &start.base_url {
        entry["url_params"] = json!({"OPENAI_URL": url});
    }
    let content = json!([entry]).to_string();
    vec![SeedFile { path: format!("{DIRECTORY}/.credentials.json"), content, keep: false }]
}
