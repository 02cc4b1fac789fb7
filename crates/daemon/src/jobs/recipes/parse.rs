//! Reading a recipe, with a line for each mistake. Pure.

use types::Then;

use super::{
    Kind, Recipe,
    template::{check_shell, is_name, names_in},
};
use crate::jobs::{check::check_patterns, phases::MAX_PHASES};

/// The longest title and description of a parameter, in characters.
const MAX_LINE: usize = 300;
/// The longest text of a task or a phase, in bytes.
const MAX_BRIEF: usize = 16 << 10;
/// What stands beside parameters in a chat, and so cannot name one.
const RESERVED: [&str; 8] = ["coder", "every", "in", "model", "recipe", "then", "usd", "workspace"];

/// What is wrong, and in which line.
pub(super) type Mistake = (usize, String);

impl Recipe {
    /// Reads a recipe and checks that its parts fit together. The error is a line, from 1, and a sentence.
    pub fn parse(name: &str, text: &str) -> Result<Self, Mistake> {
        let line_at =
            |at: usize| 1 + text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count();
        let mut recipe: Self = toml::from_str(text).map_err(|error| {
            (error.span().map_or(1, |span| line_at(span.start)), error.message().replace('\n', ", "))
        })?;
        name.clone_into(&mut recipe.name);
        recipe.check().map_err(|(place, why)| (text.find(&place).map_or(1, line_at), why))?;
        Ok(recipe)
    }

    /// What does not fit, with a text that stands where it is wrong.
    fn check(&self) -> Result<(), (String, String)> {
        line("title", &self.title)?;
        self.check_parameters()?;
        let job = &self.job;
        brief("brief", &job.brief)?;
        for text in self.texts() {
            for used in names_in(text) {
                if !self.parameters.contains_key(used) {
                    let why =
                        format!("it uses `{{{used}}}`, which is none of its parameters (`{{{{` stands for a brace)");
                    return Err((format!("{{{used}}}"), why));
                }
            }
        }
        for command in job.done.iter().chain(job.phases.iter().filter_map(|phase| phase.done.as_ref())) {
            check_shell(command).map_err(|why| ("done".to_owned(), why))?;
        }
        let patterns: Vec<String> = job.pinned.iter().filter(|one| names_in(one).is_empty()).cloned().collect();
        check_patterns(&patterns).map_err(|error| ("pinned".to_owned(), error.to_string()))?;
        self.check_done()?;
        self.check_phases()?;
        self.check_review()
    }

    fn check_parameters(&self) -> Result<(), (String, String)> {
        for (name, parameter) in &self.parameters {
            let place = format!("parameters.{name}");
            if !is_name(name) {
                let why = format!("`{name}` is no name of a parameter; use small letters, digits and `_`");
                return Err((place, why));
            }
            if RESERVED.contains(&name.as_str()) {
                return Err((place, format!("`{name}` cannot name a parameter: it is said of every job")));
            }
            line("about", &parameter.about).map_err(|(_, why)| (place.clone(), why))?;
            let Some(default) = &parameter.default else { continue };
            let used = names_in(default);
            let is_plain = |name: &&str| {
                self.parameters
                    .get(*name)
                    .is_some_and(|one| names_in(one.default.as_deref().unwrap_or_default()).is_empty())
            };
            if !used.iter().all(is_plain) {
                let why = "its default uses what is no parameter, or one whose default uses others".to_owned();
                return Err((place, why));
            }
            if used.is_empty() && !default.is_empty() {
                parameter.check(name, default).map_err(|why| (place, why))?;
            }
        }
        Ok(())
    }

    /// What is said of a done condition needs one.
    fn check_done(&self) -> Result<(), (String, String)> {
        let job = &self.job;
        if job.done.is_some() || job.phases.iter().any(|phase| phase.done.is_some()) {
            return Ok(());
        }
        let refuse = |place: &str, why: &str| Err((place.to_owned(), why.to_owned()));
        if !job.pinned.is_empty() {
            return refuse("pinned", "`pinned` keeps files as they are for the done condition, and there is no `done`");
        }
        match job.timeout_s {
            Some(_) => {
                refuse("timeout_s", "`timeout_s` is how long the done condition may take, and there is no `done`")
            }
            None => Ok(()),
        }
    }

    fn check_phases(&self) -> Result<(), (String, String)> {
        let job = &self.job;
        let refuse = |why: &str| Err(("phases".to_owned(), why.to_owned()));
        if job.phases.len() > MAX_PHASES {
            return refuse(&format!("it has more than {MAX_PHASES} phases"));
        }
        if !job.phases.is_empty() && job.then == Then::Nothing {
            return refuse("each phase is committed, so `then` cannot be `nothing`");
        }
        for phase in &job.phases {
            line("name", &phase.name)?;
            line("commit", &phase.commit)?;
            brief(&phase.name, &phase.brief)?;
        }
        Ok(())
    }

    fn check_review(&self) -> Result<(), (String, String)> {
        let job = &self.job;
        let Some(review) = &job.review else { return Ok(()) };
        let refuse = |why: &str| Err(("review".to_owned(), why.to_owned()));
        let is_number = |name: &str| self.parameters.get(name).is_some_and(|one| one.kind == Kind::Number);
        let named = names_in(review);
        let [name] = named.as_slice() else { return refuse("it is the name of a parameter in braces, such as `{pr}`") };
        if *review != format!("{{{name}}}") || !is_number(name) {
            return refuse("it is the name of a parameter of the kind `number` in braces, and nothing else");
        }
        if job.branch.is_none() || job.then != Then::Nothing || !job.phases.is_empty() {
            return refuse("a review works on a branch of its own, has no phases, and its `then` is `nothing`");
        }
        Ok(())
    }

    /// All texts in which parameters may stand.
    fn texts(&self) -> impl Iterator<Item = &String> {
        let job = &self.job;
        let phases = job.phases.iter().flat_map(|phase| {
            [Some(&phase.name), Some(&phase.brief), Some(&phase.commit), phase.done.as_ref()].into_iter().flatten()
        });
        let whole = [Some(&job.brief), job.branch.as_ref(), job.done.as_ref(), job.review.as_ref()];
        whole.into_iter().flatten().chain(&job.pinned).chain(phases)
    }
}

/// A text on one line.
fn line(what: &str, text: &str) -> Result<(), (String, String)> {
    let is_line = !text.trim().is_empty() && text.chars().count() <= MAX_LINE && !text.contains(char::is_control);
    if is_line {
        Ok(())
    } else {
        Err((what.to_owned(), format!("`{what}` must be one line of 1 to {MAX_LINE} characters")))
    }
}

/// A text of a task.
fn brief(place: &str, text: &str) -> Result<(), (String, String)> {
    let is_text = !text.trim().is_empty() && text.len() <= MAX_BRIEF;
    if is_text { Ok(()) } else { Err((place.to_owned(), format!("`brief` must have 1 to {MAX_BRIEF} bytes"))) }
}
