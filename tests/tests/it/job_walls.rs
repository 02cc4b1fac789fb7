//! What a job's programs cannot do by themselves: push, write to a host with the owner's token, have a model's vendor go out for
//! them. The coding agent, the done condition and our own loop all try; the same steps succeed in a session of the owner's, so
//! that it is the wall that stops them.

use std::{fs, net::SocketAddr};

use egress::{Binding, CredentialSlot, EnvName, HostPattern, PathPattern, SecretSettings};
use harness::{
    all_inside,
    online::{Authority, GitServer, Online, TOKEN, scene, serve_tls},
    repository::Repository,
};
use serde_json::{Value, json};
use testkit::forge::{ForgeDouble, Kind};
use types::{JobEnd, JobState};

use crate::job_push;

const FORGE: &str = "203.0.113.12";

/// Reads and writes at the forge, and notes what came of each. The name of the notes is its argument.
const STEPS: &str = r#"
cd "$(dirname "$0")"
api=https://git.acme.test/api/v1/repos/acme/app
ask() { curl -s -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $FORGE_TOKEN" -H 'Content-Type: application/json' "$@"; }
with_token() { git -c "credential.helper=!f() { echo username=x-access-token; echo \"password=$FORGE_TOKEN\"; }; f" "$@"; }
app=https://git.acme.test/acme/app.git
# Clones one branch by a version of git's protocol, and fetches all tags besides, of which there are many.
fetches() {
  version=$1; shift
  rm -rf /tmp/fetched
  with_token -c protocol.version=$version clone -q --bare --single-branch --no-tags "$@" $app /tmp/fetched &&
    with_token -c protocol.version=$version -C /tmp/fetched fetch -q $app 'refs/tags/*:refs/tags/*' &&
    echo "$(git -C /tmp/fetched for-each-ref refs/tags | wc -l)"
}
compresses() { (export GIT_TRACE_CURL=1; fetches "$@") 2>&1 | grep -qi 'send header: content-encoding: gzip' && echo yes; }
{
  echo "get $(ask "$api")"
  echo "post $(ask -X POST -d '{"title":"x","head":"fix/tests","base":"main","draft":true}' "$api/pulls")"
  echo "hook $(ask -X POST -d '{}' -H "Authorization: Bearer $HOOK_TOKEN" https://hooks.acme.test/in)"
  if with_token ls-remote -q https://git.acme.test/acme/app.git main | grep -q main; then echo "fetch works"; else echo "fetch fails"; fi
  if with_token push -q https://git.acme.test/acme/app.git "HEAD:refs/heads/by-$1"; then echo "push works"; else echo "push fails"; fi
  echo "variable ${HOOK_TOKEN:+given}"
  for version in 0 2; do
    echo "version $version" $(fetches $version) $(fetches $version --depth=1) $(fetches $version --filter=blob:none) $(compresses $version)
  done
  for body in '{"title":"x"}' 0000; do
    echo "named $(curl -s -o /dev/null -w '%{http_code}' -d "$body" -H 'Content-Type: application/x-git-upload-pack-request' $app/git-upload-pack)"
  done
} > "$1.notes" 2> "$1.errors"
"#;

const STOPPED: &str = "get 200\npost 403\nhook 403\nfetch works\npush fails\nvariable \nversion 0 50 50 50 yes\n\
                       version 2 50 50 50 yes\nnamed 403\nnamed 401\n";
/// The tags at the forge, so many that git compresses what it says of them.
const TAGS: usize = 50;

struct Scene {
    it: Online,
    repository: Repository,
    server: GitServer,
    api: ForgeDouble,
    bare: std::path::PathBuf,
}

impl Scene {
    fn new() -> Self {
        let runtime = scene::runtime();
        let authority = Authority::new();
        let home = tempfile::Builder::new().prefix("factotum-walls-").tempdir().unwrap();
        authority.write(&home.path().join("ca.pem"));
        let repository = Repository::with_failing_tests(&home.path().join("workspace"));
        fs::write(repository.path.join("steps.sh"), STEPS).unwrap();
        repository.git(&["add", "-A"]);
        repository.git(&["commit", "-qm", "steps"]);
        let server = GitServer::new(&home.path().join("served"));
        let bare = server.adopt(&repository);
        let place = bare.display().to_string();
        repository.git(&["-C", &place, "config", "uploadpack.allowFilter", "true"]);
        for number in 0..TAGS {
            let commit = repository.git(&["commit-tree", "-p", "HEAD", "-m", &number.to_string(), "HEAD^{tree}"]);
            repository.git(&["tag", &format!("tag-{number}"), commit.trim()]);
        }
        repository.git(&["push", "-q", "--tags", &place]);
        let api = ForgeDouble::new(Kind::Gitea, job_push::settings());
        runtime.block_on(async {
            let router = axum::Router::new().nest("/api", api.router()).fallback_service(server.router());
            let address = SocketAddr::new(FORGE.parse().unwrap(), 443);
            serve_tls(&authority, &["git.acme.test", "hooks.acme.test"], address, router).await;
        });
        let config = format!(
            "[workspaces.online.egress]\ntrust_foreign = true\nsecrets = [\"forge\", \"hook\"]\nextra_ca = [\"{ca}\"]\n\
             [[workspaces.online.egress.rules]]\nhost = \"git.acme.test\"\nmethods = [\"*\"]\n\
             [[workspaces.online.egress.rules]]\nhost = \"hooks.acme.test\"\nmethods = [\"POST\"]\n\
             [coders.played]\nkind = \"oneshot\"\ncommand = [\"/bin/sh\", \"/workspace/steps.sh\", \"coder\", \"{{prompt}}\"]\n",
            ca = home.path().join("ca.pem").display(),
        );
        let network = scene::played(&[("git.acme.test", FORGE), ("hooks.acme.test", FORGE)]);
        let secrets = [("forge", TOKEN, forge()), ("hook", "hook-0123456789abcdef0123456789", hook())];
        let it = Online::start_in(&runtime, home, &config, network, &secrets);
        Self { it, repository, server, api, bare }
    }

    /// Runs a job to its end. Gives the directory in which it worked.
    fn job(&self, more: &Value) -> std::path::PathBuf {
        let mut spec = json!({
            "brief": "do it", "coder": "played", "workspace": "online", "place": { "place": "branch", "branch": "fix/tests" },
            "done": { "command": "sh steps.sh check" },
        });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let job = self.it.start_job(spec);
        let view = self.it.wait_for_job(job, |view| matches!(view.state, JobState::Ended { .. }));
        assert_eq!(view.state, JobState::Ended { end: JobEnd::Done }, "{view:#?}");
        self.it.home.path().join(format!("home/jobs/{job}/tree"))
    }

    fn pushed(&self) -> Vec<String> {
        let place = self.bare.display().to_string();
        let all = self.repository.git(&["-C", &place, "for-each-ref", "--format=%(refname:short)", "refs/heads"]);
        all.lines().map(str::to_owned).collect()
    }
}

fn settings(variable: &str, bindings: Vec<Binding>) -> SecretSettings {
    SecretSettings { bindings: Some(bindings), env: Some(EnvName::new(variable).unwrap()) }
}

fn forge() -> SecretSettings {
    let binding = |path: &str, slot| Binding {
        host: HostPattern::parse("git.acme.test").unwrap(),
        port: 443,
        methods: Vec::new(),
        paths: vec![PathPattern::parse(path).unwrap()],
        slot,
    };
    let git = binding("/acme/app.git/**", CredentialSlot::Basic { user: None });
    settings("FORGE_TOKEN", vec![git, binding("/api/v1/repos/acme/app/**", CredentialSlot::bearer())])
}

fn hook() -> SecretSettings {
    let binding = Binding { methods: vec!["POST".to_owned()], ..Binding::to("hooks.acme.test").unwrap() };
    settings("HOOK_TOKEN", vec![binding])
}

/// Tries to leave something that the owner's git runs, and something where nothing was.
const BENDS: &str = r#"
cd "$(dirname "$0")"
{
  git config core.fsmonitor 'touch /tmp/owned' && echo configured
  echo 'touch /tmp/owned' > .git/hooks/pre-commit && echo hooked
  mv .git elsewhere && echo moved
  echo '* filter=x' > .git/info/attributes && echo attributes
  mkdir -p .git/modules/sub/hooks && echo modules
  mkdir -p below/.git && echo '[core]' > below/.git/config && echo below
  echo changed > pinned.txt && echo pinned
  rm -rf tests.d && echo removed
  echo x > new.txt && echo written
} > "bends.$1" 2>/dev/null
true
"#;

#[test]
fn a_job_in_the_workspace_leaves_nothing_that_git_runs() {
    all_inside("job_walls::a_job_in_the_workspace_leaves_nothing_that_git_runs", &["203.0.113.12/32"], || {
        let scene = Scene::new();
        let at = |name: &str| scene.repository.path.join(name);
        fs::create_dir_all(at(".git/info")).unwrap();
        fs::create_dir_all(at("tests.d")).unwrap();
        fs::write(at(".git/hooks/post-commit"), "owner's\n").unwrap();
        fs::write(at("pinned.txt"), "as it was\n").unwrap();
        fs::write(at("tests.d/one"), "as it was\n").unwrap();
        fs::write(at("steps.sh"), BENDS).unwrap();
        fs::write(at(".gitignore"), "bends.*\nbelow\n*.notes\n").unwrap();
        scene.repository.git(&["add", "-A"]);
        scene.repository.git(&["commit", "-qm", "bends"]);
        let config = fs::read_to_string(at(".git/config")).unwrap();
        let done = json!({ "command": "sh steps.sh check", "pinned": ["pinned.txt", "tests.d/"] });
        for (name, coder, brief) in [
            ("coder", "played", "do it".to_owned()),
            ("own", "factotum", format!("call exec {}", json!({ "command": "sh steps.sh own" }))),
        ] {
            let place = json!({ "place": "workspace" });
            let job = scene.it.start_job(json!({
                "brief": brief, "coder": coder, "workspace": "online", "place": place, "done": done,
            }));
            let view = scene.it.wait_for_job(job, |view| matches!(view.state, JobState::Ended { .. }));
            assert_eq!(view.state, JobState::Ended { end: JobEnd::Done }, "{view:#?}");
            for who in [name, "check"] {
                let could = fs::read_to_string(at(&format!("bends.{who}"))).unwrap();
                // Another repository can be made, and is put back from outside.
                assert_eq!(could, "below\nwritten\n", "{who}");
            }
            let report = view.report.unwrap();
            assert!(report.contains("were put back") && report.contains("below/.git/config"), "{report}");
            assert!(
                !at("below/.git/config").exists()
                    && !at(".git/info/attributes").exists()
                    && !at(".git/hooks/pre-commit").exists()
            );
            assert_eq!(fs::read_to_string(at(".git/config")).unwrap(), config);
            assert_eq!(fs::read_to_string(at(".git/hooks/post-commit")).unwrap(), "owner's\n");
            assert_eq!(fs::read_to_string(at("tests.d/one")).unwrap(), "as it was\n");
        }
        // What the owner changes afterwards is nobody else's affair.
        scene.repository.git(&["config", "user.signingkey", "mine"]);
        scene.it.run("true");
        assert!(scene.repository.git(&["config", "user.signingkey"]).contains("mine"));
    });
}

fn notes(directory: &std::path::Path, name: &str) -> String {
    let read = |kind: &str| fs::read_to_string(directory.join(format!("{name}.{kind}"))).unwrap_or_default();
    let errors = read("errors");
    let notes = read("notes");
    assert!(!notes.is_empty(), "{errors}");
    notes
}

#[test]
fn nothing_of_a_job_writes_to_a_host_by_itself() {
    all_inside("job_walls::nothing_of_a_job_writes_to_a_host_by_itself", &["203.0.113.12/32"], || {
        let scene = Scene::new();
        let tree = scene.job(&json!({}));
        assert_eq!(notes(&tree, "coder"), STOPPED);
        assert_eq!(notes(&tree, "check"), STOPPED);
        // Our own loop, whose commands run where every turn's do.
        let brief = format!("call exec {}", json!({ "command": "sh steps.sh own" }));
        scene.job(&json!({ "brief": brief, "coder": "factotum", "place": { "place": "workspace" } }));
        assert_eq!(notes(&scene.repository.path, "own"), STOPPED);
        assert_eq!(scene.pushed(), ["main"]);
        assert!(scene.api.pulls().is_empty() && scene.server.credentials("receive-pack").is_empty());
        // What the rules allow everybody else.
        scene.it.run("sh steps.sh session");
        let session = notes(&scene.repository.path, "session");
        assert!(session.contains("post 201\n") && session.contains("push works\nvariable given"), "{session}");
        assert!(session.ends_with("named 401\nnamed 401\n"), "{session}");
        assert_eq!(scene.pushed(), ["by-session", "main"]);
    });
}
