//! The checksum of a program's file.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use sha2::{Digest, Sha256};

/// The largest program, in bytes.
const MAX_BYTES: u64 = 2 << 30;

/// The SHA-256 of a file in hexadecimal. Blocks for as long as reading takes.
pub(super) fn sha256(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?.take(MAX_BYTES + 1);
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut total = 0_u64;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hex::encode(digest.finalize()));
        }
        total += read as u64;
        if total > MAX_BYTES {
            return Err(io::Error::other("it is larger than any program"));
        }
        digest.update(&buffer[..read]);
    }
}
