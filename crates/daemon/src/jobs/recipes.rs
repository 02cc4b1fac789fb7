//! Recipes: templates of jobs, usable with every coding agent. Those of the program stand beside this file as data; the owner's
//! own lie in `recipes/` in the agent's home and win over them. Pure but for reading that directory. Start with [`all`] and
//! [`Recipe::expand`].

mod parameter;

use std::{collections::BTreeMap, fs, io::Read, path::Path};

use serde::{Deserialize, Serialize};
use types::{Cadence, DoneWhen, JobLimits, JobSpec, Place, Then, WorkspaceName};

use super::{check::check_patterns, check_branch};

pub use parameter::{Kind, Parameter};

/// The largest file of a recipe, in bytes.
const MAX_FILE: u64 = 64 << 10;
/// The most recipes of the owner's.
const MAX_OWN: usize = 200;

/// The recipes of the program.
const SHIPPED: [(&str, &str); 6] = [
    ("fix-tests", include_str!("recipes/fix-tests.toml")),
    ("migrate-repository", include_str!("recipes/migrate-repository.toml")),
    ("nightly-refactor", include_str!("recipes/nightly-refactor.toml")),
    ("review-pr", include_str!("recipes/review-pr.toml")),
    ("upgrade-dependencies", include_str!("recipes/upgrade-dependencies.toml")),
    ("write-tests", include_str!("recipes/write-tests.toml")),
];

/// A template of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Its name, from the file's.
    #[serde(default)]
    pub name: String,
    /// What it does, in a line.
    pub title: String,
    /// Whether its branch is a pull request that is fetched before, and its `REVIEW.md` is posted as one comment after.
    #[serde(default)]
    pub reviews: bool,
    /// What must be said, by name.
    #[serde(default)]
    pub parameters: BTreeMap<String, Parameter>,
    /// The job, with parameters as `{name}`.
    job: Template,
}

/// The job of a recipe. Without a branch it works in the workspace itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Template {
    brief: String,
    branch: Option<String>,
    done: Option<String>,
    timeout_s: Option<u64>,
    #[serde(default)]
    pinned: Vec<String>,
    #[serde(default)]
    then: Then,
    rounds: Option<u32>,
    iterations: Option<u32>,
    minutes: Option<u64>,
}

/// Who is to do a job, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct For {
    /// The coding agent.
    pub coder: String,
    /// The workspace.
    pub workspace: WorkspaceName,
}

