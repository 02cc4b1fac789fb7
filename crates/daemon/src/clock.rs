//! The real clock. Nothing else in the project reads wall-clock time.

use std::{
    sync::Mutex,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use types::{Clock, Timestamp};

/// Wall-clock time that never runs backwards within one process: when the system's clock jumps back, time goes on by
/// the monotonic clock until the system's clock has caught up.
#[derive(Debug)]
pub struct SystemClock {
    state: Mutex<State>,
}

/// What was told, and from where to go on if the wall clock falls behind it.
#[derive(Debug)]
struct State {
    base: Instant,
    base_millis: i64,
    told: i64,
}

impl SystemClock {
    /// Starts at the system's present time.
    pub fn new() -> Self {
        let wall = system_millis();
        Self { state: Mutex::new(State { base: Instant::now(), base_millis: wall, told: wall }) }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Timestamp(state.tell(Instant::now(), system_millis()))
    }
}

impl State {
    fn tell(&mut self, now: Instant, wall: i64) -> i64 {
        if wall >= self.told {
            self.base = now;
            self.base_millis = wall;
            self.told = wall;
        } else {
            let elapsed = i64::try_from(now.duration_since(self.base).as_millis()).unwrap_or(i64::MAX);
            self.told = self.told.max(self.base_millis.saturating_add(elapsed));
        }
        self.told
    }
}

#[expect(clippy::disallowed_methods, reason = "this module is the clock of the whole program")]
fn system_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::State;

    #[test]
    fn time_goes_on_when_the_wall_clock_jumps_back() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut state = State { base: start, base_millis: 1_000, told: 1_000 };
        assert_eq!(state.tell(at(5), 1_005), 1_005);
        assert_eq!(state.tell(at(5), 200), 1_005, "no step back");
        assert_eq!(state.tell(at(605), 800), 1_605, "the monotonic clock goes on");
        assert_eq!(state.tell(at(905), 1_100), 1_905, "still behind what was told");
        assert_eq!(state.tell(at(1_000), 5_000), 5_000, "caught up");
    }
}
