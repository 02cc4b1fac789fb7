//! The AppArmor profile that Ubuntu from 24.04 on demands of programs that make user namespaces, as the sandbox does.

use std::{fs, io, path::Path};

use types::{Failure, FailureKind};

/// Where the profile belongs.
const PROFILE: &str = "/etc/apparmor.d/factotum";
/// Says whether the kernel demands a profile. It is missing on kernels without this rule.
const RULE: &str = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns";
/// What loads it. The next start of the machine does so, too.
const LOAD: &str = "sudo apparmor_parser -r /etc/apparmor.d/factotum";

/// Writes the profile where the kernel demands one. Says what was done, or what is to do; none when nothing is needed.
pub fn prepare() -> Result<Option<String>, Failure> {
    if fs::read_to_string(RULE).map_or(true, |rule| rule.trim() != "1") {
        return Ok(None);
    }
    let binary = std::env::current_exe().and_then(fs::canonicalize).map_err(|error| failure(&error))?;
    let Some(profile) = daemon::apparmor_profile(&binary) else {
        return Err(Failure {
            kind: FailureKind::Sandbox,
            error: format!("no AppArmor profile can name this program at {}", binary.display()),
            hint: Some("move it to a path of letters, digits, `.`, `-`, `_` and `+`".to_owned()),
        });
    };
    if fs::read_to_string(PROFILE).is_ok_and(|present| present == profile) {
        return Ok(Some(format!(
            "{PROFILE} is in place; if the sandbox is refused all the same, load it with `{LOAD}`"
        )));
    }
    match fs::write(Path::new(PROFILE), &profile) {
        Ok(()) => Ok(Some(format!("{PROFILE} is written; load it with `{LOAD}`"))),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(Some(format!(
            "this kernel lets only programs with an AppArmor profile build sandboxes; run `sudo {} setup --apparmor` to \
             write it, then `{LOAD}`",
            binary.display()
        ))),
        Err(error) => Err(failure(&error)),
    }
}

fn failure(error: &io::Error) -> Failure {
    Failure {
        kind: FailureKind::Sandbox,
        error: format!("the AppArmor profile {PROFILE} cannot be written: {error}"),
        hint: Some(format!("write it by hand as the manual says, then `{LOAD}`")),
    }
}
