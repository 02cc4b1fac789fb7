//! The questions that `setup` asks a person.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use daemon::offline;
use types::{Failure, SecretName, WorkspaceName};

use super::{
    choices::{Choices, ProviderChoice, SecretChoice, TelegramChoice},
    flags::parse_prices,
    vendors::{VENDORS, Vendor},
};
use crate::{output, prompt};

/// Asks for everything, and again for what cannot be used. Nothing is written before the last answer, so that leaving
/// changes nothing.
pub fn ask(home: &Path) -> Result<Choices, Failure> {
    output::error("This writes config.toml and the secrets. Ctrl-C leaves without a change.\n");
    Ok(Choices { provider: provider()?, telegram: telegram()?, workspaces: workspace(home)?.into_iter().collect() })
}

fn provider() -> Result<Option<ProviderChoice>, Failure> {
    let mut menu = "Which model answers?\n  0. none yet: a built-in practice model, which is a script\n".to_owned();
    for (vendor, number) in VENDORS.iter().zip(1..) {
        let _ = writeln!(menu, "  {number}. {}", vendor.title);
    }
    output::error(menu.trim_end());
    let chosen = prompt::ask_until("number", Some("1"), |answer| {
        answer.parse::<usize>().ok().filter(|number| *number <= VENDORS.len()).ok_or("choose a number".to_owned())
    })?;
    let Some(vendor) = chosen.checked_sub(1).and_then(|index| VENDORS.get(index)) else { return Ok(None) };
    let base_url = match vendor.base_url {
        "" => prompt::ask_until("address, such as http://127.0.0.1:8000/v1", None, is_address)?,
        base_url => base_url.to_owned(),
    };
    let model = prompt::ask_until("the vendor's name of the model", None, is_given)?;
    let key = key(vendor)?;
    output::error("What does it cost? Without prices the budget cannot count money; empty if you do not know.");
    let prices = prompt::ask_until("input,output in US dollars per million tokens", Some(""), |answer| {
        if answer.is_empty() { Ok(None) } else { parse_prices(answer).map(Some) }
    })?;
    let (name, api) = (vendor.name.to_owned(), vendor.api.to_owned());
    Ok(Some(ProviderChoice { name, api, base_url, model, key, prices }))
}

fn key(vendor: &Vendor) -> Result<Option<SecretChoice>, Failure> {
    if !vendor.needs_key && !prompt::confirm("does it need a key?", false)? {
        return Ok(None);
    }
    secret(&format!("{}-key", vendor.name), "its API key").map(Some)
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
    fn names_of_vendors_are_valid_names() {
        for vendor in VENDORS {
            assert!(SecretName::new(format!("{}-key", vendor.name)).is_ok(), "{}", vendor.name);
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
