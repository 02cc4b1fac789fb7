//! What is looked at before a job's commit is brought anywhere. The commit's objects are taken out of the tree as a pack, which
//! is data, into a repository of our own that borrows the workspace's objects: neither settings nor attributes nor marks of the
//! tree have a say in what is seen.

use std::sync::Arc;

use policy::{Act, Redactor};
use types::{Place, unseen::is_unseen};

use super::{Numbers, Site, SiteError, candidate::Candidate, scan};
use crate::jobs::{
    site::{Errand, Purpose, Spot},
    tree::pairs,
};

/// Larger files are asked about, in bytes.
const MAX_FILE: u64 = 20 << 20;
/// The largest pack, in bytes.
const MAX_PACK: u64 = 2 << 30;
/// The most bytes of changes that are looked through for secrets.
const MAX_SCANNED: usize = 64 << 20;
/// The most commits of one job.
const MAX_COMMITS: u64 = 2_000;
/// The most names in a note.
const MAX_NAMED: usize = 10;

/// Packs what the job's commits add to what they began with.
const PACK: &str = r#"
export GIT_DIR=/source/.git
rm -f /workspace/work.pack
printf '%s\n^%s\n' "$COMMIT" "$BASE" | git pack-objects -q --revs --thin --stdout --delta-base-offset > /workspace/work.pack
echo "bytes $(wc -c < /workspace/work.pack)"
"#;

