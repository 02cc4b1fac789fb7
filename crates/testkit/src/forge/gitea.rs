//! Gitea's answers, which Forgejo gives as well.

use axum::{http::Method, response::Response};
use serde_json::{Value, json};

use super::{
    github::{comment, comments, find},
    state::{Asked, Inner, Pull, answer, refuse},
};

/// The most entries of one page, as the host is set up by default.
const MAX_PAGE: usize = 50;
/// Titles that begin so are drafts.
const DRAFTS: [&str; 2] = ["WIP:", "[WIP]"];

pub(super) fn respond(inner: &mut Inner, asked: &Asked) -> Response {
    let parts: Vec<&str> = asked.path.split('/').skip(1).collect();
    match (&asked.method, parts.as_slice()) {
        (&Method::GET, []) => answer(200, json!({ "default_branch": inner.settings.branches.first() })),
        (&Method::GET, ["pulls"]) => {
            let state = asked.query("state").unwrap_or("open");
            let fits = |pull: &&Pull| state == "all" || pull.open == (state == "open");
            let all: Vec<Value> = inner.pulls.iter().filter(fits).map(|pull| shown(inner, pull)).collect();
            answer(200, Value::Array(asked.page(&all, "limit", MAX_PAGE)))
        }
        (&Method::POST, ["pulls"]) => open(inner, asked),
        (&Method::GET, ["pulls", number]) => match find(inner, number) {
            Some(pull) => answer(200, shown(inner, &pull)),
            None => refuse(404, "The target couldn't be found."),
        },
        (&Method::GET, ["issues", number, "comments"]) => comments(inner, asked, number),
        (&Method::POST, ["issues", number, "comments"]) => comment(inner, asked, number),
        _ => refuse(404, "The target couldn't be found."),
    }
}

fn shown(inner: &Inner, pull: &Pull) -> Value {
    let address = format!("https://git.acme.test/{}/pulls/{}", inner.settings.repository, pull.number);
    json!({
        "number": pull.number, "title": pull.title, "body": pull.body, "draft": pull.draft, "html_url": address,
        "state": if pull.open { "open" } else { "closed" },
        "head": { "ref": pull.head, "sha": "0123456789012345678901234567890123456789" }, "base": { "ref": pull.base },
    })
}

fn open(inner: &mut Inner, asked: &Asked) -> Response {
    let text = |name: &str| asked.body[name].as_str().unwrap_or_default().to_owned();
    let (head, base, title) = (text("head"), text("base"), text("title"));
    if !inner.has_branch(&head) || !inner.has_branch(&base) {
        return refuse(404, "The target couldn't be found.");
    }
    if inner.open(&head, &base).is_some() {
        return refuse(
            409,
            &format!("pull request already exists for these targets [head_branch: {head}, base_branch: {base}]"),
        );
    }
    let draft = DRAFTS.iter().any(|prefix| title.starts_with(prefix));
    let pull = Pull { number: inner.next(), title, body: text("body"), head, base, draft, open: true };
    inner.pulls.push(pull.clone());
    answer(201, shown(inner, &pull))
}
