//! What vendors' lists of models say. Pure; what is not understood says nothing.

use serde_json::Value;
use types::Prices;

use super::Found;
use crate::{ModelFacts, Priced, Reasoning};

/// The longest name of a model.
const MAX_NAME: usize = 256;
/// Tokens by which prices are counted; OpenRouter gives them for one.
const MILLION: f64 = 1e6;

/// <https://platform.openai.com/docs/api-reference/models/list>, and what compatible vendors add to it: a list without the object
/// around it (Together), `context_length` and prices (OpenRouter), `max_model_len` (vLLM), `meta.n_ctx` (llama.cpp),
/// `context_window` (Groq), `max_context_length` (Mistral, LM Studio).
pub(super) fn openai(page: &Value) -> Found {
    let rows = page["data"].as_array().or_else(|| page.as_array());
    rows.into_iter().flatten().filter_map(|row| Some((name(&row["id"])?, openai_facts(row)))).collect()
}

fn openai_facts(row: &Value) -> ModelFacts {
    let context = [
        &row["top_provider"]["context_length"],
        &row["context_length"],
        &row["max_model_len"],
        &row["meta"]["n_ctx"],
        &row["context_window"],
        &row["max_context_length"],
        &row["meta"]["n_ctx_train"],
    ];
    let output = [&row["top_provider"]["max_completion_tokens"], &row["max_completion_tokens"]];
    let inputs = row["architecture"]["input_modalities"].as_array();
    let takes = |what: &str| inputs.map(|inputs| inputs.iter().any(|input| input == what));
    let prices = openrouter_prices(&row["pricing"]);
    ModelFacts {
        context: context.into_iter().find_map(count),
        output: output.into_iter().find_map(count).and_then(|tokens| u32::try_from(tokens).ok()),
        images: takes("image").or_else(|| row["capabilities"]["vision"].as_bool()),
        documents: takes("file"),
        reasoning: None,
        prices,
        priced: if prices.is_some() { Priced::Vendor } else { Priced::Nowhere },
    }
}

/// <https://openrouter.ai/docs/api-reference/list-available-models>: dollars for one token, as text. A price below zero means that
/// it is not known in advance.
fn openrouter_prices(pricing: &Value) -> Option<Prices> {
    let price = |key: &str| pricing[key].as_str()?.parse::<f64>().ok().map(|dollars| dollars * MILLION);
    let prices = Prices {
        cache_read: price("input_cache_read").filter(|price| *price > 0.0),
        cache_write: price("input_cache_write").filter(|price| *price > 0.0),
        ..Prices::new(price("prompt")?, price("completion")?)
    };
    prices.are_amounts().then_some(prices)
}

/// <https://platform.claude.com/docs/en/api/models/list>
pub(super) fn anthropic(page: &Value) -> (Found, Option<String>) {
    let facts = |row: &Value| ModelFacts {
        context: count(&row["max_input_tokens"]),
        output: count(&row["max_tokens"]).and_then(|tokens| u32::try_from(tokens).ok()),
        images: row["capabilities"]["image_input"]["supported"].as_bool(),
        documents: row["capabilities"]["pdf_input"]["supported"].as_bool(),
        ..ModelFacts::default()
    };
    let rows = page["data"].as_array().into_iter().flatten();
    let found = rows.filter_map(|row| Some((name(&row["id"])?, facts(row)))).collect();
    let next = page["has_more"].as_bool().unwrap_or(false).then(|| name(&page["last_id"])).flatten();
    (found, next)
}

/// <https://ai.google.dev/api/models>: only what generates content; names are without `models/`.
pub(super) fn gemini(page: &Value) -> (Found, Option<String>) {
    let generates = |row: &&Value| {
        let methods = row["supportedGenerationMethods"].as_array();
        methods.is_none_or(|methods| methods.iter().any(|method| method == "generateContent"))
    };
    let facts = |row: &Value| ModelFacts {
        context: count(&row["inputTokenLimit"]),
        output: count(&row["outputTokenLimit"]).and_then(|tokens| u32::try_from(tokens).ok()),
        reasoning: (row["thinking"].as_bool() == Some(false)).then_some(Reasoning::None),
        ..ModelFacts::default()
    };
    let rows = page["models"].as_array().into_iter().flatten().filter(generates);
    let bare = |row: &Value| name(&row["name"]).map(|name| name.trim_start_matches("models/").to_owned());
    let found = rows.filter_map(|row| Some((bare(row)?, facts(row)))).collect();
    (found, page["nextPageToken"].as_str().filter(|token| !token.is_empty()).map(str::to_owned))
}

/// <https://docs.ollama.com/api/tags>
pub(super) fn ollama_tags(page: &Value) -> Vec<String> {
    page["models"].as_array().into_iter().flatten().filter_map(|row| name(&row["name"])).collect()
}

