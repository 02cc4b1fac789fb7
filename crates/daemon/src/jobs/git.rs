//! What every use of git has in common: settings by which no repository makes git run anything of its own, and the names that
//! git takes. Pure.

use std::collections::BTreeMap;

use types::unseen::is_unseen;

/// The longest name of a branch, in bytes: some file systems take no more in one directory entry.
const MAX_BRANCH: usize = 200;
/// The longest part of an author, in bytes.
const MAX_AUTHOR: usize = 200;

/// Settings that win over those of any repository. Hooks, file monitors, credential helpers, signing programs and protocols
/// that start programs are off; what comes in is checked.
const SETTINGS: [(&str, &str); 31] = [
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.untrackedCache", "false"),
    ("core.pager", "cat"),
    ("core.editor", "false"),
    ("core.askPass", "false"),
    ("core.sshCommand", "false"),
    ("core.alternateRefsCommand", "true"),
    ("core.protectHFS", "true"),
    ("core.protectNTFS", "true"),
    ("core.quotePath", "false"),
    ("credential.helper", ""),
    ("protocol.allow", "never"),
    ("protocol.file.allow", "always"),
    ("fetch.fsckObjects", "true"),
    ("transfer.fsckObjects", "true"),
    ("receive.fsckObjects", "true"),
    ("submodule.recurse", "false"),
    ("fetch.recurseSubmodules", "false"),
    ("commit.gpgSign", "false"),
    ("tag.gpgSign", "false"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("core.sparseCheckout", "false"),
    ("index.sparse", "false"),
    ("core.attributesFile", "/dev/null"),
    ("core.excludesFile", "/dev/null"),
    ("core.bigFileThreshold", "512m"),
    ("advice.detachedHead", "false"),
    ("advice.addEmbeddedRepo", "false"),
    ("safe.directory", "*"),
];

/// The environment of every git of ours.
pub(crate) fn environment() -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for (name, value) in [
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_ATTR_NOSYSTEM", "1"),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_OPTIONAL_LOCKS", "0"),
        // Otherwise a repository could show one commit in the place of another.
        ("GIT_NO_REPLACE_OBJECTS", "1"),
        // A repository can name a helper that is run to fetch an object which is missing.
        ("GIT_NO_LAZY_FETCH", "1"),
        ("GIT_PAGER", "cat"),
        ("GIT_CEILING_DIRECTORIES", "/"),
        ("LC_ALL", "C.UTF-8"),
    ] {
        all.insert(name.to_owned(), value.to_owned());
    }
    all.insert("GIT_CONFIG_COUNT".to_owned(), SETTINGS.len().to_string());
    for (number, (key, value)) in SETTINGS.iter().enumerate() {
        all.insert(format!("GIT_CONFIG_KEY_{number}"), (*key).to_owned());
        all.insert(format!("GIT_CONFIG_VALUE_{number}"), (*value).to_owned());
    }
    all
}

/// Why a text is no branch's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` cannot be a branch: {why}")]
pub struct InvalidBranch {
    name: String,
    why: &'static str,
}

/// Checks that a text can name a branch, by the rules of git-check-ref-format(1) and some of our own: nothing that git or
/// a shell could take for an option or another kind of ref, and nothing that leaves the place of branches.
pub fn check_branch(name: &str) -> Result<(), InvalidBranch> {
    let refuse = |why| Err(InvalidBranch { name: name.chars().filter(|c| !is_unseen(*c)).take(80).collect(), why });
    if name.is_empty() || name.len() > MAX_BRANCH {
        return refuse("it must have 1 to 200 bytes");
    }
    if name.contains(|c: char| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c)) {
        return refuse("it holds a space, a control character or one of ~^:?*[\\");
    }
    if name.starts_with('-') || name.starts_with("refs/") || ["HEAD", "@", "FETCH_HEAD"].contains(&name) {
        return refuse("it would be taken for something else");
    }
    if name.contains("..") || name.contains("@{") || name.ends_with('.') {
        return refuse("it holds `..` or `@{`, or ends in a dot");
    }
    let is_bad = |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock");
    if name.split('/').any(is_bad) {
        return refuse("a part of it is empty, begins with a dot or ends in `.lock`");
    }
    if name.contains(is_unseen) {
        return refuse("it holds characters that cannot be seen");
    }
    Ok(())
}

/// Who commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// The name.
    pub name: String,
    /// The address.
    pub email: String,
}

/// Why a text is no author.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an author is written `Name <address>`, without characters that cannot be seen, in at most 200 bytes each")]
pub struct InvalidAuthor;

impl Default for Author {
    fn default() -> Self {
        Self { name: "Factotum".to_owned(), email: "factotum@localhost".to_owned() }
    }
}

