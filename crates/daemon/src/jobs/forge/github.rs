//! GitHub's interface for pull requests (REST, version 2022-11-28).

use serde_json::{Value, json};

use super::{
    ForgeError, Proposal, PullRequest, Repository,
    rest::{Rest, pull_request},
};

pub(super) async fn find(
    rest: &Rest,
    repository: &Repository,
    branch: &str,
    base: &str,
) -> Result<Option<PullRequest>, ForgeError> {
    let head = format!("{}:{branch}", repository.owner());
    let query = [("state", "open"), ("head", head.as_str()), ("base", base)];
    let answer = rest.get(&repository.api_path("/pulls"), &query).await?;
    let list = answer.as_array().ok_or(ForgeError::Malformed("no list of pull requests"))?;
    // A filter that the host does not know gives everything.
    let is_it = |one: &&Value| one["head"]["ref"] == branch && one["base"]["ref"] == base;
    list.iter().find(is_it).map(pull_request).transpose()
}

pub(super) async fn open(rest: &Rest, repository: &Repository, proposal: &Proposal) -> Result<PullRequest, ForgeError> {
    let body = json!({ "title": proposal.title, "body": proposal.body, "head": proposal.branch, "base": proposal.base,
        "draft": true });
    pull_request(&rest.post(&repository.api_path("/pulls"), &body).await?)
}
