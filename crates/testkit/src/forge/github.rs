//! GitHub's answers.

use axum::{http::Method, response::Response};
use serde_json::{Value, json};

use super::state::{Asked, Comment, Inner, Pull, answer, refuse};

/// The most entries of one page.
const MAX_PAGE: usize = 100;

pub(super) fn respond(inner: &mut Inner, asked: &Asked) -> Response {
    let parts: Vec<&str> = asked.path.split('/').skip(1).collect();
    match (&asked.method, parts.as_slice()) {
        (&Method::GET, []) => answer(200, json!({ "default_branch": inner.settings.branches.first() })),
        (&Method::GET, ["pulls"]) => list(inner, asked),
        (&Method::POST, ["pulls"]) => open(inner, asked),
        (&Method::GET, ["pulls", number]) => match find(inner, number) {
            Some(pull) => answer(200, shown(inner, &pull)),
            None => refuse(404, "Not Found"),
        },
        (&Method::GET, ["issues", number, "comments"]) => comments(inner, asked, number),
        (&Method::POST, ["issues", number, "comments"]) => comment(inner, asked, number),
        _ => refuse(404, "Not Found"),
    }
}

pub(super) fn find(inner: &Inner, number: &str) -> Option<Pull> {
    let number: u64 = number.parse().ok()?;
    inner.pulls.iter().find(|pull| pull.number == number).cloned()
}

fn shown(inner: &Inner, pull: &Pull) -> Value {
    let address = format!("https://github.com/{}/pull/{}", inner.settings.repository, pull.number);
    json!({
        "number": pull.number, "title": pull.title, "body": pull.body, "draft": pull.draft, "html_url": address,
        "state": if pull.open { "open" } else { "closed" },
        "head": { "ref": pull.head, "sha": "0123456789012345678901234567890123456789" }, "base": { "ref": pull.base },
    })
}

fn list(inner: &Inner, asked: &Asked) -> Response {
    let owner = inner.settings.repository.split('/').next().unwrap_or_default();
    let state = asked.query("state").unwrap_or("open");
    let fits = |pull: &&Pull| {
        // A head without its owner is no filter.
        let head = asked.query("head").filter(|head| head.contains(':'));
        (state == "all" || pull.open == (state == "open"))
            && head.is_none_or(|head| head == format!("{owner}:{}", pull.head))
            && asked.query("base").is_none_or(|base| base == pull.base)
    };
    let all: Vec<Value> = inner.pulls.iter().filter(fits).map(|pull| shown(inner, pull)).collect();
    answer(200, Value::Array(asked.page(&all, "per_page", MAX_PAGE)))
}

fn invalid(errors: Value) -> Response {
    answer(422, json!({ "message": "Validation Failed", "errors": errors }))
}

fn open(inner: &mut Inner, asked: &Asked) -> Response {
    let text = |name: &str| asked.body[name].as_str().unwrap_or_default().to_owned();
    let (head, base) = (text("head"), text("base"));
    for (field, branch) in [("head", &head), ("base", &base)] {
        if !inner.has_branch(branch) {
            return invalid(json!([{ "resource": "PullRequest", "field": field, "code": "invalid" }]));
        }
    }
    let draft = asked.body["draft"] == true;
    if draft && !inner.settings.has_drafts {
        return refuse(422, "Draft pull requests are not supported in this repository.");
    }
    if inner.open(&head, &base).is_some() {
        let owner = inner.settings.repository.split('/').next().unwrap_or_default();
        let message = format!("A pull request already exists for {owner}:{head}.");
        return invalid(json!([{ "resource": "PullRequest", "code": "custom", "message": message }]));
    }
    let pull = Pull { number: inner.next(), title: text("title"), body: text("body"), head, base, draft, open: true };
    inner.pulls.push(pull.clone());
    answer(201, shown(inner, &pull))
}

pub(super) fn comments(inner: &Inner, asked: &Asked, number: &str) -> Response {
    let Some(pull) = find(inner, number) else { return refuse(404, "Not Found") };
    let address =
        |index: usize| format!("https://host.test/{}/pull/{}#{index}", inner.settings.repository, pull.number);
    let all = inner.comments.iter().enumerate().filter(|(_, comment)| comment.on == pull.number);
    let all: Vec<Value> = all.map(|(index, one)| json!({ "body": one.body, "html_url": address(index) })).collect();
    answer(200, Value::Array(asked.page(&all, "per_page", MAX_PAGE)))
}

pub(super) fn comment(inner: &mut Inner, asked: &Asked, number: &str) -> Response {
    let Some(pull) = find(inner, number) else { return refuse(404, "Not Found") };
    let Some(body) = asked.body["body"].as_str().filter(|body| !body.is_empty()) else {
        return refuse(422, "Validation Failed");
    };
    inner.comments.push(Comment { on: pull.number, body: body.to_owned() });
    let index = inner.comments.len() - 1;
    let address = format!("https://host.test/{}/pull/{}#{index}", inner.settings.repository, pull.number);
    answer(201, json!({ "body": body, "html_url": address }))
}
