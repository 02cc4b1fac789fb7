//! Installing a coding agent: npm fetches the one package with the native program, in a sandbox that reaches the npm registry
//! and nothing else. The archive's checksum is known beforehand, no script of the package is run, and what is found is put
//! in its place by one rename.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use coders::Pin;
use egress::Preset;
use policy::{Act, decide_own};
use sandbox::{Command, ExitStatus, remove_own};
use serde_json::{Value, json};
use store::audit::{AuditEntry, AuditKind};
use types::{Failure, WorkspaceName};

use super::{
    digest::sha256,
    find::{Installed, RECORD, versions},
    sandboxed::{Bench, PATIENCE, quoted, run},
};
use crate::{
    core::Core,
    failure::{internal, user},
    home::private_file,
};

/// What records call it, and the name of its directory among our own workspaces.
const CLIENT: &str = "coder-install";
/// What npm is told. The directory holds a lock file with the checksum, by which it must go.
const SCRIPT: &str = "npm ci --ignore-scripts --no-audit --no-fund --loglevel=error --cache /tmp/npm-cache 2>&1";

/// Installs a version; the newest that is known when none is named. The text says what was installed and its checksums.
pub(crate) async fn install(core: &Arc<Core>, coder: &str, version: Option<&str>) -> Result<String, Failure> {
    let cpu = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
    let Some(pin) = coders::pin(coder, version, cpu) else { return Err(unknown(coder, version, cpu)) };
    // By itself, so that it comes to its end even if whoever asked for it hangs up.
    let owned = core.clone();
    let work = async move { carry_out(&owned, pin).await };
    core.tasks.spawn(work).await.map_err(|_| internal("the installation broke off"))?
}

fn unknown(coder: &str, version: Option<&str>, cpu: &str) -> Failure {
    let shown: String = coder.chars().filter(|character| !character.is_control()).take(64).collect();
    let known: Vec<String> =
        coders::PINS.iter().filter(|pin| pin.cpu == cpu).map(|pin| format!("{} {}", pin.coder, pin.version)).collect();
    let what = match version {
        Some(_) => format!("the checksum of this version of {shown} is not known"),
        None => format!("{shown} cannot be installed"),
    };
    let hint = format!(
        "known are: {}; any other program is named by its path: `program` under [coders.NAME]",
        known.join(", ")
    );
    user(what, hint)
}

async fn carry_out(core: &Core, pin: &'static Pin) -> Result<String, Failure> {
    let _alone = alone(core, pin)?;
    let before = versions(&core.home, pin.coder);
    audit(core, pin, json!({ "coder": "install", "stage": "intent" })).await.map_err(|error| {
        internal(format!("nothing was installed, because the audit log cannot be written: {}", error.error))
    })?;
    let bench = Bench::new(core, CLIENT)?;
    fetch(core, &bench, pin).await?;
    let (package, home) = (bench.path().join("node_modules").join(pin.package), core.home.coder(pin.coder));
    let at = core.clock.now();
    let placed = tokio::task::spawn_blocking(move || place(&package, &home, pin, at)).await;
    let installed = placed.map_err(|_| internal("the installation broke off"))?.map_err(|error| {
        internal(format!("{} was fetched, but could not be put in its place: {error}", pin.package))
    })?;
    drop(bench);
    audit(core, pin, json!({ "coder": "install", "stage": "outcome", "sha256": installed.sha256 })).await?;
    Ok(told(core, &installed, before.last().map(|(_, installed)| installed)))
}

/// One installation of a coding agent at a time.
fn alone(core: &Core, pin: &Pin) -> Result<File, Failure> {
    let directory = core.home.coder(pin.coder);
    let failed = |error: io::Error| internal(format!("{} cannot be used: {error}", directory.display()));
    make_private(&directory).map_err(failed)?;
    let lock = private_file().open(directory.join("lock")).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::Error(error)) => Err(failed(error)),
        Err(TryLockError::WouldBlock) => Err(user("it is being installed already", "wait until that has ended")),
    }
}

/// Has npm fetch and unpack the package into the bench.
async fn fetch(core: &Core, bench: &Bench, pin: &Pin) -> Result<(), Failure> {
    let write = |name: &str, value: &Value| {
        let path = bench.path().join(name);
        fs::write(&path, value.to_string()).map_err(|error| internal(format!("{}: {error}", path.display())))
    };
    write("package.json", &manifest(pin))?;
    write("package-lock.json", &lock_file(pin))?;
    let door = core.ways.own_door(CLIENT, &[Preset::Node]).map_err(internal)?;
    let ran = run(core, bench, &door, Command::new(SCRIPT, PATIENCE), |_| {}).await?;
    let said = quoted(&ran.output, 600);
    match ran.status {
        ExitStatus::Code(0) => Ok(()),
        ExitStatus::Code(127) => Err(user(
            "npm was not found in the sandbox, which sees the system's programs alone",
            "install the system's packages `nodejs` and `npm`",
        )),
        ExitStatus::TimedOut => Err(internal(format!("npm did not end within {} s: {said}", PATIENCE.as_secs()))),
        status => Err(internal(format!("npm could not install {} ({status:?}): {said}", pin.package))),
    }
}

fn manifest(pin: &Pin) -> Value {
    json!({ "name": CLIENT, "version": "0.0.0", "private": true, "dependencies": { pin.package: pin.package_version } })
}

/// A lock file by which npm takes the archive with our checksum or none.
fn lock_file(pin: &Pin) -> Value {
    let place = format!("node_modules/{}", pin.package);
    json!({
        "name": CLIENT,
        "version": "0.0.0",
        "lockfileVersion": 3,
        "requires": true,
        "packages": {
            "": { "name": CLIENT, "version": "0.0.0", "dependencies": { pin.package: pin.package_version } },
            place: { "version": pin.package_version, "integrity": pin.integrity },
        },
    })
}

