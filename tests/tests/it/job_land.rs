//! What becomes of a job's work: committed, vetted, and brought back without touching what is checked out.

use std::{fs, path::Path};

use harness::{
    Repository, Workshop, all_inside,
    repository::{RIGHT, WRONG},
    workshop::{self, yes},
};
use types::{Answer, Place, Then};

fn git(at: &Path, arguments: &[&str]) -> String {
    Repository { path: at.to_owned() }.git(arguments)
}

/// What a coding agent would do.
fn mend(tree: &Path) {
    let text = fs::read_to_string(tree.join("billing.py")).unwrap();
    fs::write(tree.join("billing.py"), text.replace(WRONG, RIGHT)).unwrap();
}

/// Everything that is checked out, without git's own directory.
fn files(at: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let all = workshop::picture(at).into_iter();
    all.filter(|(path, _)| !path.starts_with(at.join(".git"))).map(|(path, (_, bytes))| (path, bytes)).collect()
}

#[test]
fn work_comes_back_as_a_branch() {
    all_inside("job_land::work_comes_back_as_a_branch", &[], || {
        let it = Workshop::default();
        fs::write(it.repository.path.join("owners.txt"), "unfinished").unwrap();
        let site = it.on_branch(7, "fix/tests");
        it.prepare(&site);
        mend(&site.tree());
        fs::write(site.tree().join("new file"), "new\n").unwrap();
        let before = (files(&it.repository.path), it.repository.git(&["status", "--porcelain", "--branch"]));
        let (landed, asked) = it.land(&site, Then::Commit, Answer::Denied);
        assert!(asked.is_empty());
        assert_eq!(landed.changes.as_deref(), Some("2 files changed, +2 -1"));
        assert_eq!((landed.branch.as_deref(), landed.notes.len()), (Some("fix/tests"), 0), "{landed:?}");
        assert_eq!((files(&it.repository.path), it.repository.git(&["status", "--porcelain", "--branch"])), before);
        let log = it.repository.git(&["log", "--format=%an <%ae>|%s|%P|%b", "main..fix/tests"]);
        let main = it.repository.git(&["rev-parse", "main"]);
        let expected = format!(
            "Factotum <factotum@example.test>|Fix the failing tests|{}|Job: 7\nCoding-agent: claude",
            main.trim()
        );
        assert!(log.starts_with(&expected), "{log}");
        assert!(it.repository.git(&["show", "fix/tests:billing.py"]).contains(RIGHT));
        it.repository.git(&["fsck", "--strict"]);
        assert!(!it.repository.path.join(".git/objects/info/alternates").exists());
        // Once more, as after a crash.
        let (again, _) = it.land(&site, Then::Commit, Answer::Denied);
        assert_eq!((again.commit, again.branch), (landed.commit, landed.branch));
        assert_eq!(it.repository.git(&["rev-list", "--count", "fix/tests"]), "2\n");
    });
}

#[test]
fn only_the_files_that_were_checked_land() {
    all_inside("job_land::only_the_files_that_were_checked_land", &[], || {
        let it = Workshop::default();
        for site in [it.on_branch(7, "fix/tests"), it.site(8, Place::Workspace)] {
            it.prepare(&site);
            mend(&site.tree());
            assert!(it.land_checked(&site).is_unchecked, "nothing was checked yet");
            let begun = it.wait(daemon::jobs::land::begin(&site)).unwrap();
            assert!(it.wait(daemon::jobs::land::seal(&site, begun)).unwrap());
            // Whoever did that, and however little.
            fs::write(site.tree().join("smuggled"), "in\n").unwrap();
            let landed = it.land_checked(&site);
            assert!(landed.is_unchecked && landed.commit.is_none() && landed.branch.is_none(), "{landed:?}");
            fs::remove_file(site.tree().join("smuggled")).unwrap();
            let landed = it.land_checked(&site);
            assert!(!landed.is_unchecked && landed.commit.is_some(), "{landed:?}");
            let commit = landed.commit.unwrap();
            assert!(it.repository.git(&["show", &format!("{commit}:billing.py")]).contains(RIGHT));
        }
    });
}

