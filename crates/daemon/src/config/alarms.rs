//! `[alarms]`: what is out of the ordinary, and when nothing runs without the owner any more.

use std::time::Duration;

use policy::alarm::{Rule, Rules, Used};
use schemars::JsonSchema;
use serde::Deserialize;
use types::MicroUsd;

/// `[alarms]`
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AlarmConfig {
    /// A task or an hour that uses so many times the median of the last 20 is out of the ordinary; 0: never.
    pub multiple: f64,
    /// A task above this is always out of the ordinary, in US dollars. Absent: only compared with others.
    pub task_usd: Option<f64>,
    /// The same for an hour of all tasks together.
    pub hour_usd: Option<f64>,
    /// The same for the megabytes that a task sends to the network.
    pub task_sent_mb: u64,
    /// So many calls in a row that were not allowed pause the task; 0: never.
    pub denied: u64,
    /// How long a paused task waits for your answer, in hours. Then it is stopped.
    pub unanswered_h: f64,
    /// When you have not written for so many hours, no schedule and no other program may begin a task. Absent: no limit.
    pub silent_h: Option<f64>,
    /// Nor when such tasks have cost so many US dollars since you last wrote. Absent: no limit.
    pub unattended_usd: Option<f64>,
}

impl Default for AlarmConfig {
    fn default() -> Self {
        Self {
            multiple: 5.0,
            task_usd: None,
            hour_usd: Some(10.0),
            task_sent_mb: 64,
            denied: 8,
            unanswered_h: 12.0,
            silent_h: Some(168.0),
            unattended_usd: Some(20.0),
        }
    }
}

/// Below these nothing is compared with its history. What earlier tasks sent out is not known, so that is not compared.
const FLOOR: Used = Used { money: MicroUsd(500_000), tokens: 500_000, steps: 40, bytes_up: 0, denied: 0 };

impl AlarmConfig {
    /// The same as the agent compares with.
    pub fn rules(&self) -> Rules {
        let dollars = |amount: Option<f64>| amount.map_or(MicroUsd(0), MicroUsd::from_dollars);
        let multiple = Some(self.multiple).filter(|multiple| *multiple > 0.0);
        let bytes_up = self.task_sent_mb.saturating_mul(1 << 20);
        let task = Used { money: dollars(self.task_usd), bytes_up, denied: self.denied, ..Used::ZERO };
        let hour = Used { money: dollars(self.hour_usd), ..Used::ZERO };
        Rules {
            task: Rule { multiple, floor: FLOOR, fixed: task },
            hour: Rule { multiple, floor: Used { steps: 0, ..FLOOR }, fixed: hour },
            patience: hours(self.unanswered_h),
        }
    }

    /// How long the owner may be silent.
    pub fn silent(&self) -> Option<Duration> {
        self.silent_h.map(hours)
    }

    /// What work without the owner may cost.
    pub fn unattended(&self) -> Option<MicroUsd> {
        self.unattended_usd.map(MicroUsd::from_dollars)
    }
}

/// The configuration was checked, so the number is one that a duration can hold; if not, it is the shortest.
fn hours(number: f64) -> Duration {
    Duration::try_from_secs_f64(number * 3_600.0).unwrap_or(Duration::ZERO)
}
