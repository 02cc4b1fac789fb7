//! The built-in practice model.

use futures_core::stream::BoxStream;
use tokio_util::sync::CancellationToken;
use types::{ModelEvent, ModelRequest, Provider};

/// The files of the toy project: path, content, whether it is executable.
pub const TOY_FILES: &[(&str, &str, bool)] = &[];

/// A scripted model that shows the machine at work.
#[derive(Clone, Copy, Debug, Default)]
pub struct PracticeModel;

impl PracticeModel {
    /// The practice model.
    pub fn new() -> Self {
        Self
    }
}

impl Provider for PracticeModel {
    fn stream(&self, _request: ModelRequest, _cancel: CancellationToken) -> BoxStream<'static, ModelEvent> {
        todo!()
    }
}
