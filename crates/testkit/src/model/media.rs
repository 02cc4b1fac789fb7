//! Pictures and documents in a request: where each interface puts them, and what its vendor takes.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;

use super::{
    rules::{Checked, ensure},
    seen::{Dialect, SeenMedia, SeenRequest},
};

const IMAGES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];
const PDF: &str = "application/pdf";
/// What Gemini takes: <https://ai.google.dev/gemini-api/docs/image-understanding>.
const OF_GEMINI: [&str; 6] = ["image/png", "image/jpeg", "image/webp", "image/heic", "image/heif", "application/pdf"];
/// How pictures begin, in base64: Ollama is told no media type.
const BEGINNINGS: [(&str, &str); 4] =
    [("iVBORw0KGgo", "image/png"), ("/9j/", "image/jpeg"), ("R0lGOD", "image/gif"), ("UklGR", "image/webp")];

/// All that stands in these messages, in order.
pub(super) fn all(messages: &[Value]) -> Vec<SeenMedia> {
    let mut found = Vec::new();
    for message in messages {
        collect(message, &mut found);
        found.extend(message["images"].as_array().into_iter().flatten().map(bare));
    }
    found
}

fn collect(value: &Value, found: &mut Vec<SeenMedia>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(map) => match one(value) {
            Some(media) => found.push(media),
            None => map.values().for_each(|item| collect(item, found)),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The picture or document that this part of a message is.
fn one(part: &Value) -> Option<SeenMedia> {
    match part["type"].as_str() {
        // Anthropic.
        Some("image" | "document") if part["source"]["type"] == "base64" => {
            let text = |key: &str| part["source"][key].as_str().unwrap_or_default().to_owned();
            Some(SeenMedia { media_type: text("media_type"), data: text("data") })
        }
        // Chat, then Responses.
        Some("image_url") => from_url(&part["image_url"]["url"]),
        Some("file") => from_url(&part["file"]["file_data"]),
        Some("input_image") => from_url(&part["image_url"]),
        Some("input_file") => from_url(&part["file_data"]),
        _ => {
            let inline = part["inlineData"].as_object()?;
            let text = |key: &str| inline.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            Some(SeenMedia { media_type: text("mimeType"), data: text("data") })
        }
    }
}

/// A picture as Ollama has it: in a list beside the text.
fn bare(data: &Value) -> SeenMedia {
    let data = data.as_str().unwrap_or_default();
    let known = BEGINNINGS.iter().find(|(beginning, _)| data.starts_with(beginning));
    SeenMedia { media_type: known.map_or("", |(_, kind)| kind).to_owned(), data: data.to_owned() }
}

fn from_url(url: &Value) -> Option<SeenMedia> {
    let url = url.as_str()?;
    let (media_type, data) =
        url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,")).unwrap_or(("", url));
    Some(SeenMedia { media_type: media_type.to_owned(), data: data.to_owned() })
}

/// The vendors' rules: readable types, real base64, and no more than they take.
/// <https://platform.claude.com/docs/en/build-with-claude/vision>, <https://platform.openai.com/docs/guides/images-vision>.
pub(super) fn check(request: &SeenRequest) -> Checked {
    let (count, each, total) = match request.dialect {
        Dialect::Anthropic => (100, 5 << 20, 32 << 20),
        Dialect::OpenaiChat | Dialect::OpenaiResponses => (500, 50 << 20, 50 << 20),
        Dialect::Gemini => (3600, 15 << 20, 20 << 20),
        Dialect::Ollama => (1000, 32 << 20, 32 << 20),
    };
    let media = request.media();
    ensure(media.len() <= count, || format!("too many images: {} of at most {count}", media.len()))?;
    let mut sum = 0;
    for (at, one) in media.iter().enumerate() {
        let kind = one.media_type.as_str();
        let known = match request.dialect {
            Dialect::Gemini => OF_GEMINI.contains(&kind),
            // It is told no type, and finds out when the model reads.
            Dialect::Ollama => kind.is_empty() || IMAGES.contains(&kind),
            Dialect::Anthropic | Dialect::OpenaiChat | Dialect::OpenaiResponses => {
                IMAGES.contains(&kind) || kind == PDF
            }
        };
        ensure(known, || format!("image {at}: media type `{}` is not supported", one.media_type))?;
        let bytes = BASE64_STANDARD.decode(&one.data).map_err(|_| format!("image {at}: not valid base64"))?;
        ensure(!bytes.is_empty(), || format!("image {at}: empty"))?;
        ensure(bytes.len() <= each, || format!("image {at}: exceeds {each} bytes"))?;
        sum += one.data.len();
    }
    ensure(sum <= total, || format!("images: {sum} bytes exceed {total}"))
}
