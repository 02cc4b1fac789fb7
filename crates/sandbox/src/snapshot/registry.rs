//! The snapshots on disk: their ids, their manifests, and the lock that keeps two processes from working on them at once.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rustix::fs::{FlockOperation, flock};
use types::WorkspaceName;

use super::{
    SnapshotConfig,
    manifest::Manifest,
    objects::{Objects, private_directory},
};
use crate::files::{FileError, temporary_name};

/// How long another process may hold the lock before we give up.
const LOCK_WAIT: Duration = Duration::from_secs(60);
const SUFFIX: &str = ".jsonl";

/// Why a workspace could not be saved or put back.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// A file of the workspace could not be used.
    #[error(transparent)]
    Workspace(#[from] FileError),
    /// It is larger than the owner allows.
    #[error(
        "the workspace is larger than {max_mb} MB or {max_files} entries, so it was not saved; exclude what need not be \
         saved (most is in {largest}) with `exclude`, or raise `max_mb` or `max_files`"
    )]
    TooLarge {
        /// The bound on size.
        max_mb: u64,
        /// The bound on number.
        max_files: usize,
        /// The directories that hold most.
        largest: String,
    },
    /// There is no such snapshot of this workspace.
    #[error("there is no snapshot `{id}` of this workspace; it may have been pruned")]
    Unknown {
        /// What was asked for.
        id: String,
    },
    /// What was stored is not whole.
    #[error("the snapshot `{id}` is damaged: {why}")]
    Damaged {
        /// Which.
        id: String,
        /// What is wrong.
        why: String,
    },
    /// Another process is working on the snapshots.
    #[error("another process is working on the snapshots; try again when it is done")]
    Busy,
    /// The store of snapshots could not be used.
    #[error("the store of snapshots could not be used: {source}{}", hint(source))]
    Store {
        /// The system's error.
        #[from]
        source: io::Error,
    },
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; free some space or keep fewer snapshots",
        _ => "",
    }
}

/// The snapshots of all workspaces. All calls block.
#[derive(Clone, Debug)]
pub struct Snapshots {
    directory: PathBuf,
    pub(super) objects: Objects,
    pub(super) config: SnapshotConfig,
}

/// Held while the snapshots are worked on; released when dropped or when the process ends.
pub(super) struct Lock {
    _file: File,
}

impl Snapshots {
    /// Opens the store in the agent's home, and makes it if there is none.
    pub fn open(home: &Path, config: SnapshotConfig) -> Result<Self, SnapshotError> {
        let directory = home.join("snapshots");
        private_directory(&directory)?;
        private_directory(&directory.join("manifests"))?;
        let objects = Objects::open(directory.join("objects"))?;
        Ok(Self { directory, objects, config })
    }

    /// A store of its own in another directory, with the same settings.
    pub fn beside(&self, directory: &Path) -> Result<Self, SnapshotError> {
        Self::open(directory, self.config.clone())
    }