#[test]
fn what_the_check_itself_changed_does_not_land() {
    all_inside("job_land::what_the_check_itself_changed_does_not_land", &[], || {
        let it = Workshop::default();
        for site in [it.on_branch(7, "fix/tests"), it.site(8, Place::Workspace)] {
            it.prepare(&site);
            let tree = site.tree();
            mend(&tree);
            let begun = it.wait(daemon::jobs::land::begin(&site)).unwrap();
            // Its command, or what it runs of the job's.
            fs::write(tree.join("smuggled"), "in\n").unwrap();
            let text = fs::read_to_string(tree.join("billing.py")).unwrap();
            fs::write(tree.join("billing.py"), format!("{text}# by the check\n")).unwrap();
            assert!(it.wait(daemon::jobs::land::seal(&site, begun)).unwrap());
            let landed = it.land_checked(&site);
            let commit = landed.commit.expect("the files are the ones that it left");
            let shown = it.repository.git(&["show", &format!("{commit}:billing.py")]);
            assert!(shown.contains(RIGHT) && !shown.contains("by the check"), "{shown}");
            assert!(!it.repository.git(&["ls-tree", "--name-only", &commit]).contains("smuggled"));
            assert!(tree.join("smuggled").exists(), "nothing is removed");
        }
        // A commit that it makes would be part of what lands.
        let site = it.on_branch(9, "other");
        it.prepare(&site);
        mend(&site.tree());
        let begun = it.wait(daemon::jobs::land::begin(&site)).unwrap();
        git(&site.tree(), &["commit", "-q", "-a", "-m", "by the check"]);
        assert!(!it.wait(daemon::jobs::land::seal(&site, begun)).unwrap());
    });
}

#[test]
fn a_branch_that_is_checked_out_or_has_gone_on_is_left_alone() {
    all_inside("job_land::a_branch_that_is_checked_out_or_has_gone_on_is_left_alone", &[], || {
        let it = Workshop::default();
        it.repository.git(&["branch", "old"]);
        let sites = [it.on_branch(1, "main"), it.on_branch(2, "old"), it.on_branch(3, "old")];
        for site in &sites {
            it.prepare(site);
            mend(&site.tree());
            fs::write(site.tree().join("job"), site.job.to_string()).unwrap();
        }
        let main = it.repository.git(&["rev-parse", "main"]);
        let (landed, _) = it.land(&sites[0], Then::Commit, Answer::Denied);
        assert_eq!(landed.branch.as_deref(), Some("job-1/main"));
        assert!(landed.notes[0].contains("is checked out"), "{:?}", landed.notes);
        assert_eq!(it.repository.git(&["rev-parse", "main"]), main);
        assert_eq!(it.land(&sites[1], Then::Commit, Answer::Denied).0.branch.as_deref(), Some("old"));
        // The other job began before that.
        assert_eq!(it.land(&sites[2], Then::Commit, Answer::Denied).0.branch.as_deref(), Some("job-3/old"));
        assert_eq!(it.repository.git(&["show", "old:job"]), "2");
    });
}

#[test]
fn nothing_is_committed_where_nothing_changed() {
    all_inside("job_land::nothing_is_committed_where_nothing_changed", &[], || {
        let it = Workshop::default();
        let site = it.on_branch(1, "x");
        it.prepare(&site);
        let (landed, _) = it.land(&site, Then::DraftPullRequest, yes());
        assert_eq!((landed.commit, landed.branch), (None, None));
        assert!(landed.notes[0].contains("nothing to commit"), "{:?}", landed.notes);
        assert!(!it.repository.git(&["branch"]).contains('x'));
        mend(&site.tree());
        assert_eq!(it.land(&site, Then::Nothing, yes()).0, Default::default());
    });
}

#[test]
fn commits_of_the_coding_agent_come_along() {
    all_inside("job_land::commits_of_the_coding_agent_come_along", &[], || {
        let it = Workshop::default();
        let site = it.on_branch(1, "x");
        it.prepare(&site);
        let tree = site.tree();
        mend(&tree);
        git(&tree, &["commit", "-q", "-a", "-m", "its own"]);
        git(&tree, &["checkout", "-q", "--detach"]);
        fs::write(tree.join("rest"), "").unwrap();
        let (landed, _) = it.land(&site, Then::Commit, Answer::Denied);
        assert_eq!(landed.branch.as_deref(), Some("x"));
        assert_eq!(it.repository.git(&["log", "--format=%s", "main..x"]), "Fix the failing tests\nits own\n");
    });
}

