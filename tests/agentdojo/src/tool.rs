//! A tool of the benchmark as one of ours.

use policy::Grant;
use serde_json::Value;
use types::{BoxFuture, Effect, InvalidInput, Tool, ToolContext, ToolOutput, ToolSpec};

use crate::{
    bridge::{Bridge, ToolInfo},
    labels::Kind,
};

/// A tool that runs in the Python process.
pub struct SuiteTool {
    spec: ToolSpec,
    kind: Kind,
    bridge: Bridge,
}

impl SuiteTool {
    /// The tool, which is what the table says.
    pub fn new(info: ToolInfo, kind: Kind, bridge: Bridge) -> Self {
        let spec = ToolSpec { name: info.name, description: info.description, input_schema: info.schema };
        Self { spec, kind, bridge }
    }
}

impl Tool<Grant> for SuiteTool {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn assess(&self, input: &Value) -> Result<Effect, InvalidInput> {
        let Some(arguments) = input.as_object() else {
            return Err(InvalidInput("the arguments are not an object".to_owned()));
        };
        let known = &self.spec.input_schema["properties"];
        match arguments.keys().find(|name| known.get(name.as_str()).is_none()) {
            Some(unknown) => Err(InvalidInput(format!("there is no argument `{unknown}`"))),
            None => Ok(self.kind.effect(&self.spec.name, input)),
        }
    }

    fn lists_names(&self) -> bool {
        self.kind.directory
    }

    fn run<'a>(&'a self, _grant: &'a Grant, input: &'a Value, _context: &'a ToolContext) -> BoxFuture<'a, ToolOutput> {
        Box::pin(async move {
            match self.bridge.call(&self.spec.name, input).await {
                Ok(answer) => {
                    ToolOutput { text: answer.text, is_error: answer.is_error, label: self.kind.result.label() }
                }
                Err(error) => ToolOutput::error(format!("the benchmark failed: {error:#}")),
            }
        })
    }
}
