//! A Rust file taken apart: code without the content of comments and strings, comments without the code, and where its
//! functions and tests stand. A lexer, not a parser: it knows just enough to count and to find.

use std::ops::Range;

/// A Rust file.
#[derive(Debug)]
pub struct Source {
    /// The text as it stands.
    pub text: String,
    /// The same length, with comments and the insides of strings and characters as spaces.
    pub code: String,
    /// The same length, with everything but comments as spaces.
    pub comments: String,
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Its first line, from 1.
    pub line: usize,
    /// How many lines it has, signature included.
    pub lines: usize,
    /// The comment and the attributes above it.
    pub above: String,
}

impl Source {
    /// Takes a file apart.
    pub fn read(text: &str) -> Self {
        let pieces = pieces(text.as_bytes());
        let keep = |wanted: Kind| {
            let mut bytes = text.as_bytes().to_vec();
            for (kind, range) in &pieces {
                if *kind != wanted {
                    bytes[range.clone()].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
                }
            }
            // Pieces begin and end at ASCII characters, so no character is cut.
            String::from_utf8(bytes).unwrap_or_default()
        };
        Self { text: text.to_owned(), code: keep(Kind::Code), comments: keep(Kind::Comment) }
    }

    /// The line of a byte, from 1.
    pub fn line(&self, offset: usize) -> usize {
        self.text.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count() + 1
    }

    /// Where items marked `#[cfg(test)]` stand.
    pub fn tests(&self) -> Vec<Range<usize>> {
        let mark = "#[cfg(test)]";
        let mut found: Vec<Range<usize>> = Vec::new();
        for (start, _) in self.code.match_indices(mark) {
            if found.last().is_none_or(|last| start >= last.end) {
                let after = start + mark.len();
                let end = self.body(after).map_or_else(|| self.end_of_statement(after), |body| body.end);
                found.push(start..end);
            }
        }
        found
    }

    /// How many lines are not in tests.
    pub fn production_lines(&self) -> usize {
        let tests: usize =
            self.tests().iter().map(|range| self.line(range.end.max(1) - 1) - self.line(range.start) + 1).sum();
        self.text.lines().count().saturating_sub(tests)
    }

    /// All functions that have a body, in order.
    pub fn functions(&self) -> Vec<Function> {
        let mut found = Vec::new();
        for (start, _) in self.code.match_indices("fn ") {
            let before = self.code[..start].chars().next_back();
            if before.is_some_and(|character| character.is_alphanumeric() || character == '_') {
                continue;
            }
            let rest = self.code[start + 3..].trim_start();
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let (Some(body), false) = (self.body(start), name.is_empty()) else { continue };
            let line = self.line(start);
            found.push(Function { name, line, lines: self.line(body.end - 1) - line + 1, above: self.above(line) });
        }
        found
    }

    /// The comment lines and attributes right above a line.
    fn above(&self, line: usize) -> String {
        let lines: Vec<&str> = self.text.lines().take(line - 1).collect();
        let belongs = |text: &&&str| text.trim_start().starts_with("//") || text.trim_start().starts_with("#[");
        lines.iter().rev().take_while(belongs).copied().collect::<Vec<_>>().join("\n")
    }

    /// The braces after `start`, unless a semicolon ends the item first.
    fn body(&self, start: usize) -> Option<Range<usize>> {
        let bytes = self.code.as_bytes();
        let mut nested = 0_usize;
        let open = (start..bytes.len()).find(|&at| {
            match bytes[at] {
                b'(' | b'[' => nested += 1,
                b')' | b']' => nested = nested.saturating_sub(1),
                _ => {}
            }
            nested == 0 && matches!(bytes[at], b'{' | b';')
        })?;
        if bytes[open] == b';' {
            return None;
        }
        let mut depth = 0_usize;
        for (at, byte) in bytes.iter().enumerate().skip(open) {
            match byte {
                b'{' => depth += 1,
                b'}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Some(open..at + 1);
            }
        }
        None
    }