#[test]
fn in_the_workspace_only_the_jobs_own_changes_are_committed() {
    all_inside("job_land::in_the_workspace_only_the_jobs_own_changes_are_committed", &[], || {
        let it = Workshop::default();
        let path = it.repository.path.clone();
        fs::write(path.join("owners.txt"), "unfinished").unwrap();
        fs::write(path.join("staged.txt"), "staged").unwrap();
        it.repository.git(&["add", "staged.txt"]);
        let site = it.site(1, Place::Workspace);
        let notes = it.prepare(&site);
        assert!(notes[0].starts_with("2 uncommitted changes"), "{notes:?}");
        mend(&path);
        fs::write(path.join("new"), "by the job").unwrap();
        let before = files(&path);
        let (landed, _) = it.land(&site, Then::Commit, Answer::Denied);
        assert_eq!(
            (landed.branch.as_deref(), landed.changes.as_deref()),
            (Some("main"), Some("2 files changed, +2 -1"))
        );
        assert_eq!(files(&path), before);
        assert_eq!(it.repository.git(&["show", "--name-only", "--format="]), "billing.py\nnew\n");
        // What the owner had not finished, or had put aside for a commit, is as it was.
        assert_eq!(it.repository.git(&["status", "--porcelain"]), "A  staged.txt\n?? owners.txt\n");
        let (again, _) = it.land(&site, Then::Commit, Answer::Denied);
        assert_eq!(again.commit, landed.commit);
        assert_eq!(it.repository.commits(), 2);
        // Another branch in the meantime is not the one that was meant.
        let site = it.site(2, Place::Workspace);
        it.prepare(&site);
        fs::write(path.join("new"), "again").unwrap();
        it.repository.git(&["checkout", "-q", "-b", "other"]);
        let error = it.try_land(&site, Then::Commit, yes()).0.unwrap_err();
        assert!(error.contains("the branch `main` checked out when the job began"), "{error}");
        assert_eq!(it.repository.git(&["log", "-1", "--format=%s"]), "Fix the failing tests\n");
    });
}

#[test]
fn a_second_landing_in_the_workspace_leaves_the_owners_changes_alone() {
    all_inside("job_land::a_second_landing_in_the_workspace_leaves_the_owners_changes_alone", &[], || {
        let it = Workshop::default();
        let path = it.repository.path.clone();
        let site = it.site(1, Place::Workspace);
        it.prepare(&site);
        mend(&path);
        fs::write(path.join("new"), "by the job\n").unwrap();
        let first = it.land(&site, Then::Commit, Answer::Denied).0.commit.unwrap();
        daemon::jobs::tree::finish(&site).unwrap();
        // The owner goes on by themselves, also in a file of the job's, and then resumes it.
        let owners = format!("{}# by the owner\n", fs::read_to_string(path.join("billing.py")).unwrap());
        fs::write(path.join("billing.py"), &owners).unwrap();
        fs::write(path.join("owners.txt"), "mine\n").unwrap();
        fs::remove_file(site.directory.join("land.json")).unwrap();
        it.prepare(&site);
        fs::write(path.join("new"), "by the job, again\n").unwrap();
        let second = it.land(&site, Then::Commit, Answer::Denied).0.commit.unwrap();
        assert_eq!(it.repository.git(&["diff", "--name-only", &first, &second]), "new\n");
        assert_eq!(fs::read_to_string(path.join("billing.py")).unwrap(), owners);
        assert_eq!(it.repository.git(&["status", "--porcelain"]), " M billing.py\n?? owners.txt\n");
        // Where the job changes that very file, nothing is committed, and its changes are kept by themselves.
        daemon::jobs::tree::finish(&site).unwrap();
        fs::remove_file(site.directory.join("land.json")).unwrap();
        it.prepare(&site);
        fs::write(path.join("billing.py"), format!("{owners}# by the job\n")).unwrap();
        let (landed, _) = it.land(&site, Then::Commit, yes());
        let why = landed.withheld.unwrap();
        assert!(landed.commit.is_none() && why.contains("(billing.py)"), "{why}");
        assert_eq!(it.repository.git(&["rev-parse", "HEAD"]).trim(), second);
        let patch = fs::read_to_string(site.directory.join("land/work.patch")).unwrap();
        assert!(patch.contains("+# by the job\n") && !patch.contains("+# by the owner"), "{patch}");
        assert!(why.ends_with("land/work.patch") && landed.notes[0].contains(&why), "{why}");
        assert!(fs::read_to_string(path.join("billing.py")).unwrap().ends_with("# by the owner\n# by the job\n"));
    });
}

