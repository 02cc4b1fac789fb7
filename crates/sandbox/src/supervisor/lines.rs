//! Cutting a stream of bytes into lines.

use super::MAX_LINE;

/// Bytes of a line that has not ended.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    open: Vec<u8>,
    /// How many bytes of it were left out.
    skipped: u64,
}

/// What is kept allocated between long lines.
const KEPT: usize = 16 * 1024;

impl Splitter {
    /// Takes in some bytes and gives the lines that end in them.
    pub fn feed(&mut self, bytes: &[u8], mut line: impl FnMut(String)) {
        let mut pieces = bytes.split(|byte| *byte == b'\n');
        // There is always a last piece; the line that it begins goes on.
        let last = pieces.next_back().unwrap_or_default();
        for piece in pieces {
            self.keep(piece);
            line(self.take());
        }
        self.keep(last);
    }

    /// What came after the last end of a line, if anything did.
    pub fn finish(&mut self) -> Option<String> {
        (!self.open.is_empty() || self.skipped > 0).then(|| self.take())
    }

    fn keep(&mut self, piece: &[u8]) {
        let room = MAX_LINE - self.open.len();
        let (kept, skipped) = piece.split_at(piece.len().min(room));
        self.open.extend(kept);
        self.skipped += skipped.len() as u64;
    }

    fn take(&mut self) -> String {
        let open = self.open.strip_suffix(b"\r").unwrap_or(&self.open);
        let mut line = String::from_utf8_lossy(open).into_owned();
        if self.skipped > 0 {
            line.push_str(&format!(" [{} more bytes were left out]", self.skipped));
        }
        self.skipped = 0;
        self.open.clear();
        self.open.shrink_to(KEPT);
        line
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(pieces: &[&[u8]]) -> Vec<String> {
        let (mut splitter, mut lines) = (Splitter::default(), Vec::new());
        for piece in pieces {
            splitter.feed(piece, |line| lines.push(line));
        }
        lines.extend(splitter.finish());
        lines
    }

    #[test]
    fn lines_are_bounded_and_always_text() {
        assert_eq!(split(&[b"a\r\n\n b\xff\n"]), ["a", "", " b\u{fffd}"]);
        assert_eq!(split(&[b"no end"]), ["no end"]);
        assert!(split(&[]).is_empty());
        let long = vec![b'x'; MAX_LINE + 5];
        let lines = split(&[&long, b"yz\nnext"]);
        assert_eq!(lines.len(), 2);
        assert!(lines[0].ends_with("xx [7 more bytes were left out]"));
        assert_eq!(lines[0].len(), MAX_LINE + " [7 more bytes were left out]".len());
        assert_eq!(lines[1], "next");
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(bytes in prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..200), cuts in prop::collection::vec(0..200_usize, 0..8)) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).chain([0, bytes.len()]).collect();
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(split(&pieces), split(&[&bytes]));
        }
    }
}
