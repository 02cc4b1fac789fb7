//! Outer namespaces: a test starts its own program again inside new mount, process and network namespaces, as one of the two
//! accounts, and takes over its verdict.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Who a test runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum As {
    Root,
    Ordinary,
    /// An ordinary user to whom no control groups were handed over.
    Bare,
}

/// Set in the environment of the inner run.
const MARK: &str = "FACTOTUM_TEST_INSIDE";
/// The ordinary user: nobody.
const NOBODY: &str = "65534";

/// Defines tests that run inside outer namespaces, each for the accounts under which it is named.
#[macro_export]
macro_rules! inside {
    ($($account:ident { $($name:ident)* })*) => {$(
        mod $account {$(
            #[test]
            fn $name() -> $crate::support::Outcome {
                $crate::outer::run($crate::outer::$account, concat!(module_path!(), "::", stringify!($name)), || {
                    let mut runtime = tokio::runtime::Builder::new_multi_thread();
                    runtime.worker_threads(2).enable_all().build()?.block_on(super::$name())
                })
            }
        )*}
    )*};
}

/// The accounts under the names of the modules that the tests are in.
#[expect(non_upper_case_globals, reason = "the names of modules")]
mod accounts {
    pub const as_root: super::As = super::As::Root;
    pub const as_somebody: super::As = super::As::Ordinary;
    pub const without_groups: super::As = super::As::Bare;
}
pub use accounts::{as_root, as_somebody, without_groups};

/// Runs `test` inside; the outer call starts this program again with only the test `name`.
pub fn run(account: As, name: &str, test: impl FnOnce() -> crate::support::Outcome) -> crate::support::Outcome {
    if std::env::var_os(MARK).is_some() {
        return test();
    }
    let is_root = rustix::process::geteuid().is_root();
    if account == As::Root && !is_root {
        eprintln!("skipped: this test needs root");
        return Ok(());
    }
    // Names as the test program itself uses them have no crate in front.
    let name = name.split_once("::").map_or(name, |(_, rest)| rest);
    let groups = if is_root && account != As::Bare { Groups::delegate() } else { Groups::default() };
    let mut command = wrapped(account, is_root, &groups);
    command.arg(std::env::current_exe()?).args(["--exact", name, "--nocapture", "--test-threads=1"]).env(MARK, "1");
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("inside: {status}").into()) }
}

/// `unshare`, and what else makes the account.
fn wrapped(account: As, is_root: bool, groups: &Groups) -> Command {
    let unshare = ["-m", "-p", "-n", "-f", "--mount-proc", "--propagation", "private", "--kill-child"];
    if !is_root {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-current-user"]).args(unshare);
        return command;
    }
    let mut command = Command::new("sh");
    let enter = r#"for list in $LISTS; do echo $$ > $list/cgroup.procs; done; exec "$@""#;
    command.args(["-c", enter, "sh", "unshare"]).args(unshare).env("LISTS", groups.lists());
    if account != As::Root {
        command.args(["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]);
    }
    command
}

/// Control groups that belong to the ordinary user, as a service manager would hand them over.
#[derive(Default)]
struct Groups(Vec<PathBuf>);

impl Groups {
    fn delegate() -> Self {
        let name = format!("factotum.test.{}", std::process::id());
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let path_of = |controller: &str| {
            own.lines().find_map(|line| {
                let mut parts = line.splitn(3, ':');
                let controllers = parts.nth(1)?;
                controllers.split(',').any(|name| name == controller).then(|| parts.next().unwrap_or("/").to_owned())
            })
        };
        let made = ["memory", "pids", "cpu"].iter().filter_map(|controller| {
            let path = path_of(controller)?;
            let place = Path::new("/sys/fs/cgroup").join(controller).join(path.trim_start_matches('/')).join(&name);
            fs::create_dir(&place).ok()?;
            let owned = Command::new("chown").args(["-R", NOBODY]).arg(&place).status();
            owned.is_ok_and(|status| status.success()).then_some(place)
        });
        Self(made.collect())
    }

    fn lists(&self) -> impl AsRef<OsStr> {
        self.0.iter().map(|place| place.display().to_string()).collect::<Vec<_>>().join(" ")
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for place in &self.0 {
            for _ in 0..100 {
                if remove(place) {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        }
    }
}

/// Removes a group with all below it, if they are empty.
fn remove(place: &Path) -> bool {
    let inner = fs::read_dir(place).into_iter().flatten().flatten().map(|entry| entry.path());
    for group in inner.filter(|path| path.is_dir()) {
        remove(&group);
    }
    fs::remove_dir(place).is_ok()
}
