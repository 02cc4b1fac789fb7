//! Pushing a vetted commit, and proposing it. Git pushes out of the repository for landing, through the sandbox's proxy, with a
//! placeholder where the credential goes; the branch on the other side is only ever moved forward. Nothing leaves without the
//! owner's approval of just this commit to just this branch.

use std::{path::Path, time::Duration};

use policy::Act;
use sandbox::{WayOut, show_path};
use serde_json::json;
use types::{Effect, Place, Sink};

use super::{
    Landing, Site, SiteError,
    own::{self, Own},
    record::LandRecord,
    vet,
};
use crate::jobs::{
    consent::Consent,
    forge::{Proposal, Repository},
    origin::{self, Wanted},
    site::{Errand, Purpose, Room, Spot},
};

/// How long a push may take.
const PUSH: Duration = Duration::from_secs(900);

/// Where the work was pushed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub repository: Repository,
    pub branch: String,
}

/// What came of a push.
#[derive(Debug)]
pub(super) enum Pushed {
    Done(Target),
    Refused(String),
}

/// Pushes `$COMMIT` to `$BRANCH` at `$URL`. The credential is a placeholder in the variable that `$TOKEN` names.
const SEND: &str = r#"
export GIT_DIR=/workspace/landing.git
helper='!f() { test "$1" = get || exit 0; echo "username=$LOGIN"; eval "echo \"password=\$$TOKEN\""; }; f'
git -c protocol.https.allow=always -c http.followRedirects=false -c "credential.helper=$helper" \
  push --porcelain --no-verify --no-signed --recurse-submodules=no "$URL" "$COMMIT:refs/heads/$BRANCH" >&2
"#;

/// The names of the files that the job changed.
const NAMES: &str = r#"
export GIT_DIR=/workspace/landing.git
git diff-tree -r -z --no-renames --name-only "$BASE" "$COMMIT"
"#;

/// The most names of files in a question: of those that run at the host, and of the others.
const MAX_SHOWN: usize = 100;
/// The most characters of one such name.
const MAX_NAME: usize = 300;
/// Folders of what hosts run, in small letters.
const RUN_FOLDERS: [&str; 13] = [
    ".azure-pipelines/",
    ".buildkite/",
    ".builds/",
    ".circleci/",
    ".forgejo/",
    ".gitea/",
    ".github/",
    ".gitlab/",
    ".harness/",
    ".semaphore/",
    ".teamcity/",
    ".tekton/",
    ".woodpecker/",
];
/// Files of it in the repository's own directory, each with the ends that its name may have; any where none is named.
const RUN_FILES: [(&str, &[&str]); 19] = [
    (".appveyor", &YAML),
    (".azure-pipelines", &[]),
    (".build", &YAML),
    (".cirrus", &[".yml", ".yaml", ".star"]),
    (".drone", &[".yml", ".yaml", ".jsonnet", ".star"]),
    (".gitlab-ci", &YAML),
    (".travis", &YAML),
    (".woodpecker", &[]),
    ("appveyor", &YAML),
    ("azure-pipelines", &[]),
    ("bitbucket-pipelines", &YAML),
    ("buildspec", &YAML),
    ("cloudbuild", &[".yml", ".yaml", ".json"]),
    ("codemagic", &YAML),
    ("jenkinsfile", &[]),
    ("netlify.toml", &[""]),
    ("screwdriver", &YAML),
    ("vercel.json", &[""]),
    ("wercker", &YAML),
];
const YAML: [&str; 2] = [".yml", ".yaml"];

