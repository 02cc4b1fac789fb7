//! What the owner can do when the kernel or the distribution refuses what a sandbox needs. Texts only; writing them to the
//! system is the owner's act, or that of `factotum setup`.

use std::{fs, path::Path};

pub(crate) const LANDLOCK: &str = "use Linux 5.13 or newer with Landlock switched on: `landlock` must be in the kernel's \
                                   list of security modules (boot parameter `lsm=landlock,...`)";

pub(crate) const ID_MAPPING: &str = "put the workspace on ext4, xfs, btrfs or tmpfs, or run factotum as the ordinary user \
                                     who owns the workspace instead of root";

/// The switches that distributions use, with the value under which user namespaces are off.
const SWITCHES: [(&str, &str, &str); 3] = [
    (
        "/proc/sys/kernel/unprivileged_userns_clone",
        "0",
        "run `sudo sysctl -w kernel.unprivileged_userns_clone=1` and put `kernel.unprivileged_userns_clone=1` into \
         /etc/sysctl.d/60-factotum.conf",
    ),
    (
        "/proc/sys/user/max_user_namespaces",
        "0",
        "run `sudo sysctl -w user.max_user_namespaces=15000` and put `user.max_user_namespaces=15000` into \
         /etc/sysctl.d/60-factotum.conf",
    ),
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "run `sudo factotum setup --apparmor`, which writes an AppArmor profile for this program to \
         /etc/apparmor.d/factotum and names the command that loads it",
    ),
];

/// The exact remedy for refused user namespaces, from the switches of this system.
pub(crate) fn user_namespaces() -> String {
    let is_off = |(path, off, _): &&(&str, &str, &str)| fs::read_to_string(path).is_ok_and(|text| text.trim() == *off);
    let found: Vec<&str> = SWITCHES.iter().filter(is_off).map(|(_, _, remedy)| *remedy).collect();
    if found.is_empty() {
        return "inside a container, allow `unshare` and `mount` (for Docker: `--security-opt seccomp=unconfined \
                --security-opt apparmor=unconfined --security-opt systempaths=unconfined`), or run factotum on the host"
            .to_owned();
    }
    found.join("; and ")
}

/// What helps when one of the other steps fails.
pub(crate) fn build(step: &str) -> Option<String> {
    match step {
        "mount /proc" => Some(
            "a container runtime has covered parts of /proc, so the kernel refuses a new one: run the container with \
             `--security-opt systempaths=unconfined`, or factotum on the host"
                .to_owned(),
        ),
        "choose the user" => Some("run factotum as an ordinary user, or as root with CAP_SYS_ADMIN".to_owned()),
        _ => None,
    }
}

/// The AppArmor profile that lets the program at `path` make user namespaces where AppArmor forbids them otherwise
/// (Ubuntu from 24.04). It confines nothing. Refuses a path that the profile's syntax cannot hold.
pub fn apparmor_profile(path: &Path) -> Option<String> {
    let path = path.to_str()?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if !path.starts_with('/') || !path.chars().all(is_plain) {
        return None;
    }
    Some(format!(
        "abi <abi/4.0>,\ninclude <tunables/global>\n\nprofile factotum {path} flags=(unconfined) {{\n  userns,\n\n  include \
         if exists <local/factotum>\n}}\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_names_the_program_and_nothing_strange() {
        let profile = apparmor_profile(Path::new("/usr/local/bin/factotum"));
        assert!(
            profile.is_some_and(|text| text.contains("profile factotum /usr/local/bin/factotum flags=(unconfined) {")
                && text.contains("\n  userns,\n"))
        );
        for bad in ["relative", "/a b", "/a{b,c}", "/a*", "/a\n", "/a\"b"] {
            assert_eq!(apparmor_profile(Path::new(bad)), None, "{bad}");
        }
    }
}
