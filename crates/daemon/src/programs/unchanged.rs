//! Whether an installed program is still the one that was installed: looked at each time that it is about to be started. The whole
//! of it is read only where its file is another one than when it was read last.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use super::{Program, digest::sha256};

/// How many programs are remembered; there are a few kinds, in a few versions.
const REMEMBERED: usize = 32;

/// The programs that were read, the latest last.
static READ: Mutex<Vec<Read>> = Mutex::new(Vec::new());

/// What a file held when it was read.
#[derive(Clone, Debug)]
struct Read {
    path: PathBuf,
    file: Identity,
    sha256: String,
}

/// What changes when the bytes of a file do, or another one takes its place. The time of change cannot be set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Identity {
    fn of(path: &Path) -> io::Result<Self> {
        let found = fs::symlink_metadata(path)?;
        Ok(Self {
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}

/// Refuses a program that is not what its installation recorded. A program of the owner's own has no such record. The error says
/// what to do.
pub(crate) async fn check_unchanged(program: &Program) -> Result<(), String> {
    let Some(installed) = program.installed.clone() else { return Ok(()) };
    let path = program.path.clone();
    let read = tokio::task::spawn_blocking(move || checksum(&path)).await;
    let found = read.map_err(io::Error::other).flatten();
    let again = format!("install it again with `factotum coder install {}`", installed.coder);
    match found {
        Ok(found) if found == installed.sha256 => Ok(()),
        Ok(found) => Err(format!(
            "the program of {} {} was changed since it was installed, and is not started: its SHA-256 was {} and is {found}; \
             find out by whom, then remove {} and {again}",
            installed.coder,
            installed.version,
            installed.sha256,
            program.path.display()
        )),
        Err(error) => Err(format!(
            "the program of {} {} cannot be compared with what was installed: {error}; {again}",
            installed.coder, installed.version
        )),
    }
}

/// The checksum of a file, remembered for as long as the file is the same. Blocks for as long as reading takes.
fn checksum(path: &Path) -> io::Result<String> {
    let file = Identity::of(path)?;
    let remembered = || READ.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = remembered().iter().find(|read| read.path == path && read.file == file) {
        return Ok(known.sha256.clone());
    }
    let sha256 = sha256(path)?;
    if Identity::of(path)? != file {
        return Err(io::Error::other("it was changed while it was read"));
    }
    let mut all = remembered();
    all.retain(|read| read.path != path);
    let surplus = (all.len() + 1).saturating_sub(REMEMBERED);
    all.drain(..surplus);
    all.push(Read { path: path.to_owned(), file, sha256: sha256.clone() });
    Ok(sha256)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use types::Timestamp;

    use super::{super::find::Installed, *};

    #[tokio::test]
    async fn a_program_that_was_changed_is_refused_with_words() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("claude");
        fs::write(&path, "the program").unwrap();
        let installed = Installed {
            coder: "claude".to_owned(),
            version: "2.1.9".to_owned(),
            package: "package@2.1.9".to_owned(),
            integrity: "sha512-x".to_owned(),
            program: PathBuf::from("claude"),
            sha256: sha256(&path).unwrap(),
            at: Timestamp(0),
        };
        let program = Program { path: path.clone(), mount: None, installed: Some(installed) };
        for _ in 0..2 {
            check_unchanged(&program).await.unwrap();
        }
        // As long as before, and as old as before.
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        fs::write(&path, "The program").unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(before).unwrap();
        let refused = check_unchanged(&program).await.unwrap_err();
        assert!(
            refused.contains("was changed since") && refused.contains("factotum coder install claude"),
            "{refused}"
        );
        fs::write(&path, "the program").unwrap();
        check_unchanged(&program).await.unwrap();
        fs::remove_file(&path).unwrap();
        assert!(check_unchanged(&program).await.unwrap_err().contains("cannot be compared"));
        let own = Program { installed: None, ..program };
        check_unchanged(&own).await.unwrap();
    }
}
