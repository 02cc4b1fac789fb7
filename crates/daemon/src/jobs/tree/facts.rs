//! What is true of a workspace's repository, as git told it, and what follows for a clone of it. Pure.

use super::{SiteError, pairs};

/// What a branch begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// It exists in the workspace.
    Local,
    /// The workspace knows it from its `origin`.
    Remote,
    /// It is new.
    New,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    kind: String,
    head: Option<String>,
    pub current: Option<String>,
    pub format: String,
    is_shallow: bool,
    pub origin: Option<String>,
    /// The size of all objects in KiB.
    pub kib: u64,
    /// Files that differ from the commit.
    pub dirty: u64,
    local: Option<String>,
    remote: Option<String>,
    base: Option<String>,
    submodules: u64,
    has_lfs: bool,
}

impl Facts {
    /// Reads the lines that the script wrote. What it should have told and did not makes the repository unfit.
    pub fn read(output: &[u8]) -> Result<Self, SiteError> {
        let said = pairs(output);
        let text = |key: &str| said.get(key).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let number = |key: &str| text(key).and_then(|value| value.parse().ok()).unwrap_or(0);
        let commit = |key: &str| text(key).filter(|value| is_object(value));
        Ok(Self {
            kind: text("kind").unwrap_or_default(),
            head: commit("head"),
            current: text("current"),
            format: text("format").filter(|format| format == "sha256").unwrap_or_else(|| "sha1".to_owned()),
            is_shallow: text("shallow").as_deref() == Some("true"),
            origin: text("origin"),
            kib: number("kib"),
            dirty: number("dirty"),
            local: commit("local"),
            remote: commit("remote"),
            base: commit("base"),
            submodules: number("submodules"),
            has_lfs: text("lfs").is_some(),
        })
    }

    /// Whether there is a repository at all, in the workspace itself.
    pub fn has_repository(&self) -> bool {
        self.kind == "repository"
    }

    /// The commit that is checked out.
    pub fn head(&self) -> Result<String, SiteError> {
        let unfit = |why: &str| Err(SiteError::Unfit(why.to_owned()));
        match (self.kind.as_str(), &self.head) {
            ("repository", Some(head)) => Ok(head.clone()),
            ("repository", None) => unfit(
                "the workspace's repository has no commit yet; make one, or let the job work in the workspace itself",
            ),
            ("elsewhere", _) => unfit(
                "the workspace is only a part of a repository, or its `.git` lies elsewhere; make the top of the repository the \
                 workspace, or let the job work in the workspace itself",
            ),
            _ => unfit(
                "the workspace is no git repository; let the job work in the workspace itself, or run `git init` there",
            ),
        }
    }

    /// The commit that a branch is to begin with.
    pub fn start(&self, branch: &str, base: Option<&str>) -> Result<(Start, String), SiteError> {
        let head = self.head()?;
        if let Some(local) = &self.local {
            return Ok((Start::Local, local.clone()));
        }
        if let Some(remote) = &self.remote {
            return Ok((Start::Remote, remote.clone()));
        }
        match (base, &self.base) {
            (None, _) => Ok((Start::New, head)),
            (Some(_), Some(commit)) => Ok((Start::New, commit.clone())),
            (Some(base), None) => Err(SiteError::Unfit(format!(
                "the branch `{branch}` is new, and there is no branch, tag or commit `{}` to begin it with",
                crate::core::shown(base)
            ))),
        }
    }

    /// What the owner should know of a clone.
    pub fn notes(&self, start: Start) -> Vec<String> {
        let mut notes = Vec::new();
        if start == Start::Remote {
            notes.push("the branch began as the workspace last fetched it from its origin".to_owned());
        }
        if self.dirty > 0 {
            notes.push(format!("{} uncommitted changes of the workspace are not in the job's tree", self.dirty));
        }
        if self.submodules > 0 {
            notes.push(format!("{} submodules are empty in the job's tree", self.submodules));
        }
        if self.has_lfs {
            notes.push("files in Git LFS are pointers in the job's tree, without their contents".to_owned());
        }
        if self.is_shallow {
            notes.push("the repository is shallow, and so is the job's tree".to_owned());
        }
        notes
    }
}

/// Whether a text names an object in full.
pub(crate) fn is_object(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "1111111111111111111111111111111111111111";
    const OTHER: &str = "2222222222222222222222222222222222222222";

    fn facts(more: &str) -> Facts {
        Facts::read(format!("kind repository\nhead {HEAD}\ncurrent main\nformat sha1\n{more}").as_bytes())
            .unwrap_or_default()
    }

    fn words(error: Result<impl std::fmt::Debug, SiteError>) -> String {
        error.expect_err("it must be refused").to_string()
    }

    #[test]
    fn a_branch_begins_where_it_is_or_where_it_is_told_to() {
        let start = |more: &str, base| facts(more).start("fix", base).map_err(|error| error.to_string());
        assert_eq!(start("", None), Ok((Start::New, HEAD.to_owned())));
        assert_eq!(start(&format!("local {OTHER}\nremote {HEAD}\n"), Some("x")), Ok((Start::Local, OTHER.to_owned())));
        assert_eq!(start(&format!("local \nremote {OTHER}\n"), None), Ok((Start::Remote, OTHER.to_owned())));
        assert_eq!(start(&format!("base {OTHER}\n"), Some("v1")), Ok((Start::New, OTHER.to_owned())));
        assert!(start("", Some("v1")).is_err_and(|error| error.contains("`v1`")));
        assert!(start("base --upload-pack=x\n", Some("v1")).is_err(), "no name is taken for a commit");
    }

    #[test]
    fn what_is_no_repository_is_told_apart() {
        let refused = |output: &str| words(Facts::read(output.as_bytes()).and_then(|facts| facts.head()));
        assert!(refused("kind none\n").contains("no git repository"));
        assert!(refused("kind elsewhere\n").contains("top of the repository"));
        assert!(refused("kind repository\nhead \ncurrent main\n").contains("no commit yet"));
        assert!(refused("").contains("no git repository"));
    }

    #[test]
    fn the_owner_hears_what_a_clone_lacks() {
        let notes = facts("dirty 3\nsubmodules 2\nlfs 1\nshallow true\n").notes(Start::Remote);
        assert_eq!(notes.len(), 5);
        assert!(notes[1].starts_with("3 uncommitted"), "{notes:?}");
        assert!(facts("dirty 0\nsubmodules 0\nshallow false\n").notes(Start::New).is_empty());
    }
}
