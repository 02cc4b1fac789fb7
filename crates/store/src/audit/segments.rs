//! The files of one log: full ones, named by the number of their first record, and the one that grows. It must not open
//! any of them for writing.

use std::{
    fs::File,
    io::{self, BufReader},
    path::{Path, PathBuf},
};

use super::read::{next_line, seq_of};

/// How many digits the number in a full file's name has, so that names sort as numbers do.
const DIGITS: usize = 12;
/// How often the list is read again when a file was filled while it was read.
const ATTEMPTS: u32 = 5;

/// The name of the full file whose first record has this number.
pub(super) fn full_name(path: &Path, first: u64) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{first:0DIGITS$}"));
    PathBuf::from(name)
}

/// The full files of the log at `path`, oldest first, each with the number of its first record.
pub(super) fn full(path: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Ok(Vec::new());
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(parent)? {
        let entry = entry?;
        let Ok(file) = entry.file_name().into_string() else { continue };
        let digits = file.strip_prefix(name).and_then(|rest| rest.strip_prefix('.')).unwrap_or_default();
        if digits.len() == DIGITS
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && let Ok(first) = digits.parse()
        {
            found.push((first, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

/// All files that exist, opened, oldest first. What is filled while this looks is not missed.
pub(super) fn open_all(path: &Path) -> io::Result<Vec<(PathBuf, File)>> {
    let mut before = full(path)?;
    for _ in 0..ATTEMPTS {
        let mut files = Vec::new();
        for (_, name) in &before {
            files.push((name.clone(), File::open(name)?));
        }
        match File::open(path) {
            Ok(file) => files.push((path.to_owned(), file)),
            // Between two files there is a moment without a growing one.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !files.is_empty() => {}
            Err(error) => return Err(error),
        }
        let after = full(path)?;
        if after == before {
            return Ok(files);
        }
        before = after;
    }
    Err(io::Error::new(io::ErrorKind::ResourceBusy, "files are filled faster than they can be listed"))
}

/// The file in which the record with this number stands or will stand.
pub(super) fn holding(path: &Path, seq: u64) -> io::Result<PathBuf> {
    if let Some(first) = first_record(path)?
        && first <= seq
    {
        return Ok(path.to_owned());
    }
    let found = full(path)?.into_iter().rev().find(|(first, _)| *first <= seq);
    Ok(found.map_or_else(|| path.to_owned(), |(_, name)| name))
}

/// The number of the first record of a file; none when it has none or does not exist.
pub(super) fn first_record(path: &Path) -> io::Result<Option<u64>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut lines = BufReader::new(file);
    let mut line = Vec::new();
    next_line(&mut lines, &mut line)?;
    Ok(seq_of(&line))
}