/// Why a recipe cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecipeError {
    /// There is none of this name.
    #[error("there is no recipe `{name}`; there are: {known}")]
    Unknown {
        /// The name.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// A file of the owner's is no recipe.
    #[error("{file}: {why}")]
    File {
        /// The file.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// A parameter is missing, unknown or wrong.
    #[error("the recipe `{recipe}`: {why}")]
    Parameter {
        /// The recipe.
        recipe: String,
        /// What is wrong.
        why: String,
    },
}

/// All recipes by name, the owner's own in `home` included. A file that is no recipe is told and hides none of the others.
pub fn all(home: &Path) -> (BTreeMap<String, Recipe>, Vec<RecipeError>) {
    let mut recipes = BTreeMap::new();
    let mut mistakes = Vec::new();
    let shipped = SHIPPED.map(|(name, text)| (name.to_owned(), Ok(text.to_owned())));
    for (name, text) in shipped.into_iter().chain(own(home)) {
        match text.and_then(|text| Recipe::parse(&name, &text)) {
            Ok(recipe) => {
                recipes.insert(name, recipe);
            }
            Err(why) => mistakes.push(RecipeError::File { file: format!("recipes/{name}.toml"), why }),
        }
    }
    (recipes, mistakes)
}

/// The recipe of this name.
pub fn find(home: &Path, name: &str) -> Result<Recipe, RecipeError> {
    let (mut recipes, mistakes) = all(home);
    if let Some(recipe) = recipes.remove(name) {
        return Ok(recipe);
    }
    let file = format!("recipes/{name}.toml");
    if let Some(mistake) =
        mistakes.into_iter().find(|mistake| matches!(mistake, RecipeError::File { file: of, .. } if *of == file))
    {
        return Err(mistake);
    }
    let known: Vec<&str> = recipes.keys().map(String::as_str).collect();
    Err(RecipeError::Unknown { name: crate::core::shown(name), known: known.join(", ") })
}

/// The owner's files, by name.
fn own(home: &Path) -> Vec<(String, Result<String, String>)> {
    let Ok(entries) = fs::read_dir(home.join("recipes")) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries.flatten().take(MAX_OWN) {
        let file = entry.file_name();
        let Some(name) = file.to_str().and_then(|file| file.strip_suffix(".toml")) else { continue };
        if WorkspaceName::new(name).is_ok() {
            found.push((name.to_owned(), read(&entry.path())));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

fn read(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let file = fs::File::open(path).map_err(|error| error.to_string())?;
    let size = file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if size as u64 > MAX_FILE { Err(format!("it has more than {} KiB", MAX_FILE >> 10)) } else { Ok(text) }
}

impl Recipe {
    /// Reads a recipe and checks that its parts fit together. The error is a sentence.
    pub fn parse(name: &str, text: &str) -> Result<Self, String> {
        let mut recipe: Self = toml::from_str(text).map_err(|error| error.to_string().trim().to_owned())?;
        name.clone_into(&mut recipe.name);
        for (name, parameter) in &recipe.parameters {
            if !is_name(name) {
                return Err(format!("`{name}` is no name of a parameter; use letters, digits and `_`"));
            }
            if let Some(default) = parameter.default.as_deref().filter(|default| !default.is_empty()) {
                parameter.check(name, default)?;
            }
        }
        let job = &recipe.job;
        let texts = [Some(&job.brief), job.branch.as_ref(), job.done.as_ref()].into_iter().flatten().chain(&job.pinned);
        for text in texts {
            for used in names_in(text) {
                if !recipe.parameters.contains_key(used) {
                    return Err(format!("it uses `{{{used}}}`, which is none of its parameters"));
                }
            }
        }
        let is_pull_request = |branch: &String| branch == "review/pr-{number}";
        if recipe.reviews && !job.branch.as_ref().is_some_and(is_pull_request) {
            return Err("a recipe with `reviews` has the branch `review/pr-{number}`".to_owned());
        }
        Ok(recipe)
    }

    /// The job that the recipe makes with these parameters.
    pub fn expand(&self, values: &BTreeMap<String, String>, whom: For) -> Result<JobSpec, RecipeError> {
        let values = self.settle(values)?;
        let fill = |text: &str| fill(text, &values);
        let refuse = |why: String| RecipeError::Parameter { recipe: self.name.clone(), why };
        let place = match self.job.branch.as_deref().map(fill) {
            None => Place::Workspace,
            Some(branch) => {
                check_branch(&branch).map_err(|error| refuse(error.to_string()))?;
                Place::Branch { branch, base: None }
            }
        };
        let pinned: Vec<String> = self.job.pinned.iter().map(|one| fill(one)).filter(|one| !one.is_empty()).collect();
        check_patterns(&pinned).map_err(|error| refuse(error.to_string()))?;
        let done = self.job.done.as_deref().map(|command| DoneWhen {
            command: fill(command),
            timeout_s: self.job.timeout_s.unwrap_or(900),
            pinned: pinned.clone(),
        });
        let usual = JobLimits::default();
        let limits = JobLimits {
            rounds: self.job.rounds.unwrap_or(usual.rounds),
            iterations: self.job.iterations.unwrap_or(usual.iterations),
            minutes: self.job.minutes.unwrap_or(usual.minutes),
            ..usual
        };
        Ok(JobSpec {
            brief: fill(&self.job.brief).trim().to_owned(),
            coder: whom.coder,
            model: None,
            workspace: whom.workspace,
            place,
            done,
            limits,
            report: Cadence::default(),
            then: self.job.then,
            recipe: Some(self.name.clone()),
        })
    }

    /// Every parameter with its value, checked.
    fn settle(&self, values: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, RecipeError> {
        let refuse = |why: String| RecipeError::Parameter { recipe: self.name.clone(), why };
        if let Some(unknown) = values.keys().find(|name| !self.parameters.contains_key(*name)) {
            let known: Vec<&str> = self.parameters.keys().map(String::as_str).collect();
            let unknown = crate::core::shown(unknown);
            return Err(refuse(format!("it has no parameter `{unknown}`; it has: {}", known.join(", "))));
        }
        let mut settled = BTreeMap::new();
        for (name, parameter) in &self.parameters {
            let value = values.get(name).cloned().or_else(|| parameter.default.clone());
            let missing = || refuse(format!("it needs `--set {name}=...`: {}", parameter.about));
            let value = value.ok_or_else(missing)?;
            // An empty default means that the parameter may be left out.
            if !(value.is_empty() && parameter.default.as_deref() == Some("")) {
                parameter.check(name, &value).map_err(refuse)?;
            }
            settled.insert(name.clone(), value);
        }
        Ok(settled)
    }
}

fn is_name(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The names in braces of a template.
fn names_in(text: &str) -> impl Iterator<Item = &str> {
    text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name).filter(|name| is_name(name))
}

/// The text with values in place of names. What a value holds is never looked at again.
fn fill(text: &str, values: &BTreeMap<String, String>) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('{') {
        filled.push_str(before);
        match behind.split_once('}').and_then(|(name, after)| Some((values.get(name)?, after))) {
            Some((value, after)) => {
                filled.push_str(value);
                rest = after;
            }
            None => {
                filled.push('{');
                rest = behind;
            }
        }
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests;
