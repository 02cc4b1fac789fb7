//! What a dialect must know of the vendor that it speaks to. Data only: the table of vendors and the owner's settings fill it,
//! the dialects read it. A new quirk is a field here, a branch in one dialect and a test.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{OutputLimit, media::MediaLimits};

/// A vendor's ways. The default is the interface as its owner published it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Quirks {
    /// The field for the answer's limit (`openai-chat`). When absent: `max_completion_tokens` for OpenAI and Azure,
    /// `max_tokens` for all others.
    pub output_limit: Option<OutputLimit>,
    /// Whether the model's reasoning is given back to it as `reasoning_content` (`openai-chat`). Some vendors demand it while
    /// tools are used, others refuse it.
    pub replay_reasoning: bool,
    /// By which field a model is told how much to reason (`openai-chat`).
    pub reasoning_field: ReasoningField,
    /// How an answer is bound to a schema.
    pub schema: SchemaForm,
    /// Whether pictures are taken.
    pub images: bool,
    /// Whether PDF documents are taken.
    pub documents: bool,
    /// What ids of tool calls look like (`openai-chat`).
    pub call_ids: CallIds,
    /// Whether a summary of the reasoning is asked for (`openai-responses`). OpenAI refuses that to an organisation that it has
    /// not verified.
    pub reasoning_summary: bool,
    /// Whether `prompt_cache_key` is taken (`openai-chat`, `openai-responses`).
    pub cache_key: bool,
    /// Whether the vendor is told to mark what may be cached (`openai-chat`): OpenRouter, behind which Anthropic's models and others
    /// cache nothing unmarked (<https://openrouter.ai/docs/client-sdks/typescript/models/anthropiccachecontroldirective>).
    pub cache_marks: bool,
    /// Whether what goes into the cache is kept for an hour instead of five minutes (`anthropic`, and `openai-chat` with marks).
    /// Writing costs more then.
    pub cache_hour: bool,
    /// How long the server keeps a model in memory after an answer, such as `30m`; `-1` for ever (`ollama`). Its own time when
    /// absent.
    pub keep_alive: Option<String>,
    /// How models reason that [`Quirks::models`] does not name; the interface's usual way when absent.
    pub reasoning: Option<Reasoning>,
    /// How each model reasons, by the model's name.
    pub models: BTreeMap<String, Reasoning>,
}

impl Default for Quirks {
    fn default() -> Self {
        Self {
            output_limit: None,
            replay_reasoning: false,
            reasoning_field: ReasoningField::None,
            schema: SchemaForm::Schema,
            images: true,
            documents: true,
            call_ids: CallIds::Any,
            reasoning_summary: true,
            cache_key: false,
            cache_marks: false,
            cache_hour: false,
            keep_alive: None,
            reasoning: None,
            models: BTreeMap::new(),
        }
    }
}

impl Quirks {
    /// The mark up to which a vendor caches.
    /// <https://platform.claude.com/docs/en/build-with-claude/prompt-caching>: five minutes, or an hour at twice the input's price.
    pub(crate) fn cache_mark(&self) -> Value {
        if self.cache_hour { json!({"type": "ephemeral", "ttl": "1h"}) } else { json!({"type": "ephemeral"}) }
    }

    /// How a model reasons; `usual` where nothing is known of it.
    pub(crate) fn reasoning(&self, model: &str, usual: Reasoning) -> Reasoning {
        let dated = || self.models.get(crate::models::without_date(model)?);
        self.models.get(model).or_else(dated).copied().or(self.reasoning).unwrap_or(usual)
    }

    /// What of pictures and documents is taken, with limits that all vendors keep.
    pub(crate) fn media(&self) -> MediaLimits {
        match (self.images, self.documents) {
            (true, true) => MediaLimits::IMAGES.and_pdf(),
            (true, false) => MediaLimits::IMAGES,
            (false, true) => MediaLimits { types: &["application/pdf"], ..MediaLimits::IMAGES },
            (false, false) => MediaLimits { types: &[], ..MediaLimits::IMAGES },
        }
    }
}

/// How a model reasons, and what it wants to be told about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reasoning {
    /// It does not, and refuses to be asked.
    None,
    /// It takes a number of tokens.
    Budget,
    /// It takes a word; see [`effort`].
    Effort,
    /// It decides by itself, within a word of how hard to try.
    Adaptive,
    /// It always does, and cannot be told anything.
    Always,
}

/// The field of Chat Completions for reasoning, on which compatible vendors have not agreed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReasoningField {
    /// None is known.
    #[default]
    None,
    /// `reasoning_effort`, a word: OpenAI, Groq, xAI, Gemini's compatible interface.
    Effort,
    /// `reasoning`, an object with a budget or a word: OpenRouter.
    Object,
    /// `thinking`, an object that says `enabled` or `disabled`: DeepSeek, z.ai, Moonshot.
    Thinking,
    /// `enable_thinking` and `thinking_budget`: Qwen.
    Budget,
}

/// How an answer is bound to a schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SchemaForm {
    /// The vendor takes the schema itself.
    #[default]
    Schema,
    /// The vendor promises JSON only; the schema is told to the model in words.
    Object,
    /// The vendor promises nothing; the schema is told to the model in words.
    Words,
}

/// What ids of tool calls a vendor takes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallIds {
    /// Up to 64 letters, digits, `_` and `-`.
    #[default]
    Any,
    /// Nine letters and digits: Mistral.
    Nine,
}

/// How hard a model that takes a word is to try, for a budget in tokens. The vendors publish no numbers; these are the steps at
/// which gateways between both kinds of vendors change the word (<https://docs.merge.dev/merge-gateway/capabilities/reasoning>).
pub(crate) fn effort(tokens: u32) -> &'static str {
    match tokens {
        0..4096 => "low",
        4096..16_384 => "medium",
        _ => "high",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_becomes_a_word() {
        let words = [1, 4095, 4096, 16_383, 16_384, u32::MAX].map(effort);
        assert_eq!(words, ["low", "low", "medium", "medium", "high", "high"]);
    }

    #[test]
    fn the_closest_knowledge_of_a_model_counts() {
        let mut quirks = Quirks::default();
        assert_eq!(quirks.reasoning("m", Reasoning::Budget), Reasoning::Budget);
        quirks.reasoning = Some(Reasoning::Effort);
        quirks.models.insert("m".to_owned(), Reasoning::None);
        assert_eq!(quirks.reasoning("m", Reasoning::Budget), Reasoning::None);
        assert_eq!(quirks.reasoning("m-20261121", Reasoning::Budget), Reasoning::None);
        assert_eq!(quirks.reasoning("n", Reasoning::Budget), Reasoning::Effort);
    }
}