impl Author {
    /// Reads `Name <address>`.
    pub fn parse(text: &str) -> Result<Self, InvalidAuthor> {
        if text.contains(is_unseen) {
            return Err(InvalidAuthor);
        }
        let (name, rest) = text.split_once('<').ok_or(InvalidAuthor)?;
        let (name, email) = (name.trim(), rest.trim_end().strip_suffix('>').ok_or(InvalidAuthor)?.trim());
        let is_good = |part: &str| (1..=MAX_AUTHOR).contains(&part.len()) && !part.contains(['<', '>']);
        let is_address = !email.contains(char::is_whitespace);
        if !is_good(name) || !is_good(email) || !is_address {
            return Err(InvalidAuthor);
        }
        Ok(Self { name: name.to_owned(), email: email.to_owned() })
    }
}

/// The address of a remote without a name and password in it; none where it is no address that a clone may keep: a path on this
/// machine, or a protocol that starts a program.
pub(crate) fn safe_remote(url: &str) -> Option<String> {
    if url.len() > 2_000 || url.starts_with('-') || url.contains(|c: char| c.is_control() || c.is_whitespace()) {
        return None;
    }
    if let Some((scheme, rest)) = url.split_once("://") {
        let (authority, path) = rest.split_once('/')?;
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let is_named = !host.is_empty() && !host.starts_with('-');
        return match scheme {
            "https" | "http" if is_named => Some(format!("{scheme}://{host}/{path}")),
            // The name there is the account of the server, not a secret; a password has no place in it.
            "ssh" if is_named => {
                let user = authority.rsplit_once('@').map(|(user, _)| user.split(':').next().unwrap_or_default());
                let user = user.filter(|user| !user.is_empty() && !user.starts_with('-'));
                Some(format!("ssh://{}{host}/{path}", user.map_or(String::new(), |user| format!("{user}@"))))
            }
            _ => None,
        };
    }
    // git@host:path; `ext::program` has two colons in a row.
    let (place, path) = url.split_once(':')?;
    let host = place.rsplit_once('@').map_or(place, |(_, host)| host);
    let is_host = host.contains('.') && !host.contains('/') && !place.starts_with(['.', '/', '-']);
    (is_host && !path.is_empty() && !path.starts_with(':')).then(|| url.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_are_names_and_nothing_else() {
        for good in ["main", "fix/tests", "ünï/cödé", "a.b", "job-3/x", "v1.0", "release@2", "a-b_c+d=e,f%g#h!i(j)"]
        {
            assert_eq!(check_branch(good), Ok(()), "{good}");
        }
        let long = "x".repeat(201);
        for bad in [
            "",
            "-x",
            "--upload-pack=x",
            "a..b",
            "../x",
            "a/../b",
            "/a",
            "a/",
            "a//b",
            ".a",
            "a/.b",
            "a.lock",
            "a.lock/b",
            "a b",
            "a\tb",
            "a\nb",
            "a~1",
            "a^",
            "a:b",
            "a?",
            "a*",
            "a[",
            "a\\b",
            "@",
            "@{-1}",
            "a@{1}",
            "HEAD",
            "refs/heads/x",
            "a.",
            "a\0b",
            "a\u{202e}b",
            "a\u{200b}",
            "a\u{e0041}b",
            "a\u{61c}b",
            "a\u{fe01}b",
            &long,
        ] {
            assert!(check_branch(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn authors_have_a_name_and_an_address() {
        let author = Author::parse(" Anna B. <anna@example.test> ").expect("a good one");
        assert_eq!((author.name.as_str(), author.email.as_str()), ("Anna B.", "anna@example.test"));
        for bad in ["anna", "<a@b>", "A <>", "A <a b>", "A <a@b> x", "A <a@b>\nB <c@d>", "A\n <a@b>", "A <<a@b>"] {
            assert!(Author::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn remotes_lose_their_passwords() {
        for (given, kept) in [
            ("https://github.com/a/b.git", Some("https://github.com/a/b.git")),
            ("https://user:token@github.com/a/b", Some("https://github.com/a/b")),
            ("https://token@github.com/a/b", Some("https://github.com/a/b")),
            ("git@github.com:a/b.git", Some("git@github.com:a/b.git")),
            ("ssh://git@host.test:22/a/b", Some("ssh://git@host.test:22/a/b")),
            ("ssh://git:pw@host.test/a", Some("ssh://git@host.test/a")),
            ("ssh://-oProxyCommand=x/a", None),
            ("ext::sh -c x", None),
            ("ext::sh", None),
            ("file:///etc", None),
            ("/srv/git/a", None),
            ("../a", None),
            ("--upload-pack=x", None),
            ("https://host", None),
            ("", None),
        ] {
            assert_eq!(safe_remote(given).as_deref(), kept, "{given}");
        }
    }

    #[test]
    fn every_setting_has_a_key_and_a_value() {
        let all = environment();
        let count: usize = all["GIT_CONFIG_COUNT"].parse().expect("a number");
        assert_eq!(count, SETTINGS.len());
        assert!(
            (0..count).all(|n| all.contains_key(&format!("GIT_CONFIG_KEY_{n}"))
                && all.contains_key(&format!("GIT_CONFIG_VALUE_{n}")))
        );
    }
}
