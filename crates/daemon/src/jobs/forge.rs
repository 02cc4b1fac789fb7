//! The hosts of repositories: pull requests and comments by REST, at GitHub and at Gitea and its relatives. Requests go through
//! `egress`, by the workspace's rules, with the secret that is bound to them. What changes something takes the grant of an
//! approval. Must not ask the owner. Start with [`Forges`].

mod gitea;
mod github;
mod repository;
mod rest;

use std::sync::Arc;

use egress::{CredentialSlot, EgressRules, Fetcher, Vault, WebTarget};
use policy::Grant;

pub use repository::Repository;
pub use rest::ForgeError;
use rest::Rest;

/// Ways to the hosts of repositories, for one job.
#[derive(Clone)]
pub struct Forges {
    fetcher: Fetcher,
    rules: Arc<EgressRules>,
    vault: Vault,
}

/// How git logs in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GitToken {
    /// The name that goes before the token.
    pub user: String,
    /// The variable that holds its placeholder in a sandbox.
    pub variable: String,
}

/// A pull request to be opened, as a draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Its title.
    pub title: String,
    /// Its text.
    pub body: String,
    /// The branch that it is about.
    pub branch: String,
    /// The branch that it is for.
    pub base: String,
}

/// A pull request as the host tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullRequest {
    /// Its number.
    pub number: u64,
    /// Its address for people.
    pub url: String,
    /// Its title; foreign text.
    pub title: String,
    /// Its description; foreign text.
    pub body: String,
    /// The commit at the end of its branch.
    pub head: String,
    /// The branch that it is for.
    pub base: String,
}

/// One repository at its host.
pub struct Forge {
    kind: Kind,
    repository: Repository,
    rest: Rest,
}

enum Kind {
    Github,
    Gitea,
}

impl Forges {
    /// The ways of a session, by `rules`, with the secrets of `vault`.
    pub fn new(fetcher: Fetcher, rules: Arc<EgressRules>, vault: Vault) -> Self {
        Self { fetcher, rules, vault }
    }

    /// The repository's host. What is not GitHub is taken for Gitea or one of its relatives.
    pub fn forge(&self, repository: &Repository) -> Forge {
        let (kind, api) = match repository.host() {
            "github.com" => (Kind::Github, "https://api.github.com".to_owned()),
            _ => (Kind::Gitea, format!("{}/api/v1", repository.site())),
        };
        let rest = Rest::new(self.fetcher.clone(), self.rules.clone(), self.vault.clone(), api);
        Forge { kind, repository: repository.clone(), rest }
    }

    /// How git may push to a repository; none where no secret of the workspace is bound to that.
    pub(crate) fn git_token(&self, repository: &Repository) -> Option<GitToken> {
        self.login(repository, "git-receive-pack")
    }

    /// How git may fetch from a repository; none where no secret of the workspace is bound to that.
    pub(crate) fn git_reader(&self, repository: &Repository) -> Option<GitToken> {
        self.login(repository, "git-upload-pack")
    }

    fn login(&self, repository: &Repository, service: &str) -> Option<GitToken> {
        let url = WebTarget::parse_written(&format!("{}/{service}", repository.url())).ok()?;
        let bound = self.vault.bound().ok()?;
        let usable = bound.iter().filter(|secret| self.rules.secrets.contains(&secret.name));
        usable.into_iter().find_map(|secret| {
            let binding = secret.bindings.iter().find(|binding| binding.allows(&url.target, "POST", &url.path))?;
            let CredentialSlot::Basic { user } = &binding.slot else { return None };
            let user = user.clone().unwrap_or_else(|| "x-access-token".to_owned());
            Some(GitToken { user, variable: secret.env.as_ref()?.as_str().to_owned() })
        })
    }
}

impl Forge {
    /// The branch that pull requests are for unless they say otherwise.
    pub async fn default_branch(&self) -> Result<String, ForgeError> {
        let answer = self.rest.get(&self.path(""), &[]).await?;
        rest::text(&answer, "/default_branch")
    }

    /// The open pull request of one branch for another.
    pub async fn find(&self, branch: &str, base: &str) -> Result<Option<PullRequest>, ForgeError> {
        match self.kind {
            Kind::Github => github::find(&self.rest, &self.repository, branch, base).await,
            Kind::Gitea => gitea::find(&self.rest, &self.repository, branch, base).await,
        }
    }

    /// Opens a draft. Where one is open for the same branches, that is it: asked again after a crash, nothing is opened twice.
    pub async fn open(&self, approved: &Grant, proposal: &Proposal) -> Result<PullRequest, ForgeError> {
        rest::require(approved)?;
        if let Some(present) = self.find(&proposal.branch, &proposal.base).await? {
            return Ok(present);
        }
        let opened = match self.kind {
            Kind::Github => github::open(&self.rest, &self.repository, proposal).await,
            Kind::Gitea => gitea::open(&self.rest, &self.repository, proposal).await,
        };
        match opened {
            // Somebody was faster, or an answer was lost on its way.
            Err(error) if error.may_be_there() => match self.find(&proposal.branch, &proposal.base).await {
                Ok(Some(present)) => Ok(present),
                Ok(None) | Err(_) => Err(error),
            },
            settled => settled,
        }
    }

    /// One pull request.
    pub async fn pull_request(&self, number: u64) -> Result<PullRequest, ForgeError> {
        let answer = self.rest.get(&self.path(&format!("/pulls/{number}")), &[]).await?;
        rest::pull_request(&answer)
    }

    /// The address of the comment on a pull request that holds `mark`, if there is one.
    pub async fn commented(&self, number: u64, mark: &str) -> Result<Option<String>, ForgeError> {
        rest::find_comment(&self.rest, &self.path(&format!("/issues/{number}/comments")), mark).await
    }

    /// Writes one comment on a pull request and gives its address. `mark` is in no other comment: where it is found, that comment
    /// is it.
    pub async fn comment(&self, approved: &Grant, number: u64, mark: &str, body: &str) -> Result<String, ForgeError> {
        rest::require(approved)?;
        let path = self.path(&format!("/issues/{number}/comments"));
        if let Some(present) = rest::find_comment(&self.rest, &path, mark).await? {
            return Ok(present);
        }
        let body = serde_json::json!({ "body": format!("{body}\n\n{mark}\n") });
        match self.rest.post(&path, &body).await {
            Ok(answer) => rest::text(&answer, "/html_url"),
            Err(error) if error.may_be_there() => match rest::find_comment(&self.rest, &path, mark).await {
                Ok(Some(present)) => Ok(present),
                Ok(None) | Err(_) => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    fn path(&self, rest: &str) -> String {
        self.repository.api_path(rest)
    }
}
