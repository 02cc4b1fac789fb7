//! Running the binary inside mount, process and network namespaces of the test's own: what attempts escapes, or would send
//! something off the machine if a defence failed, must have nothing to reach. Loopback alone is up there.

use std::{path::Path, process::Stdio};

use crate::process::{self, Finished};

/// Runs a verb to its end inside, with these addresses on the loopback device (`169.254.169.254/32`, …) and this environment.
pub fn run_inside(home: &Path, addresses: &[&str], environment: &[(&str, &str)], arguments: &[&str]) -> Finished {
    let plain = process::command(home, arguments);
    let set_up = "ip link set lo up && for address in $TEST_ADDRESSES; do ip addr add $address dev lo || exit 97; done; \
                  exec \"$@\"";
    let mut command = std::process::Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["-m", "-p", "-n", "-f", "--mount-proc", "--propagation", "private", "--kill-child"]);
    command.args(["sh", "-c", set_up, "sh"]).arg(plain.get_program()).args(plain.get_args());
    command.env_remove("FACTOTUM_HOME").env("TEST_ADDRESSES", addresses.join(" "));
    command.envs(environment.iter().copied());
    let output = command.stdin(Stdio::null()).output().unwrap();
    Finished {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Set in the environment of the inner run.
const MARK: &str = "FACTOTUM_TEST_INSIDE";

/// What is set up in new namespaces: addresses on loopback, a private memory for temporary files, a disk that can only be read.
const SET_UP: &str = "ip link set lo up && for address in $TEST_ADDRESSES; do ip addr add $address dev lo || exit 97; done; \
                      mount -t tmpfs -o mode=1777 tmpfs $TMPDIR && mount -o remount,ro,bind / && mount -o remount,ro,bind /dev || exit 98; ";

/// Runs a whole test, doubles and daemon included, inside namespaces of its own: the disk can only be read there, temporary
/// files lie in a private memory, and loopback carries these addresses besides. The test program is started again with only the test
/// `name`, which is its path without the crate, and its verdict is taken over.
pub fn all_inside(name: &str, addresses: &[&str], test: impl FnOnce()) {
    again_inside(name, addresses, "exec \"$@\"", test);
}

/// The same as an ordinary user, `nobody`, to whom no control groups were handed over. Without root it is skipped: there each test
/// runs as an ordinary user who is root in its own namespaces alone.
pub fn all_inside_as_nobody(name: &str, addresses: &[&str], test: impl FnOnce()) {
    if !rustix::process::geteuid().is_root() && std::env::var_os(MARK).is_none() {
        eprintln!("skipped: only root can become another user");
        return;
    }
    // Servers of the test's own may listen where only root may elsewhere.
    let become_nobody = "echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start || exit 96; \
                         HOME=$TMPDIR exec setpriv --reuid 65534 --regid 65534 --clear-groups \"$@\"";
    again_inside(name, addresses, become_nobody, test);
}

fn again_inside(name: &str, addresses: &[&str], run: &str, test: impl FnOnce()) {
    if std::env::var_os(MARK).is_some() {
        return test();
    }
    let mut command = namespaces(&["-n"]);
    command.args(["sh", "-c", &format!("{SET_UP}{run}"), "sh"]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]);
    command.env(MARK, "1").env("FACTOTUM_BIN", process::binary()).env("TEST_ADDRESSES", addresses.join(" "));
    // A directory of its own, since this very program may stand anywhere below the usual one.
    let scratch = tempfile::tempdir().unwrap();
    let status = command.env("TMPDIR", scratch.path()).status().unwrap();
    assert!(status.success(), "inside: {status}");
}

/// The same with this machine's own network: for package registries alone.
pub fn all_but_network_inside(name: &str, test: impl FnOnce()) {
    if std::env::var_os(MARK).is_some() {
        return test();
    }
    let set_up = "mount -t tmpfs tmpfs $TMPDIR && mount -o remount,ro,bind / && mount -o remount,ro,bind /dev || exit 98; \
                  exec \"$@\"";
    let mut command = namespaces(&[]);
    command.args(["sh", "-c", set_up, "sh"]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]);
    command.env(MARK, "1").env("FACTOTUM_BIN", process::binary());
    let scratch = tempfile::tempdir().unwrap();
    let status = command.env("TMPDIR", scratch.path()).status().unwrap();
    assert!(status.success(), "inside: {status}");
}

/// `unshare` with mounts and processes of its own, and `more`.
fn namespaces(more: &[&str]) -> std::process::Command {
    let mut command = std::process::Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["-m", "-p", "-f", "--mount-proc", "--propagation", "private", "--kill-child"]).args(more);
    command
}
