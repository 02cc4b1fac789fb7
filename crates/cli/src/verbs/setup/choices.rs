//! What a person chose, and the configuration and secrets that follow from it. Pure.

use std::{fmt, path::PathBuf};

use daemon::offline;
use types::{Failure, Prices, SecretName, WorkspaceName};

use crate::error::user;

/// All choices; what was not chosen stays as it is.
#[derive(Debug, Default)]
pub struct Choices {
    /// Who answers.
    pub provider: Option<ProviderChoice>,
    /// The messenger.
    pub telegram: Option<TelegramChoice>,
    /// Directories to work in.
    pub workspaces: Vec<(WorkspaceName, PathBuf)>,
}

/// A model vendor.
#[derive(Debug)]
pub struct ProviderChoice {
    /// What to call it in the configuration.
    pub name: String,
    /// Its id in the built-in table; none for a server that is in no table.
    pub vendor: Option<String>,
    /// What stands for the open part of the vendor's address.
    pub resource: Option<String>,
    /// The interface it speaks; the vendor's when absent.
    pub api: Option<String>,
    /// Its address; the vendor's when absent.
    pub base_url: Option<String>,
    /// The vendor's name of the model.
    pub model: String,
    /// Its key; none for a server without keys.
    pub key: Option<SecretChoice>,
    /// What the model costs; none when that is not known.
    pub prices: Option<Prices>,
}

/// A Telegram bot.
#[derive(Debug)]
pub struct TelegramChoice {
    /// What to call it in the configuration.
    pub name: String,
    /// The bot's token.
    pub token: SecretChoice,
    /// Who may use it: numeric user ids, the owner first.
    pub allow: Vec<i64>,
}

/// A secret: its name, and its value unless it is stored already.
pub struct SecretChoice {
    /// The name in the vault.
    pub name: SecretName,
    /// The value.
    pub value: Option<Vec<u8>>,
}

impl fmt::Debug for SecretChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretChoice").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What is to be written.
#[derive(Debug, Default)]
pub struct Plan {
    /// Keys of config.toml as dotted paths, with TOML values.
    pub values: Vec<(String, String)>,
    /// Secrets that have a value.
    pub secrets: Vec<SecretChoice>,
}

impl Choices {
    /// Whether nothing was chosen.
    pub fn is_empty(&self) -> bool {
        self.provider.is_none() && self.telegram.is_none() && self.workspaces.is_empty()
    }

    /// What follows from the choices.
    pub fn plan(self) -> Result<Plan, Failure> {
        let mut plan = Plan::default();
        if let Some(provider) = self.provider {
            plan.provider(provider)?;
        }
        if let Some(telegram) = self.telegram {
            plan.telegram(telegram)?;
        }
        for (name, path) in self.workspaces {
            let path = path.to_str().ok_or_else(|| {
                user(format!("the directory {} has a name that is not UTF-8", path.display()), "rename it")
            })?;
            plan.set(format!("workspaces.{name}.path"), string(path)?);
        }
        Ok(plan)
    }
}

impl Plan {
    fn provider(&mut self, choice: ProviderChoice) -> Result<(), Failure> {
        let table = format!("providers.{}", plain(&choice.name)?);
        if let Some(address) = &choice.base_url {
            offline::address_check(address)?;
        }
        self.set("agent.model".to_owned(), string(&format!("{}/{}", choice.name, choice.model))?);
        let settings = [
            ("vendor", &choice.vendor),
            ("resource", &choice.resource),
            ("api", &choice.api),
            ("base_url", &choice.base_url),
        ];
        for (key, value) in settings {
            if let Some(value) = value {
                self.set(format!("{table}.{key}"), string(value)?);
            }
        }
        if let Some(prices) = choice.prices {
            // The model's name may hold dots, so it must be a quoted key of an inline table, not a part of the path.
            let prices = format!("{{ {} = {} }}", string(&choice.model)?, inline(&prices));
            self.set(format!("{table}.prices"), prices);
        }
        match choice.key {
            Some(key) => self.secret(format!("{table}.key"), key),
            None => Ok(()),
        }
    }

    fn telegram(&mut self, choice: TelegramChoice) -> Result<(), Failure> {
        let table = format!("channels.telegram.{}", plain(&choice.name)?);
        let allow: Vec<String> = choice.allow.iter().map(ToString::to_string).collect();
        self.set(format!("{table}.allow"), format!("[{}]", allow.join(", ")));
        self.secret(format!("{table}.token"), choice.token)
    }

