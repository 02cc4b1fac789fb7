//! A scripted model vendor over real HTTP. It speaks Anthropic Messages, OpenAI Chat Completions, OpenAI Responses, Google
//! Gemini and Ollama's interface, checks every request against the vendor's published rules, and answers what the test's brain
//! says, with faults on demand. Must not know anything of ours: it is the outside world. Start with [`ModelServer`].

mod anthropic;
mod gemini;
mod media;
mod ollama;
mod openai;
mod reply;
mod responses;
mod rules;
mod seen;
mod server;
#[cfg(test)]
mod tests;
mod transport;
mod usage;

pub use reply::{Fault, Part, Pieces, Reply};
pub use seen::{Dialect, SeenCall, SeenMedia, SeenRequest, SeenResult};
pub use server::ModelServer;
pub use usage::Served;
