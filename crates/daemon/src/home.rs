//! The home directory: its layout, its permissions and the lock that keeps a second daemon away. It must not read or
//! write what the store, the vault and the configuration own.

use std::{
    fs::{File, OpenOptions, Permissions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use types::{Failure, FailureKind};

/// A home directory that exists, belongs to us and is closed to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    path: PathBuf,
}

/// Why a home cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// It cannot be made or looked at.
    #[error("the home {path} cannot be opened: {source}")]
    Open {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no directory.
    #[error("the home {path} is not a directory")]
    NotADirectory {
        /// What is there instead.
        path: PathBuf,
    },
    /// Somebody else owns it.
    #[error("the home {path} belongs to user {owner}, not to user {us}")]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Its owner's numeric id.
        owner: u32,
        /// Our numeric id.
        us: u32,
    },
    /// A daemon runs on it.
    #[error("another factotum{} runs on {path}", .pid.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    Busy {
        /// The home.
        path: PathBuf,
        /// The process that holds the lock, if it wrote its id.
        pid: Option<u32>,
    },
}

impl HomeError {
    /// What the owner sees.
    pub fn failure(&self) -> Failure {
        let (kind, hint) = match self {
            Self::Open { .. } => (FailureKind::Config, "give another directory with --home, or mend its permissions"),
            Self::NotADirectory { .. } => (FailureKind::Config, "give a directory with --home"),
            Self::Foreign { .. } => {
                (FailureKind::Config, "run factotum as the owner of its home, or give another --home")
            }
            Self::Busy { .. } => (FailureKind::User, "stop it first, or give this one its own --home"),
        };
        Failure { kind, error: self.to_string(), hint: Some(hint.to_owned()) }
    }
}

/// Held while a daemon runs. The kernel lets go of it when the process dies, however it dies.
#[derive(Debug)]
pub struct InstanceLock {
    _file: File,
}

impl Home {
    /// Opens the directory and makes it when it is missing. Its permissions are narrowed to 0700: an open home would
    /// let other users of the machine read the journal.
    pub fn open(path: &Path) -> Result<Self, HomeError> {
        let failed = |source| HomeError::Open { path: path.to_owned(), source };
        if !path.exists() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        }
        let home = Self::existing(path)?;
        let mode = std::fs::metadata(&home.path).map_err(failed)?.permissions().mode();
        if mode & 0o077 != 0 {
            std::fs::set_permissions(&home.path, Permissions::from_mode(0o700)).map_err(failed)?;
        }
        Ok(home)
    }

    /// Looks at a directory that must exist already and changes nothing.
    pub fn existing(path: &Path) -> Result<Self, HomeError> {
        let failed = |source| HomeError::Open { path: path.to_owned(), source };
        let path = path.canonicalize().map_err(failed)?;
        let metadata = std::fs::metadata(&path).map_err(failed)?;
        if !metadata.is_dir() {
            return Err(HomeError::NotADirectory { path });
        }
        let us = rustix::process::geteuid().as_raw();
        if metadata.uid() != us {
            return Err(HomeError::Foreign { path, owner: metadata.uid(), us });
        }
        Ok(Self { path })
    }

    /// Takes the instance lock. The file keeps our process id for the message that a second instance shows.
    pub fn lock(&self) -> Result<InstanceLock, HomeError> {
        let failed = |source| HomeError::Open { path: self.path.clone(), source };
        let mut file = private_file().open(self.path.join("lock")).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(source)) => return Err(failed(source)),
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // The id is only told to a person; a lock without one is just as held.
                let _ = file.take(32).read_to_string(&mut text);
                return Err(HomeError::Busy { path: self.path.clone(), pid: text.trim().parse().ok() });
            }
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(InstanceLock { _file: file })
    }

    /// The directory, with all symbolic links resolved.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The configuration file; it may be missing.
    pub fn config(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    /// The API's Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.path.join("api.sock")
    }

    /// The bearer token of the TCP API.
    pub fn token(&self) -> PathBuf {
        self.path.join("api.token")
    }

    /// Whether whoever may use `dir`, which must have no links in it, could reach the journal, the secrets or the
    /// configuration of this home. Only the workspaces that we make ourselves lie in it and are apart from the rest.
    pub fn is_reachable_from(&self, dir: &Path) -> bool {
        let own = self.path.join("workspaces");
        let is_own = dir != own && dir.starts_with(&own);
        self.path.starts_with(dir) || (dir.starts_with(&self.path) && !is_own)
    }

    /// The directory of a workspace that we make ourselves.
    pub fn workspace(&self, name: &str) -> PathBuf {
        self.path.join("workspaces").join(name)
    }

    /// The directory of the installed versions of a coding agent.
    pub fn coder(&self, kind: &str) -> PathBuf {
        self.path.join("coders").join(kind)
    }
}

/// How files that only the owner may read are opened.
pub(crate) fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(rustix_nofollow());
    options
}

fn rustix_nofollow() -> i32 {
    i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).expect("open flags fit in 31 bits")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_home_is_made_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/home");
        let home = Home::open(&path).unwrap();
        assert_eq!(std::fs::metadata(home.path()).unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        Home::open(&path).unwrap();
        assert_eq!(std::fs::metadata(home.path()).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_second_lock_is_refused_with_the_holders_id() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::open(directory.path()).unwrap();
        let first = home.lock().unwrap();
        let second = home.lock().unwrap_err();
        assert!(matches!(second, HomeError::Busy { pid: Some(pid), .. } if pid == std::process::id()), "{second}");
        drop(first);
        home.lock().unwrap();
    }

    #[test]
    fn only_our_own_workspaces_in_it_are_apart_from_the_rest() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::open(&directory.path().join("a/home")).unwrap();
        let path = home.path().to_owned();
        let parent = path.parent().unwrap();
        for near in [parent.to_owned(), path.clone(), path.join("snapshots"), path.join("workspaces")] {
            assert!(home.is_reachable_from(&near), "{}", near.display());
        }
        for apart in [parent.join("work"), parent.join("home-2"), home.workspace("main"), home.workspace("a/b")] {
            assert!(!home.is_reachable_from(&apart), "{}", apart.display());
        }
    }

    #[test]
    fn a_file_is_no_home() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "").unwrap();
        assert!(matches!(Home::open(&path), Err(HomeError::NotADirectory { .. })));
    }
}
