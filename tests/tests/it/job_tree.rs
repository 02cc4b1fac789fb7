//! The trees that jobs work in: clones of a workspace's repository that share nothing with it.

use std::{fs, os::unix::fs::MetadataExt, os::unix::fs::PermissionsExt, path::Path, process::Command};

use daemon::jobs::tree;
use harness::{Repository, Workshop, all_inside, workshop};
use types::Place;

fn git(at: &Path, arguments: &[&str]) -> String {
    Repository { path: at.to_owned() }.git(arguments)
}

fn branch(name: &str, base: Option<&str>) -> Place {
    Place::Branch { branch: name.to_owned(), base: base.map(str::to_owned) }
}

#[test]
fn a_new_branch_is_a_clone_that_shares_nothing() {
    all_inside("job_tree::a_new_branch_is_a_clone_that_shares_nothing", &[], || {
        let it = Workshop::default();
        it.repository.git(&["remote", "add", "origin", "https://user:secret@github.com/acme/billing.git"]);
        it.repository.git(&["config", "core.hooksPath", "/srv/hooks"]);
        it.repository.git(&["gc", "-q"]);
        fs::write(it.repository.path.join(".git/hooks/post-checkout"), "#!/bin/sh\ntouch hooked\n").unwrap();
        fs::set_permissions(it.repository.path.join(".git/hooks/post-checkout"), fs::Permissions::from_mode(0o755))
            .unwrap();
        fs::write(it.repository.path.join("unfinished.py"), "x").unwrap();
        fs::write(it.repository.path.join(".git/info/exclude"), "*.private\n").unwrap();
        let before = workshop::picture(&it.repository.path);
        let site = it.on_branch(1, "fix/tests");
        let notes = it.prepare(&site);
        assert_eq!(notes, ["1 uncommitted changes of the workspace are not in the job's tree"]);
        assert_eq!(workshop::picture(&it.repository.path), before, "the workspace is as it was");
        let clone = site.tree();
        assert_eq!(git(&clone, &["status", "--porcelain", "--branch"]), "## fix/tests\n");
        assert_eq!(git(&clone, &["rev-parse", "HEAD"]), it.repository.git(&["rev-parse", "main"]));
        assert!(!clone.join("unfinished.py").exists() && !clone.join("hooked").exists());
        assert!(!clone.join(".git/hooks").exists());
        assert_eq!(fs::read_to_string(clone.join(".git/info/exclude")).unwrap(), "*.private\n");
        let config = fs::read_to_string(clone.join(".git/config")).unwrap();
        assert!(config.contains("https://github.com/acme/billing.git") && config.contains("factotum@example.test"));
        assert!(!config.contains("secret") && !config.contains("hooksPath"), "{config}");
        assert!(!clone.join(".git/objects/info/alternates").exists());
        let shared: Vec<_> = workshop::picture(&clone)
            .into_keys()
            .filter(|path| path.is_file() && fs::symlink_metadata(path).unwrap().nlink() > 1)
            .collect();
        assert_eq!(shared, Vec::<std::path::PathBuf>::new(), "nothing is a second name of something");
        // Asked again, as after a crash, it is found as it is.
        fs::write(clone.join("work.py"), "y").unwrap();
        assert_eq!(it.prepare(&site), notes);
        assert!(clone.join("work.py").exists());
        let does: Vec<_> = it.audited().iter().filter_map(|row| row["does"].as_str().map(str::to_owned)).collect();
        assert!(does.contains(&"make the job's tree".to_owned()), "{does:?}");
        it.wait(tree::remove(&site)).unwrap();
        assert!(!clone.exists());
    });
}

