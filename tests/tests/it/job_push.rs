//! A job's branch on its way out: pushed by real git through the proxy, and proposed to the doubles of GitHub and Gitea, each after
//! the owner's approval.

use std::{fs, net::SocketAddr};

use egress::{Binding, CredentialSlot, EnvName, GithubRepository, HostPattern, PathPattern, SecretSettings};
use harness::{
    Workshop, all_inside,
    online::{Authority, GitServer, TOKEN, scene, serve_tls},
    outing,
    workshop::yes,
};
use serde_json::json;
use testkit::forge::{ForgeDouble, Kind, Settings};
use types::{Answer, Ask, Then};

const GIT: &str = "203.0.113.12";
const API: &str = "203.0.113.13";
pub const ADDRESSES: [&str; 2] = ["203.0.113.12/32", "203.0.113.13/32"];

fn at(address: &str) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap(), 443)
}

pub fn settings() -> Settings {
    Settings {
        token: TOKEN.to_owned(),
        repository: "acme/app".to_owned(),
        may_write: true,
        has_drafts: true,
        branches: vec!["main".to_owned(), "fix/tests".to_owned()],
        limit: None,
        lost_answers: 0,
    }
}

/// A workspace whose origin is played, and the host's interface.
pub struct Scene {
    pub it: Workshop,
    pub server: GitServer,
    pub api: ForgeDouble,
}

impl Scene {
    pub fn new(kind: Kind) -> Self {
        let runtime = scene::runtime();
        let it = Workshop::new(&runtime);
        let authority = Authority::new();
        let server = GitServer::new(&it.outer.path().join("served"));
        server.adopt(&it.repository);
        let api = ForgeDouble::new(kind, settings());
        let (host, api_host) = match kind {
            Kind::Github => ("github.com", "api.github.com"),
            Kind::Gitea => ("git.acme.test", "git.acme.test"),
        };
        runtime.block_on(async {
            match kind {
                Kind::Github => {
                    serve_tls(&authority, &[host], at(GIT), server.router()).await;
                    serve_tls(&authority, &[api_host], at(API), api.router()).await;
                }
                Kind::Gitea => {
                    let router = axum::Router::new().nest("/api", api.router()).fallback_service(server.router());
                    serve_tls(&authority, &[host], at(GIT), router).await;
                }
            }
        });
        it.repository.git(&["remote", "add", "origin", &format!("https://{host}/acme/app")]);
        let ca = it.outer.path().join("ca.pem");
        authority.write(&ca);
        let network = scene::played(&[("github.com", GIT), ("api.github.com", API), ("git.acme.test", GIT)]);
        let rules = match kind {
            Kind::Github => json!({ "presets": ["github"], "secrets": ["token"] }),
            Kind::Gitea => json!({ "secrets": ["token"], "rules": [{ "host": host, "methods": ["GET", "POST"] }] }),
        };
        outing::open(&it, rules, &network, &ca, ("token", TOKEN, secret(kind)));
        Self { it, server, api }
    }

    /// Lands mended work on a branch.
    fn land(&self, job: i64, answer: Answer) -> (daemon::jobs::land::Landed, Vec<types::OwnerRequest>) {
        let site = self.it.on_branch(job, "fix/tests");
        self.it.prepare(&site);
        fs::write(site.tree().join("work"), format!("{job}\n")).unwrap();
        self.it.land(&site, Then::DraftPullRequest, answer)
    }
}

pub fn secret(kind: Kind) -> SecretSettings {
    let bindings = match kind {
        Kind::Github => "acme/app:rw".parse::<GithubRepository>().unwrap().bindings(),
        Kind::Gitea => {
            let binding = |path: &str, slot| Binding {
                host: HostPattern::parse("git.acme.test").unwrap(),
                port: 443,
                methods: Vec::new(),
                paths: vec![PathPattern::parse(path).unwrap()],
                slot,
            };
            vec![
                binding("/acme/app.git/**", CredentialSlot::Basic { user: None }),
                binding("/api/v1/repos/acme/app/**", CredentialSlot::bearer()),
            ]
        }
    };
    SecretSettings { bindings: Some(bindings), env: Some(EnvName::new("FORGE_TOKEN").unwrap()) }
}

