//! Cuts a Markdown text into messages. Length is what a reader sees after rendering, in the messenger's own unit.
//! Cuts fall between blocks where that is possible, else between lines, words or characters, in this order; a code
//! block that is cut is closed and opened again with its language.

use crate::{
    Limits,
    format::{LinkText, Rich},
};

/// How many bytes of a message are looked at beyond those that could be seen: room for the addresses of links.
const MAX_UNSEEN: usize = 4096;

/// Cuts `markdown` into pieces that each fit into one message. Every piece shows something; a text that shows nothing
/// gives no piece. Only white space at the cuts is lost.
pub fn split(markdown: &str, limits: &Limits) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut rest = markdown.to_owned();
    let mut fence: Option<Fence> = None;
    while !rest.trim().is_empty() {
        let (piece, cut) = next_piece(&rest, fence.as_ref(), limits);
        if !Rich::read(&piece, LinkText::Host).is_blank() {
            pieces.push(piece);
        }
        let Some(cut) = cut else { break };
        rest.drain(..cut.resume);
        fence = cut.fence;
        match &mut fence {
            Some(fence) => fence.flatten(&mut rest),
            None => trim_indent(&mut rest),
        }
    }
    pieces
}

/// A place where the text may be cut.
#[derive(Clone, Debug)]
struct Cut {
    /// Where the piece ends.
    end: usize,
    /// Where the next piece begins.
    resume: usize,
    /// The code block that is open here.
    fence: Option<Fence>,
}

/// An open code block.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fence {
    /// Signs of quotation and spaces before each line.
    prefix: String,
    /// The backticks or tildes.
    marker: String,
    /// What follows them: the language.
    info: String,
}

impl Fence {
    /// The fence that `line` opens, if it does.
    fn opened_by(line: &str) -> Option<Self> {
        let body = line.trim_start_matches([' ', '\t', '>']);
        let body = strip_list_mark(body);
        let first = body.chars().next().filter(|c| matches!(c, '`' | '~'))?;
        let length = body.len() - body.trim_start_matches(first).len();
        let (marker, info) = body.split_at(length);
        if length < 3 || (first == '`' && info.contains('`')) {
            return None;
        }
        let before = line.get(..line.len() - body.len()).unwrap_or_default();
        // A list's mark takes as much room as the spaces of the lines that follow.
        let prefix = before.chars().map(|c| if c == '>' { '>' } else { ' ' }).collect();
        Some(Self { prefix, marker: marker.to_owned(), info: info.trim().to_owned() })
    }

    fn is_closed_by(&self, line: &str) -> bool {
        let body = line.trim_start_matches([' ', '\t', '>']).trim_end();
        body.len() >= self.marker.len() && body.starts_with(&self.marker) && {
            let sign = self.marker.chars().next().unwrap_or('`');
            body.chars().all(|c| c == sign)
        }
    }

    /// Moves the rest of the code to the left margin, because the list around it has ended with the message.
    fn flatten(&mut self, rest: &mut String) {
        if self.prefix.is_empty() || self.prefix.contains('>') {
            return;
        }
        let width = self.prefix.len();
        let mut out = String::with_capacity(rest.len());
        let mut inside = true;
        for line in rest.split_inclusive('\n') {
            let indent = line.len() - line.trim_start_matches(' ').len();
            out.push_str(if inside { line.get(indent.min(width)..).unwrap_or(line) } else { line });
            inside = inside && !self.is_closed_by(line);
        }
        *rest = out;
        self.prefix.clear();
    }
}

fn strip_list_mark(body: &str) -> &str {
    let digits = body.len() - body.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let after = body.get(digits..).unwrap_or_default();
    let marked = if digits > 0 { after.strip_prefix(['.', ')']) } else { body.strip_prefix(['-', '*', '+']) };
    match marked {
        Some(text) if text.starts_with(' ') => text.trim_start_matches(' '),
        Some(_) | None => body,
    }
}

/// Takes away what would make the first line of a piece an indented code block.
fn trim_indent(rest: &mut String) {
    let blank = rest.len() - rest.trim_start_matches(['\n', '\r']).len();
    rest.drain(..blank);
    let indent = rest.len() - rest.trim_start_matches([' ', '\t']).len();
    if indent > 3 || rest.get(..indent).is_some_and(|indent| indent.contains('\t')) {
        rest.drain(..indent);
    }
}

/// The first piece of `rest` and where it was cut; no cut when all of it fits.
fn next_piece(rest: &str, fence: Option<&Fence>, limits: &Limits) -> (String, Option<Cut>) {
    // Only a text that is mostly not seen could fit and be longer than this, and then a message may be shorter.
    let window = floor(rest, limits.max_text.saturating_mul(4).saturating_add(MAX_UNSEEN));
    if window == rest.len() {
        let whole = assemble(rest, fence, None);
        if fits(&whole, limits) {
            return (whole, None);
        }
    }
    let cut = best_cut(rest, window, fence, limits);
    (assemble(rest.get(..cut.end).unwrap_or(rest), fence, cut.fence.as_ref()), Some(cut))
}