#[test]
fn a_branch_begins_where_it_is() {
    all_inside("job_tree::a_branch_begins_where_it_is", &[], || {
        let it = Workshop::default();
        let repository = &it.repository;
        repository.git(&["branch", "old"]);
        repository.git(&["commit", "-q", "--allow-empty", "-m", "second"]);
        repository.git(&["tag", "v2"]);
        repository.git(&["update-ref", "refs/remotes/origin/theirs", "old"]);
        repository.git(&["remote", "add", "origin", "git@github.com:acme/billing.git"]);
        let (old, new) = (repository.git(&["rev-parse", "old"]), repository.git(&["rev-parse", "main"]));
        let head = |job, place| {
            let site = it.site(job, place);
            let notes = it.prepare(&site);
            (git(&site.tree(), &["rev-parse", "HEAD"]), git(&site.tree(), &["symbolic-ref", "HEAD"]), notes)
        };
        assert_eq!(head(1, branch("old", Some("v2"))), (old.clone(), "refs/heads/old\n".to_owned(), vec![]));
        let (commit, reference, notes) = head(2, branch("theirs", None));
        assert_eq!((commit, reference.as_str()), (old.clone(), "refs/heads/theirs\n"));
        assert!(notes[0].contains("last fetched"), "{notes:?}");
        assert_eq!(head(3, branch("new", Some("old"))).0, old);
        assert_eq!(head(4, branch("new", Some("v2"))).0, new);
        assert_eq!(head(5, branch("new", Some(old.trim()))).0, old);
        // Detached, at a commit that no branch holds.
        repository.git(&["checkout", "-q", "--detach"]);
        repository.git(&["commit", "-q", "--allow-empty", "-m", "loose"]);
        let loose = repository.git(&["rev-parse", "HEAD"]);
        assert_eq!(head(6, branch("ünï#1", None)), (loose, "refs/heads/ünï#1\n".to_owned(), vec![]));
        let error = it.wait(tree::prepare(&it.site(7, branch("x", Some("nowhere"))), &workshop::author())).unwrap_err();
        assert!(error.to_string().contains("no branch, tag or commit `nowhere`"), "{error}");
        for bad in ["../x", "--help", "a b", "x;touch y"] {
            assert!(
                it.wait(tree::prepare(&it.site(8, branch(bad, None)), &workshop::author())).is_err()
                    || bad == "x;touch y"
            );
        }
    });
}

#[test]
fn what_cannot_be_cloned_is_told_in_words() {
    all_inside("job_tree::what_cannot_be_cloned_is_told_in_words", &[], || {
        let it = Workshop::default();
        let refused =
            |job: i64| it.wait(tree::prepare(&it.on_branch(job, "x"), &workshop::author())).unwrap_err().to_string();
        fs::rename(it.repository.path.join(".git"), it.outer.path().join("apart")).unwrap();
        assert!(refused(1).contains("no git repository"));
        fs::write(it.repository.path.join(".git"), format!("gitdir: {}", it.outer.path().join("apart").display()))
            .unwrap();
        assert!(refused(2).contains("lies elsewhere"));
        fs::remove_file(it.repository.path.join(".git")).unwrap();
        it.repository.git(&["init", "-q"]);
        assert!(refused(3).contains("no commit yet"));
        // In the workspace itself such work is done, and not committed.
        let site = it.site(4, Place::Workspace);
        assert!(it.prepare(&site).is_empty());
        assert_eq!(it.wait(tree::changes(&site)).unwrap(), None);
    });
}

#[test]
fn a_repository_runs_nothing_of_its_own() {
    all_inside("job_tree::a_repository_runs_nothing_of_its_own", &[], || {
        let it = Workshop::default();
        let mark = it.outer.path().join("ran");
        let run = format!("touch {0}; touch /workspace/ran", mark.display());
        let repository = &it.repository;
        fs::write(repository.path.join(".gitattributes"), "*.py filter=evil diff=evil\n").unwrap();
        repository.git(&["add", "."]);
        repository.git(&["commit", "-q", "-m", "attributes"]);
        for key in
            ["core.fsmonitor", "filter.evil.smudge", "filter.evil.clean", "diff.evil.textconv", "core.sshCommand"]
        {
            repository.git(&["config", key, &run]);
        }
        repository.git(&["config", "uploadpack.packObjectsHook", &run]);
        repository.git(&["config", "alias.status", &format!("!{run}")]);
        std::os::unix::fs::symlink("/etc/passwd", repository.path.join("out")).unwrap();
        let site = it.on_branch(1, "x");
        it.prepare(&site);
        assert!(!mark.exists() && !site.tree().join("ran").exists());
        assert!(!fs::read_to_string(site.tree().join(".git/config")).unwrap().contains("evil"));
        // Nor does what a coding agent leaves in the tree's settings do anything outside of a sandbox.
        git(&site.tree(), &["config", "diff.external", &run]);
        git(&site.tree(), &["config", "core.fsmonitor", &run]);
        fs::write(site.tree().join("billing.py"), "changed\n").unwrap();
        let patch = it.wait(tree::diff(&site)).unwrap();
        assert!(patch.contains("+changed"), "{patch}");
        assert!(!mark.exists() && !site.tree().join("ran").exists());
    });
}

