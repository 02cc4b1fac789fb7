//! Gitea's interface for pull requests (REST, version 1), which Forgejo has too. A draft is one whose title begins with `WIP:`.

use serde_json::{Value, json};

use super::{
    ForgeError, Proposal, PullRequest, Repository,
    rest::{Rest, pull_request},
};

/// Pages of pull requests that are looked through.
const PAGES: usize = 20;
/// Pull requests on one page, as many as the host gives by default.
const LIMIT: usize = 50;
/// What marks a draft.
const DRAFT: &str = "WIP: ";

pub(super) async fn find(
    rest: &Rest,
    repository: &Repository,
    branch: &str,
    base: &str,
) -> Result<Option<PullRequest>, ForgeError> {
    let path = repository.api_path("/pulls");
    for page in 1..=PAGES {
        let (page, limit) = (page.to_string(), LIMIT.to_string());
        let answer = rest.get(&path, &[("state", "open"), ("page", &page), ("limit", &limit)]).await?;
        let list = answer.as_array().ok_or(ForgeError::Malformed("no list of pull requests"))?;
        let is_it = |one: &&Value| one["head"]["ref"] == branch && one["base"]["ref"] == base;
        if let Some(one) = list.iter().find(is_it) {
            return pull_request(one).map(Some);
        }
        // A host may give fewer on a page than it was asked for.
        if list.is_empty() {
            return Ok(None);
        }
    }
    Ok(None)
}

pub(super) async fn open(rest: &Rest, repository: &Repository, proposal: &Proposal) -> Result<PullRequest, ForgeError> {
    let title = format!("{DRAFT}{}", proposal.title);
    let body = json!({ "title": title, "body": proposal.body, "head": proposal.branch, "base": proposal.base });
    pull_request(&rest.post(&repository.api_path("/pulls"), &body).await?)
}
