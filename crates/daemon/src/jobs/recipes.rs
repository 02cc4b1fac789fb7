//! Recipes: templates of jobs, usable with every coding agent. Those of the program stand beside this file as data; the owner's
//! own lie in `recipes/` in the agent's home and win over them. A recipe says what is to be done and nothing of what a job may do:
//! rules, secrets and approvals are the workspace's. Pure but for reading that directory. Start with [`all`] and
//! [`Recipe::expand`].

mod expand;
mod parameter;
mod parse;
mod shown;
mod template;

use std::{collections::BTreeMap, fs, io::Read, path::Path};

use serde::{Deserialize, Serialize};
use types::{Then, WorkspaceName};

pub use parameter::{Kind, Parameter};
pub(crate) use shown::{list, plan, view};

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
    #[serde(skip)]
    pub name: String,
    /// Whether it is the owner's own.
    #[serde(skip)]
    pub own: bool,
    /// What it does, in a line.
    pub title: String,
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
    /// The pull request that is reviewed: the name of a parameter in braces.
    review: Option<String>,
    rounds: Option<u32>,
    iterations: Option<u32>,
    minutes: Option<u64>,
    /// Parts that are done one after the other, each committed before the next begins.
    #[serde(default)]
    phases: Vec<Phase>,
}

/// One part of the job of a recipe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Phase {
    name: String,
    brief: String,
    done: Option<String>,
    commit: String,
    #[serde(default)]
    fresh: bool,
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
    #[error("{file}:{line}: {why}")]
    File {
        /// The file, relative to the home.
        file: String,
        /// The line, from 1.
        line: usize,
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

/// All recipes by name, the owner's own in `home` included. A file that is no recipe is told and hides none of the others, but for
/// one of the program with the same name, which the owner did not mean.
pub fn all(home: &Path) -> (BTreeMap<String, Recipe>, Vec<RecipeError>) {
    let mut recipes = BTreeMap::new();
    let mut mistakes = Vec::new();
    let shipped = SHIPPED.map(|(name, text)| (name.to_owned(), false, Ok(text.to_owned())));
    let own = own(home).into_iter().map(|(name, text)| (name, true, text));
    for (name, own, text) in shipped.into_iter().chain(own) {
        let read = text.map_err(|why| (1, why)).and_then(|text| Recipe::parse(&name, &text));
        match read {
            Ok(recipe) => {
                recipes.insert(name, Recipe { own, ..recipe });
            }
            Err((line, why)) => {
                recipes.remove(&name);
                mistakes.push(RecipeError::File { file: file(&name), line, why });
            }
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
    let meant = file(name);
    let is_it = |mistake: &RecipeError| matches!(mistake, RecipeError::File { file, .. } if *file == meant);
    if let Some(mistake) = mistakes.into_iter().find(is_it) {
        return Err(mistake);
    }
    let known: Vec<&str> = recipes.keys().map(String::as_str).collect();
    Err(RecipeError::Unknown { name: crate::core::shown(name), known: known.join(", ") })
}

fn file(name: &str) -> String {
    format!("recipes/{name}.toml")
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
    let is_file = fs::metadata(path).map_err(|error| error.to_string())?.is_file();
    if !is_file {
        return Err("it is no file".to_owned());
    }
    let mut text = String::new();
    let file = fs::File::open(path).map_err(|error| error.to_string())?;
    let size = file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if size as u64 > MAX_FILE { Err(format!("it has more than {} KiB", MAX_FILE >> 10)) } else { Ok(text) }
}

#[cfg(test)]
mod tests;