/// <https://docs.ollama.com/api-reference/show-model-details>: the context's length stands under the name of the architecture.
pub(super) fn ollama_show(answer: &Value) -> ModelFacts {
    let info = answer["model_info"].as_object();
    let context = info.and_then(|info| info.iter().find(|(key, _)| key.ends_with(".context_length")));
    let abilities = answer["capabilities"].as_array();
    let can = |what: &str| abilities.map(|abilities| abilities.iter().any(|ability| ability == what));
    ModelFacts {
        context: context.and_then(|(_, value)| count(value)),
        images: can("vision"),
        reasoning: (can("thinking") == Some(false)).then_some(Reasoning::None),
        ..ModelFacts::default()
    }
}

fn count(value: &Value) -> Option<u64> {
    value.as_u64().filter(|count| *count > 0)
}

/// A name that can be shown and asked for.
fn name(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    let plain = !text.is_empty() && text.len() <= MAX_NAME && !text.chars().any(char::is_control);
    plain.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn one(found: Found) -> (String, ModelFacts) {
        found.into_iter().next().unwrap_or_default()
    }

    #[test]
    fn compatible_servers_tell_the_context_each_in_its_own_way() {
        for (row, context) in [
            (json!({"id": "m", "context_length": 7}), 7),
            (json!({"id": "m", "max_model_len": 8}), 8),
            (json!({"id": "m", "meta": {"n_ctx": 9, "n_ctx_train": 99}}), 9),
            (json!({"id": "m", "meta": {"n_ctx_train": 99}}), 99),
            (json!({"id": "m", "context_window": 10}), 10),
            (json!({"id": "m", "max_context_length": 11}), 11),
            (json!({"id": "m", "context_length": 7, "top_provider": {"context_length": 6}}), 6),
        ] {
            let (id, facts) = one(openai(&json!({"object": "list", "data": [row]})));
            assert_eq!((id.as_str(), facts.context), ("m", Some(context)), "{row}");
        }
        assert_eq!(one(openai(&json!([{"id": "bare"}]))).0, "bare", "a list without an object around it");
    }

    #[test]
    fn openrouter_tells_what_a_token_costs() {
        let pricing = json!({"prompt": "0.000003", "completion": "0.000015", "input_cache_read": "0.0000003"});
        let inputs = json!({"input_modalities": ["text", "image"]});
        let (_, facts) = one(openai(&json!({"data": [{"id": "m", "pricing": pricing, "architecture": inputs}]})));
        let prices = facts.prices.unwrap_or(Prices::new(0.0, 0.0));
        assert!((prices.input - 3.0).abs() < 1e-9 && (prices.output - 15.0).abs() < 1e-9, "{prices:?}");
        assert!(prices.cache_read.is_some_and(|read| (read - 0.3).abs() < 1e-9), "{prices:?}");
        assert_eq!((facts.images, facts.documents, facts.priced), (Some(true), Some(false), Priced::Vendor));
        let unknown = json!({"prompt": "-1", "completion": "-1"});
        assert_eq!(one(openai(&json!({"data": [{"id": "auto", "pricing": unknown}]}))).1.prices, None);
    }

    #[test]
    fn pages_name_the_next() {
        let page = json!({"data": [{"id": "a", "max_input_tokens": 5}], "has_more": true, "last_id": "a"});
        let (found, next) = anthropic(&page);
        assert_eq!((one(found).1.context, next.as_deref()), (Some(5), Some("a")));
        assert_eq!(anthropic(&json!({"data": [], "has_more": false, "last_id": "a"})).1, None);
        let page = json!({"models": [
            {"name": "models/embedder", "supportedGenerationMethods": ["embedContent"]},
            {"name": "models/g", "inputTokenLimit": 6, "outputTokenLimit": 3, "supportedGenerationMethods": ["generateContent"]},
        ], "nextPageToken": "t"});
        let (found, next) = gemini(&page);
        assert_eq!((found.len(), next.as_deref()), (1, Some("t")));
        let (id, facts) = one(found);
        assert_eq!((id.as_str(), facts.context, facts.output), ("g", Some(6), Some(3)));
    }

    #[test]
    fn ollama_tells_of_each_model() {
        assert_eq!(ollama_tags(&json!({"models": [{"name": "q:4b"}, {"name": 7}]})), ["q:4b"]);
        let facts = ollama_show(&json!({
            "model_info": {"qwen3.context_length": 40960, "general.architecture": "qwen3"},
            "capabilities": ["completion", "tools"],
        }));
        assert_eq!((facts.context, facts.images, facts.reasoning), (Some(40_960), Some(false), Some(Reasoning::None)));
    }

    #[test]
    fn nonsense_says_nothing() {
        let long = "x".repeat(MAX_NAME + 1);
        for page in
            [json!(null), json!("x"), json!({"data": 7}), json!({"data": [{"id": ""}, {"id": long}, {"id": "a\nb"}]})]
        {
            assert!(openai(&page).is_empty() && anthropic(&page).0.is_empty() && gemini(&page).0.is_empty(), "{page}");
        }
        assert_eq!(ollama_show(&json!([])), ModelFacts::default());
    }
}
