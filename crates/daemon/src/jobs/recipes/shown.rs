//! How recipes, and the jobs that they make, read. Pure but for reading the owner's directory.

use std::path::Path;

use types::{JobSpec, Place, RecipeCall, Then, WorkspaceName};

use super::{Recipe, RecipeError, all, find};
use crate::api::views::{RecipeParameter, RecipeView, RecipesView};

/// All recipes in a line each, and the owner's files that are none.
pub(crate) fn list(home: &Path) -> RecipesView {
    let (recipes, mistakes) = all(home);
    let row = |recipe: Recipe| view_of(&recipe, String::new());
    RecipesView {
        recipes: recipes.into_values().map(row).collect(),
        mistakes: mistakes.iter().map(ToString::to_string).collect(),
    }
}

/// One recipe with what it would do.
pub(crate) fn view(home: &Path, call: &RecipeCall, workspace: WorkspaceName) -> Result<RecipeView, RecipeError> {
    let recipe = find(home, &call.recipe)?;
    let spec = recipe.preview(call, workspace)?;
    Ok(view_of(&recipe, plan(&spec)))
}

fn view_of(recipe: &Recipe, plan: String) -> RecipeView {
    let parameters = recipe.parameters.iter().map(|(name, parameter)| RecipeParameter {
        name: name.clone(),
        about: parameter.about.clone(),
        kind: parameter.kind.in_words().to_owned(),
        default: parameter.default.clone(),
    });
    RecipeView {
        name: recipe.name.clone(),
        title: recipe.title.clone(),
        own: recipe.own,
        parameters: parameters.collect(),
        plan,
    }
}

/// What a job would do, whole, in words.
pub(crate) fn plan(spec: &JobSpec) -> String {
    let mut lines = vec![match &spec.place {
        Place::Workspace => "It works in the workspace itself.".to_owned(),
        Place::Branch { branch, .. } => format!("It works on the branch {branch}, in a clone of the repository."),
    }];
    if let Some(number) = spec.review {
        let which = if number == 0 { "the pull request".to_owned() } else { format!("pull request {number}") };
        lines.push(format!("It reviews {which}, which is fetched from the repository's host before."));
    }
    if let Some(done) = &spec.done {
        lines.push(format!("It is done when this exits with 0: {}", done.command));
        if !done.pinned.is_empty() {
            lines.push(format!("These files stay as they are: {}", done.pinned.join(", ")));
        }
    }
    let limits = &spec.limits;
    let cost = limits.cost.map(|cost| format!(", {cost}")).unwrap_or_default();
    lines.push(format!(
        "It is given up after {} rounds, {} tools, {} minutes{cost}.",
        limits.rounds, limits.iterations, limits.minutes
    ));
    lines.push(match (spec.review, spec.then) {
        (Some(_), _) => "The review becomes one comment, after your approval that shows it whole.".to_owned(),
        (None, Then::Nothing) => "Then it stays in its tree as it is.".to_owned(),
        (None, Then::Commit) => "Then it is committed.".to_owned(),
        (None, Then::Push) => "Then it is committed, and pushed after your approval.".to_owned(),
        (None, Then::DraftPullRequest) => {
            "Then it is committed, pushed after your approval, and proposed as a draft after another.".to_owned()
        }
    });
    lines.push(format!("\n{}", spec.brief.trim()));
    let count = spec.phases.len();
    for (index, phase) in spec.phases.iter().enumerate() {
        let fresh = if phase.fresh { ", in a new conversation" } else { "" };
        lines.push(format!("\nPhase {} of {count}: {}{fresh}\n\n{}", index + 1, phase.name, phase.brief.trim()));
        if let Some(done) = &phase.done {
            lines.push(format!("Done when this exits with 0: {done}"));
        }
        lines.push(format!("Commit: {}", phase.commit));
    }
    lines.join("\n")
}
