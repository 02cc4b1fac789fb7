//! `write`: a whole file, made or replaced.

use std::{path::PathBuf, sync::Arc};

use policy::Grant;
use sandbox::Written;
use serde::Deserialize;
use serde_json::Value;
use types::{BoxFuture, Effect, InvalidInput, Tool, ToolContext, ToolOutput, ToolSpec};

use crate::{
    arguments::{file_path, one_line, parse},
    reach::{Reach, blocking},
    spec::{Field, Presence::Required, changing, spec, text},
};

const FIELDS: &str = "path, content";

pub(crate) struct Write {
    spec: ToolSpec,
    reach: Arc<Reach>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    path: String,
    content: String,
}

fn check(input: &Value) -> Result<(PathBuf, String), InvalidInput> {
    let arguments: Arguments = parse(input, FIELDS)?;
    Ok((file_path(&arguments.path)?, arguments.content))
}

impl Write {
    pub(crate) fn new(reach: Arc<Reach>) -> Self {
        let fields = vec![Field("path", text(), Required), Field("content", text(), Required)];
        Self { spec: spec("write", "Create or overwrite a file; missing directories are made.", fields), reach }
    }

    async fn write(&self, grant: &Grant, input: &Value, context: &ToolContext) -> Result<String, ToolOutput> {
        let (path, content) = check(input).map_err(|error| ToolOutput::error(error.0))?;
        let files = self.reach.files(context)?;
        self.reach.raise(context).await?;
        let written = blocking(|| files.write(grant, &path, content.as_bytes()));
        let how = match written.map_err(|error| ToolOutput::error(error.to_string()))? {
            Written::Created => "created",
            Written::Replaced => "replaced",
        };
        let path = one_line(&path.to_string_lossy(), 200);
        Ok(format!("{how} {path}: {} lines, {} bytes", content.lines().count(), content.len()))
    }
}

impl Tool<Grant> for Write {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn assess(&self, input: &Value) -> Result<Effect, InvalidInput> {
        let (path, content) = check(input)?;
        let path = one_line(&path.to_string_lossy(), 200);
        Ok(changing(format!("write: {path} ({} lines)", content.lines().count())))
    }

    fn run<'a>(&'a self, grant: &'a Grant, input: &'a Value, context: &'a ToolContext) -> BoxFuture<'a, ToolOutput> {
        Box::pin(async move {
            match self.write(grant, input, context).await {
                Ok(text) => ToolOutput::ok(text, self.reach.label(context)),
                Err(output) => output,
            }
        })
    }
}
