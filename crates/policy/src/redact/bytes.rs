//! Masking in a stream of arbitrary bytes, in place and without a change of length, so that what frames the bytes (a
//! `Content-Length`, a packet's own count) stays true. It keeps no buffer: the caller does.

use std::ops::Range;

use super::{
    Redactor,
    forms::{Found, sextet},
};

/// What stands in place of each masked byte.
const MASK: u8 = b'*';

impl Redactor {
    /// Whether there is anything to mask.
    pub fn is_empty(&self) -> bool {
        self.forms.is_empty()
    }

    /// Masks every known value in `bytes`, byte for byte. Returns whether there was any.
    pub fn mask(&self, bytes: &mut [u8]) -> bool {
        let (ranges, _) = self.scan(bytes);
        cover(bytes, &ranges, bytes.len())
    }

    /// Masks what is certain in the part of a stream that has come so far, and returns how many bytes at the beginning
    /// are finished. The caller hands those on, keeps the rest unchanged, and calls again with more behind it; at the end
    /// of the stream it calls [`Redactor::mask`] for what is left. However the stream is cut, the result is the same.
    pub fn mask_settled(&self, bytes: &mut [u8]) -> usize {
        let (ranges, settled) = self.scan(bytes);
        // A value that is whole but reaches over the border comes again with the rest.
        let settled =
            ranges.iter().find(|hit| hit.start < settled && settled < hit.end).map_or(settled, |hit| hit.start);
        cover(bytes, &ranges, settled);
        settled
    }

    /// The ranges to mask, in order and apart from each other, and how many bytes no later byte can make part of a value.
    fn scan(&self, bytes: &[u8]) -> (Vec<Range<usize>>, usize) {
        let mut ranges: Vec<Range<usize>> = Vec::new();
        let mut settled = bytes.len();
        if self.reaches_back() && bytes.last().is_some_and(|&byte| sextet(byte).is_some()) {
            // A value may begin with the next byte, and this one would carry some of its bits.
            settled -= 1;
        }
        for (at, &byte) in bytes.iter().enumerate() {
            for (_, form) in self.starting_at(byte) {
                let unfinished = match form.find(bytes, at) {
                    Found::Not => false,
                    Found::Partly => true,
                    Found::Whole { from, to, open } => {
                        ranges.push(from..to);
                        open || to == bytes.len()
                    }
                };
                if unfinished {
                    settled = settled.min(at.saturating_sub(usize::from(form.reaches_back())));
                }
            }
        }
        (joined(ranges), settled)
    }

    fn reaches_back(&self) -> bool {
        self.forms.iter().any(|(_, form)| form.reaches_back())
    }
}

/// Overlapping ranges as one.
fn joined(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_unstable_by_key(|range| range.start);
    let mut joined: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start < last.end => last.end = last.end.max(range.end),
            Some(_) | None => joined.push(range),
        }
    }
    joined
}

/// Writes the mask over the ranges before `until`; true when there was one.
fn cover(bytes: &mut [u8], ranges: &[Range<usize>], until: usize) -> bool {
    let mut any = false;
    for range in ranges.iter().filter(|range| range.end <= until) {
        bytes[range.clone()].fill(MASK);
        any = true;
    }
    any
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use proptest::prelude::*;
    use types::SecretName;

    use super::*;

    const SECRET: &str = "s3cr+t/va%20lue";

    fn redactor() -> Redactor {
        let name = |name: &str| SecretName::new(name).expect("the name is valid");
        Redactor::new([
            (name("one"), SECRET.to_owned()),
            (name("two"), "aaaaaab".to_owned()),
            (name("three"), "100%100%".to_owned()),
        ])
    }

    /// All at once.
    fn whole(input: &[u8]) -> Vec<u8> {
        let mut bytes = input.to_vec();
        redactor().mask(&mut bytes);
        bytes
    }

    /// In pieces that end at `cuts`.
    fn pieces(input: &[u8], cuts: &[usize]) -> Vec<u8> {
        let redactor = redactor();
        let (mut held, mut out, mut from) = (Vec::new(), Vec::new(), 0);
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (input.len() + 1)).collect();
        ends.sort_unstable();
        for end in ends {
            held.extend_from_slice(&input[from..end]);
            from = end;
            let settled = redactor.mask_settled(&mut held);
            out.extend(held.drain(..settled));
        }
        held.extend_from_slice(&input[from..]);
        redactor.mask(&mut held);
        out.extend(held);
        out
    }

    fn forms() -> impl Strategy<Value = Vec<u8>> {
        let escaped: String = SECRET.bytes().map(|byte| format!("%{byte:02x}")).collect();
        prop_oneof![
            Just(SECRET.as_bytes().to_vec()),
            Just(b"aaaaaab".to_vec()),
            Just(b"100%100%".to_vec()),
            Just(b"100%25100%25".to_vec()),
            Just(escaped.into_bytes()),
            Just(hex(SECRET.as_bytes()).into_bytes()),
            "[ -~]{0,3}".prop_map(|before| STANDARD.encode(format!("{before}{SECRET}")).into_bytes()),
            "[ -~]{0,3}".prop_map(|before| STANDARD.encode(format!("{before}{SECRET}xy")).into_bytes()),
            proptest::collection::vec(any::<u8>(), 0..6),
            "[a%s1=]{0,8}".prop_map(String::into_bytes),
        ]
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    proptest! {
        #[test]
        fn any_split_of_a_stream_gives_the_same_as_the_whole(
            parts in proptest::collection::vec(forms(), 0..6),
            cuts in proptest::collection::vec(any::<usize>(), 0..12),
        ) {
            let input = parts.concat();
            prop_assert_eq!(pieces(&input, &cuts), whole(&input));
        }

        #[test]
        fn the_length_never_changes_and_no_value_remains(parts in proptest::collection::vec(forms(), 0..6)) {
            let input = parts.concat();
            let masked = whole(&input);
            prop_assert_eq!(masked.len(), input.len());
            let remains = |value: &[u8]| masked.windows(value.len()).any(|window| window == value);
            prop_assert!(!remains(SECRET.as_bytes()) && !remains(b"aaaaaab"));
            prop_assert!(!remains(hex(SECRET.as_bytes()).as_bytes()));
        }
    }

    #[test]
    fn other_bytes_pass_at_once() {
        let mut bytes = b"HTTP says hello.\n".to_vec();
        assert_eq!(redactor().mask_settled(&mut bytes), bytes.len());
        assert_eq!(bytes, b"HTTP says hello.\n");
    }
}