    /// The ids of a workspace's snapshots, oldest first.
    pub fn list(&self, workspace: &WorkspaceName) -> Result<Vec<String>, SnapshotError> {
        let entries = match fs::read_dir(self.manifests(workspace)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut ids = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            if let Some(moment) = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)).filter(|m| is_moment(m)) {
                ids.push(format!("{workspace}@{moment}"));
            }
        }
        ids.sort();
        Ok(ids)
    }

    pub(super) fn workspaces(&self) -> Result<Vec<WorkspaceName>, SnapshotError> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.directory.join("manifests"))? {
            if let Some(name) = entry?.file_name().to_str().and_then(|name| WorkspaceName::new(name).ok()) {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn manifests(&self, workspace: &WorkspaceName) -> PathBuf {
        self.directory.join("manifests").join(workspace.as_str())
    }

    fn manifest_path(&self, workspace: &WorkspaceName, id: &str) -> Option<PathBuf> {
        let moment = id.strip_prefix(workspace.as_str())?.strip_prefix('@')?;
        is_moment(moment).then(|| self.manifests(workspace).join(format!("{moment}{SUFFIX}")))
    }

    /// Reads one snapshot's manifest.
    pub(super) fn load(&self, workspace: &WorkspaceName, id: &str) -> Result<Manifest, SnapshotError> {
        let unknown = || SnapshotError::Unknown { id: id.chars().take(100).collect() };
        let path = self.manifest_path(workspace, id).ok_or_else(unknown)?;
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(unknown()),
            Err(error) => return Err(error.into()),
        };
        let damaged = |why: String| SnapshotError::Damaged { id: id.to_owned(), why };
        let manifest = Manifest::decode(&bytes).map_err(|error| damaged(error.to_string()))?;
        if manifest.workspace != workspace.as_str() {
            return Err(damaged(format!("it is of the workspace `{}`", manifest.workspace)));
        }
        Ok(manifest)
    }

    /// Writes a manifest, durably: from here on the snapshot exists. All its objects must be durable before.
    pub(super) fn save(&self, workspace: &WorkspaceName, id: &str, manifest: &Manifest) -> Result<(), SnapshotError> {
        let path = self.manifest_path(workspace, id).ok_or_else(|| SnapshotError::Unknown { id: id.to_owned() })?;
        let directory = self.manifests(workspace);
        private_directory(&directory)?;
        let temporary = directory.join(temporary_name());
        let written = (|| {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
            file.write_all(&manifest.encode())?;
            file.sync_all()?;
            fs::rename(&temporary, &path)?;
            File::open(&directory)?.sync_all()?;
            // The first snapshot of a workspace makes its directory, whose name must last too.
            File::open(self.directory.join("manifests"))?.sync_all()
        })();
        if written.is_err() {
            _ = fs::remove_file(&temporary);
        }
        Ok(written?)
    }

    pub(super) fn remove(&self, workspace: &WorkspaceName, id: &str) -> Result<(), SnapshotError> {
        match self.manifest_path(workspace, id) {
            Some(path) => Ok(fs::remove_file(path)?),
            None => Err(SnapshotError::Unknown { id: id.to_owned() }),
        }
    }

    /// A new id, greater than `last`, so that the order of ids is the order of snapshots even when the clock jumps back.
    pub(super) fn new_id(&self, workspace: &WorkspaceName, last: Option<&str>) -> String {
        let now = u64::try_from(now_nanoseconds() / 1_000_000).unwrap_or(0);
        let last = last.and_then(|id| id.rsplit_once('@')?.1.split_once('-')?.0.parse::<u64>().ok());
        let moment = last.map_or(now, |last| now.max(last + 1));
        let mut random = [0_u8; 2];
        // Only a safeguard against two snapshots with one name, which the lock prevents already.
        _ = getrandom::fill(&mut random);
        format!("{workspace}@{moment:014}-{}", hex::encode(random))
    }

    /// Waits until no other process works on the snapshots.
    pub(super) fn lock(&self) -> Result<Lock, SnapshotError> {
        let path = self.directory.join("lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        let until = Instant::now() + LOCK_WAIT;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Lock { _file: file }),
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) if Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => return Err(SnapshotError::Busy),
                Err(errno) => return Err(SnapshotError::Store { source: errno.into() }),
            }
        }
    }
}

/// The form of the part of an id behind the `@`; nothing else may become a file name.
fn is_moment(text: &str) -> bool {
    text.len() == 19
        && text.bytes().enumerate().all(|(index, byte)| match index {
            14 => byte == b'-',
            0..14 => byte.is_ascii_digit(),
            _ => byte.is_ascii_hexdigit(),
        })
}

/// The present time by the clock that stamps files, in nanoseconds since the epoch.
#[expect(clippy::disallowed_methods, reason = "compared with the times of files, which the system stamps")]
pub(super) fn now_nanoseconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
