//! Crashes on purpose, for tests of recovery. Without the feature `faults` there is nothing here but an empty function.
//!
//! `FACTOTUM_CRASH_AT` says where the process is to be killed as if by `kill -9`: `before:N` or `after:N` for the N-th
//! commit since the process started, `point:NAME:N` for the N-th time that a named point is passed.
//! `FACTOTUM_CRASH_COUNT` names a file to which the number of commits so far is written after each.

#[cfg(feature = "faults")]
pub(crate) use enabled::{after_commit, before_commit};

#[cfg(not(feature = "faults"))]
pub(crate) fn before_commit() {}

#[cfg(not(feature = "faults"))]
pub(crate) fn after_commit() {}

/// A named point at which a test build may be killed. Does nothing in other builds.
pub fn fault_point(name: &str) {
    #[cfg(feature = "faults")]
    enabled::point(name);
    #[cfg(not(feature = "faults"))]
    let _ = name;
}

#[cfg(feature = "faults")]
mod enabled {
    use std::{
        collections::HashMap,
        path::PathBuf,
        sync::{
            Mutex, OnceLock, PoisonError,
            atomic::{AtomicU64, Ordering},
        },
    };

    use rustix::process::{Signal, getpid, kill_process};

    /// Where the process is to be killed.
    #[derive(Clone, Debug, PartialEq, Eq)]
    enum CrashPoint {
        Before(u64),
        After(u64),
        Point(String, u64),
    }

    struct Plan {
        crash: Option<CrashPoint>,
        count_file: Option<PathBuf>,
        commits: AtomicU64,
        points: Mutex<HashMap<String, u64>>,
    }

    static PLAN: OnceLock<Plan> = OnceLock::new();

    #[expect(clippy::disallowed_methods, reason = "tests set crash points in the environment of the whole program")]
    fn plan() -> &'static Plan {
        PLAN.get_or_init(|| Plan {
            crash: std::env::var("FACTOTUM_CRASH_AT").ok().and_then(|text| parse(&text)),
            count_file: std::env::var_os("FACTOTUM_CRASH_COUNT").map(PathBuf::from),
            commits: AtomicU64::new(0),
            points: Mutex::default(),
        })
    }

    fn parse(text: &str) -> Option<CrashPoint> {
        let (kind, rest) = text.split_once(':')?;
        match kind {
            "before" => Some(CrashPoint::Before(rest.parse().ok()?)),
            "after" => Some(CrashPoint::After(rest.parse().ok()?)),
            "point" => {
                let (name, number) = rest.rsplit_once(':')?;
                Some(CrashPoint::Point(name.to_owned(), number.parse().ok()?))
            }
            _ => None,
        }
    }

    fn die() -> ! {
        // Should the signal not come, which cannot be, the process must still not go on.
        let _ = kill_process(getpid(), Signal::KILL);
        std::process::abort()
    }

    pub(crate) fn before_commit() {
        let plan = plan();
        let next = plan.commits.load(Ordering::SeqCst) + 1;
        if plan.crash == Some(CrashPoint::Before(next)) {
            die();
        }
    }

    pub(crate) fn after_commit() {
        let plan = plan();
        let done = plan.commits.fetch_add(1, Ordering::SeqCst) + 1;
        if let Some(file) = &plan.count_file
            && let Err(error) = std::fs::write(file, done.to_string())
        {
            tracing::error!(%error, "the number of commits could not be written");
        }
        if plan.crash == Some(CrashPoint::After(done)) {
            die();
        }
    }

    pub(super) fn point(name: &str) {
        let plan = plan();
        let Some(CrashPoint::Point(wanted, number)) = &plan.crash else { return };
        if wanted != name {
            return;
        }
        let mut points = plan.points.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = points.entry(name.to_owned()).or_insert(0);
        *passed += 1;
        if passed == number {
            die();
        }
    }

    #[cfg(test)]
    mod tests {
        use super::{CrashPoint, parse};

        #[test]
        fn plans_are_parsed() {
            assert_eq!(parse("before:3"), Some(CrashPoint::Before(3)));
            assert_eq!(parse("after:1"), Some(CrashPoint::After(1)));
            assert_eq!(parse("point:a:b:2"), Some(CrashPoint::Point("a:b".to_owned(), 2)));
            assert_eq!(parse("never"), None);
        }
    }
}
