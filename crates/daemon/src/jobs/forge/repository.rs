//! Which repository a remote's address means. Pure.

use egress::WebTarget;

/// A repository at its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    host: String,
    port: Option<u16>,
    owner: String,
    name: String,
}

impl Repository {
    /// The repository that a remote's address means: `https://host/owner/name`, `ssh://git@host/owner/name` or
    /// `git@host:owner/name`, each with or without `.git`. A port counts for https alone.
    pub fn of_remote(url: &str) -> Option<Self> {
        let url = crate::jobs::git::safe_remote(url)?;
        let (authority, path, is_https) = match url.split_once("://") {
            Some(("https", rest)) => rest.split_once('/').map(|(authority, path)| (authority, path, true))?,
            Some(("ssh", rest)) => rest.split_once('/').map(|(authority, path)| (authority, path, false))?,
            Some(_) => return None,
            None => url.split_once(':').map(|(authority, path)| (authority, path, false))?,
        };
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse::<u16>().ok()?)),
            None => (authority, None),
        };
        let path = path.trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path);
        let (owner, name) = path.split_once('/')?;
        if !is_name(owner) || !is_name(name) {
            return None;
        }
        let host = host.to_ascii_lowercase();
        let port = port.filter(|port| is_https && *port != 443);
        let repository = Self { host, port, owner: owner.to_owned(), name: name.to_owned() };
        WebTarget::parse(&repository.url()).ok()?;
        Some(repository)
    }

    /// Its host's name.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whose it is.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Its host's address.
    pub(super) fn site(&self) -> String {
        match self.port {
            Some(port) => format!("https://{}:{port}", self.host),
            None => format!("https://{}", self.host),
        }
    }

    /// Its address for git.
    pub fn url(&self) -> String {
        format!("{}/{}/{}.git", self.site(), self.owner, self.name)
    }

    /// Its address for people.
    pub fn shown(&self) -> String {
        format!("{}/{}/{}", self.site().trim_start_matches("https://"), self.owner, self.name)
    }

    /// A path of the interface beneath it.
    pub(super) fn api_path(&self, rest: &str) -> String {
        format!("/repos/{}/{}{rest}", self.owner, self.name)
    }
}

fn is_name(text: &str) -> bool {
    (1..=100).contains(&text.len())
        && !text.starts_with(['.', '-'])
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remotes_name_a_repository() {
        for (given, expected) in [
            ("https://github.com/acme/app.git", Some("https://github.com/acme/app.git")),
            ("https://token@GitHub.com/acme/app", Some("https://github.com/acme/app.git")),
            ("git@github.com:acme/app.git", Some("https://github.com/acme/app.git")),
            ("ssh://git@git.acme.test:2222/acme/app", Some("https://git.acme.test/acme/app.git")),
            ("https://git.acme.test:3000/acme/app", Some("https://git.acme.test:3000/acme/app.git")),
            ("http://github.com/acme/app", None),
            ("https://github.com/acme", None),
            ("https://github.com/acme/app/x", None),
            ("https://github.com/../app", None),
            ("https://github.com/acme/-x", None),
            ("https://github.com/acme/a%2fb", None),
            ("/srv/app", None),
            ("", None),
        ] {
            assert_eq!(Repository::of_remote(given).map(|found| found.url()).as_deref(), expected, "{given}");
        }
        let one = Repository::of_remote("git@github.com:acme/app.git").map(|found| found.shown());
        assert_eq!(one.as_deref(), Some("github.com/acme/app"));
    }
}