/// Pushes, after the owner's approval.
pub(super) async fn push(
    site: &Site,
    landing: &Landing<'_>,
    record: &LandRecord,
    branch: &str,
) -> Result<Pushed, SiteError> {
    let what = "push the job's branch";
    let purpose = Purpose { act: Act::JobLand, writes: Spot::Land, reads: Some(Spot::Workspace), way_out: None };
    let room = site.room(purpose).await?;
    let Some(repository) = origin::of(&room, Wanted::Push).await? else {
        return Ok(Pushed::Refused(origin::NONE.to_owned()));
    };
    let Some(token) = landing.forges.git_token(&repository) else {
        return Ok(Pushed::Refused(format!(
            "the workspace may use no secret that is bound to pushing to {}; store one with `factotum secret set NAME --env \
             GITHUB_TOKEN`, bind it (`factotum secret bind NAME --github OWNER/REPO:rw`) and name it in the workspace's `secrets`",
            repository.shown()
        )));
    };
    let target = Target { repository: repository.clone(), branch: branch.to_owned() };
    let short: String = record.commit.chars().take(12).collect();
    let open = errand("open the job's commits", vet::OPEN, record);
    room.git(open).await?;
    let own = match own::look(&room, &record.base, &landing.redactor).await? {
        Ok(own) => own,
        Err(why) => return Ok(Pushed::Refused(why)),
    };
    let shown = shown(&room, record, landing.message.title(), &own).await?;
    let input = json!({
        "repository": repository.shown(),
        "branch": branch,
        "commit": record.commit,
        "changes": record.changes,
        "force": false,
    });
    let effect = Effect {
        sink: Sink::Credential,
        read_only: false,
        destinations: vec![format!("{}#{branch}", repository.url())],
        reversible: false,
        payload: Some(shown),
        summary: format!("push {short} ({}) to the branch {branch} of {}", record.changes, repository.shown()),
        count: 1,
    };
    let why = "it would publish the job's work";
    let call = format!("job-{}-push-{short}", site.job);
    match landing.desk.ask(site, &call, "job_push", &input, effect, why).await? {
        Consent::Given(_) => {}
        Consent::Refused(why) => return Ok(Pushed::Refused(why)),
    }
    // The one sandbox of a job that can write to a host, and it runs nothing of the job's.
    let room = site.room(Purpose { way_out: Some(WayOut::Sending), ..purpose }).await?;
    // Made anew: the question may have waited for hours.
    room.git(errand(what, vet::OPEN, record)).await?;
    let errand = Errand::new(what, SEND)
        .with("COMMIT", record.commit.clone())
        .with("BRANCH", branch)
        .with("URL", repository.url())
        .with("LOGIN", token.user)
        .with("TOKEN", token.variable)
        .within(PUSH);
    let result = room.git(errand).await;
    Ok(match result {
        Ok(_) => Pushed::Done(target),
        Err(SiteError::Failed { why, .. }) => Pushed::Refused(explained(&why)),
        Err(error) => return Err(error),
    })
}

/// A script about the job's commits.
fn errand(what: &'static str, script: &'static str, record: &LandRecord) -> Errand<'static> {
    Errand::new(what, script).with("BASE", record.base.clone()).with("COMMIT", record.commit.clone())
}

/// What a push would publish, for the owner who is asked about it: what runs at the host first, then the names of all files that
/// changed, and which commits of the owner's own go along.
async fn shown(room: &Room<'_>, record: &LandRecord, title: &str, own: &Own) -> Result<String, SiteError> {
    let names = room.git(errand("list what would be pushed", NAMES, record)).await?;
    let names = String::from_utf8_lossy(&names);
    // A chat shows the beginning of a long text: what the owner must see comes first.
    Ok(format!("{title}{}\n{}{}", listed(&names), record.changes, own.told()))
}

/// The names of what changed, each after a line feed: what runs at the host first.
fn listed(names: &str) -> String {
    let (runs, other): (Vec<&str>, Vec<&str>) =
        names.split('\0').filter(|name| !name.is_empty()).partition(|name| runs_at_the_host(name));
    let mut text = String::new();
    for (names, before, what) in
        [(runs, "RUNS AT THE HOST: ", "more files that RUN AT THE HOST"), (other, "", "more files")]
    {
        for name in names.iter().take(MAX_SHOWN) {
            let name: String = show_path(Path::new(name)).chars().take(MAX_NAME).collect();
            text.push_str(&format!("\n{before}{name}"));
        }
        if names.len() > MAX_SHOWN {
            text.push_str(&format!("\nand {} {what}", names.len() - MAX_SHOWN));
        }
    }
    text
}

/// Whether a host of repositories runs what stands in the file as soon as it is pushed, or with what is pushed.
fn runs_at_the_host(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let is_file = |(file, ends): &(&str, &[&str])| {
        lower.strip_prefix(file).is_some_and(|end| ends.contains(&end) || ends.is_empty() && !end.contains('/'))
    };
    RUN_FOLDERS.iter().any(|folder| lower.starts_with(folder)) || RUN_FILES.iter().any(is_file)
}

/// What git said about a push that failed, with what to do.
fn explained(said: &str) -> String {
    let hint = if said.contains("non-fast-forward") || said.contains("fetch first") {
        "; the branch on the other side has gone another way, and is never overwritten"
    } else if said.contains("403") || said.contains("401") || said.contains("Authentication") {
        "; look at the token's rights and at what it is bound to"
    } else {
        ""
    };
    format!("{}{hint}", said.trim())
}

