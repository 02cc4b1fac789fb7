//! The questions that `setup` asks a person.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use daemon::offline::{self, Subscription, Vendor};
use types::{Failure, Prices, SecretName, WorkspaceName};

use super::{
    choices::{Choices, ProviderChoice, SecretChoice, TelegramChoice},
    flags::parse_prices,
};
use crate::{output, prompt};

/// Asks for everything, and again for what cannot be used. Nothing is written before the last answer, so that leaving
/// changes nothing.
pub fn ask(home: &Path) -> Result<Choices, Failure> {
    output::error("This writes config.toml and the secrets. Ctrl-C leaves without a change.\n");
    Ok(Choices { provider: provider()?, telegram: telegram()?, workspaces: workspace(home)?.into_iter().collect() })
}

fn provider() -> Result<Option<ProviderChoice>, Failure> {
    let offered: Vec<&'static Vendor> =
        offline::vendors().iter().filter(|vendor| vendor.unavailable.is_none()).collect();
    let mut menu = "Which model answers?\n  0. none yet: a built-in practice model, which is a script\n".to_owned();
    for (vendor, number) in offered.iter().zip(1..) {
        let _ = writeln!(menu, "  {number}. {}", vendor.name);
    }
    output::error(menu.trim_end());
    let chosen = prompt::ask_until("number or name", Some("1"), |answer| pick(&offered, answer))?;
    let Some(vendor) = chosen else { return Ok(None) };
    let resource = match &vendor.resource {
        Some(what) => Some(prompt::ask_until(what, None, is_given)?),
        None => None,
    };
    let base_url = match vendor.base_url.as_str() {
        "" => Some(prompt::ask_until("address, such as http://127.0.0.1:8000/v1", None, is_address)?),
        _ => None,
    };
    let model = prompt::ask_until("the vendor's name of the model", None, is_given)?;
    let key = key(vendor)?;
    let prices = prices(vendor, &model)?;
    let (name, id) = (vendor.id.clone(), Some(vendor.id.clone()));
    Ok(Some(ProviderChoice { name, vendor: id, resource, api: None, base_url, model, key, prices }))
}

