//! What recipes become.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use types::{JobSpec, Place, RecipeCall};

use super::{template::names_in, *};

fn call(pairs: &[(&str, &str)]) -> RecipeCall {
    let set = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    RecipeCall { set: set.collect(), coder: Some("codex".to_owned()), ..RecipeCall::default() }
}

fn billing() -> WorkspaceName {
    WorkspaceName::new("billing").unwrap()
}

fn expand(name: &str, pairs: &[(&str, &str)]) -> Result<JobSpec, String> {
    let recipe = find(Path::new("/nowhere"), name).unwrap();
    recipe.expand(&call(pairs), billing()).map_err(|error| error.to_string())
}

#[test]
fn every_recipe_of_the_program_can_be_read_and_expanded() {
    let (recipes, mistakes) = all(Path::new("/nowhere"));
    assert_eq!((recipes.len(), mistakes), (6, vec![]));
    for recipe in recipes.values() {
        let missing = recipe.parameters.iter().filter(|(_, parameter)| parameter.default.is_none());
        let values = missing.map(|(name, parameter)| {
            let value = match parameter.kind {
                Kind::Text => "words",
                Kind::Command => "make check",
                Kind::Branch => "topic",
                Kind::Path => "src/lib.rs",
                Kind::Pattern => "tests/**",
                Kind::Number => "12",
            };
            (name.as_str(), value)
        });
        let spec = recipe.expand(&call(&values.collect::<Vec<_>>()), billing()).unwrap();
        let texts = format!("{} {:?} {:?} {:?}", spec.brief, spec.place, spec.done, spec.phases);
        assert_eq!(names_in(&texts), Vec::<&str>::new(), "{texts}");
        assert!(matches!(spec.place, Place::Branch { .. }) && spec.done.is_some(), "{}", recipe.name);
        assert_eq!((spec.coder.as_str(), spec.recipe.as_deref()), ("codex", Some(recipe.name.as_str())));
        assert!(!recipe.title.is_empty() && spec.brief.len() > 200);
        // Committing is ours.
        assert!(!spec.brief.contains("commit when"), "{}", spec.brief);
        let preview = view(Path::new("/nowhere"), &RecipeCall { recipe: recipe.name.clone(), ..call(&[]) }, billing());
        assert!(preview.unwrap().plan.contains(spec.brief.lines().last().unwrap()), "{}", recipe.name);
    }
}

#[test]
fn tests_are_fixed_on_a_branch_with_the_tests_pinned() {
    let spec = expand("fix-tests", &[("command", "cargo test"), ("tests", "tests/**")]).unwrap();
    let done = spec.done.unwrap();
    assert_eq!((done.command.as_str(), done.pinned), ("cargo test", vec!["tests/**".to_owned()]));
    assert_eq!(spec.place, Place::Branch { branch: "job/fix-tests".to_owned(), base: None });
    assert_eq!(spec.then, Then::Commit);
    let spec = expand("fix-tests", &[("command", "make")]).unwrap();
    assert!(spec.done.unwrap().pinned.is_empty(), "what was left out pins nothing");
}

