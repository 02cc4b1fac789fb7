//! A daemon whose jobs are a play.

use std::{path::Path, sync::Arc, time::Duration};

use daemon::{Config, Daemon, client::Client};
use serde_json::json;
use tempfile::TempDir;
use types::{Clock, Command, CommandReply, JobEnd, JobId, JobState, JobView};

use crate::{
    play::{Play, Stage},
    scene::{FakeChannel, FakeModel, options},
};

/// A daemon with played jobs.
pub struct Bench {
    pub home: TempDir,
    pub play: Arc<Play>,
    pub channel: Arc<FakeChannel>,
    pub model: Arc<FakeModel>,
    pub daemon: Daemon,
}

const CONFIG: &str = "[api]\nlisten = \"127.0.0.1:0\"\n";

impl Bench {
    pub async fn with(play: Arc<Play>) -> Self {
        Self::again(tempfile::tempdir().unwrap(), play, FakeChannel::new(), FakeModel::echo()).await
    }

    pub async fn again(home: TempDir, play: Arc<Play>, channel: Arc<FakeChannel>, model: Arc<FakeModel>) -> Self {
        Self::begin(home, play, channel, model, None).await
    }

    /// The same with a clock of the test's.
    pub async fn with_clock(home: TempDir, play: Arc<Play>, clock: Arc<dyn Clock>) -> Self {
        Self::begin(home, play, FakeChannel::new(), FakeModel::echo(), Some(clock)).await
    }

    async fn begin(
        home: TempDir,
        play: Arc<Play>,
        channel: Arc<FakeChannel>,
        model: Arc<FakeModel>,
        clock: Option<Arc<dyn Clock>>,
    ) -> Self {
        let mut options = options(home.path(), &channel, &model);
        options.config = Some(Config::parse(CONFIG, Path::new("config.toml")).unwrap());
        options.jobs = Some(Arc::new(Stage(play.clone())));
        options.clock = clock.unwrap_or(options.clock);
        let daemon = Daemon::start(options).await.unwrap();
        Self { home, play, channel, model, daemon }
    }

    pub async fn restart(self) -> Self {
        let Self { home, play, channel, model, daemon } = self;
        daemon.stop().await;
        Self::again(home, play, channel, model).await
    }

    pub async fn client(&self) -> Client {
        Client::connect(self.home.path()).await.unwrap()
    }

    pub async fn start(&self, more: serde_json::Value) -> JobId {
        let mut spec = json!({ "brief": "mend the toys", "coder": "claude", "workspace": "main" });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let command = Command::StartJob { spec: serde_json::from_value(spec).unwrap(), id: None };
        match self.client().await.command(&command).await.unwrap() {
            CommandReply::Job { job, .. } => job,
            other => panic!("{other:?}"),
        }
    }

    /// The job once it is as the test wants it.
    pub async fn until(&self, job: JobId, what: &str, is: impl Fn(&JobView) -> bool) -> JobView {
        let client = self.client().await;
        for _ in 0..600 {
            let view = client.job(job).await.unwrap();
            if is(&view) {
                return view;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{what}: {:#?}", client.job(job).await.unwrap());
    }

    pub async fn ended(&self, job: JobId) -> (JobView, JobEnd) {
        let view = self.until(job, "it does not end", |view| matches!(view.state, JobState::Ended { .. })).await;
        match view.state.clone() {
            JobState::Ended { end } => (view, end),
            _ => unreachable!(),
        }
    }
}

pub fn with_check() -> serde_json::Value {
    json!({ "done": { "command": "cargo test" } })
}