fn shown(asked: &[types::OwnerRequest]) -> Vec<(String, String)> {
    let each = asked.iter().map(|request| match &request.ask {
        Ask::Approval(question) => (question.tool.clone(), question.effect.summary.clone()),
        Ask::Question { text, .. } => ("question".to_owned(), text.clone()),
    });
    each.collect()
}

#[test]
fn a_branch_is_pushed_and_proposed_at_github() {
    all_inside("job_push::a_branch_is_pushed_and_proposed_at_github", &ADDRESSES, || {
        let scene = Scene::new(Kind::Github);
        // The answer is lost on its way once: nothing is opened twice.
        scene.api.configure(|settings| settings.lost_answers = 1);
        let (landed, asked) = scene.land(1, yes());
        assert_eq!(landed.pull_request.as_deref(), Some("https://github.com/acme/app/pull/1"), "{landed:?}");
        let questions = shown(&asked);
        assert_eq!(questions.len(), 2, "{questions:?}");
        assert!(
            questions[0].0 == "job_push" && questions[0].1.contains("to the branch fix/tests of github.com/acme/app")
        );
        assert!(questions[0].1.contains("1 file changed, +1 -0"), "{questions:?}");
        assert_eq!(questions[1].0, "job_pull_request");
        let bare = scene.it.outer.path().join("served/acme/app.git").display().to_string();
        let pushed = scene.it.repository.git(&["-C", &bare, "rev-parse", "fix/tests"]);
        assert_eq!(Some(pushed.trim()), landed.commit.as_deref());
        let pulls = scene.api.pulls();
        assert!(pulls.len() == 1 && pulls[0].draft && pulls[0].title == "Fix the failing tests", "{pulls:?}");
        assert!(pulls[0].body.contains("All of them."), "{pulls:?}");
        // Once more, as after a crash.
        let site = scene.it.on_branch(1, "fix/tests");
        let (again, _) = scene.it.land(&site, Then::DraftPullRequest, yes());
        assert_eq!((again.pull_request, scene.api.pulls().len()), (landed.pull_request, 1));
        let log = serde_json::to_string(&scene.it.audited()).unwrap();
        assert!(!log.contains(TOKEN));
        assert!(scene.server.credentials("git-receive-pack").iter().all(|given| given.starts_with("Basic ")));
    });
}

#[test]
fn nothing_leaves_without_a_yes() {
    all_inside("job_push::nothing_leaves_without_a_yes", &ADDRESSES, || {
        let scene = Scene::new(Kind::Github);
        let (landed, asked) = scene.land(1, Answer::Denied);
        assert_eq!(shown(&asked).len(), 1);
        assert!(
            landed.commit.is_some() && landed.notes.join("\n").contains("it was not pushed: you said no"),
            "{landed:?}"
        );
        assert!(scene.server.credentials("").is_empty() && scene.api.requests().is_empty());
    });
}

#[test]
fn commits_of_the_owners_own_are_looked_through_before_they_go_along() {
    all_inside("job_push::commits_of_the_owners_own_are_looked_through_before_they_go_along", &ADDRESSES, || {
        let scene = Scene::new(Kind::Github);
        let repository = &scene.it.repository;
        repository.git(&["update-ref", "refs/remotes/origin/main", "main"]);
        for (file, text) in [("one", "first\n"), ("two", "second\n")] {
            fs::write(repository.path.join(file), text).unwrap();
            repository.git(&["add", file]);
            repository.git(&["commit", "-q", "-m", &format!("my own {file}")]);
        }
        let (landed, asked) = scene.land(1, yes());
        assert!(landed.pull_request.is_some(), "{landed:?}");
        let Ask::Approval(question) = &asked[0].ask else { panic!("{asked:?}") };
        let shown = question.effect.payload.clone().unwrap();
        assert!(shown.contains("with 2 commits of yours") && shown.contains("my own one"), "{shown}");
        // A key that was committed and taken back is published all the same.
        fs::write(repository.path.join("key.env"), format!("id={TOKEN}\n")).unwrap();
        repository.git(&["add", "key.env"]);
        repository.git(&["commit", "-q", "-m", "oops"]);
        repository.git(&["rm", "-q", "key.env"]);
        repository.git(&["commit", "-q", "-m", "taken back"]);
        let site = scene.it.on_branch(2, "fix/more");
        scene.it.prepare(&site);
        fs::write(site.tree().join("work"), "2\n").unwrap();
        let (landed, again) = scene.it.land(&site, Then::Push, yes());
        let notes = landed.notes.join("\n");
        assert!(notes.contains("was not pushed: 4 commits of yours") && notes.contains("key.env"), "{notes}");
        assert!(!notes.contains(TOKEN) && again.len() == asked.len(), "nobody was asked: {notes}");
        let bare = scene.it.outer.path().join("served/acme/app.git").display().to_string();
        assert!(!repository.git(&["-C", &bare, "branch"]).contains("fix/more"));
        // What `origin` has is not the job's business.
        repository.git(&["update-ref", "refs/remotes/origin/main", "main"]);
        let (landed, _) = scene.it.land(&site, Then::Push, yes());
        assert!(landed.notes.iter().any(|note| note.starts_with("pushed to")), "{landed:?}");
    });
}