/// Makes the repository for landing beside nothing of the tree.
pub(super) const OPEN: &str = r#"
objects=$(git --git-dir=/source/.git rev-parse --git-path objects)
case "$objects" in /*) ;; *) objects="$PWD/$objects" ;; esac
shallow=$(git --git-dir=/source/.git rev-parse --git-path shallow)
rm -rf /workspace/landing.git
git init -q --bare --template= --object-format="$(git --git-dir=/source/.git rev-parse --show-object-format)" /workspace/landing.git
printf '%s\n' "$objects" > /workspace/landing.git/objects/info/alternates
if [ -f "$shallow" ]; then cp "$shallow" /workspace/landing.git/shallow; fi
export GIT_DIR=/workspace/landing.git
if [ -f /workspace/work.pack ]; then git index-pack --strict --fix-thin --stdin < /workspace/work.pack > /dev/null; fi
git update-ref refs/heads/base "$BASE"
git update-ref refs/heads/landing "$COMMIT"
"#;

const FACTS: &str = r#"
export GIT_DIR=/workspace/landing.git
echo "commits $(git rev-list --count "$BASE..$COMMIT")"
if git merge-base --is-ancestor "$BASE" "$COMMIT"; then echo "follows 1"; fi
"#;

const NUMBERS: &str = r#"
export GIT_DIR=/workspace/landing.git
git diff-tree -r -z --no-renames --no-ext-diff --no-textconv --numstat "$BASE" "$COMMIT"
"#;

const MODES: &str = r#"
export GIT_DIR=/workspace/landing.git
git diff-tree -r -z --no-renames --raw --no-abbrev "$BASE" "$COMMIT"
"#;

/// Which of the changed files have a filter, such as Git LFS, which was not run on them, or are others in a working tree than in
/// the commit.
const FILTERS: &str = r#"
export GIT_DIR=/workspace/landing.git
git diff-tree -r -z --no-renames --diff-filter=d --name-only "$BASE" "$COMMIT" | git --attr-source="$COMMIT" check-attr -z --stdin filter working-tree-encoding
"#;

const LARGE: &str = r#"
export GIT_DIR=/workspace/landing.git
git rev-list --objects "$BASE..$COMMIT" | git cat-file --batch-check='%(objecttype) %(objectsize) %(rest)' \
  | awk -v most="$MOST" '$1 == "blob" && $2 > most { sub(/^blob /, ""); print }' | head -n 50
"#;

const PATCH: &str = r#"
export GIT_DIR=/workspace/landing.git
git log -p --format= --no-color --no-ext-diff --no-textconv --text --no-renames --diff-merges=first-parent \
  --src-prefix=a/ --dst-prefix=b/ "$BASE..$COMMIT" | head -c "$MOST"
"#;

const MESSAGES: &str = r#"
export GIT_DIR=/workspace/landing.git
git log --no-color --format='%an <%ae>%n%B' "$BASE..$COMMIT" | head -c "$MOST"
"#;

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Vetted {
    pub numbers: Numbers,
    /// What looks like secrets and what is too large, each in a line without the secret.
    pub findings: Vec<String>,
    /// What the owner should know.
    pub notes: Vec<String>,
    never: Option<String>,
}

impl Vetted {
    /// Why it must not be committed, whoever says so.
    pub fn never(&self) -> Option<&str> {
        self.never.as_deref()
    }

    /// What the owner must be asked about.
    pub fn question(&self) -> Option<String> {
        let first = self.findings.first()?;
        let more = self.findings.len() - 1;
        Some(if more == 0 { first.clone() } else { format!("{first}, and {more} more findings") })
    }
}

/// Vets a commit.
pub(super) async fn vet(
    site: &Site,
    base: &str,
    candidate: &Candidate,
    redactor: &Arc<Redactor>,
) -> Result<Vetted, SiteError> {
    let ask = |what: &'static str, script: &'static str| {
        Errand::new(what, script).with("BASE", base).with("COMMIT", candidate.commit.clone())
    };
    if let Place::Branch { .. } = site.place {
        let purpose = Purpose { act: Act::JobLand, writes: Spot::Land, reads: Some(Spot::Tree), way_out: None };
        let room = site.room(purpose).await?;
        let said = pairs(&room.git(ask("take the job's commits out of its tree", PACK)).await?);
        if said.get("bytes").and_then(|bytes| bytes.trim().parse().ok()).is_none_or(|bytes: u64| bytes > MAX_PACK) {
            return Ok(Vetted { never: Some("the job's commits hold more than 2 GB".to_owned()), ..Vetted::default() });
        }
    }
    let purpose = Purpose { act: Act::JobLand, writes: Spot::Land, reads: Some(Spot::Workspace), way_out: None };
    let room = site.room(purpose).await?;
    let what = "look at the job's commits";
    room.git(ask(what, OPEN)).await?;
    let facts = pairs(&room.git(ask(what, FACTS)).await?);
    let mut vetted = Vetted { numbers: Numbers::read(&room.git(ask(what, NUMBERS)).await?), ..Vetted::default() };
    match facts.get("commits").and_then(|count| count.trim().parse::<u64>().ok()) {
        Some(1..=MAX_COMMITS) => {}
        Some(0) => vetted.never = Some("the branch was moved back behind what the job began with".to_owned()),
        Some(_) | None => vetted.never = Some(format!("the job made more than {MAX_COMMITS} commits")),
    }
    if !facts.contains_key("follows") {
        vetted.notes.push("the job rewrote commits that it began with".to_owned());
    }
    note_modes(&mut vetted, &room.git(ask(what, MODES)).await?);
    note_filters(&mut vetted, &room.git(ask(what, FILTERS)).await?);
    let large = room.git(ask(what, LARGE).with("MOST", MAX_FILE.to_string())).await?;
    for line in String::from_utf8_lossy(&large).lines() {
        vetted.findings.push(format!("a file of more than {} MB: {}", MAX_FILE >> 20, shown(line)));
    }
    // One byte more than is looked through shows that there is more.
    let most = (MAX_SCANNED + 1).to_string();
    let patch = room.git(Errand { keep: MAX_SCANNED + 2, ..ask(what, PATCH).with("MOST", most.clone()) }).await?;
    let messages = room.git(Errand { keep: MAX_SCANNED + 2, ..ask(what, MESSAGES).with("MOST", most) }).await?;
    if patch.len() > MAX_SCANNED || messages.len() > MAX_SCANNED {
        vetted.findings.push(format!("more than {} MB of changes, too many to look for secrets in", MAX_SCANNED >> 20));
    } else {
        let redactor = redactor.clone();
        let scanned = tokio::task::spawn_blocking(move || scan::scan(&patch, &messages, &redactor)).await;
        vetted.findings.extend(scanned.unwrap_or_else(|_| vec!["the search for secrets broke off".to_owned()]));
    }
    Ok(vetted)
}

/// Looks at what kinds of entries were added.
fn note_modes(vetted: &mut Vetted, raw: &[u8]) {
    let (mut links, mut modules) = (Vec::new(), Vec::new());
    let mut fields = raw.split(|byte| *byte == 0);
    while let (Some(head), Some(path)) = (fields.next(), fields.next()) {
        let mode = head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        match mode {
            b"120000" => links.push(shown(&String::from_utf8_lossy(path))),
            b"160000" => modules.push(shown(&String::from_utf8_lossy(path))),
            _ => {}
        }
    }
    let named = |names: &[String]| names.iter().take(MAX_NAMED).cloned().collect::<Vec<_>>().join(", ");
    if !modules.is_empty() && vetted.never.is_none() {
        let why = "the job made or changed repositories within the repository, whose contents would be missing";
        vetted.never = Some(format!("{why}: {}", named(&modules)));
    }
    if !links.is_empty() {
        vetted.notes.push(format!("it adds or changes {} symbolic links: {}", links.len(), named(&links)));
    }
}

/// Files that are others for whoever checks them out than for whoever compares them.
fn note_filters(vetted: &mut Vetted, output: &[u8]) {
    let fields: Vec<&[u8]> = output.split(|byte| *byte == 0).collect();
    for entry in fields.chunks_exact(3) {
        let value = String::from_utf8_lossy(entry[2]);
        if !matches!(value.as_ref(), "unspecified" | "unset" | "set") && vetted.findings.len() < MAX_NAMED {
            let path = shown(&String::from_utf8_lossy(entry[0]));
            let (found, value) = (String::from_utf8_lossy(entry[1]), shown(&value));
            vetted.findings.push(match found.as_ref() {
                "filter" => format!("a file for which the filter `{value}` was not run: {path}"),
                // What is read in a comparison is then not what runs.
                _ => format!("a file that git writes in the encoding `{value}` when it is checked out: {path}"),
            });
        }
    }
}

/// A foreign name for a line of ours.
pub(super) fn shown(name: &str) -> String {
    name.chars().map(|c| if is_unseen(c) { '?' } else { c }).take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_told_and_repositories_within_are_refused() {
        let (zero, one) = ("0".repeat(40), "1".repeat(40));
        let mut vetted = Vetted::default();
        note_modes(
            &mut vetted,
            format!(":000000 120000 {zero} {one} A\0lin\nk\0:100644 100644 {one} {one} M\0f\0").as_bytes(),
        );
        assert_eq!(
            (vetted.notes.as_slice(), vetted.never()),
            (["it adds or changes 1 symbolic links: lin?k".to_owned()].as_slice(), None)
        );
        note_modes(&mut vetted, format!(":000000 160000 {zero} {one} A\0sub\0").as_bytes());
        assert!(vetted.never().is_some_and(|why| why.ends_with(": sub")));
        let mut vetted = Vetted::default();
        note_filters(
            &mut vetted,
            b"a b\0filter\0lfs\0x\0filter\0unspecified\0x\0working-tree-encoding\0UTF-7\0".as_slice(),
        );
        assert_eq!(vetted.findings.len(), 2, "{vetted:?}");
        assert!(vetted.findings[1].contains("`UTF-7`") && vetted.findings[1].ends_with(": x"), "{vetted:?}");
        note_filters(&mut vetted, "a\u{202e}b\0filter\0lfs\0".as_bytes());
        assert!(vetted.findings[2].ends_with(": a?b"), "{vetted:?}");
        // The last of many counts as the first does.
        let many = format!("{}last\0filter\0lfs\0", "x\0filter\0unspecified\0".repeat(5_000));
        let mut vetted = Vetted::default();
        note_filters(&mut vetted, many.as_bytes());
        assert!(vetted.findings.len() == 1 && vetted.findings[0].ends_with(": last"), "{vetted:?}");
        // One that goes away is no harm.
        let mut vetted = Vetted::default();
        note_modes(&mut vetted, format!(":160000 000000 {one} {zero} D\0sub\0").as_bytes());
        assert_eq!(vetted, Vetted::default());
    }
}
