//! What Claude Code means to do: a list that its tools add to, or set as a whole in older versions.

use serde_json::Value;

use crate::{
    PlanStep,
    border::MAX_STEPS,
    names::is_fit,
    text::{SUMMARY, head},
};

/// Its list of tasks, each with the number that the program gave it.
#[derive(Default)]
pub(super) struct Plan {
    tasks: Vec<(String, PlanStep)>,
}

impl Plan {
    /// The plan that a use of an older version's tool sets.
    pub fn whole(tool: &str, input: &Value) -> Option<Vec<PlanStep>> {
        if tool != "TodoWrite" {
            return None;
        }
        let step = |todo: &Value| PlanStep {
            text: head(todo["content"].as_str().unwrap_or_default(), SUMMARY).to_owned(),
            done: todo["status"] == "completed",
        };
        Some(input["todos"].as_array()?.iter().take(MAX_STEPS).map(step).collect())
    }

    /// Takes in what a tool has returned. True if the plan is another one now.
    pub fn hear(&mut self, result: &Value) -> bool {
        if let (Some(id), Some(text)) = (result["task"]["id"].as_str(), result["task"]["subject"].as_str())
            && is_fit(id)
        {
            let known = self.tasks.iter().any(|(known, _)| known == id);
            if known || self.tasks.len() >= MAX_STEPS {
                return false;
            }
            self.tasks.push((id.to_owned(), PlanStep { text: head(text, SUMMARY).to_owned(), done: false }));
            return true;
        }
        let (Some(id), Some(status)) = (result["taskId"].as_str(), result["statusChange"]["to"].as_str()) else {
            return false;
        };
        let Some(at) = self.tasks.iter().position(|(known, _)| known == id) else { return false };
        if status == "deleted" {
            self.tasks.remove(at);
        } else if let Some((_, step)) = self.tasks.get_mut(at) {
            step.done = status == "completed";
        }
        true
    }

    /// All steps, in the order in which they were added.
    pub fn steps(&self) -> Vec<PlanStep> {
        self.tasks.iter().map(|(_, step)| step.clone()).collect()
    }
}
