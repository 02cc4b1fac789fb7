//! How many lines two texts differ by. Pure.

use std::collections::HashMap;

/// Texts that differ by more lines than this are compared without regard to order, which is cheap.
const MAX_DIFFERENCE: usize = 2_000;

/// Lines that only one of two texts has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LineCount {
    pub added: u64,
    pub removed: u64,
}

/// Counts the lines that must be added to and removed from `old` to make `new`: the fewest, unless there are very many.
pub(super) fn count(old: &[u8], new: &[u8]) -> LineCount {
    let (mut old, mut new) = (lines(old), lines(new));
    let same_start = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    (old, new) = (old.split_off(same_start), new.split_off(same_start));
    let same_end = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count();
    old.truncate(old.len() - same_end);
    new.truncate(new.len() - same_end);
    let common = common_lines(&old, &new).unwrap_or_else(|| common_without_order(&old, &new));
    LineCount { added: (new.len() - common) as u64, removed: (old.len() - common) as u64 }
}

fn lines(text: &[u8]) -> Vec<&[u8]> {
    if text.is_empty() {
        return Vec::new();
    }
    text.strip_suffix(b"\n").unwrap_or(text).split(|byte| *byte == b'\n').collect()
}

/// The length of the longest common subsequence by the greedy walk over diagonals: `reach[k]` is how far into `old` the
/// diagonal `k` (position in `old` less position in `new`) has come with the present number of differences. None when
/// the texts differ by more than [`MAX_DIFFERENCE`] lines.
fn common_lines(old: &[&[u8]], new: &[&[u8]]) -> Option<usize> {
    let total = old.len() + new.len();
    let most = total.min(MAX_DIFFERENCE);
    let middle = most + 1;
    let mut reach = vec![0_usize; 2 * most + 3];
    for difference in 0..=most {
        for step in 0..=difference {
            // The diagonal `2 * step - difference`, moved up so that it is an index.
            let k = middle + 2 * step - difference;
            let down = step == 0 || (step != difference && reach[k - 1] < reach[k + 1]);
            let mut x = if down { reach[k + 1] } else { reach[k - 1] + 1 };
            // Diagonals that leave the new text at its upper edge have nothing to offer.
            let Some(mut y) = (x + middle).checked_sub(k) else { continue };
            while x < old.len() && y < new.len() && old[x] == new[y] {
                x += 1;
                y += 1;
            }
            reach[k] = x;
            if x >= old.len() && y >= new.len() {
                return Some((total - difference) / 2);
            }
        }
    }
    None
}

fn common_without_order(old: &[&[u8]], new: &[&[u8]]) -> usize {
    let mut left: HashMap<&[u8], usize> = HashMap::new();
    for line in old {
        *left.entry(line).or_default() += 1;
    }
    let mut common = 0;
    for line in new {
        if let Some(number) = left.get_mut(line).filter(|number| **number > 0) {
            *number -= 1;
            common += 1;
        }
    }
    common
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(old: &str, new: &str, added: u64, removed: u64) {
        assert_eq!(count(old.as_bytes(), new.as_bytes()), LineCount { added, removed }, "{old:?} -> {new:?}");
    }

    #[test]
    fn the_fewest_lines_are_counted() {
        check("", "", 0, 0);
        check("a\nb\n", "a\nb\n", 0, 0);
        check("", "a\nb\n", 2, 0);
        check("a\nb\n", "", 0, 2);
        check("a\nb\nc\n", "a\nx\nc\n", 1, 1);
        check("a\nb\nc\na\nb\nb\na\n", "c\nb\na\nb\na\nc\n", 2, 3);
        check("a\nb\n", "b\na\n", 1, 1);
        check("x\n", "a\nx\nb\n", 2, 0);
        check("a\nx\nb\n", "x\n", 0, 2);
    }

    #[test]
    fn very_different_texts_are_compared_without_order() {
        let old: String = (0..3000).map(|number| format!("{number}\n")).collect();
        let new: String = (0..3000).map(|number| format!("new {number}\n")).collect();
        check(&old, &new, 3000, 3000);
    }

    proptest::proptest! {
        #[test]
        fn it_agrees_with_the_table_of_common_subsequences(
            old in proptest::collection::vec(0_u8..4, 0..12),
            new in proptest::collection::vec(0_u8..4, 0..12),
        ) {
            let mut table = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
            for i in 0..old.len() {
                for j in 0..new.len() {
                    table[i + 1][j + 1] =
                        if old[i] == new[j] { table[i][j] + 1 } else { table[i][j + 1].max(table[i + 1][j]) };
                }
            }
            let common = table[old.len()][new.len()];
            let text = |lines: &[u8]| -> String { lines.iter().map(|line| format!("{line}\n")).collect() };
            let counted = count(text(&old).as_bytes(), text(&new).as_bytes());
            proptest::prop_assert_eq!(counted.added as usize, new.len() - common);
            proptest::prop_assert_eq!(counted.removed as usize, old.len() - common);
        }
    }
}
