//! The last part of an output that may be endless.

use std::collections::VecDeque;

/// How much is kept.
pub(super) const KEPT: usize = 1024 * 1024;

#[derive(Debug, Default)]
pub(super) struct Ring {
    bytes: VecDeque<u8>,
    /// How many bytes have ever been pushed.
    total: u64,
}

impl Ring {
    pub fn push(&mut self, chunk: &[u8]) {
        self.total += chunk.len() as u64;
        let chunk = chunk.get(chunk.len().saturating_sub(KEPT)..).unwrap_or_default();
        let too_many = (self.bytes.len() + chunk.len()).saturating_sub(KEPT);
        self.bytes.drain(..too_many);
        self.bytes.extend(chunk);
    }

    /// What is kept from a position on: where it begins, and the bytes.
    pub fn from(&self, position: u64) -> (u64, Vec<u8>) {
        let first = self.total - self.bytes.len() as u64;
        let start = position.clamp(first, self.total);
        let skipped = usize::try_from(start - first).unwrap_or(usize::MAX);
        (start, self.bytes.iter().skip(skipped).copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_part_is_kept_and_positions_stay_true() {
        let mut ring = Ring::default();
        ring.push(b"abc");
        assert_eq!(ring.from(1), (1, b"bc".to_vec()));
        assert_eq!(ring.from(99), (3, Vec::new()));
        ring.push(&vec![b'x'; KEPT - 1]);
        ring.push(b"yz");
        let (start, bytes) = ring.from(0);
        assert_eq!((start, bytes.len()), (4, KEPT));
        assert!(bytes.ends_with(b"xyz"));
        ring.push(&vec![b'q'; 3 * KEPT]);
        assert_eq!(ring.from(0).0, 4 + 3 * KEPT as u64);
    }
}