#[test]
fn changes_are_told_with_what_is_new() {
    all_inside("job_tree::changes_are_told_with_what_is_new", &[], || {
        let it = Workshop::default();
        fs::write(it.repository.path.join("owners.txt"), "unfinished\n").unwrap();
        for (job, place) in [(1, branch("x", None)), (2, Place::Workspace)] {
            let site = it.site(job, place);
            it.prepare(&site);
            assert_eq!(it.wait(tree::changes(&site)).unwrap().as_deref(), Some("no files changed"));
            fs::write(site.tree().join("a new\nfile"), "one\ntwo\n").unwrap();
            fs::write(site.tree().join("__pycache__x"), "").unwrap();
            fs::create_dir(site.tree().join("__pycache__")).unwrap();
            fs::write(site.tree().join("__pycache__/ignored"), "").unwrap();
            fs::remove_file(site.tree().join("test_billing.py")).unwrap();
            let large = fs::File::create(site.tree().join("large.bin")).unwrap();
            large.set_len(30 << 20).unwrap();
            let objects = workshop::picture(&site.tree().join(".git"));
            let changes = it.wait(tree::changes(&site)).unwrap().unwrap();
            assert!(changes.starts_with("3 files changed, +2 -"), "{changes}");
            let patch = it.wait(tree::diff(&site)).unwrap();
            assert!(patch.contains("+two") && !patch.contains("unfinished") && !patch.contains("large.bin"), "{patch}");
            assert_eq!(workshop::picture(&site.tree().join(".git")), objects, "looking leaves no trace");
        }
    });
}

#[test]
fn trees_are_removed_whatever_is_in_them() {
    all_inside("job_tree::trees_are_removed_whatever_is_in_them", &[], || {
        let it = Workshop::default();
        let site = it.on_branch(1, "x");
        it.prepare(&site);
        let outside = it.outer.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("file"), "stays").unwrap();
        std::os::unix::fs::symlink(&outside, site.tree().join("link")).unwrap();
        let script = "mkdir -p closed/inner && touch closed/inner/f && chmod 000 closed/inner && chmod 500 closed && \
                      i=0; while [ $i -lt 600 ]; do mkdir ddddddddd && cd -P ddddddddd || exit 1; i=$((i+1)); done";
        assert!(Command::new("sh").arg("-c").arg(script).current_dir(site.tree()).status().unwrap().success());
        it.wait(tree::remove(&site)).unwrap();
        assert!(!site.tree().exists());
        assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "stays");
        // A workspace is never removed.
        it.wait(tree::remove(&it.site(2, Place::Workspace))).unwrap();
        assert!(it.repository.path.join("billing.py").exists());
    });
}

#[test]
fn submodules_large_files_and_shallow_repositories_are_told_of() {
    all_inside("job_tree::submodules_large_files_and_shallow_repositories_are_told_of", &[], || {
        let it = Workshop::default();
        let origin = it.outer.path().join("origin");
        fs::rename(&it.repository.path, &origin).unwrap();
        let other = Repository::with_failing_tests(&it.outer.path().join("other"));
        let upstream = Repository { path: origin.clone() };
        let module = format!("file://{}", other.path.display());
        upstream.git(&["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", &module, "sub"]);
        fs::write(origin.join(".gitattributes"), "*.bin filter=lfs\n").unwrap();
        fs::write(origin.join("big.bin"), "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
            .unwrap();
        upstream.git(&["add", "."]);
        upstream.git(&["commit", "-q", "-m", "more"]);
        let url = format!("file://{}", origin.display());
        let path = it.repository.path.display().to_string();
        upstream.git(&["clone", "-q", "--depth", "1", &url, &path]);
        let site = it.on_branch(1, "x");
        let notes = it.prepare(&site).join("\n");
        for part in ["1 submodules", "Git LFS", "shallow"] {
            assert!(notes.contains(part), "{part}: {notes}");
        }
        assert_eq!(git(&site.tree(), &["rev-list", "--count", "HEAD"]), "1\n");
        assert_eq!(fs::read_dir(site.tree().join("sub")).unwrap().count(), 0);
    });
}
