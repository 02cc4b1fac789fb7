//! One file per model wire dialect, and what the dialects share: server-sent events, errors, retries. Vendors are data
//! (an address, a key's name, prices); dialects are code. Must not know sessions. Start with [`build`] and
//! [`ProviderConfig`]; a request's way is in `wire`.

mod anthropic;
mod blocks;
mod config;
mod conversation;
mod discover;
mod errors;
mod explain;
mod frames;
mod gemini;
mod keys;
mod media;
mod models;
mod ollama;
mod openai_chat;
mod openai_responses;
pub mod practice;
mod quirks;
mod refused;
mod retry;
mod sse;
mod vendors;
mod wire;

pub use config::{Api, OutputLimit, ProviderConfig, ProviderConfigError, build};
pub use discover::{Listed, known_models, list_models};
pub use explain::{Explained, explain};
pub use models::{Model, ModelConfig, ModelFacts, Priced, model, models};
pub use quirks::{CallIds, Quirks, Reasoning, ReasoningField, SchemaForm};
pub use vendors::{KeyHeader, ListForm, Subscription, Vendor, nearest, vendor, vendors};