    fn end_of_statement(&self, start: usize) -> usize {
        self.code[start..].find(';').map_or(self.code.len(), |length| start + length + 1)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    /// The inside of a string or a character, or the whole of a raw string.
    Literal,
}

/// The file as a row of pieces that touch each other.
fn pieces(bytes: &[u8]) -> Vec<(Kind, Range<usize>)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let (kind, end) = piece(bytes, at);
        found.push((kind, at..end));
        at = end;
    }
    found
}

/// The piece that begins at `at`, and its end, which is past `at`.
fn piece(bytes: &[u8], at: usize) -> (Kind, usize) {
    let rest = &bytes[at..];
    if rest.starts_with(b"//") {
        return (Kind::Comment, at + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()));
    }
    if rest.starts_with(b"/*") {
        return (Kind::Comment, at + block_comment(rest));
    }
    let follows_name = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    if let Some(length) = raw_string(rest).filter(|_| !follows_name) {
        return (Kind::Literal, at + length);
    }
    match rest[0] {
        b'"' => (Kind::Literal, at + quoted(rest, b'"')),
        b'\'' => match character(rest) {
            Some(length) => (Kind::Literal, at + length),
            None => (Kind::Code, at + 1),
        },
        _ => (Kind::Code, at + 1),
    }
}

fn block_comment(rest: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// The length of `r"..."`, `r#"..."#` and their byte forms.
fn raw_string(rest: &[u8]) -> Option<usize> {
    let prefix = if rest.starts_with(b"br") || rest.starts_with(b"cr") { 2 } else { 1 };
    if rest.get(prefix - 1) != Some(&b'r') {
        return None;
    }
    let hashes = rest[prefix..].iter().take_while(|byte| **byte == b'#').count();
    if rest.get(prefix + hashes) != Some(&b'"') {
        return None;
    }
    let body = prefix + hashes + 1;
    let end = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
    let length = rest[body..].windows(end.len()).position(|window| window == end);
    Some(length.map_or(rest.len(), |length| body + length + end.len()))
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The length of a character; none for a lifetime.
fn character(rest: &[u8]) -> Option<usize> {
    if rest.get(1) == Some(&b'\\') {
        return Some(quoted(rest, b'\''));
    }
    let width = match rest.get(1)? {
        byte if byte.is_ascii() => 1,
        byte => (byte.leading_ones() as usize).clamp(2, 4),
    };
    (rest.get(1 + width) == Some(&b'\'')).then_some(width + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_comments_are_told_apart() {
        let text =
            "let a = \"x // y\"; // why \"z\"\nlet b = 'q'; /* one /* two */ three */ let c: &'a str = r#\"\"}\"#;\n";
        let source = Source::read(text);
        assert_eq!(source.code.len(), text.len());
        for (kept, gone) in [("let a =", "x // y"), ("let b =", "'q'"), ("let c: &'a str =", "why"), ("let c", "three")]
        {
            assert!(source.code.contains(kept) && !source.code.contains(gone), "{}", source.code);
        }
        assert!(source.comments.contains("// why \"z\"") && source.comments.contains("two */ three"));
        assert!(!source.comments.contains("x // y"), "{}", source.comments);
        assert!(!source.code.contains('}'), "{}", source.code);
    }

    #[test]
    fn characters_and_lifetimes_are_told_apart() {
        for text in ["'\"' + f::<'a>(\"x\")", "'\\'' + \"x\"", "'é' + \"x\"", "b'\"' + \"x\""] {
            assert!(!Source::read(text).code.contains('x'), "{text}");
        }
        assert!(Source::read("fn f<'a>(x: &'a str)").code.contains("x: &'a str"));
    }

    #[test]
    fn functions_are_measured() {
        let text = "/// One.\n#[inline]\nfn one(a: [u8; 2]) -> u8 {\n    if a { b }\n    \"}\"\n}\ntrait T {\n    fn two();\n}\n";
        let functions = Source::read(text).functions();
        let above = "#[inline]\n/// One.".to_owned();
        assert_eq!(functions, [Function { name: "one".to_owned(), line: 3, lines: 4, above }]);
    }

    #[test]
    fn tests_do_not_count_as_production() {
        let text = "fn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n\n#[cfg(test)]\nuse x::y;\nfn c() {}\n";
        assert_eq!(Source::read(text).production_lines(), 4);
        assert_eq!(Source::read("").production_lines(), 0);
    }
}
