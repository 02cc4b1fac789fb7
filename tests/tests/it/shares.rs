//! A crash before and after every commit of a job, in four shares that run side by side.

/// Crashes at every fourth point from the `number`-th on. `crash_at` says whether the point was reached.
pub fn share(number: usize, commits: usize, crash_at: impl Fn(&str) -> bool) {
    assert!(commits > 10, "the job takes more than {commits} commits");
    let points: Vec<String> = points(commits).skip(number).step_by(4).collect();
    run(&points, crash_at);
}

/// The same for jobs that take long: in a full run all points of the share, otherwise every so many-th of them.
pub fn sample(number: usize, every: usize, commits: usize, crash_at: impl Fn(&str) -> bool) {
    assert!(commits > 10, "the job takes more than {commits} commits");
    let every = if is_full() { 1 } else { every };
    let points: Vec<String> = points(commits).skip(number).step_by(4 * every).collect();
    run(&points, crash_at);
}

/// Whether the long suites are wanted whole.
pub fn is_full() -> bool {
    std::env::var_os("FACTOTUM_FULL").is_some()
}

fn points(commits: usize) -> impl Iterator<Item = String> {
    (1..=commits).flat_map(|at| [format!("before:{at}"), format!("after:{at}")])
}

fn run(points: &[String], crash_at: impl Fn(&str) -> bool) {
    let reached = points.iter().filter(|point| crash_at(point)).count();
    // The number of commits varies a little with timing, so that a point near the end may not be reached.
    assert!(reached * 10 >= points.len() * 8, "only {reached} of {} points were reached", points.len());
}

/// The four shares as tests.
macro_rules! in_four_shares {
    ($commits:path, $crash_at:path) => {
        $crate::shares::in_four_shares!($commits, $crash_at, first_share 0, second_share 1, third_share 2, fourth_share 3);
    };
    ($commits:path, $crash_at:path, $($name:ident $number:literal),*) => {$(
        #[test]
        fn $name() {
            $crate::shares::share($number, $commits(), $crash_at);
        }
    )*};
}
pub(crate) use in_four_shares;