#[test]
fn a_review_changes_nothing_and_is_of_one_pull_request() {
    let spec = expand("review-pr", &[("pr", "12")]).unwrap();
    assert_eq!(spec.place, Place::Branch { branch: "review/pr-12".to_owned(), base: None });
    assert_eq!((spec.then, spec.review), (Then::Nothing, Some(12)));
    assert!(spec.brief.contains(r#"{"summary": "#) && spec.brief.contains(r#"[{"path": "#), "{}", spec.brief);
    let recipe = find(Path::new("/nowhere"), "review-pr").unwrap();
    let elsewhere = RecipeCall { branch: Some("main".to_owned()), ..call(&[("pr", "1")]) };
    let pushed = RecipeCall { then: Some(Then::Push), ..call(&[("pr", "1")]) };
    assert!(recipe.expand(&elsewhere, billing()).is_err() && recipe.expand(&pushed, billing()).is_err());
}

#[test]
fn a_migration_has_phases_and_its_words_are_words_of_the_shell() {
    let pairs = [("from", "a"), ("to", "b"), ("command", "make; exit 0"), ("leftover", "it's $(touch x)")];
    let spec = expand("migrate-repository", &pairs).unwrap();
    let names: Vec<&str> = spec.phases.iter().map(|phase| phase.name.as_str()).collect();
    assert_eq!(names, ["inventory", "change", "verify"]);
    assert_eq!(spec.done_in(0).unwrap().command, "test -s MIGRATION.md");
    assert_eq!(spec.done_in(1).unwrap().command, "make; exit 0");
    let last = spec.done_in(2).unwrap().command;
    assert_eq!(
        last,
        r"( eval 'make; exit 0' ) && test ! -e MIGRATION.md && { test -z 'it'\''s $(touch x)' || ! git grep --untracked -qIF -e 'it'\''s $(touch x)'; }"
    );
    assert_eq!(spec.phases[1].commit, "Migrate from a to b");
    let spec = RecipeCall { then: Some(Then::Nothing), ..call(&pairs) };
    assert!(find(Path::new("/nowhere"), "migrate-repository").unwrap().expand(&spec, billing()).is_err());
}

#[test]
fn a_default_may_be_another_parameter() {
    let pinned = |pairs: &[(&str, &str)]| expand("write-tests", pairs).unwrap().done.unwrap().pinned;
    assert_eq!(pinned(&[("command", "x"), ("module", "src/[id].ts")]), ["src/[[]id].ts"]);
    assert_eq!(pinned(&[("command", "x"), ("module", "src/a.rs"), ("keep", "src/**")]), ["src/**"]);
    assert!(pinned(&[("command", "x"), ("module", "src/a.rs"), ("keep", "")]).is_empty());
}

#[test]
fn parameters_are_checked() {
    for (name, pairs, why) in [
        ("fix-tests", vec![], "it needs `command`: the command that runs the tests"),
        ("fix-tests", vec![("command", "x"), ("extra", "y")], "no parameter `extra`; it has: branch, command, tests"),
        ("fix-tests", vec![("command", "a\nb")], "`command` must be one line"),
        ("fix-tests", vec![("command", "a\u{202e}b")], "cannot be seen"),
        ("fix-tests", vec![("command", "a\u{e0041}b")], "cannot be seen"),
        ("fix-tests", vec![("command", "❤\u{fe0f}")], "cannot be seen"),
        ("migrate-repository", vec![("from", "a\u{61c}b"), ("to", "b"), ("command", "make")], "cannot be seen"),
        ("fix-tests", vec![("command", "")], "`command` must have 1 to 4000 bytes (the command that"),
        ("fix-tests", vec![("command", "x"), ("branch", "../x")], "left out it is `job/fix-tests`"),
        ("fix-tests", vec![("command", "x"), ("tests", "/etc/**")], "it may be left out"),
        ("write-tests", vec![("command", "x"), ("module", "a/../../b")], "within the repository"),
        ("write-tests", vec![("command", "x"), ("module", "--help")], "must not begin with `-`"),
        ("review-pr", vec![("pr", "0")], "`pr` must be a number from 1 on"),
        ("review-pr", vec![("pr", "1; touch x")], "a number from 1"),
        ("review-pr", vec![("pr", "-1")], "a number from 1"),
    ] {
        let error = expand(name, &pairs).unwrap_err();
        assert!(error.contains(why), "{name} {pairs:?}: {error}");
    }
    let unknown = find(Path::new("/nowhere"), "cook").unwrap_err().to_string();
    assert!(unknown.contains("`cook`; there are: fix-tests, migrate"), "{unknown}");
}

#[test]
fn values_are_not_templates() {
    let spec = expand("migrate-repository", &[("from", "{command}"), ("to", "b"), ("command", "make")]).unwrap();
    assert!(spec.brief.starts_with("Migrate this repository from {command} to b."), "{}", spec.brief);
}

#[test]
fn the_owners_own_recipes_win_and_their_mistakes_are_told_with_their_line() {
    let home = tempfile::tempdir().unwrap();
    let own = home.path().join("recipes");
    fs::create_dir(&own).unwrap();
    let write = |name: &str, text: &str| fs::write(own.join(name), text).unwrap();
    write("fix-tests.toml", "title = \"mine\"\n[job]\nbrief = \"do it\"\n");
    let job = "[job]\nbrief = \"b\"\n";
    for (name, text, place) in [
        ("broken", "title = 1\n".to_owned(), "recipes/broken.toml:1: "),
        ("key", format!("title = \"t\"\n{job}secrets = [\"github\"]\n"), "recipes/key.toml:4: unknown field `secrets`"),
        (
            "stray",
            "title = \"t\"\n[job]\nbrief = \"\"\"\na\n{gone}\"\"\"\n".to_owned(),
            "recipes/stray.toml:5: it uses `{gone}`",
        ),
        ("review", format!("title = \"t\"\n{job}review = \"12\"\n"), "recipes/review.toml:4: it is the name"),
        (
            "phase",
            format!(
                "title = \"t\"\n{job}then = \"nothing\"\n[[job.phases]]\nname = \"n\"\nbrief = \"b\"\ncommit = \"c\"\n"
            ),
            "recipes/phase.toml:5: each phase is committed",
        ),
        (
            "shell",
            format!("title = \"t\"\n{job}done = \"grep '{{x}}'\"\n[parameters.x]\nabout = \"x\"\nkind = \"text\"\n"),
            "recipes/shell.toml:4: `{x}` stands in quotation marks",
        ),
        (
            "named",
            format!("title = \"t\"\n{job}[parameters.coder]\nabout = \"x\"\nkind = \"text\"\n"),
            "recipes/named.toml:4: `coder` cannot name",
        ),
        ("pinned", format!("title = \"t\"\n{job}pinned = [\"tests/**\"]\n"), "recipes/pinned.toml:4: `pinned` keeps"),
        ("timeout", format!("title = \"t\"\n{job}timeout_s = 60\n"), "recipes/timeout.toml:4: `timeout_s` is how long"),
        ("write-tests", "title = \n".to_owned(), "recipes/write-tests.toml:1: "),
        ("large", "#".repeat(70_000), "recipes/large.toml:1: it has more than 64 KiB"),
    ] {
        write(&format!("{name}.toml"), &text);
        let error = find(home.path(), name).unwrap_err().to_string();
        assert!(error.starts_with(place), "{name}: {error}");
    }
    write("Not A Name.toml", "");
    fs::create_dir(own.join("folder.toml")).unwrap();
    let (recipes, mistakes) = all(home.path());
    // One that the owner wrote over and got wrong is not quietly that of the program.
    assert_eq!((recipes.len(), mistakes.len()), (5, 12), "{mistakes:?}");
    let mine = &recipes["fix-tests"];
    let spec = mine.expand(&call(&[]), billing()).unwrap();
    assert_eq!((spec.brief.as_str(), &spec.place, &spec.done, mine.own), ("do it", &Place::Workspace, &None, true));
}