    fn secret(&mut self, key: String, secret: SecretChoice) -> Result<(), Failure> {
        self.set(key, string(secret.name.as_str())?);
        if secret.value.is_some() {
            self.secrets.push(secret);
        }
        Ok(())
    }

    fn set(&mut self, key: String, value: String) {
        self.values.push((key, value));
    }
}

/// A name that can be a part of a dotted path. All names in the configuration have the same form.
fn plain(name: &str) -> Result<&str, Failure> {
    WorkspaceName::new(name)
        .map(|_| name)
        .map_err(|error| user(error.to_string(), "choose another name; it only stands in config.toml"))
}

fn inline(prices: &Prices) -> String {
    let mut fields = vec![format!("input = {:?}", prices.input), format!("output = {:?}", prices.output)];
    fields.extend(prices.cache_read.map(|price| format!("cache_read = {price:?}")));
    fields.extend(prices.cache_write.map(|price| format!("cache_write = {price:?}")));
    format!("{{ {} }}", fields.join(", "))
}

/// Text as a TOML string. Without control characters, JSON's form is TOML's as well.
fn string(text: &str) -> Result<String, Failure> {
    if text.chars().any(char::is_control) {
        return Err(user("a value holds a control character", "type it without"));
    }
    Ok(serde_json::Value::from(text).to_string())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn secret(name: &str, value: Option<&str>) -> SecretChoice {
        let value = value.map(|value| value.as_bytes().to_vec());
        SecretChoice { name: SecretName::new(name).unwrap(), value }
    }

    fn choices() -> Choices {
        Choices {
            provider: Some(ProviderChoice {
                name: "lab".to_owned(),
                vendor: None,
                resource: None,
                api: Some("openai-chat".to_owned()),
                base_url: Some("http://127.0.0.1:9999".to_owned()),
                model: "model-4.1".to_owned(),
                key: Some(secret("lab-key", Some("0123456789"))),
                prices: Some(Prices { cache_read: Some(0.3), ..Prices::new(3.0, 15.0) }),
            }),
            telegram: Some(TelegramChoice {
                name: "home".to_owned(),
                token: secret("telegram-token", None),
                allow: vec![7, 8],
            }),
            workspaces: vec![(WorkspaceName::new("billing").unwrap(), "/srv/a \"b\"".into())],
        }
    }

    #[test]
    fn choices_become_configuration_and_secrets() {
        let plan = choices().plan().unwrap();
        let lines: Vec<String> = plan.values.iter().map(|(key, value)| format!("{key} = {value}")).collect();
        insta::assert_snapshot!(lines.join("\n"));
        let names: Vec<&str> = plan.secrets.iter().map(|secret| secret.name.as_str()).collect();
        assert_eq!(names, ["lab-key"], "a secret without a value is stored already");
    }

    #[test]
    fn a_vendor_of_the_table_needs_its_name_and_its_key_alone() {
        let mut choices = Choices { telegram: None, workspaces: Vec::new(), ..choices() };
        let provider = choices.provider.as_mut().unwrap();
        (provider.vendor, provider.api, provider.base_url) = (Some("deepseek".to_owned()), None, None);
        (provider.resource, provider.prices) = (None, None);
        let keys: Vec<String> = choices.plan().unwrap().values.into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["agent.model", "providers.lab.vendor", "providers.lab.key"]);
    }

    #[test]
    fn no_value_of_a_secret_is_shown() {
        assert!(!format!("{:?}", choices()).contains("0123456789"));
    }

    #[test]
    fn names_and_addresses_are_checked() {
        let mut wrong = choices();
        wrong.provider.as_mut().unwrap().name = "a.b".to_owned();
        assert!(wrong.plan().is_err());
        let mut wrong = choices();
        wrong.telegram.as_mut().unwrap().name = "Home Bot".to_owned();
        assert!(wrong.plan().is_err());
        let mut wrong = choices();
        wrong.provider.as_mut().unwrap().base_url = Some("ftp://nowhere".to_owned());
        assert!(wrong.plan().is_err());
    }

    #[test]
    fn a_value_cannot_leave_its_line() {
        let mut choices = choices();
        choices.provider.as_mut().unwrap().model = "m\"\nsteps = 9".to_owned();
        assert!(choices.plan().is_err());
    }
}
