//! Whether a POST to `git-upload-pack` holds what git says when it fetches, and nothing else. Any host may call a path so, and
//! take what is sent there for something to be written; a program that may only read could write past that rule. Only lines
//! that are known pass (gitprotocol-pack(5), gitprotocol-v2(5)). Pure, linear in the body. Start with [`inspect`].

use miniz_oxide::inflate::{
    TINFLStatus,
    core::{DecompressorOxide, decompress, inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF},
};

/// The most bytes of a body, as it is sent and as it is read.
pub(crate) const MAX_BODY: u64 = 8 << 20;
/// The only kind that git gives such a body.
pub(crate) const KIND: &str = "application/x-git-upload-pack-request";
/// The longest name of a ref, and the longest value, in bytes.
const MAX_NAME: usize = 1024;

/// How a body is sent. Git compresses what has more than a kilobyte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Plain,
    Gzip,
}

/// What can be done in the first versions of the protocol, as the first line names it.
const ABLE: [&str; 16] = [
    "allow-reachable-sha1-in-want",
    "allow-tip-sha1-in-want",
    "deepen-not",
    "deepen-relative",
    "deepen-since",
    "filter",
    "include-tag",
    "multi_ack",
    "multi_ack_detailed",
    "no-done",
    "no-progress",
    "ofs-delta",
    "shallow",
    "side-band",
    "side-band-64k",
    "thin-pack",
];
/// What has a value besides, in every version.
const VALUES: [&str; 3] = ["agent", "object-format", "session-id"];

/// Whether the body is a fetch of git's, and nothing else.
pub(crate) fn inspect(body: &[u8], encoding: Encoding) -> bool {
    match encoding {
        Encoding::Plain => is_fetch(body).is_some(),
        Encoding::Gzip => inflated(body).is_some_and(|body| is_fetch(&body).is_some()),
    }
}

/// What one gzip member without a name or a comment holds, if that is all and no more than may be.
fn inflated(body: &[u8]) -> Option<Vec<u8>> {
    let packed = body.strip_prefix(&[0x1f, 0x8b, 8, 0])?.get(6..)?;
    // The sum before the length is the server's to check: that it is right says nothing to us.
    let (packed, size) = packed.split_last_chunk::<4>()?;
    let (packed, _sum) = packed.split_last_chunk::<4>()?;
    let size = u32::from_le_bytes(*size);
    if u64::from(size) > MAX_BODY {
        return None;
    }
    let mut out = vec![0; usize::try_from(size).ok()?];
    let mut state = DecompressorOxide::new();
    let (status, taken, given) = decompress(&mut state, packed, &mut out, 0, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF);
    (status == TINFLStatus::Done && taken == packed.len() && given == out.len()).then_some(out)
}

/// A piece of git's protocol.
enum Packet<'a> {
    /// Without its line feed.
    Line(&'a str),
    Flush,
    Delimiter,
}

fn next<'a>(rest: &mut &'a [u8]) -> Option<Packet<'a>> {
    let (head, behind) = rest.split_first_chunk::<4>()?;
    if !head.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let length = usize::from_str_radix(std::str::from_utf8(head).ok()?, 16).ok()?;
    if length < 4 {
        *rest = behind;
        return match length {
            0 => Some(Packet::Flush),
            1 => Some(Packet::Delimiter),
            _ => None,
        };
    }
    let (line, behind) = behind.split_at_checked(length - 4)?;
    *rest = behind;
    let line = std::str::from_utf8(line).ok()?;
    Some(Packet::Line(line.strip_suffix('\n').unwrap_or(line)))
}

/// None where it is anything else. So it is in all that follows.
fn is_fetch(mut rest: &[u8]) -> Option<()> {
    match next(&mut rest)? {
        // So git asks whether it may, before it sends what is too long to be kept.
        Packet::Flush => at_end(rest),
        Packet::Delimiter => None,
        Packet::Line("command=ls-refs") => command(rest, is_listing),
        Packet::Line("command=fetch") => command(rest, is_fetching),
        Packet::Line(first) => negotiation(first, rest),
    }
}

/// The second version: what the program is, behind a delimiter what it asks, and a flush at the end.
fn command(mut rest: &[u8], is_argument: fn(&str) -> bool) -> Option<()> {
    let mut asks = false;
    loop {
        match next(&mut rest)? {
            Packet::Flush => return at_end(rest),
            Packet::Delimiter if !asks => asks = true,
            Packet::Line(line) if asks && is_argument(line) || !asks && has_value(line) => {}
            Packet::Delimiter | Packet::Line(_) => return None,
        }
    }
}

/// The versions before: what is wanted, and behind a flush what there is already.
fn negotiation(first: &str, mut rest: &[u8]) -> Option<()> {
    let (want, able) = match first.match_indices(' ').nth(1) {
        Some((at, _)) => first.split_at(at),
        None => (first, ""),
    };
    let is_able = |word: &str| ABLE.contains(&word) || has_value(word);
    if !want.starts_with("want ") || !is_wanting(want) || !able.split_ascii_whitespace().all(is_able) {
        return None;
    }
    let mut wants = true;
    while !rest.is_empty() {
        match next(&mut rest)? {
            Packet::Flush => wants = false,
            Packet::Line(line) if wants && is_wanting(line) || !wants && is_having(line) => {}
            Packet::Delimiter | Packet::Line(_) => return None,
        }
    }
    (!wants).then_some(())
}

fn at_end(rest: &[u8]) -> Option<()> {
    rest.is_empty().then_some(())
}

fn is_listing(line: &str) -> bool {
    match line.split_once(' ') {
        None => ["peel", "symrefs", "unborn"].contains(&line),
        Some((name, value)) => name == "ref-prefix" && is_ref(value),
    }
}

fn is_fetching(line: &str) -> bool {
    let alone =
        ["deepen-relative", "include-tag", "no-progress", "ofs-delta", "sideband-all", "thin-pack", "wait-for-done"];
    match line.split_once(' ') {
        None => alone.contains(&line) || is_having(line),
        Some((name, value)) => name == "want-ref" && is_ref(value) || is_wanting(line) || is_having(line),
    }
}

fn is_wanting(line: &str) -> bool {
    match line.split_once(' ') {
        Some(("want" | "shallow", value)) => is_object(value),
        Some(("deepen" | "deepen-since", value)) => value.len() <= 20 && is_all(value, |byte| byte.is_ascii_digit()),
        Some(("deepen-not", value)) => is_ref(value),
        Some(("filter", value)) => is_word(value),
        Some(_) | None => false,
    }
}

fn is_having(line: &str) -> bool {
    line == "done" || line.strip_prefix("have ").is_some_and(is_object)
}

fn has_value(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, value)| VALUES.contains(&name) && is_word(value))
}

/// The name of an object, by either of git's sums.
fn is_object(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && is_all(text, |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_ref(text: &str) -> bool {
    text.len() <= MAX_NAME && is_all(text, |byte| byte > b' ' && byte != 0x7f)
}

fn is_word(text: &str) -> bool {
    text.len() <= MAX_NAME && is_all(text, |byte| byte.is_ascii_graphic())
}

/// Whether there is something, and all of it is so.
fn is_all(text: &str, is: impl Fn(u8) -> bool) -> bool {
    !text.is_empty() && text.bytes().all(is)
}

#[cfg(test)]
mod tests;
