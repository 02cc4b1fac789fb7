//! From a recipe and its parameters to a job. Pure.

use std::collections::BTreeMap;

use types::{DoneWhen, JobLimits, JobPhase, JobSpec, Place, RecipeCall, Then, WorkspaceName};

use super::{
    Kind, Recipe, RecipeError,
    template::{Values, fill, fill_pattern, fill_shell, names_in},
};
use crate::jobs::{check::check_patterns, check_branch};

impl Recipe {
    /// The job that the recipe makes. `workspace` is taken where the call names none; the coding agent is empty where it names
    /// none.
    pub fn expand(&self, call: &RecipeCall, workspace: WorkspaceName) -> Result<JobSpec, RecipeError> {
        self.job_with(&self.settle(&call.set, false)?, call, workspace).map_err(|why| self.refuse(why))
    }

    /// The same as far as it can be told: what must be said and was not stands there as `<name>`.
    pub(super) fn preview(&self, call: &RecipeCall, workspace: WorkspaceName) -> Result<JobSpec, RecipeError> {
        self.job_with(&self.settle(&call.set, true)?, call, workspace).map_err(|why| self.refuse(why))
    }

    fn refuse(&self, why: String) -> RecipeError {
        RecipeError::Parameter { recipe: self.name.clone(), why }
    }

    fn job_with(&self, values: &Values, call: &RecipeCall, workspace: WorkspaceName) -> Result<JobSpec, String> {
        let job = &self.job;
        let shell = |command: &String| fill_shell(command, values, &self.parameters);
        if job.review.is_some() && (call.branch.is_some() || call.then.is_some()) {
            return Err("a review works on a branch of its own, and what becomes of it is one comment".to_owned());
        }
        let branch = call.branch.clone().or_else(|| job.branch.as_deref().map(|branch| fill(branch, values)));
        if let Some(branch) = &branch {
            check_branch(branch).map_err(|error| error.to_string())?;
        }
        let then = call.then.unwrap_or(job.then);
        if then == Then::Nothing && !job.phases.is_empty() {
            return Err("each of its phases is committed, so `then` cannot be `nothing`".to_owned());
        }
        let pinned = job.pinned.iter().map(|one| fill_pattern(one, values, &self.parameters));
        let pinned: Vec<String> = pinned.filter(|one| !one.is_empty()).collect();
        check_patterns(&pinned).map_err(|error| error.to_string())?;
        let timeout_s = job.timeout_s.unwrap_or(DoneWhen::USUAL_S);
        let usual = JobLimits::default();
        let phases = job.phases.iter().map(|phase| JobPhase {
            name: fill(&phase.name, values),
            brief: fill(&phase.brief, values).trim().to_owned(),
            done: phase.done.as_ref().map(shell),
            commit: fill(&phase.commit, values),
            fresh: phase.fresh,
        });
        Ok(JobSpec {
            brief: fill(&job.brief, values).trim().to_owned(),
            coder: call.coder.clone().unwrap_or_default(),
            model: call.model.clone(),
            workspace: call.workspace.clone().unwrap_or(workspace),
            place: branch.map_or(Place::Workspace, |branch| Place::Branch { branch, base: None }),
            done: job.done.as_ref().map(|command| DoneWhen { command: shell(command), timeout_s, pinned }),
            limits: JobLimits {
                rounds: job.rounds.unwrap_or(usual.rounds),
                iterations: job.iterations.unwrap_or(usual.iterations),
                minutes: job.minutes.unwrap_or(usual.minutes),
                cost: call.cost,
                ..usual
            },
            report: call.report.unwrap_or_default(),
            then,
            recipe: Some(self.name.clone()),
            phases: phases.collect(),
            // In a preview it may not be known yet.
            review: job.review.as_ref().map(|review| fill(review, values).parse().unwrap_or(0)),
        })
    }

    /// Every parameter with its value, checked. In a preview what is missing names itself.
    fn settle(&self, given: &BTreeMap<String, String>, is_preview: bool) -> Result<Values, RecipeError> {
        if let Some(unknown) = given.keys().find(|name| !self.parameters.contains_key(*name)) {
            let known: Vec<&str> = self.parameters.keys().map(String::as_str).collect();
            let unknown = crate::core::shown(unknown);
            return Err(self.refuse(format!("it has no parameter `{unknown}`; it has: {}", known.join(", "))));
        }
        let mut settled = Values::new();
        // Defaults that use other parameters come after those.
        let (plain, derived): (Vec<_>, Vec<_>) = self.parameters.iter().partition(|(_, parameter)| {
            parameter.default.as_deref().is_none_or(|default| names_in(default).is_empty())
        });
        for (name, parameter) in plain.into_iter().chain(derived) {
            let default = || {
                let default = parameter.default.as_deref()?;
                Some(match parameter.kind {
                    Kind::Pattern => fill_pattern(default, &settled, &self.parameters),
                    _ => fill(default, &settled),
                })
            };
            let value = match given.get(name).cloned().or_else(default) {
                Some(value) => value,
                None if is_preview => {
                    settled.insert(name.clone(), format!("<{name}>"));
                    continue;
                }
                None => {
                    let why = format!("it needs `{name}`: {} ({})", parameter.about, parameter.kind.in_words());
                    return Err(self.refuse(format!("{why}; give it with `--set {name}=...`")));
                }
            };
            if given.contains_key(name) || !is_preview {
                parameter.check(name, &value).map_err(|why| self.refuse(why))?;
            }
            settled.insert(name.clone(), value);
        }
        Ok(settled)
    }
}