/// The vendor of a number in the menu, or of an id; none for 0.
fn pick(offered: &[&'static Vendor], answer: &str) -> Result<Option<&'static Vendor>, String> {
    if let Ok(number) = answer.parse::<usize>() {
        let Some(index) = number.checked_sub(1) else { return Ok(None) };
        return offered.get(index).copied().map(Some).ok_or_else(|| "choose a number of the list".to_owned());
    }
    let named = offered.iter().find(|vendor| vendor.id == answer).copied().map(Some);
    named.ok_or_else(|| {
        format!("there is none of this name; did you mean {}?", offline::nearest_vendors(answer).join(", "))
    })
}

fn key(vendor: &Vendor) -> Result<Option<SecretChoice>, Failure> {
    if vendor.local && !prompt::confirm("does it need a key?", false)? {
        return Ok(None);
    }
    if let Some(page) = &vendor.keys_at {
        output::error(&format!("Its keys are at {page}"));
    }
    if vendor.subscription == Subscription::Forbidden {
        output::error("It takes the key of an account. Its terms do not let other programs use a subscription.");
    }
    secret(&format!("{}-key", vendor.id), "its API key").map(Some)
}

/// Asks for what nobody knows yet.
fn prices(vendor: &Vendor, model: &str) -> Result<Option<Prices>, Failure> {
    if offline::known_prices(&vendor.id, model).is_some() {
        return Ok(None);
    }
    output::error("What does it cost? Without prices the budget cannot count money; empty if you do not know.");
    prompt::ask_until("input,output in US dollars per million tokens", Some(""), |answer| {
        if answer.is_empty() { Ok(None) } else { parse_prices(answer).map(Some) }
    })
}

fn telegram() -> Result<Option<TelegramChoice>, Failure> {
    if !prompt::confirm("Do you want to talk to it on Telegram?", false)? {
        return Ok(None);
    }
    output::error("Make a bot with @BotFather; it gives you a token. @userinfobot tells you your numeric id.");
    let token = secret("telegram-token", "the bot's token")?;
    let owner = prompt::ask_until("your numeric id; everybody else gets silence", None, |answer| {
        answer.parse::<i64>().ok().filter(|id| *id > 0).ok_or("an id is a number, such as 123456789".to_owned())
    })?;
    Ok(Some(TelegramChoice { name: "home".to_owned(), token, allow: vec![owner] }))
}

fn workspace(home: &Path) -> Result<Option<(WorkspaceName, PathBuf)>, Failure> {
    output::error("Its commands may write in one directory only. Empty: a fresh one in factotum's home.");
    let path = prompt::ask_until("directory", Some(""), |answer| is_directory(home, answer))?;
    let Some(path) = path else { return Ok(None) };
    let name = prompt::ask_until("what to call it", name_of(&path).as_deref(), |answer| {
        WorkspaceName::new(answer).map_err(|error| error.to_string())
    })?;
    Ok(Some((name, path)))
}

fn secret(name: &str, what: &str) -> Result<SecretChoice, Failure> {
    let name = SecretName::new(name).expect("names of vendors are valid names");
    loop {
        let value = prompt::ask_secret(what)?.trim_ascii().to_vec();
        match offline::secret_check(&value) {
            Ok(()) => return Ok(SecretChoice { name, value: Some(value) }),
            Err(failure) => output::error(&failure.error),
        }
    }
}

fn is_given(answer: &str) -> Result<String, String> {
    if answer.is_empty() {
        return Err("it is empty".to_owned());
    }
    if answer.chars().any(char::is_control) {
        return Err("it holds a control character".to_owned());
    }
    Ok(answer.to_owned())
}

fn is_address(answer: &str) -> Result<String, String> {
    offline::address_check(answer).map(|()| answer.to_owned()).map_err(|failure| failure.error)
}

fn is_directory(home: &Path, answer: &str) -> Result<Option<PathBuf>, String> {
    if answer.is_empty() {
        return Ok(None);
    }
    let path = std::path::absolute(answer).map_err(|error| error.to_string())?;
    let checked = offline::workspace_check(home, &path);
    checked.map(|path| Some(path.into())).map_err(|failure| daemon::terminal::neutral(&failure.error))
}

/// A name for a directory, from its last part.
fn name_of(path: &Path) -> Option<String> {
    let last = path.file_name()?.to_str()?.to_ascii_lowercase();
    let name: String = last.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).collect();
    WorkspaceName::new(name).ok().map(String::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vendors_are_chosen_by_number_and_by_name() {
        let offered: Vec<&'static Vendor> = offline::vendors().iter().collect();
        let picked = |answer: &str| pick(&offered, answer).map(|vendor| vendor.map(|vendor| vendor.id.as_str()));
        assert_eq!(picked("0"), Ok(None));
        assert_eq!(picked("1"), Ok(Some("anthropic")));
        assert_eq!(picked("deepseek"), Ok(Some("deepseek")));
        assert!(picked("999").is_err());
        assert!(picked("depseek").is_err_and(|error| error.contains("deepseek")));
        for vendor in offered {
            assert!(SecretName::new(format!("{}-key", vendor.id)).is_ok(), "{}", vendor.id);
            assert!(WorkspaceName::new(vendor.id.as_str()).is_ok(), "{} is a name of a provider", vendor.id);
        }
    }

    #[test]
    fn answers_are_checked_when_they_are_given() {
        let place = tempfile::tempdir().expect("the machine has a temporary directory");
        let home = place.path().join("home");
        std::fs::create_dir_all(home.join("inside")).expect("it is ours");
        std::fs::create_dir(place.path().join("work")).expect("it is ours");
        let directory = |answer: &str| is_directory(&home, answer);
        let inside = |name: &str| place.path().join(name).display().to_string();
        assert!(directory(&inside("work")).is_ok_and(|path| path.is_some_and(|path| path.ends_with("work"))));
        assert_eq!(directory(""), Ok(None));
        for bad in ["/nowhere/at/all", "/etc", "/", &inside("home"), &inside("home/inside"), &inside("")] {
            assert!(directory(bad).is_err(), "{bad}");
        }
        assert!(is_address("http://127.0.0.1:8000/v1").is_ok());
        for bad in ["", "nowhere", "ftp://nowhere", "http://", "https://a.example?key=1"] {
            assert!(is_address(bad).is_err(), "{bad}");
        }
        let refused = is_address("https://ann:hunter2@a.example").expect_err("it holds a password");
        assert!(refused.contains("password") && !refused.contains("hunter2"), "{refused}");
    }

    #[test]
    fn a_directory_gives_its_name() {
        assert_eq!(name_of(Path::new("/srv/code/Billing.App")).as_deref(), Some("billing-app"));
        assert_eq!(name_of(Path::new("/srv/code/.hidden")), None);
        assert_eq!(name_of(Path::new("/")), None);
    }
}
