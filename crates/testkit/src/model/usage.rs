//! Counting tokens: four characters to a token, and a prompt cache that compares real prefixes.

use std::collections::HashSet;

use serde_json::Value;

use super::seen::{Dialect, SeenRequest, blocks, role};

/// Prefixes that the cache remembers; past this the cache starts anew.
const MAX_PREFIXES: usize = 200_000;
/// OpenAI and Google cache by themselves, from this many tokens on.
const OPENAI_CACHE_MINIMUM: u64 = 1024;

/// The input tokens of one request, in disjoint classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct InputTokens {
    pub fresh: u64,
    pub cache_read: u64,
    pub cache_write: u64,
}

/// What one answer counts for, in disjoint classes of tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// The index of the request.
    pub request: usize,
    /// Input that no cache held.
    pub input: u64,
    /// Input that a cache held.
    pub cache_read: u64,
    /// Input that was put into the cache.
    pub cache_write: u64,
    /// Output, reasoning included.
    pub output: u64,
}

/// The prefixes that earlier requests have left in the cache.
#[derive(Default)]
pub(super) struct PromptCache {
    prefixes: HashSet<u64>,
}

/// One step of the prompt: a tool, a block of the system prompt or a block of a message.
struct Unit {
    hash: u64,
    tokens: u64,
    marked: bool,
}

impl PromptCache {
    /// Counts a request's input and remembers its prefixes.
    pub(super) fn count(&mut self, request: &SeenRequest) -> InputTokens {
        let units = units(request);
        let total: u64 = units.iter().map(|unit| unit.tokens).sum();
        let cached_to = match request.dialect {
            Dialect::Anthropic => units.iter().rposition(|unit| unit.marked).map_or(0, |last| last + 1),
            Dialect::OpenaiChat | Dialect::OpenaiResponses | Dialect::Gemini => units.len(),
            // It keeps prefixes as well, but says nothing of it.
            Dialect::Ollama => 0,
        };
        let mut hash = fnv(0, request.model.as_bytes());
        let (mut read, mut covered) = (0, 0);
        if self.prefixes.len() > MAX_PREFIXES {
            self.prefixes.clear();
        }
        for unit in &units[..cached_to] {
            hash = fnv(hash, &unit.hash.to_le_bytes());
            covered += unit.tokens;
            if !self.prefixes.insert(hash) {
                read = covered;
            }
        }
        match request.dialect {
            Dialect::Anthropic => InputTokens { fresh: total - covered, cache_read: read, cache_write: covered - read },
            Dialect::Ollama => InputTokens { fresh: total, ..InputTokens::default() },
            Dialect::OpenaiChat | Dialect::OpenaiResponses | Dialect::Gemini => {
                let read = if read < OPENAI_CACHE_MINIMUM { 0 } else { read / 128 * 128 };
                InputTokens { fresh: total - read, cache_read: read, cache_write: 0 }
            }
        }
    }
}

fn units(request: &SeenRequest) -> Vec<Unit> {
    let mut units = Vec::new();
    units.extend(request.tools.iter().map(|tool| unit("tool", tool)));
    if request.dialect != Dialect::Anthropic {
        units.push(unit("system", &Value::String(request.system.clone())));
    } else if let Some(text) = request.body["system"].as_str() {
        units.push(unit("system", &Value::String(text.to_owned())));
    } else {
        units.extend(blocks(&request.body["system"]).iter().map(|block| unit("system", block)));
    }
    for message in &request.messages {
        let parts = [blocks(&message["content"]), blocks(&message["parts"])].concat();
        if parts.is_empty() {
            units.push(unit(role(message), message));
        }
        units.extend(parts.iter().map(|block| unit(role(message), block)));
    }
    units
}

fn unit(place: &str, value: &Value) -> Unit {
    let marked = value.get("cache_control").is_some();
    let text = unmarked(value).to_string();
    Unit { hash: fnv(fnv(0, place.as_bytes()), text.as_bytes()), tokens: tokens(&text), marked }
}

/// The value without its cache mark, which moves from request to request.
pub(super) fn unmarked(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().filter(|(key, _)| *key != "cache_control");
            Value::Object(kept.map(|(key, value)| (key.clone(), unmarked(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(unmarked).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// Four characters to a token, and one for the rest.
pub(super) fn tokens(text: &str) -> u64 {
    text.chars().count() as u64 / 4 + 1
}

/// The FNV-1a hash, continued from `seed`. It is the same in every process, which ids and signatures rely on.
pub(super) fn fnv(seed: u64, bytes: &[u8]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325_u64 ^ seed.rotate_left(17);
    bytes.iter().fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// A number that depends on the conversation alone, so that a repeated request gets the same ids.
pub(super) fn conversation_seed(request: &SeenRequest) -> u64 {
    request.messages.iter().fold(0, |hash, message| fnv(hash, unmarked(message).to_string().as_bytes()))
}
