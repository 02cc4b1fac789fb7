//! The options of `setup`, for scripts.

use std::path::PathBuf;

use daemon::offline;
use types::{Failure, Prices, SecretName, WorkspaceName};

use super::choices::{Choices, ProviderChoice, SecretChoice, TelegramChoice};
use crate::{error::user, prompt};

/// The most bytes of a secret that is read from standard input.
const MAX_SECRET: usize = 64 << 10;

/// Chooses a model, a messenger and a workspace, and writes config.toml and the secrets. Without options it asks. What is
/// not named stays as it is.
///
/// With both --key-stdin and --telegram-token-stdin, standard input holds the key on its first line and the token on its
/// second.
#[derive(Debug, clap::Args)]
pub struct Setup {
    /// The model's vendor, such as `anthropic` or `deepseek`; a wrong name is answered with the right ones
    #[arg(long, value_name = "VENDOR", requires = "model", value_parser = parse_vendor)]
    vendor: Option<String>,
    /// What to call it in the configuration [default: the vendor's name]
    #[arg(long, value_name = "NAME", requires = "model")]
    provider: Option<String>,
    /// The interface that it speaks [default: the vendor's, or anthropic]
    #[arg(long, value_name = "API",
          value_parser = ["anthropic", "openai-chat", "openai-responses", "gemini", "ollama"])]
    api: Option<String>,
    /// Its address [default: the vendor's]
    #[arg(long, value_name = "URL", requires = "model")]
    base_url: Option<String>,
    /// The open part of the vendor's address, such as the name of an Azure resource, or a region
    #[arg(long, value_name = "NAME", requires = "vendor")]
    resource: Option<String>,
    /// The vendor's name of the model
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Read its key from standard input
    #[arg(long, requires = "model", conflicts_with = "key_secret")]
    key_stdin: bool,
    /// The name of a stored secret that holds its key
    #[arg(long, value_name = "SECRET", requires = "model")]
    key_secret: Option<SecretName>,
    /// What the model costs, in US dollars per million tokens; cache prices may be left out
    #[arg(long, value_name = "INPUT,OUTPUT[,READ,WRITE]", requires = "model", value_parser = parse_prices)]
    prices: Option<Prices>,
    /// What to call the Telegram bot in the configuration
    #[arg(long, value_name = "NAME", default_value = "home")]
    telegram_name: String,
    /// Read the Telegram bot's token from standard input
    #[arg(long, requires = "telegram_allow", conflicts_with = "telegram_token_secret")]
    telegram_token_stdin: bool,
    /// The name of a stored secret that holds the token
    #[arg(long, value_name = "SECRET", requires = "telegram_allow")]
    telegram_token_secret: Option<SecretName>,
    /// Who may use the bot: numeric user ids, you first
    #[arg(long, value_name = "ID,...", value_delimiter = ',', allow_negative_numbers = true)]
    telegram_allow: Vec<i64>,
    /// A directory that the agent may work in; may be given several times
    #[arg(long, value_name = "NAME=PATH", value_parser = parse_workspace)]
    workspace: Vec<(WorkspaceName, PathBuf)>,
    /// Only write the AppArmor profile that Ubuntu from 24.04 on demands; needs root
    #[arg(long, conflicts_with_all = ["model", "telegram_allow", "workspace", "check"])]
    pub(super) apparmor: bool,
    /// Only look: is everything ready, and what is missing?
    #[arg(long, conflicts_with_all = ["model", "telegram_allow", "workspace"])]
    pub(super) check: bool,
}

impl Setup {
    /// Whether an option makes a choice.
    pub(super) fn makes_choices(&self) -> bool {
        self.model.is_some() || !self.telegram_allow.is_empty() || !self.workspace.is_empty()
    }

