//! What recipes become.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;

fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn whom() -> For {
    For { coder: "codex".to_owned(), workspace: WorkspaceName::new("billing").unwrap() }
}

fn expand(name: &str, pairs: &[(&str, &str)]) -> Result<JobSpec, String> {
    let recipe = find(Path::new("/nowhere"), name).unwrap();
    recipe.expand(&values(pairs), whom()).map_err(|error| error.to_string())
}

#[test]
fn every_recipe_of_the_program_can_be_read_and_expanded() {
    let (recipes, mistakes) = all(Path::new("/nowhere"));
    assert_eq!((recipes.len(), mistakes), (6, vec![]));
    for recipe in recipes.values() {
        let filled: BTreeMap<String, String> = recipe
            .parameters
            .iter()
            .filter(|(_, parameter)| parameter.default.is_none())
            .map(|(name, parameter)| {
                let value = match parameter.kind {
                    Kind::Text => "words",
                    Kind::Command => "make check",
                    Kind::Branch => "topic",
                    Kind::Path => "src/lib.rs",
                    Kind::Pattern => "tests/**",
                    Kind::Number => "12",
                };
                (name.clone(), value.to_owned())
            })
            .collect();
        let spec = recipe.expand(&filled, whom()).unwrap();
        let texts = format!("{} {:?} {:?}", spec.brief, spec.place, spec.done);
        assert_eq!(names_in(&texts).collect::<Vec<_>>(), Vec::<&str>::new(), "{texts}");
        assert!(matches!(spec.place, Place::Branch { .. }) && spec.done.is_some(), "{}", recipe.name);
        assert_eq!((spec.coder.as_str(), spec.recipe.as_deref()), ("codex", Some(recipe.name.as_str())));
        assert!(!recipe.title.is_empty() && spec.brief.len() > 200);
    }
}

#[test]
fn tests_are_fixed_on_a_branch_with_the_tests_pinned() {
    let spec = expand("fix-tests", &[("command", "cargo test"), ("tests", "tests/**")]).unwrap();
    let done = spec.done.unwrap();
    assert_eq!((done.command.as_str(), done.pinned), ("cargo test", vec!["tests/**".to_owned()]));
    assert_eq!(spec.place, Place::Branch { branch: "job/fix-tests".to_owned(), base: None });
    assert_eq!(spec.then, Then::Commit);
    assert!(spec.brief.contains("\n    cargo test\n"));
    let spec = expand("fix-tests", &[("command", "make")]).unwrap();
    assert!(spec.done.unwrap().pinned.is_empty(), "what was left out pins nothing");
}

#[test]
fn a_review_changes_nothing_and_is_of_one_pull_request() {
    let spec = expand("review-pr", &[("number", "12")]).unwrap();
    assert_eq!(spec.place, Place::Branch { branch: "review/pr-12".to_owned(), base: None });
    assert_eq!(spec.then, Then::Nothing);
    assert!(find(Path::new("/nowhere"), "review-pr").unwrap().reviews);
}

#[test]
fn parameters_are_checked() {
    for (name, pairs, why) in [
        ("fix-tests", vec![], "needs `--set command=...`"),
        ("fix-tests", vec![("command", "x"), ("extra", "y")], "no parameter `extra`; it has: branch, command, tests"),
        ("fix-tests", vec![("command", "a\nb")], "one line"),
        ("fix-tests", vec![("command", "")], "1 to 4000"),
        ("fix-tests", vec![("command", "x"), ("branch", "../x")], "cannot be a branch"),
        ("fix-tests", vec![("command", "x"), ("tests", "/etc/**")], "within the repository"),
        ("write-tests", vec![("command", "x"), ("module", "a/../../b")], "within the repository"),
        ("review-pr", vec![("number", "0")], "a number from 1"),
        ("review-pr", vec![("number", "1; touch x")], "a number from 1"),
        ("review-pr", vec![("number", "-1")], "a number from 1"),
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
    assert_eq!(fill("a {x} {y} {", &values(&[("x", "{y}")])), "a {y} {y} {");
}

#[test]
fn the_owners_own_recipes_win_and_their_mistakes_are_told() {
    let home = tempfile::tempdir().unwrap();
    let own = home.path().join("recipes");
    fs::create_dir(&own).unwrap();
    fs::write(own.join("fix-tests.toml"), "title = \"mine\"\n[job]\nbrief = \"do it\"\n").unwrap();
    fs::write(own.join("broken.toml"), "title = 1\n").unwrap();
    fs::write(own.join("stray.toml"), "title = \"t\"\n[job]\nbrief = \"{gone}\"\n").unwrap();
    fs::write(own.join("review.toml"), "title = \"t\"\nreviews = true\n[job]\nbrief = \"b\"\n").unwrap();
    fs::write(own.join("large.toml"), "#".repeat(70_000)).unwrap();
    fs::write(own.join("Not A Name.toml"), "").unwrap();
    let (recipes, mistakes) = all(home.path());
    assert_eq!(recipes.len(), 6);
    let spec = recipes["fix-tests"].expand(&BTreeMap::new(), whom()).unwrap();
    assert_eq!((spec.brief.as_str(), &spec.place, &spec.done), ("do it", &Place::Workspace, &None));
    let told: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(told.iter().any(|one| one.contains("{gone}")) && told.iter().any(|one| one.contains("64 KiB")), "{told:?}");
    assert!(find(home.path(), "broken").unwrap_err().to_string().contains("recipes/broken.toml"));
}
