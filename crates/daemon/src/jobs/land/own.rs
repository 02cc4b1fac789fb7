//! The owner's own commits that a push would publish along with the job's: those that the job began with and `origin` was not
//! known to have. They are looked through for secrets as the job's are. Runs in the repository for landing, once it is open.

use std::sync::Arc;

use policy::Redactor;

use super::{Room, SiteError, scan, vet::shown};
use crate::jobs::{site::Errand, tree::pairs};

/// The most commits that are looked through.
const MAX_COMMITS: u64 = 2_000;
/// The most bytes of changes, and of messages, that are.
const MAX_SCANNED: usize = 64 << 20;
/// The most titles in a question, and the most bytes that are read of them.
const MAX_TITLES: usize = 20;
const MAX_TITLE_BYTES: usize = 64 << 10;

/// Commits that go along.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Own {
    count: u64,
    /// The newest first.
    titles: Vec<String>,
}

/// Which they are, as `git` reads it; and how many.
const COUNT: &str = r#"
{ echo "$BASE"; git --git-dir=/source/.git for-each-ref --format='^%(objectname)' refs/remotes/origin; } > /tmp/own.range
export GIT_DIR=/workspace/landing.git
echo "commits $(git rev-list --count --ignore-missing --stdin < /tmp/own.range)"
"#;

const TITLES: &str = r#"
export GIT_DIR=/workspace/landing.git
git log --no-color --format='%h %s' --max-count="$COUNT" --ignore-missing --stdin < /tmp/own.range | head -c "$MOST"
"#;

const PATCH: &str = r#"
export GIT_DIR=/workspace/landing.git
git log -p --format= --no-color --no-ext-diff --no-textconv --text --no-renames --diff-merges=first-parent \
  --src-prefix=a/ --dst-prefix=b/ --ignore-missing --stdin < /tmp/own.range | head -c "$MOST"
"#;

const MESSAGES: &str = r#"
export GIT_DIR=/workspace/landing.git
git log --no-color --format='%an <%ae>%n%B' --ignore-missing --stdin < /tmp/own.range | head -c "$MOST"
"#;

/// Looks at them. The inner error is why nothing may be pushed.
pub(super) async fn look(
    room: &Room<'_>,
    base: &str,
    redactor: &Arc<Redactor>,
) -> Result<Result<Own, String>, SiteError> {
    let what = "look at your own commits that would be pushed";
    let said = pairs(&room.git(Errand::new(what, COUNT).with("BASE", base)).await?);
    let count = said.get("commits").and_then(|count| count.trim().parse::<u64>().ok());
    let count = match count {
        Some(0) => return Ok(Ok(Own::default())),
        Some(count @ 1..=MAX_COMMITS) => count,
        Some(_) | None => return Ok(Err(too_much(count))),
    };
    let most = MAX_TITLE_BYTES.to_string();
    let titles = room.git(Errand::new(what, TITLES).with("COUNT", MAX_TITLES.to_string()).with("MOST", most)).await?;
    // One byte more than is looked through shows that there is more.
    let most = (MAX_SCANNED + 1).to_string();
    let errand = |script| Errand { keep: MAX_SCANNED + 2, ..Errand::new(what, script).with("MOST", most.clone()) };
    let patch = room.git(errand(PATCH)).await?;
    let messages = room.git(errand(MESSAGES)).await?;
    if patch.len() > MAX_SCANNED || messages.len() > MAX_SCANNED {
        return Ok(Err(too_much(Some(count))));
    }
    let redactor = redactor.clone();
    let scanned = tokio::task::spawn_blocking(move || scan::scan(&patch, &messages, &redactor)).await;
    let found = scanned.unwrap_or_else(|_| vec!["the search for secrets broke off".to_owned()]);
    if !found.is_empty() {
        return Ok(Err(format!(
            "{} of yours that `origin` was not known to have would go along, and in them is {}; take it out of them, or \
             push them yourself if it may be seen",
            commits(count),
            found.join(", ")
        )));
    }
    let titles = String::from_utf8_lossy(&titles).lines().take(MAX_TITLES).map(shown).collect();
    Ok(Ok(Own { count, titles }))
}

fn too_much(count: Option<u64>) -> String {
    let count = count.map_or_else(|| "an unknown number of commits".to_owned(), commits);
    format!(
        "{count} of yours that `origin` was not known to have would go along, more than are looked through for secrets \
         ({MAX_COMMITS} commits, {} MB); `git fetch origin` in the workspace tells which of them it has, or push them yourself",
        MAX_SCANNED >> 20
    )
}

fn commits(count: u64) -> String {
    format!("{count} commit{}", if count == 1 { "" } else { "s" })
}

impl Own {
    /// What the owner is told who is asked about the push: nothing where no commit goes along.
    pub fn told(&self) -> String {
        if self.count == 0 {
            return String::new();
        }
        let mut text = format!("\nwith {} of yours that `origin` was not known to have:", commits(self.count));
        self.titles.iter().for_each(|title| text.push_str(&format!("\n  {title}")));
        let more = self.count.saturating_sub(self.titles.len() as u64);
        if more > 0 {
            text.push_str(&format!("\n  and {more} more"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_along_is_told_by_number_and_title() {
        assert_eq!(Own::default().told(), "");
        let own = Own { count: 3, titles: vec!["abc one".to_owned(), "def two".to_owned()] };
        let expected =
            "\nwith 3 commits of yours that `origin` was not known to have:\n  abc one\n  def two\n  and 1 more";
        assert_eq!(own.told(), expected);
        assert!(too_much(Some(2_001)).starts_with("2001 commits") && too_much(None).contains("git fetch origin"));
    }
}