    /// The choices. Reads the secrets that the options announce.
    pub(super) fn choices(self) -> Result<Choices, Failure> {
        let telegram_secret = self.telegram_token_secret.clone();
        let key = match (self.key_stdin, self.key_secret) {
            (true, _) => {
                let name = self.provider.as_deref().or(self.vendor.as_deref()).unwrap_or("provider");
                Some(read_secret(&format!("{name}-key"))?)
            }
            (false, Some(name)) => Some(SecretChoice { name, value: None }),
            (false, None) => None,
        };
        let token = match (self.telegram_token_stdin, telegram_secret) {
            (true, _) => Some(read_secret("telegram-token")?),
            (false, Some(name)) => Some(SecretChoice { name, value: None }),
            (false, None) => None,
        };
        if token.is_none() && !self.telegram_allow.is_empty() {
            let hint = "pipe it in with --telegram-token-stdin, or name a secret with --telegram-token-secret";
            return Err(user("the Telegram bot has no token", hint));
        }
        let provider = match self.model {
            None => None,
            Some(model) => {
                let Some(name) = self.provider.or_else(|| self.vendor.clone()) else {
                    let hint = "name it with --vendor; or a server of your own with --provider and --base-url";
                    return Err(user("nothing says whose model it is", hint));
                };
                if self.vendor.is_none() && self.base_url.is_none() {
                    let hint = "add --base-url; or --vendor, if it is one of the vendors that are known";
                    return Err(user(format!("nothing says where `{name}` is"), hint));
                }
                let api = self.api.or_else(|| self.vendor.is_none().then(|| "anthropic".to_owned()));
                let (vendor, resource, base_url) = (self.vendor, self.resource, self.base_url);
                Some(ProviderChoice { name, vendor, resource, api, base_url, model, key, prices: self.prices })
            }
        };
        let telegram =
            token.map(|token| TelegramChoice { name: self.telegram_name, token, allow: self.telegram_allow });
        let mut workspaces = self.workspace;
        for (_, path) in &mut workspaces {
            *path = std::path::absolute(&*path)
                .map_err(|error| user(format!("{} is not usable: {error}", path.display()), "name a directory"))?;
        }
        Ok(Choices { provider, telegram, workspaces })
    }
}

fn read_secret(name: &str) -> Result<SecretChoice, Failure> {
    let name = SecretName::new(name)
        .map_err(|error| user(error.to_string(), "give the provider a name of small letters and digits"))?;
    let value = prompt::read_line(MAX_SECRET)?.trim_ascii().to_vec();
    if value.is_empty() {
        return Err(user(format!("standard input holds no value for {name}"), "pipe one value per line into setup"));
    }
    Ok(SecretChoice { name, value: Some(value) })
}

fn parse_workspace(text: &str) -> Result<(WorkspaceName, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or("write it as NAME=PATH")?;
    let name = WorkspaceName::new(name).map_err(|error| error.to_string())?;
    if path.is_empty() { Err("the path is empty".to_owned()) } else { Ok((name, path.into())) }
}

fn parse_vendor(text: &str) -> Result<String, String> {
    match offline::vendor(text) {
        Some(vendor) => Ok(vendor.id.clone()),
        None => Err(format!("there is none of this name; known are: {}", offline::nearest_vendors(text).join(", "))),
    }
}

/// Two to four prices, separated by commas.
pub(super) fn parse_prices(text: &str) -> Result<Prices, String> {
    let numbers: Vec<f64> = text
        .split(',')
        .map(|number| number.trim().parse::<f64>().ok().filter(|price| price.is_finite() && *price >= 0.0))
        .collect::<Option<_>>()
        .ok_or("prices are numbers of dollars, such as 3,15")?;
    match numbers[..] {
        [input, output] => Ok(Prices::new(input, output)),
        [input, output, read, write] => {
            Ok(Prices { cache_read: Some(read), cache_write: Some(write), ..Prices::new(input, output) })
        }
        _ => Err("give two or four prices".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workspaces_and_prices_are_read() {
        assert!(parse_workspace("billing=/srv/a=b").is_ok_and(|(_, path)| path.ends_with("a=b")));
        for bad in ["billing", "=x", "Billing=/x", "billing="] {
            assert!(parse_workspace(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_vendor("deepseek").as_deref(), Ok("deepseek"));
        assert!(parse_vendor("depseek").is_err_and(|error| error.ends_with("known are: deepseek")));
        assert_eq!(parse_prices("3, 15").map(|prices| (prices.input, prices.cache_read)), Ok((3.0, None)));
        assert_eq!(parse_prices("3,15,0.3,3.75").map(|prices| prices.cache_read), Ok(Some(0.3)));
        for bad in ["", "3", "3,15,1", "3,-1", "a,b", "3,inf"] {
            assert!(parse_prices(bad).is_err(), "{bad}");
        }
    }
}
