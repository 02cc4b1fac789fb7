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
