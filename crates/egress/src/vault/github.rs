//! The bindings of a GitHub token to one repository: Git over HTTPS and the part of the REST interface beneath
//! `/repos/OWNER/REPO`. Must not reach what GitHub scopes by account, such as GraphQL.

use std::str::FromStr;

use super::{
    Binding, CredentialSlot,
    binding::{InvalidBinding, invalid},
};
use crate::{path::PathPattern, rules::HostPattern};

/// One repository, and whether it may be changed. Written `OWNER/REPO` or `OWNER/REPO:rw`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GithubRepository {
    owner: String,
    repository: String,
    writes: bool,
}

/// What may be changed with `:rw`, beneath `/repos/OWNER/REPO`. What would change who else has access (`keys`,
/// `collaborators`, `hooks`, `actions/secrets`, `transfer`, the repository itself) is left out.
const WRITABLE: [&str; 10] =
    ["branches", "check-runs", "comments", "contents", "git", "issues", "labels", "pulls", "releases", "statuses"];

impl FromStr for GithubRepository {
    type Err = InvalidBinding;

    fn from_str(text: &str) -> Result<Self, InvalidBinding> {
        let wrong = || invalid("the repository", text, "must be OWNER/REPO, with `:rw` if it may be changed");
        let (place, writes) = match text.split_once(':') {
            None => (text, false),
            Some((place, "rw")) => (place, true),
            Some((place, "ro")) => (place, false),
            Some(_) => return Err(wrong()),
        };
        let (owner, repository) = place.split_once('/').ok_or_else(wrong)?;
        let repository = repository.strip_suffix(".git").unwrap_or(repository);
        let is_name = |name: &str| {
            (1..=100).contains(&name.len())
                && name != "."
                && name != ".."
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        };
        if !is_name(owner) || !is_name(repository) {
            return Err(wrong());
        }
        Ok(Self { owner: owner.to_owned(), repository: repository.to_owned(), writes })
    }
}

impl GithubRepository {
    /// The bindings of a token to this repository. Git clones, fetches and, with `:rw`, pushes; `gh` and others read
    /// the repository's part of the interface and, with `:rw`, change its contents, issues and pull requests.
    pub fn bindings(&self) -> Vec<Binding> {
        let Self { owner, repository, writes } = self;
        let path = |text: String| PathPattern::parse(&text).expect("the names were checked");
        let git = |end: &str| {
            let ends = ["", ".git"].map(|git| path(format!("/{owner}/{repository}{git}/{end}")));
            ends.to_vec()
        };
        let binding = |host: &str, methods: &[&str], paths: Vec<PathPattern>, slot: CredentialSlot| Binding {
            host: HostPattern::parse(host).expect("the names are of this file"),
            port: 443,
            methods: methods.iter().map(|&method| method.to_owned()).collect(),
            paths,
            slot,
        };
        // Git sends any user name that its configuration gives; GitHub looks at the password alone.
        let basic = || CredentialSlot::Basic { user: None };
        let root = format!("/repos/{owner}/{repository}");
        let reads = vec![path(format!("{root}/**"))];
        let mut bindings = vec![
            binding("github.com", &["GET"], git("info/refs"), basic()),
            binding("github.com", &["POST"], git("git-upload-pack"), basic()),
            binding("api.github.com", &["GET", "HEAD"], reads, CredentialSlot::bearer()),
        ];
        if *writes {
            let mut pushed = git("git-receive-pack");
            pushed.extend(git("info/lfs/objects/batch"));
            let changed = WRITABLE.iter().map(|part| path(format!("{root}/{part}/**")));
            bindings.push(binding("github.com", &["POST"], pushed, basic()));
            let methods = ["POST", "PUT", "PATCH", "DELETE"];
            bindings.push(binding("api.github.com", &methods, changed.collect(), CredentialSlot::bearer()));
        }
        bindings
    }
}