#[test]
fn a_branch_that_went_another_way_is_never_overwritten() {
    all_inside("job_push::a_branch_that_went_another_way_is_never_overwritten", &ADDRESSES, || {
        let scene = Scene::new(Kind::Github);
        let bare = scene.it.outer.path().join("served/acme/app.git").display().to_string();
        let git = |arguments: &[&str]| scene.it.repository.git(arguments);
        git(&["commit", "-q", "--allow-empty", "-m", "theirs"]);
        git(&["push", "-q", &bare, "HEAD:refs/heads/fix/tests"]);
        git(&["reset", "-q", "--hard", "HEAD~1"]);
        let theirs = git(&["-C", &bare, "rev-parse", "fix/tests"]);
        let (landed, _) = scene.land(1, yes());
        assert!(landed.notes.join("\n").contains("is never overwritten"), "{landed:?}");
        assert_eq!(git(&["-C", &bare, "rev-parse", "fix/tests"]), theirs);
        assert!(landed.pull_request.is_none());
    });
}

#[test]
fn refusals_of_the_host_are_told() {
    all_inside("job_push::refusals_of_the_host_are_told", &ADDRESSES, || {
        let scene = Scene::new(Kind::Github);
        scene.api.configure(|settings| settings.has_drafts = false);
        let (landed, _) = scene.land(1, yes());
        assert!(landed.notes.join("\n").contains("Draft pull requests are not supported"), "{landed:?}");
        scene.api.configure(|settings| (settings.has_drafts, settings.may_write) = (true, false));
        let site = scene.it.on_branch(1, "fix/tests");
        let (landed, _) = scene.it.land(&site, Then::DraftPullRequest, yes());
        assert!(landed.notes.join("\n").contains("look at its rights"), "{landed:?}");
        scene.api.configure(|settings| (settings.may_write, settings.limit) = (true, Some(0)));
        let (landed, _) = scene.it.land(&site, Then::DraftPullRequest, yes());
        assert!(landed.notes.join("\n").contains("takes no more requests for now (for 3600 s)"), "{landed:?}");
        scene.api.configure(|settings| (settings.limit, settings.token) = (None, "another".to_owned()));
        let (landed, _) = scene.it.land(&site, Then::DraftPullRequest, yes());
        assert!(landed.notes.join("\n").contains("does not accept the token"), "{landed:?}");
        assert!(scene.api.pulls().is_empty());
    });
}

#[test]
fn gitea_gets_a_draft_by_its_title() {
    all_inside("job_push::gitea_gets_a_draft_by_its_title", &ADDRESSES, || {
        let scene = Scene::new(Kind::Gitea);
        for number in 0..60 {
            scene.api.add_pull(&format!("other {number}"), &format!("other-{number}"), "main");
        }
        let (landed, _) = scene.land(1, yes());
        let pulls = scene.api.pulls();
        let last = pulls.last().unwrap();
        assert!(last.draft && last.title == "WIP: Fix the failing tests", "{landed:?} {last:?}");
        assert_eq!(landed.pull_request, Some(format!("https://git.acme.test/acme/app/pulls/{}", last.number)));
        let site = scene.it.on_branch(1, "fix/tests");
        let (again, _) = scene.it.land(&site, Then::DraftPullRequest, yes());
        assert_eq!((again.pull_request, scene.api.pulls().len()), (landed.pull_request, pulls.len()));
    });
}
