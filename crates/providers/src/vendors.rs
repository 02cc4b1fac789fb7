//! The built-in table of vendors, `vendors.toml`: a vendor is a row of it, never a branch in code. Holds no key and opens no
//! connection. Start with [`vendor`].

use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Api, Quirks};

/// The table, in its file's form.
const TABLE: &str = include_str!("../vendors.toml");
/// What stands in an address for what only the owner knows.
pub(crate) const RESOURCE: &str = "{resource}";
/// The most names that an error offers.
const MAX_NEAREST: usize = 3;

/// A vendor of models.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vendor {
    /// What the configuration calls it: small letters, digits and `-`.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// The interface that it speaks.
    pub api: Api,
    /// Its address; empty where only the owner knows it. May hold `{resource}`.
    #[serde(default)]
    pub base_url: String,
    /// What `{resource}` in the address stands for, in words.
    #[serde(default)]
    pub resource: Option<String>,
    /// How its key is sent; as is usual with its interface when absent.
    #[serde(default)]
    pub key_header: Option<KeyHeader>,
    /// How its models are listed; as is usual with its interface when absent.
    #[serde(default)]
    pub lists: Option<ListForm>,
    /// In what it departs from its interface.
    #[serde(default)]
    pub quirks: Quirks,
    /// Whether it is a server of the owner's own, which may do without a key and without TLS.
    #[serde(default)]
    pub local: bool,
    /// Whether a subscription of it may be used by other programs. The key of an account is always right.
    #[serde(default)]
    pub subscription: Subscription,
    /// Why it cannot be used, and what to do instead.
    #[serde(default)]
    pub unavailable: Option<String>,
    /// Where a key is obtained.
    #[serde(default)]
    pub keys_at: Option<String>,
    /// Its documentation.
    #[serde(default)]
    pub docs: Option<String>,
    /// The day on which the row was last compared with what the vendor publishes, as `YYYY-MM-DD`; empty when it never was.
    pub checked: String,
}

impl Vendor {
    /// How its key is sent.
    pub fn key_header(&self) -> KeyHeader {
        self.key_header.unwrap_or_else(|| KeyHeader::usual(self.api))
    }

    /// How its models are listed.
    pub fn lists(&self) -> ListForm {
        self.lists.unwrap_or_else(|| ListForm::usual(self.api))
    }
}

/// In which header a key is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeyHeader {
    /// `authorization: Bearer KEY`
    Bearer,
    /// `x-api-key: KEY`, as Anthropic has it.
    XApiKey,
    /// `api-key: KEY`, as Azure has it.
    ApiKey,
    /// `x-goog-api-key: KEY`, as Google has it.
    XGoogApiKey,
}

impl KeyHeader {
    /// What is usual with an interface.
    pub(crate) fn usual(api: Api) -> Self {
        match api {
            Api::Anthropic => Self::XApiKey,
            Api::OpenaiChat | Api::OpenaiResponses | Api::Ollama => Self::Bearer,
            Api::Gemini => Self::XGoogApiKey,
        }
    }

    /// The header and what stands in it before the key.
    pub(crate) fn slot(self) -> egress::Slot {
        let (name, prefix) = match self {
            Self::Bearer => ("authorization", "Bearer "),
            Self::XApiKey => ("x-api-key", ""),
            Self::ApiKey => ("api-key", ""),
            Self::XGoogApiKey => ("x-goog-api-key", ""),
        };
        egress::Slot::Header { name, prefix }
    }
}

/// The form of a vendor's list of models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ListForm {
    /// `GET /models` in one piece, with whatever each vendor adds to it.
    Openai,
    /// `GET /v1/models` in pages, as Anthropic has it.
    Anthropic,
    /// `GET /v1beta/models` in pages, as Google has it.
    Gemini,
    /// `GET /api/tags` and `POST /api/show`, as Ollama has it.
    Ollama,
    /// There is none, or it lists what this account cannot use.
    None,
}

impl ListForm {
    /// What is usual with an interface.
    pub(crate) fn usual(api: Api) -> Self {
        match api {
            Api::Anthropic => Self::Anthropic,
            Api::OpenaiChat | Api::OpenaiResponses => Self::Openai,
            Api::Gemini => Self::Gemini,
            Api::Ollama => Self::Ollama,
        }
    }
}

/// Whether a subscription may be used by other programs than the vendor's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subscription {
    /// Nothing is known of one.
    #[default]
    None,
    /// The vendor allows it.
    Allowed,
    /// The vendor's terms forbid it.
    Forbidden,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    vendor: Vec<Vendor>,
}

/// All vendors, sorted by id.
pub fn vendors() -> &'static [Vendor] {
    static VENDORS: LazyLock<Vec<Vendor>> = LazyLock::new(|| {
        let table: Table = toml::from_str(TABLE).expect("the table is part of the program, and a test reads it");
        table.vendor
    });
    &VENDORS
}

