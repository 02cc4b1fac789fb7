//! Contents by their SHA-256. An object is complete or absent: it gets its name when it is whole.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{ioctl_ficlone, syncfs};
use sha2::{Digest, Sha256};

use crate::files::temporary_name;

/// Files up to this size are held in memory, so that one that is known already costs no write.
const IN_MEMORY: u64 = 1 << 20;
const BUFFER: usize = 256 << 10;

/// The store of contents beneath one directory.
#[derive(Clone, Debug)]
pub(super) struct Objects {
    directory: PathBuf,
}

impl Objects {
    pub(super) fn open(directory: PathBuf) -> io::Result<Self> {
        private_directory(&directory)?;
        Ok(Self { directory })
    }

    fn path(&self, hash: &str) -> PathBuf {
        let (first, rest) = hash.split_at_checked(2).unwrap_or(("", hash));
        self.directory.join(first).join(rest)
    }

    /// Whether the content is there. The length is looked at too: after a power failure a file may have its name and
    /// not its content.
    pub(super) fn has(&self, hash: &str, size: u64) -> bool {
        fs::symlink_metadata(self.path(hash)).is_ok_and(|meta| meta.is_file() && meta.len() == size)
    }

    /// Stores what can be read from `source`, at most `size` bytes, and returns its hash and length.
    pub(super) fn put(&self, source: &mut File, size: u64) -> io::Result<(String, u64)> {
        if size <= IN_MEMORY {
            let mut bytes = Vec::new();
            source.take(size).read_to_end(&mut bytes)?;
            let hash = hex::encode(Sha256::digest(&bytes));
            let length = bytes.len() as u64;
            if !self.has(&hash, length) {
                let (temporary, mut file) = self.temporary()?;
                let written = file.write_all(&bytes);
                self.settle(temporary, written.map(|()| (hash.clone(), length)))?;
            }
            return Ok((hash, length));
        }
        let (temporary, mut file) = self.temporary()?;
        let copied = clone_or_copy(source, &mut file, size);
        self.settle(temporary, copied)
    }

    /// Opens a content for reading.
    pub(super) fn get(&self, hash: &str) -> io::Result<File> {
        File::open(self.path(hash))
    }

    /// Makes everything that was put durable, at once.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(syncfs(File::open(&self.directory)?)?)
    }

    /// Removes every object for which `keep` says no, and what an interrupted `put` left. Returns how many objects and
    /// bytes went.
    pub(super) fn retain(&self, keep: &dyn Fn(&str) -> bool) -> io::Result<(u64, u64)> {
        let mut removed = (0, 0);
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            if !entry.file_type()?.is_dir() {
                fs::remove_file(entry.path())?;
                continue;
            }
            let first = entry.file_name().to_string_lossy().into_owned();
            for object in fs::read_dir(entry.path())? {
                let object = object?;
                let hash = format!("{first}{}", object.file_name().to_string_lossy());
                if !keep(&hash) {
                    removed.0 += 1;
                    removed.1 += object.metadata()?.len();
                    fs::remove_file(object.path())?;
                }
            }
        }
        Ok(removed)
    }

    fn temporary(&self) -> io::Result<(PathBuf, File)> {
        let path = self.directory.join(temporary_name());
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        Ok((path, file))
    }

    /// Gives a complete object its name, or removes an incomplete one.
    fn settle(&self, temporary: PathBuf, written: io::Result<(String, u64)>) -> io::Result<(String, u64)> {
        let settled = written.and_then(|(hash, length)| {
            if self.has(&hash, length) {
                fs::remove_file(&temporary)?;
                return Ok((hash, length));
            }
            let path = self.path(&hash);
            private_directory(path.parent().unwrap_or(&self.directory))?;
            fs::rename(&temporary, path)?;
            Ok((hash, length))
        });
        if settled.is_err() {
            _ = fs::remove_file(&temporary);
        }
        settled
    }
}

/// Shares the blocks where the file system can, then hashes the copy, which nobody else can change.
fn clone_or_copy(source: &mut File, copy: &mut File, size: u64) -> io::Result<(String, u64)> {
    if ioctl_ficlone(&*copy, &*source).is_ok() {
        copy.rewind()?;
        return hash_all(copy, io::sink(), u64::MAX);
    }
    hash_all(source, copy, size)
}

/// Copies at most `limit` bytes and returns their hash and number.
pub(super) fn hash_all(source: &mut File, mut copy: impl Write, limit: u64) -> io::Result<(String, u64)> {
    let mut source = source.take(limit);
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    let mut length = 0;
    loop {
        let read = match source.read(&mut buffer) {
            Ok(0) => return Ok((hex::encode(hasher.finalize()), length)),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(&buffer[..read]);
        copy.write_all(&buffer[..read])?;
        length += read as u64;
    }
}

/// Makes a directory that only its owner can look into.
pub(super) fn private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}
