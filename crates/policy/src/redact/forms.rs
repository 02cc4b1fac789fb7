//! The forms in which a secret value may show up, each found by a small matcher that follows the encoding. Encoders
//! differ in what they escape, in letter case and in line wrapping, so lists of finished spellings would miss some.

use zeroize::Zeroizing;

/// One form of one value. Overwritten in memory when it is dropped.
#[derive(Clone)]
pub(super) enum Form {
    /// As it is, each byte perhaps percent-encoded or JSON-escaped.
    Text(Zeroizing<Vec<u8>>),
    /// Two hex digits for each byte.
    Hex(Zeroizing<Vec<u8>>),
    /// The base64 characters that the value alone determines, when it stands at one of the three alignments.
    Base64 { core: Zeroizing<Vec<u8>>, before: bool, after: bool },
}

/// What stands at a position.
pub(super) enum Found {
    Not,
    /// The text ends within the form.
    Partly,
    /// All of it: the range to mask, which includes neighbours that carry some of its bits.
    Whole {
        from: usize,
        to: usize,
        /// Another spelling, of which the text shows only the beginning, would be longer.
        open: bool,
    },
}

impl Form {
    /// All forms of a value.
    pub(super) fn all(value: &[u8]) -> impl Iterator<Item = Self> + use<> {
        let mut forms = vec![Self::Text(Zeroizing::new(value.to_vec())), Self::Hex(Zeroizing::new(value.to_vec()))];
        forms.extend((0..3).map(|offset| base64(value, offset)));
        forms.into_iter()
    }

    pub(super) fn may_start_with(&self, byte: u8) -> bool {
        match self {
            Self::Text(value) => {
                byte == value[0] || byte == b'%' || byte == b'\\' || (byte == b'+' && value[0] == b' ')
            }
            Self::Hex(value) => hex_digit(byte) == Some(value[0] >> 4),
            Self::Base64 { core, .. } => sextet(byte) == Some(core[0]) || (core[0] >= 62 && byte == b'%'),
        }
    }

    /// Whether the character before the form, if it is one of base64, carries bits of the value.
    pub(super) fn reaches_back(&self) -> bool {
        match self {
            Self::Text(_) | Self::Hex(_) => false,
            Self::Base64 { before, .. } => *before,
        }
    }

    /// Looks for the form at `at`.
    pub(super) fn find(&self, text: &[u8], at: usize) -> Found {
        match self {
            Self::Text(value) => whole(follow(text, at, value, text_ends), at),
            Self::Hex(value) => whole(follow(text, at, value, hex_ends), at),
            Self::Base64 { core, before, after } => match follow(text, at, core, base64_ends) {
                Followed::Whole { to, open } => {
                    let from = if *before && at > 0 && sextet(text[at - 1]).is_some() { at - 1 } else { at };
                    let to =
                        if *after && text.get(to).is_some_and(|&byte| sextet(byte).is_some()) { to + 1 } else { to };
                    let padding = text[to..].iter().take(2).take_while(|&&byte| byte == b'=').count();
                    Found::Whole { from, to: to + padding, open }
                }
                Followed::Partly => Found::Partly,
                Followed::Not => Found::Not,
            },
        }
    }
}

enum Followed {
    Not,
    Partly,
    Whole { to: usize, open: bool },
}

fn whole(followed: Followed, at: usize) -> Found {
    match followed {
        Followed::Whole { to, open } => Found::Whole { from: at, to, open },
        Followed::Partly => Found::Partly,
        Followed::Not => Found::Not,
    }
}

/// Follows the units of a form from `at`. A unit may be spelled in several ways of different length (a `%` may be itself
/// or the start of `%25`), so a few positions are followed at once.
fn follow(text: &[u8], at: usize, units: &[u8], ends: fn(&[u8], usize, u8, bool, &mut Vec<usize>) -> bool) -> Followed {
    let mut positions = vec![at];
    let mut next = Vec::new();
    let mut cut = false;
    for (index, &unit) in units.iter().enumerate() {
        next.clear();
        for &position in &positions {
            cut |= ends(text, position, unit, index == 0, &mut next);
        }
        if next.is_empty() {
            return if cut { Followed::Partly } else { Followed::Not };
        }
        next.sort_unstable();
        next.dedup();
        std::mem::swap(&mut positions, &mut next);
    }
    Followed::Whole { to: positions.last().copied().unwrap_or(at), open: cut }
}