/// The vendor of this id.
pub fn vendor(id: &str) -> Option<&'static Vendor> {
    let all = vendors();
    all.binary_search_by(|vendor| vendor.id.as_str().cmp(id)).ok().and_then(|index| all.get(index))
}

/// The ids that are nearest to a mistyped one, nearest first; all of them when none is near.
pub fn nearest(id: &str) -> Vec<&'static str> {
    let mut all: Vec<(usize, &str)> = vendors().iter().map(|known| (distance(id, known), known.id.as_str())).collect();
    all.sort_unstable();
    let near = all.iter().take_while(|(distance, _)| *distance <= 2).count();
    let offered = if near == 0 { all.len() } else { near.min(MAX_NEAREST) };
    all.into_iter().take(offered).map(|(_, id)| id).collect()
}

/// How far a word is from a vendor: 0 when its id or name begins with it, else the single-letter changes between word and id.
fn distance(word: &str, vendor: &Vendor) -> usize {
    let word = word.to_ascii_lowercase();
    if word.len() >= 3 && (vendor.id.starts_with(&word) || vendor.name.to_ascii_lowercase().contains(&word)) {
        return 0;
    }
    let id: Vec<char> = vendor.id.chars().collect();
    let mut row: Vec<usize> = (0..=id.len()).collect();
    for (i, letter) in word.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in id.iter().enumerate() {
            let change = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[id.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_sorted_and_plain() {
        let ids: Vec<&str> = vendors().iter().map(|vendor| vendor.id.as_str()).collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
        for id in ids {
            assert!(id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'), "{id}");
            assert_eq!(vendor(id).map(|vendor| vendor.id.as_str()), Some(id));
        }
    }

    #[test]
    fn addresses_can_be_used_and_are_encrypted_unless_local() {
        for vendor in vendors() {
            let id = &vendor.id;
            assert_eq!(vendor.base_url.contains(RESOURCE), vendor.resource.is_some(), "{id}");
            let empty = vendor.base_url.is_empty();
            assert_eq!(empty, id == "compatible" || vendor.unavailable.is_some(), "{id}: {}", vendor.base_url);
            let address = vendor.base_url.replace(RESOURCE, "mine");
            assert!(empty || egress::check_address(&address).is_ok(), "{id}: {address}");
            assert!(empty || !address.ends_with('/'), "{id}: {address}");
            let (needed, other) = if vendor.local { ("http://127.0.0.1:", "nothing") } else { ("https://", "http://") };
            assert!(empty || address.starts_with(needed), "{id}: {address}");
            for link in [&vendor.keys_at, &vendor.docs].into_iter().flatten() {
                assert!(link.starts_with("https://") && !link.contains(other), "{id}: {link}");
            }
            assert!(
                vendor.keys_at.is_some() || vendor.local || vendor.unavailable.is_some(),
                "{id} says where its keys are"
            );
        }
    }

    #[test]
    fn days_are_days() {
        for vendor in vendors() {
            let parts: Vec<&str> = vendor.checked.split('-').collect();
            let is_day = matches!(parts[..], [year, month, day] if [(year, 4), (month, 2), (day, 2)]
                .iter()
                .all(|(part, length)| part.len() == *length && part.bytes().all(|byte| byte.is_ascii_digit())));
            assert!(vendor.checked.is_empty() || is_day, "{}: {}", vendor.id, vendor.checked);
        }
    }

    #[test]
    fn a_row_with_an_unknown_quirk_is_refused() {
        let row = |quirks: &str| {
            let fields = "id = \"x\"\nname = \"X\"\napi = \"anthropic\"\nchecked = \"\"";
            toml::from_str::<Table>(&format!("[[vendor]]\n{fields}\nquirks = {{ {quirks} }}\n"))
        };
        assert!(row("replay_reasoning = true").is_ok());
        let error = row("replays = true").err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("unknown field `replays`"), "{error}");
    }

    #[test]
    fn mistyped_ids_have_neighbours() {
        assert_eq!(nearest("depseek"), ["deepseek"]);
        assert_eq!(nearest("gemini"), ["google"]);
        assert_eq!(nearest("moonshoot").first(), Some(&"moonshot"));
        assert_eq!(nearest("kimi"), ["moonshot", "moonshot-cn"]);
        assert_eq!(nearest("something else altogether").len(), vendors().len());
    }

    #[test]
    fn keys_go_where_each_vendor_looks_for_them() {
        let header = |id: &str| vendor(id).map(|vendor| vendor.key_header());
        assert_eq!(header("anthropic"), Some(KeyHeader::XApiKey));
        assert_eq!(header("azure"), Some(KeyHeader::ApiKey));
        assert_eq!(header("google"), Some(KeyHeader::XGoogApiKey));
        assert_eq!(header("deepseek"), Some(KeyHeader::Bearer));
    }
}
