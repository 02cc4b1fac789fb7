//! What may stand in a request to a model, by interface. Whoever adds a line must know that the vendor fetches nothing, runs
//! nothing and keeps nothing because of it, whatever stands there.

use super::shape::{Field, Shape};

const fn field(name: &'static str, shape: &'static Shape) -> Field {
    Field { name, shape, needed: false }
}

const fn any(name: &'static str) -> Field {
    field(name, &Shape::Any)
}

/// Anthropic's Messages, and the count of their tokens.
pub(super) static MESSAGES: Shape = Shape::Object(&[
    field("model", &Shape::Model),
    field("messages", &Shape::List(&MESSAGE)),
    field("system", &BLOCKS),
    field("tools", &Shape::List(&MESSAGES_TOOL)),
    any("cache_control"),
    // Edits what the model sees of this very conversation.
    any("context_management"),
    field("diagnostics", &Shape::Object(&[any("previous_message_id")])),
    // Models that answer in the place of one that does not; text leaves the choice to the vendor.
    field("fallbacks", &Shape::TextOrList(&Shape::Object(&[field("model", &Shape::Model)]))),
    any("inference_geo"),
    any("max_tokens"),
    any("metadata"),
    any("output_config"),
    any("output_format"),
    any("service_tier"),
    any("speed"),
    any("stop_sequences"),
    any("stream"),
    any("temperature"),
    any("thinking"),
    any("tool_choice"),
    any("top_k"),
    any("top_p"),
]);

static MESSAGE: Shape = Shape::Object(&[any("role"), field("content", &BLOCKS), any("clear_at"), any("output_config")]);

/// Tools that the program itself carries out. Anthropic's own kinds are known by a version; the ones that its servers carry
/// out are not among them.
static MESSAGES_TOOL: Shape = Shape::Object(&[
    field(
        "type",
        &Shape::Word(&[
            "custom",
            "bash_20241022",
            "bash_20250124",
            "text_editor_20241022",
            "text_editor_20250124",
            "text_editor_20250429",
            "text_editor_20250728",
            "memory_20250818",
        ]),
    ),
    any("cache_control"),
    any("defer_loading"),
    any("description"),
    any("eager_input_streaming"),
    any("input_examples"),
    any("input_schema"),
    any("max_characters"),
    any("name"),
    any("strict"),
]);

static BLOCKS: Shape = Shape::TextOrList(&BLOCK);

static BLOCK: Shape = Shape::Object(&[
    field(
        "type",
        &Shape::Word(&[
            "document",
            "image",
            "redacted_thinking",
            "search_result",
            "text",
            "thinking",
            "tool_addition",
            "tool_reference",
            "tool_removal",
            "tool_result",
            "tool_use",
        ]),
    ),
    field(
        "source",
        // Text is what a search result of the program's own calls its origin.
        &Shape::TextOrObject(&[
            field("type", &Shape::Word(&["base64", "content", "text"])),
            field("content", &BLOCKS),
            any("data"),
            any("media_type"),
        ]),
    ),
    field("content", &BLOCKS),
    // A tool that comes or goes in the middle of a conversation.
    field(
        "tool",
        &Shape::Object(&[
            field("type", &Shape::Word(&["tool_definition", "tool_reference"])),
            field("definition", &MESSAGES_TOOL),
            any("name"),
        ]),
    ),
    any("cache_control"),
    any("caller"),
    any("citations"),
    any("context"),
    any("data"),
    any("id"),
    any("input"),
    any("is_error"),
    any("name"),
    any("signature"),
    any("text"),
    any("thinking"),
    any("title"),
    any("tool_name"),
    any("tool_use_id"),
]);

/// OpenAI's Responses.
pub(super) static RESPONSES: Shape = Shape::Object(&[
    field("model", &Shape::Model),
    field("input", &Shape::TextOrList(&ITEM)),
    field("tools", &Shape::List(&RESPONSES_TOOL)),
    // Left out, the vendor keeps the answer.
    Field { name: "store", shape: &Shape::Off, needed: true },
    field("background", &Shape::Off),
    any("client_metadata"),
    any("include"),
    any("instructions"),
    any("max_output_tokens"),
    any("max_tool_calls"),
    any("metadata"),
    any("parallel_tool_calls"),
    any("prompt_cache_key"),
    any("prompt_cache_retention"),
    any("reasoning"),
    any("safety_identifier"),
    any("service_tier"),
    any("stream"),
    any("stream_options"),
    any("temperature"),
    any("text"),
    any("tool_choice"),
    any("top_logprobs"),
    any("top_p"),
    any("truncation"),
    any("user"),
]);

static RESPONSES_TOOL: Shape = Shape::Object(&[
    field("type", &Shape::Word(&["apply_patch", "custom", "function", "local_shell", "namespace", "tool_search"])),
    // Several under one name, which may be loaded when they are looked for.
    field("tools", &Shape::List(&RESPONSES_TOOL)),
    field("execution", &Shape::Word(&["client"])),
    any("defer_loading"),
    any("description"),
    any("format"),
    any("name"),
    any("parameters"),
    any("strict"),
]);

