//! Vendors that the wizard offers. Data only: whoever is not listed is reached with the last entry.

/// A vendor.
#[derive(Debug)]
pub struct Vendor {
    /// As a person knows it.
    pub title: &'static str,
    /// As the configuration calls it.
    pub name: &'static str,
    /// The interface it speaks.
    pub api: &'static str,
    /// Its address; empty to ask for it.
    pub base_url: &'static str,
    /// Whether it demands a key.
    pub needs_key: bool,
}

/// In the order in which they are offered.
pub const VENDORS: &[Vendor] = &[
    Vendor {
        title: "Anthropic",
        name: "anthropic",
        api: "anthropic",
        base_url: "https://api.anthropic.com",
        needs_key: true,
    },
    Vendor {
        title: "OpenAI",
        name: "openai",
        api: "openai-chat",
        base_url: "https://api.openai.com/v1",
        needs_key: true,
    },
    Vendor {
        title: "OpenRouter",
        name: "openrouter",
        api: "openai-chat",
        base_url: "https://openrouter.ai/api/v1",
        needs_key: true,
    },
    Vendor {
        title: "Ollama on this machine",
        name: "ollama",
        api: "openai-chat",
        base_url: "http://127.0.0.1:11434/v1",
        needs_key: false,
    },
    Vendor {
        title: "Another server that speaks OpenAI Chat Completions",
        name: "other",
        api: "openai-chat",
        base_url: "",
        needs_key: false,
    },
];