/// Opens a draft pull request for a pushed branch, or finds the one that there is. The inner error is a refusal.
pub(super) async fn propose(
    site: &Site,
    landing: &Landing<'_>,
    record: &LandRecord,
    target: &Target,
) -> Result<Result<String, String>, SiteError> {
    let forge = landing.forges.forge(&target.repository);
    let wanted = match &site.place {
        Place::Branch { base: Some(base), .. } => Some(base.clone()),
        Place::Branch { base: None, .. } | Place::Workspace => None,
    };
    let base = match wanted {
        Some(base) => base,
        None => match forge.default_branch().await {
            Ok(base) => base,
            Err(error) => return Ok(Err(error.to_string())),
        },
    };
    match forge.find(&target.branch, &base).await {
        Ok(Some(present)) => return Ok(Ok(present.url)),
        Ok(None) => {}
        Err(error) => return Ok(Err(error.to_string())),
    }
    let proposal = Proposal {
        title: landing.message.title().to_owned(),
        body: landing.message.pull_request(&record.changes, landing.was_checked),
        branch: target.branch.clone(),
        base: base.clone(),
    };
    let input = json!({ "repository": target.repository.shown(), "title": proposal.title, "branch": proposal.branch,
        "base": base, "draft": true, "commit": record.commit });
    let effect = Effect {
        sink: Sink::Credential,
        read_only: false,
        destinations: vec![target.repository.url()],
        reversible: false,
        payload: Some(format!("{}\n\n{}", proposal.title, proposal.body)),
        summary: format!(
            "open a draft pull request of {} into {base} at {}",
            proposal.branch,
            target.repository.shown()
        ),
        count: 1,
    };
    let short: String = record.commit.chars().take(12).collect();
    let call = format!("job-{}-propose-{short}", site.job);
    let why = "it would publish words in your name";
    match landing.desk.ask(site, &call, "job_pull_request", &input, effect, why).await? {
        Consent::Given(grant) => {
            Ok(forge.open(&grant, &proposal).await.map(|made| made.url).map_err(|error| error.to_string()))
        }
        Consent::Refused(why) => Ok(Err(why)),
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_SHOWN, explained, listed, runs_at_the_host};

    #[test]
    fn what_hosts_run_is_known() {
        for yes in [
            ".github/workflows/ci.yml",
            ".github/actions/x/action.yml",
            ".GitHub/Workflows/ci.yml",
            ".gitea/workflows/ci.yaml",
            ".forgejo/workflows/ci.yaml",
            ".gitlab/ci/x.yml",
            ".circleci/config.yml",
            ".builds/alpine.yml",
            ".semaphore/semaphore.yml",
            ".azure-pipelines/x.yml",
            ".buildkite/pipeline.yml",
            ".woodpecker/x.yaml",
            ".gitlab-ci.yml",
            ".travis.yml",
            "Jenkinsfile",
            "Jenkinsfile.release",
            "azure-pipelines.yml",
            "azure-pipelines-nightly.yml",
            "bitbucket-pipelines.yml",
            "appveyor.yml",
            ".appveyor.yml",
            ".cirrus.yml",
            ".cirrus.star",
            ".drone.yml",
            ".drone.yaml",
            ".build.yml",
            "cloudbuild.yaml",
            ".woodpecker.yml",
            ".woodpecker.yaml",
        ] {
            assert!(runs_at_the_host(yes), "{yes}");
        }
        for no in [
            "src/main.rs",
            "docs/.github/x",
            "github/workflows/ci.yml",
            "x/Jenkinsfile",
            "build.yml",
            ".drone",
            "cloud.yaml",
        ] {
            assert!(!runs_at_the_host(no), "{no}");
        }
    }

    #[test]
    fn a_question_shows_what_runs_first_and_no_more_than_can_be_read() {
        assert_eq!(listed("a\0.travis.yml\0b\n\u{202e}c\0"), "\nRUNS AT THE HOST: .travis.yml\na\nb\\n\\u{202e}c");
        let many: String = (0..MAX_SHOWN + 7).map(|n| format!(".github/workflows/{n}.yml\0src/{n}.rs\0")).collect();
        let text = listed(&many);
        assert_eq!(text.matches("\nRUNS AT THE HOST: ").count(), MAX_SHOWN);
        assert!(text.contains("\nand 7 more files that RUN AT THE HOST\nsrc/0.rs"), "{text}");
        assert!(text.ends_with("\nand 7 more files"), "{text}");
    }

    #[test]
    fn a_failed_push_says_what_to_do() {
        assert!(explained("! [rejected] (non-fast-forward)").ends_with("is never overwritten"));
        assert!(explained("The requested URL returned error: 403").contains("token's rights"));
        assert_eq!(explained(" no route \n"), "no route");
    }
}