/// Adds the ends of the spellings of `byte` at `at`; true when the text ends within one.
fn text_ends(text: &[u8], at: usize, byte: u8, _first: bool, ends: &mut Vec<usize>) -> bool {
    let Some(&here) = text.get(at) else { return true };
    if here == byte || (byte == b' ' && here == b'+') {
        ends.push(at + 1);
    }
    let rest = &text[at + 1..];
    match here {
        b'%' => match hex_byte(rest) {
            Some(value) if value == byte => ends.push(at + 3),
            Some(_) => {}
            None => return rest.is_empty() || (rest.len() == 1 && hex_digit(rest[0]) == Some(byte >> 4)),
        },
        b'\\' => match rest.first() {
            None => return true,
            Some(b'u') => match rest.get(1..5) {
                Some(digits) if &digits[..2] == b"00" && hex_byte(&digits[2..]) == Some(byte) => ends.push(at + 6),
                Some(_) => {}
                None => return true,
            },
            Some(&escape) if json_escape(escape) == Some(byte) => ends.push(at + 2),
            Some(_) => {}
        },
        _ => {}
    }
    false
}

/// Two hex digits, after the first byte perhaps with a separator before them.
fn hex_ends(text: &[u8], at: usize, byte: u8, first: bool, ends: &mut Vec<usize>) -> bool {
    let mut at = at;
    if !first {
        match text.get(at..) {
            Some([b':' | b' ' | b'-' | b'\n', ..]) => at += 1,
            Some([b'\\', b'x', ..]) => at += 2,
            Some(_) | None => {}
        }
    }
    let Some(rest) = text.get(at..) else { return true };
    match hex_byte(rest) {
        Some(value) if value == byte => ends.push(at + 2),
        Some(_) => {}
        None => return rest.is_empty() || (rest.len() == 1 && hex_digit(rest[0]) == Some(byte >> 4)),
    }
    false
}

/// One base64 character, after the first one perhaps on the next line, perhaps percent-encoded.
fn base64_ends(text: &[u8], at: usize, value: u8, first: bool, ends: &mut Vec<usize>) -> bool {
    let mut at = at;
    if !first {
        match text.get(at..) {
            Some([b'\r', b'\n', ..]) => at += 2,
            Some([b'\n', ..]) => at += 1,
            Some(_) | None => {}
        }
    }
    let Some(&here) = text.get(at) else { return true };
    if sextet(here) == Some(value) {
        ends.push(at + 1);
    } else if here == b'%' && value >= 62 {
        match hex_byte(&text[at + 1..]) {
            Some(byte) if sextet(byte) == Some(value) => ends.push(at + 3),
            Some(_) => {}
            None => return text.len() < at + 3,
        }
    }
    false
}

/// The part of the base64 of (`offset` foreign bytes + value + foreign bytes) that depends on the value alone.
fn base64(value: &[u8], offset: usize) -> Form {
    let bits = |index: usize| {
        let byte = |at: usize| at.checked_sub(offset).and_then(|at| value.get(at)).copied().unwrap_or(0);
        let (at, shift) = (index * 6 / 8, index * 6 % 8);
        let pair = u16::from(byte(at)) << 8 | u16::from(byte(at + 1));
        // Masked to six bits, so it fits.
        (pair >> (10 - shift) & 0x3f) as u8
    };
    let (from, to) = ((offset * 8).div_ceil(6), (offset + value.len()) * 8 / 6);
    let core = Zeroizing::new((from..to).map(bits).collect());
    Form::Base64 { core, before: offset != 0, after: !(offset + value.len()).is_multiple_of(3) }
}

pub(super) fn sextet(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

fn hex_byte(text: &[u8]) -> Option<u8> {
    match text {
        [high, low, ..] => Some(hex_digit(*high)? << 4 | hex_digit(*low)?),
        _ => None,
    }
}

/// The byte that a JSON escape letter stands for.
fn json_escape(letter: u8) -> Option<u8> {
    match letter {
        b'"' | b'\\' | b'/' => Some(letter),
        b'n' => Some(b'\n'),
        b't' => Some(b'\t'),
        b'r' => Some(b'\r'),
        b'b' => Some(8),
        b'f' => Some(12),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEXTETS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    #[test]
    fn the_alphabet_is_read_back() {
        for (value, &byte) in SEXTETS.iter().enumerate() {
            assert_eq!(sextet(byte).map(usize::from), Some(value));
        }
    }
}
