//! A network of the test's own: the test program starts itself again in new mount, process and network namespaces, where
//! loopback alone is up and carries the addresses that the test plays with. Nothing can leave the machine from there,
//! whether or not the defence holds.

use std::{future::Future, process::Command};

/// Set in the environment of the inner run.
const MARK: &str = "FACTOTUM_TEST_INSIDE";

/// What loopback carries besides its own addresses: metadata services, a private network, and ranges of examples that play
/// the internet.
const ADDRESSES: &str = "169.254.169.254/32 10.1.2.3/32 203.0.113.10/32 203.0.113.11/32 198.51.100.5/32 \
                         fd00:ec2::254/128 64:ff9b::a9fe:a9fe/128 2002:a9fe:a9fe::/128 2001:db8:77::10/128";

/// Names are asked at 127.0.0.1, where a test may answer.
const SET_UP: &str = "ip link set lo up || exit 97; for address in $TEST_ADDRESSES; do ip addr add $address dev lo || exit 97; done; \
                      mount -t tmpfs tmpfs $TMPDIR && \
                      echo 'nameserver 127.0.0.1\noptions timeout:2 attempts:1' >$TMPDIR/resolv.conf && \
                      echo 'hosts: files dns' >$TMPDIR/nsswitch.conf && \
                      mount --bind $TMPDIR/resolv.conf /etc/resolv.conf && \
                      mount --bind $TMPDIR/nsswitch.conf /etc/nsswitch.conf || exit 98; exec \"$@\"";

/// Runs `test` inside. `name` is the test's path without the crate; its verdict is taken over.
#[expect(clippy::disallowed_methods, reason = "the test starts itself again, inside")]
pub fn run<F: Future<Output = ()>>(name: &str, test: impl FnOnce() -> F) {
    if std::env::var_os(MARK).is_some() {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        return runtime.worker_threads(2).enable_all().build().unwrap().block_on(test());
    }
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["-m", "-p", "-n", "-f", "--mount-proc", "--propagation", "private", "--kill-child"]);
    command.args(["sh", "-c", SET_UP, "sh"]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]);
    // A directory of its own, since this very program may stand anywhere below the usual one.
    let scratch = tempfile::tempdir().unwrap();
    command.env(MARK, "1").env("TEST_ADDRESSES", ADDRESSES).env("TMPDIR", scratch.path());
    let status = command.status().unwrap();
    assert!(status.success(), "inside: {status}");
}