fn best_cut(rest: &str, window: usize, fence: Option<&Fence>, limits: &Limits) -> Cut {
    let (blocks, lines) = line_cuts(rest, window, fence);
    let fitting = |cuts: &[Cut]| largest_fitting(rest, cuts, fence, limits);
    match (fitting(&blocks), fitting(&lines)) {
        // A message that is three quarters empty is worse than a block that is cut.
        (Some(block), Some(line)) if block.end.saturating_mul(4) < line.end => return line,
        (Some(cut), _) | (None, Some(cut)) => return cut,
        (None, None) => {}
    }
    let first_line = rest.find('\n').unwrap_or(rest.len()).min(window);
    let inside = first_line_fence(rest, fence);
    let words = word_cuts(rest, first_line, inside);
    if let Some(cut) = fitting(&words) {
        return cut;
    }
    let characters: Vec<Cut> = rest
        .char_indices()
        .skip(1)
        .map(|(at, _)| at)
        .take_while(|at| *at <= first_line)
        .map(|at| Cut { end: at, resume: at, fence: inside.cloned() })
        .collect();
    fitting(&characters).unwrap_or_else(|| {
        // A single character that does not fit is sent all the same: the text must get shorter.
        let end = rest.char_indices().nth(1).map_or(rest.len(), |(at, _)| at);
        Cut { end, resume: end, fence: inside.cloned() }
    })
}

/// The code block that the first line stands in; a line that opens or closes one stands in none.
fn first_line_fence<'a>(rest: &str, fence: Option<&'a Fence>) -> Option<&'a Fence> {
    let line = rest.split('\n').next().unwrap_or_default();
    fence.filter(|fence| !fence.is_closed_by(line))
}

/// The cuts between blocks and between lines, in order.
fn line_cuts(rest: &str, window: usize, fence: Option<&Fence>) -> (Vec<Cut>, Vec<Cut>) {
    let (mut blocks, mut lines) = (Vec::new(), Vec::new());
    let mut open = fence.cloned();
    let mut at = 0;
    for line in rest.split_inclusive('\n') {
        let start = at;
        at += line.len();
        let text = line.trim_end_matches(['\n', '\r']);
        let opened = if open.is_none() { Fence::opened_by(text) } else { None };
        if start > 0 && (opened.is_some() || (open.is_none() && is_heading(text))) {
            blocks.push(Cut { end: start, resume: start, fence: None });
        }
        let just_opened = opened.is_some();
        let closed = open.as_ref().is_some_and(|fence| fence.is_closed_by(text));
        open = if closed { None } else { opened.or(open) };
        if at > window {
            break;
        }
        if start + text.len() == 0 || at >= rest.len() {
            continue;
        }
        let cut = Cut { end: start + text.len(), resume: at, fence: open.clone() };
        if closed || (open.is_none() && text.trim().is_empty()) {
            blocks.push(cut);
        } else if !just_opened {
            lines.push(cut);
        }
    }
    (blocks, lines)
}

fn is_heading(line: &str) -> bool {
    let level = line.len() - line.trim_start_matches('#').len();
    (1..=6).contains(&level) && line.get(level..).is_some_and(|text| text.starts_with(' '))
}

/// The cuts at spaces within the first line. Those after which the text would begin like a list or heading are left
/// out if there are others.
fn word_cuts(rest: &str, line: usize, fence: Option<&Fence>) -> Vec<Cut> {
    let text = rest.get(..line).unwrap_or(rest);
    let cuts: Vec<Cut> = text
        .char_indices()
        .filter(|(at, character)| *at > 0 && character.is_whitespace())
        .map(|(at, character)| Cut { end: at, resume: at + character.len_utf8(), fence: fence.cloned() })
        .collect();
    let plain = |cut: &&Cut| {
        let next = rest.get(cut.resume..).and_then(|text| text.chars().next());
        next.is_none_or(|c| !matches!(c, '#' | '>' | '+' | '*' | '-' | '=' | '|' | '`' | '~') && !c.is_ascii_digit())
    };
    let preferred: Vec<Cut> = cuts.iter().filter(plain).cloned().collect();
    if preferred.is_empty() { cuts } else { preferred }
}

/// The last of `cuts` whose piece fits. Longer pieces are taken to show more, so that few have to be rendered; what is
/// returned was rendered and fits.
fn largest_fitting(rest: &str, cuts: &[Cut], fence: Option<&Fence>, limits: &Limits) -> Option<Cut> {
    let (mut low, mut high) = (0, cuts.len());
    let mut best = None;
    while low < high {
        let middle = low + (high - low) / 2;
        let cut = cuts.get(middle)?;
        let piece = assemble(rest.get(..cut.end).unwrap_or(rest), fence, cut.fence.as_ref());
        if fits(&piece, limits) {
            best = Some(cut.clone());
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    best
}

fn fits(piece: &str, limits: &Limits) -> bool {
    Rich::read(piece, LinkText::Host).measure(limits.unit) <= limits.max_text
}

/// A piece with the code block that it begins in opened, and the one that it ends in closed.
fn assemble(text: &str, opened: Option<&Fence>, closed: Option<&Fence>) -> String {
    let mut piece = String::with_capacity(text.len() + 16);
    if let Some(Fence { prefix, marker, info }) = opened {
        piece.push_str(&format!("{prefix}{marker}{info}\n"));
    }
    match closed {
        Some(Fence { prefix, marker, .. }) => piece.push_str(&format!("{text}\n{prefix}{marker}")),
        None => piece.push_str(text.trim_end()),
    }
    piece
}

/// The last character border at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}