#[test]
fn what_looks_like_a_secret_is_committed_only_after_a_yes() {
    all_inside("job_land::what_looks_like_a_secret_is_committed_only_after_a_yes", &[], || {
        let it = Workshop::default();
        let key = format!("ghp_{}", "0123456789abcdefghijABCDEFGHIJ012345");
        for (job, answer) in [(1, Answer::Denied), (2, yes())] {
            let site = it.on_branch(job, &format!("b{job}"));
            it.prepare(&site);
            let tree = site.tree();
            // Hidden from whoever believes the tree's settings, and taken back in the last commit.
            fs::write(tree.join("key.env"), format!("id={key}\n")).unwrap();
            fs::create_dir_all(tree.join(".git/info")).unwrap();
            fs::write(tree.join(".git/info/attributes"), "*.env -diff binary\n").unwrap();
            git(&tree, &["add", "."]);
            git(&tree, &["commit", "-q", "-m", "one"]);
            fs::remove_file(tree.join("key.env")).unwrap();
            mend(&tree);
            let is_yes = answer != Answer::Denied;
            let (landed, asked) = it.land(&site, Then::Commit, answer);
            let asked = asked.last().unwrap();
            let shown = serde_json::to_string(&asked.ask).unwrap();
            assert!(shown.contains("key.env") && !shown.contains(&key), "{shown}");
            assert_eq!(landed.commit.is_some(), is_yes, "{landed:?}");
            assert_eq!(it.repository.git(&["branch", "--list", &format!("b{job}")]).is_empty(), !is_yes);
        }
        let log = serde_json::to_string(&it.audited()).unwrap();
        assert!(log.contains("job_commit") && !log.contains(&key));
    });
}

#[test]
fn a_question_about_a_commit_stays_the_same_after_a_restart() {
    all_inside("job_land::a_question_about_a_commit_stays_the_same_after_a_restart", &[], || {
        let it = Workshop::default();
        for (job, site) in [(1, it.on_branch(1, "x")), (2, it.site(2, Place::Workspace))] {
            it.prepare(&site);
            fs::write(site.tree().join("key.env"), format!("id=ghp_{job}{}\n", "123456789abcdefghijABCDEFGHIJ012345"))
                .unwrap();
            it.begin_to_land(&site, Then::Commit);
            // Git tells dates by seconds.
            let second = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
            let asked_at = second();
            while second() == asked_at {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            let (landed, asked) = it.land(&site, Then::Commit, yes());
            assert_eq!(asked.len(), job, "the question that waited is the one that was answered: {asked:?}");
            assert!(asked.iter().all(|request| request.answer == Some(yes())), "{asked:?}");
            let commit = landed.commit.unwrap();
            let dates = it.repository.git(&["log", "-1", "--format=%at %ct", &commit]);
            assert_eq!(dates.trim(), "1700000000 1700000000");
        }
    });
}

#[test]
fn repositories_within_and_rewritten_history_are_told_or_refused() {
    all_inside("job_land::repositories_within_and_rewritten_history_are_told_or_refused", &[], || {
        let it = Workshop::default();
        let site = it.on_branch(1, "a");
        it.prepare(&site);
        Repository::with_failing_tests(&site.tree().join("inner"));
        let (landed, _) = it.land(&site, Then::Commit, yes());
        assert!(landed.commit.is_none() && landed.notes[0].contains("inner"), "{landed:?}");
        let site = it.on_branch(2, "b");
        it.prepare(&site);
        git(&site.tree(), &["commit", "-q", "--amend", "-m", "rewritten"]);
        std::os::unix::fs::symlink("/etc/passwd", site.tree().join("out")).unwrap();
        let (landed, _) = it.land(&site, Then::Commit, yes());
        let notes = landed.notes.join("\n");
        assert!(notes.contains("rewrote") && notes.contains("symbolic links: out"), "{notes}");
        assert_eq!(landed.branch.as_deref(), Some("b"));
        // A large file is asked about where it was committed, and left out where it was not.
        let site = it.on_branch(3, "c");
        it.prepare(&site);
        fs::File::create(site.tree().join("one.bin")).unwrap().set_len(21 << 20).unwrap();
        git(&site.tree(), &["add", "."]);
        git(&site.tree(), &["commit", "-q", "-m", "large"]);
        fs::File::create(site.tree().join("two.bin")).unwrap().set_len(21 << 20).unwrap();
        let (landed, asked) = it.land(&site, Then::Commit, Answer::Denied);
        assert!(landed.commit.is_none() && landed.notes.join("\n").contains("one.bin"), "{landed:?}");
        assert!(landed.notes[0].starts_with("1 new files"), "{landed:?}");
        assert_eq!(asked.len(), 1);
    });
}