/// Puts an unpacked package in its place, with its record. An older installation of the same version is replaced.
fn place(package: &Path, home: &Path, pin: &Pin, at: types::Timestamp) -> io::Result<Installed> {
    let program = package.join(pin.program);
    let found = fs::symlink_metadata(&program)?;
    // What npm unpacked was made inside; a link in it could mean anything outside.
    if !found.is_file() || program.canonicalize()? != package.canonicalize()?.join(pin.program) {
        return Err(io::Error::other(format!("{} is not a program", pin.program)));
    }
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    let installed = Installed {
        coder: pin.coder.to_owned(),
        version: pin.version.to_owned(),
        package: format!("{}@{}", pin.package, pin.package_version),
        integrity: pin.integrity.to_owned(),
        program: PathBuf::from("package").join(pin.program),
        sha256: sha256(&program)?,
        at,
    };
    let (part, old, target) = (home.join(".part"), home.join(".old"), home.join(pin.version));
    let grant = decide_own(Act::Coder, WorkspaceName::new(CLIENT).map_err(io::Error::other)?);
    for left in [&part, &old] {
        remove_own(&grant, left)?;
    }
    make_private(&part)?;
    fs::rename(package, part.join("package"))?;
    // Whoever a sandbox makes of us inside must be able to read it. The home itself is closed to others.
    fs::set_permissions(&part, fs::Permissions::from_mode(0o755))?;
    let record = part.join(RECORD);
    fs::write(&record, serde_json::to_vec_pretty(&installed).map_err(io::Error::other)?)?;
    File::open(&record)?.sync_all()?;
    if target.exists() {
        fs::rename(&target, &old)?;
    }
    fs::rename(&part, &target)?;
    File::open(home)?.sync_all()?;
    remove_own(&grant, &old)?;
    Ok(installed)
}

fn make_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn told(core: &Core, installed: &Installed, before: Option<&Installed>) -> String {
    let path = core.home.coder(&installed.coder).join(&installed.version).join(&installed.program);
    let mut text = format!(
        "{} {} is installed: {}\npackage   {}\nsha512    {}\nsha256    {}",
        installed.coder,
        installed.version,
        path.display(),
        installed.package,
        installed.integrity.trim_start_matches("sha512-"),
        installed.sha256
    );
    match before {
        Some(before) if before.sha256 == installed.sha256 => text.push_str("\nthe program is the same as before"),
        Some(before) => {
            text.push_str(&format!("\nbefore    {} with sha256 {}", before.version, before.sha256));
        }
        None => {}
    }
    text
}

async fn audit(core: &Core, pin: &Pin, mut detail: Value) -> Result<(), Failure> {
    detail["name"] = json!(pin.coder);
    detail["package"] = json!(format!("{}@{}", pin.package, pin.package_version));
    detail["integrity"] = json!(pin.integrity);
    let entry = AuditEntry { session: None, turn: None, call: None, kind: AuditKind::Daemon, detail };
    core.store.audit().append(entry).await.map(drop).map_err(internal)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use types::Timestamp;

    use super::*;

    fn pin() -> &'static Pin {
        coders::pin("opencode", None, "x64").unwrap()
    }

    fn unpacked(directory: &Path, text: &str) -> PathBuf {
        let package = directory.join("unpacked");
        fs::create_dir_all(package.join("bin")).unwrap();
        fs::write(package.join(pin().program), text).unwrap();
        package
    }

    #[test]
    fn a_package_is_put_in_its_place_as_a_whole() {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().join("coders/opencode");
        make_private(&home).unwrap();
        for text in ["first", "second"] {
            let package = unpacked(directory.path(), text);
            let installed = place(&package, &home, pin(), Timestamp(1)).unwrap();
            let program = home.join(pin().version).join(&installed.program);
            assert_eq!(fs::read_to_string(&program).unwrap(), text);
            assert_eq!(sha256(&program).unwrap(), installed.sha256);
            assert_eq!(fs::metadata(&program).unwrap().permissions().mode() & 0o777, 0o755);
            let left: Vec<_> = fs::read_dir(&home).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(left, [pin().version], "nothing half-made is left");
        }
    }

    #[test]
    fn a_link_in_a_package_is_no_program() {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().join("coders/opencode");
        make_private(&home).unwrap();
        let package = unpacked(directory.path(), "x");
        fs::remove_file(package.join(pin().program)).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", package.join(pin().program)).unwrap();
        assert!(place(&package, &home, pin(), Timestamp(1)).is_err());
        fs::remove_file(package.join(pin().program)).unwrap();
        fs::remove_dir(package.join("bin")).unwrap();
        std::os::unix::fs::symlink("/usr/bin", package.join("bin")).unwrap();
        let elsewhere = Pin { program: "bin/env", ..*pin() };
        assert!(place(&package, &home, &elsewhere, Timestamp(1)).is_err());
        assert!(fs::read_dir(&home).unwrap().next().is_none());
    }

    #[test]
    fn npm_is_held_to_the_checksum() {
        let lock = lock_file(pin());
        let place = &lock["packages"]["node_modules/opencode-linux-x64"];
        assert_eq!(place["integrity"], pin().integrity);
        assert_eq!(lock["packages"][""]["dependencies"], manifest(pin())["dependencies"]);
    }

    #[test]
    fn an_unknown_version_is_told_with_what_is_known() {
        let failure = unknown("claude", Some("9.9.9"), "x64");
        assert!(failure.error.contains("checksum"), "{failure:?}");
        assert!(failure.hint.unwrap().contains("claude 2.1.329"));
        assert!(unknown("forge", None, "x64").error.contains("cannot be installed"));
    }
}