static ITEM: Shape = Shape::Object(&[
    field(
        "type",
        &Shape::Word(&[
            "apply_patch_call",
            "apply_patch_call_output",
            "compaction",
            "compaction_summary",
            "compaction_trigger",
            "context_compaction",
            "custom_tool_call",
            "custom_tool_call_output",
            "function_call",
            "function_call_output",
            "local_shell_call",
            "local_shell_call_output",
            "message",
            "reasoning",
            "tool_search_call",
            "tool_search_output",
        ]),
    ),
    field("content", &PARTS),
    field("output", &PARTS),
    // What was found by looking for tools.
    field("tools", &Shape::List(&RESPONSES_TOOL)),
    field("execution", &Shape::Word(&["client"])),
    any("action"),
    any("arguments"),
    any("call_id"),
    any("encrypted_content"),
    any("id"),
    any("input"),
    any("name"),
    any("namespace"),
    any("operation"),
    any("phase"),
    any("role"),
    any("status"),
    any("summary"),
]);

static PARTS: Shape = Shape::TextOrList(&Shape::Object(&[
    field(
        "type",
        &Shape::Word(&[
            "input_file",
            "input_image",
            "input_text",
            "output_text",
            "reasoning_text",
            "refusal",
            "summary_text",
            "text",
        ]),
    ),
    field("image_url", &Shape::Data),
    field("file_data", &Shape::Data),
    any("annotations"),
    any("detail"),
    any("filename"),
    any("logprobs"),
    any("refusal"),
    any("text"),
]));

/// Chat Completions.
pub(super) static CHAT: Shape = Shape::Object(&[
    field("model", &Shape::Model),
    field("messages", &Shape::List(&CHAT_MESSAGE)),
    field("tools", &Shape::List(&CHAT_TOOL)),
    field("store", &Shape::Off),
    any("chat_template_kwargs"),
    any("enable_thinking"),
    any("frequency_penalty"),
    any("function_call"),
    any("functions"),
    any("logit_bias"),
    any("logprobs"),
    any("max_completion_tokens"),
    any("max_tokens"),
    any("metadata"),
    any("min_p"),
    any("n"),
    any("parallel_tool_calls"),
    any("presence_penalty"),
    any("prompt_cache_key"),
    any("random_seed"),
    any("reasoning"),
    any("reasoning_effort"),
    any("reasoning_format"),
    any("repetition_penalty"),
    any("response_format"),
    any("safe_prompt"),
    any("safety_identifier"),
    any("seed"),
    any("service_tier"),
    any("stop"),
    any("stream"),
    any("stream_options"),
    any("temperature"),
    any("thinking"),
    any("tool_choice"),
    any("top_k"),
    any("top_logprobs"),
    any("top_p"),
    any("usage"),
    any("user"),
    any("verbosity"),
]);

static CHAT_TOOL: Shape = Shape::Object(&[
    field("type", &Shape::Word(&["custom", "function"])),
    any("cache_control"),
    any("custom"),
    any("function"),
    any("strict"),
]);

static CHAT_MESSAGE: Shape = Shape::Object(&[
    field("content", &Shape::TextOrList(&CHAT_PART)),
    any("cache_control"),
    any("function_call"),
    any("name"),
    any("prefix"),
    any("reasoning"),
    any("reasoning_content"),
    any("reasoning_details"),
    any("refusal"),
    any("role"),
    any("tool_call_id"),
    any("tool_calls"),
]);

static CHAT_PART: Shape = Shape::Object(&[
    field("type", &Shape::Word(&["file", "image_url", "input_audio", "refusal", "text", "thinking"])),
    field("image_url", &Shape::DataOrObject(&[field("url", &Shape::Data), any("detail")])),
    field("file", &Shape::Object(&[field("file_data", &Shape::Data), any("filename")])),
    field("input_audio", &Shape::Object(&[any("data"), any("format")])),
    any("cache_control"),
    any("refusal"),
    any("text"),
    any("thinking"),
]);

/// Google's `generateContent`. Its names are taken in two spellings.
pub(super) static GENERATE: Shape = Shape::Object(&[
    field("contents", &Shape::List(&CONTENT)),
    field("systemInstruction", &CONTENT),
    field("system_instruction", &CONTENT),
    field("tools", &Shape::List(&Shape::Object(&[any("functionDeclarations"), any("function_declarations")]))),
    any("generationConfig"),
    any("generation_config"),
    any("safetySettings"),
    any("safety_settings"),
    any("toolConfig"),
    any("tool_config"),
]);

static CONTENT: Shape = Shape::Object(&[
    any("role"),
    field(
        "parts",
        &Shape::List(&Shape::Object(&[
            any("functionCall"),
            field("functionResponse", &FUNCTION_RESPONSE),
            any("function_call"),
            field("function_response", &FUNCTION_RESPONSE),
            any("inlineData"),
            any("inline_data"),
            any("text"),
            any("thought"),
            any("thoughtSignature"),
            any("thought_signature"),
        ])),
    ),
]);

/// What a function of the program's own gave: its answer, and images and the like as bytes.
static FUNCTION_RESPONSE: Shape = Shape::Object(&[
    any("id"),
    any("name"),
    field("parts", &Shape::List(&Shape::Object(&[any("inlineData"), any("inline_data")]))),
    any("response"),
    any("scheduling"),
    any("willContinue"),
    any("will_continue"),
]);
