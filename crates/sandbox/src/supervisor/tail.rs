//! Where a file of records ends: how much of it is whole, and what its last records say.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Seek, SeekFrom},
};

use serde::Deserialize;

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The number of the last whole record.
    pub seq: u64,
    /// Where it ends.
    pub bytes: u64,
    /// How many bytes come after it that are no record.
    pub torn: u64,
    /// The number of the last run.
    pub runs: u64,
    /// Whether it has no end.
    pub is_open: bool,
    /// Whether a terminal was opened and not closed.
    pub has_terminal: bool,
}

/// As much of a record as is needed here.
#[derive(Deserialize)]
struct Brief<'a> {
    seq: u64,
    #[serde(borrow)]
    what: std::borrow::Cow<'a, str>,
    #[serde(default)]
    run: u64,
}

/// Reads the file from its beginning, up to the first line that is not the next record.
pub(super) fn scan(mut file: &File) -> io::Result<Found> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::with_capacity(64 * 1024, file);
    let (mut found, mut line) = (Found::default(), Vec::new());
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line)?;
        let is_whole = line.ends_with(b"\n");
        let Some(brief) = serde_json::from_slice::<Brief<'_>>(&line).ok().filter(|_| is_whole) else { break };
        if brief.seq != found.seq + 1 {
            break;
        }
        found.take(&brief, read as u64);
    }
    found.torn = length.saturating_sub(found.bytes);
    Ok(found)
}

impl Found {
    fn take(&mut self, brief: &Brief<'_>, length: u64) {
        self.seq = brief.seq;
        self.bytes += length;
        match brief.what.as_ref() {
            "started" => (self.runs, self.is_open) = (brief.run, true),
            "ended" => self.is_open = false,
            "terminal_opened" => self.has_terminal = true,
            "terminal_closed" => self.has_terminal = false,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;
    use crate::{Record, What};

    fn what() -> impl Strategy<Value = What> {
        let text = "[a-z{}\\[\\]\"\\\\ \u{e4}\u{1f980}\u{0}-\u{1f}]{0,20}";
        prop_oneof![
            (1..9_u64).prop_map(|run| What::Started { run, argv: vec!["x".to_owned()], note: serde_json::Value::Null }),
            text.prop_map(|line| What::Out { line }),
            text.prop_map(|line| What::Err { line }),
            Just(What::Ended { code: Some(0), signal: None, why: None }),
            Just(What::TerminalOpened { argv: Vec::new() }),
            Just(What::TerminalClosed { code: Some(0) }),
        ]
    }

    proptest! {
        #[test]
        fn a_cut_anywhere_leaves_the_whole_records_before_it(all in prop::collection::vec(what(), 1..12), cut in 0.0..=1.0_f64, zeros in 0..9_usize) {
            let mut text = Vec::new();
            let mut ends = vec![0];
            for (what, seq) in all.iter().cloned().zip(1..) {
                serde_json::to_writer(&mut text, &Record { seq, at: 1, what }).unwrap_or_default();
                text.push(b'\n');
                ends.push(text.len());
            }
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a share of a short text")]
            let cut = (text.len() as f64 * cut) as usize;
            text.truncate(cut);
            // What a cut of power leaves where the length was written and the bytes were not.
            text.extend(vec![0; zeros]);
            let mut file = tempfile::tempfile()?;
            file.write_all(&text)?;
            let found = scan(&file)?;
            let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
            prop_assert_eq!(found.seq, whole as u64);
            prop_assert_eq!(usize::try_from(found.bytes).ok(), ends.get(whole).copied());
            prop_assert_eq!(found.bytes + found.torn, text.len() as u64);
            let last = all.iter().take(whole).rev().find(|what| matches!(what, What::Started { .. } | What::Ended { .. }));
            prop_assert_eq!(found.is_open, matches!(last, Some(What::Started { .. })));
            let seat = all.iter().take(whole).rev().find(|what| matches!(what, What::TerminalOpened { .. } | What::TerminalClosed { .. }));
            prop_assert_eq!(found.has_terminal, matches!(seat, Some(What::TerminalOpened { .. })));
        }
    }
}
