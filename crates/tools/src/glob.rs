//! File name patterns: `*`, `?`, `**`, `[a-z]` and `{a,b}`, as shells and editors know them. Pure.

use std::path::Path;

use regex::bytes::{Regex, RegexBuilder};
use std::os::unix::ffi::OsStrExt;
use types::InvalidInput;

/// A pattern for paths relative to the workspace.
#[derive(Clone, Debug)]
pub struct Glob {
    regex: Regex,
    /// A pattern without a slash is about the name alone.
    name_only: bool,
}

impl Glob {
    /// Reads a pattern.
    pub fn parse(pattern: &str) -> Result<Self, InvalidInput> {
        Self::parse_with(pattern, false)
    }

    /// Reads a pattern for which capital and small letters are the same.
    pub fn parse_any_case(pattern: &str) -> Result<Self, InvalidInput> {
        Self::parse_with(pattern, true)
    }

    fn parse_with(pattern: &str, any_case: bool) -> Result<Self, InvalidInput> {
        let pattern = pattern.strip_prefix("/workspace/").or(pattern.strip_prefix("./")).unwrap_or(pattern);
        let translated = translate(pattern);
        let mut regex = RegexBuilder::new(&translated);
        regex.size_limit(1 << 20).unicode(true).dot_matches_new_line(true);
        let regex = regex.case_insensitive(any_case).build();
        let regex =
            regex.map_err(|_| InvalidInput("`glob` is not a valid pattern; an example is `*.rs`".to_owned()))?;
        Ok(Self { regex, name_only: !pattern.contains('/') })
    }

    /// Whether a path relative to the workspace fits.
    pub fn matches(&self, path: &Path) -> bool {
        let text = if self.name_only { path.file_name().unwrap_or_default() } else { path.as_os_str() };
        self.regex.is_match(text.as_bytes())
    }
}

fn translate(pattern: &str) -> String {
    let mut regex = String::from("^(?:");
    let mut open = 0_u32;
    let mut rest = pattern;
    while let Some(character) = rest.chars().next() {
        let (part, length) = match character {
            '*' if rest.starts_with("**/") => ("(?:.*/)?".to_owned(), 3),
            '*' if rest.starts_with("**") => (".*".to_owned(), 2),
            '*' => ("[^/]*".to_owned(), 1),
            '?' => ("[^/]".to_owned(), 1),
            '{' => {
                open += 1;
                ("(?:".to_owned(), 1)
            }
            '}' if open > 0 => {
                open -= 1;
                (")".to_owned(), 1)
            }
            ',' if open > 0 => ("|".to_owned(), 1),
            '[' => class(rest),
            other => (regex::escape(other.encode_utf8(&mut [0; 4])), other.len_utf8()),
        };
        regex.push_str(&part);
        rest = &rest[length..];
    }
    // A brace that is never closed must not make the pattern invalid in a way nobody can read.
    regex.extend(std::iter::repeat_n(')', open as usize));
    regex.push_str(")$");
    regex
}

/// A set such as `[a-z]` or `[!0-9]`, and how much of the pattern it is. Without an end the bracket stands for itself.
fn class(rest: &str) -> (String, usize) {
    let Some(end) = rest.char_indices().skip(2).find(|(_, character)| *character == ']').map(|(index, _)| index) else {
        return ("\\[".to_owned(), 1);
    };
    let inside = &rest[1..end];
    let (not, members) = match inside.strip_prefix(['!', '^']) {
        Some(members) => ("^/", members),
        None => ("", inside),
    };
    let escaped: String = members.chars().fold(String::new(), |mut escaped, character| {
        if matches!(character, '[' | ']' | '\\' | '^' | '&' | '~') {
            escaped.push('\\');
        }
        escaped.push(character);
        escaped
    });
    (format!("[{not}{escaped}]"), end + 1)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        let glob = Glob::parse(pattern).unwrap();
        for path in yes {
            assert!(glob.matches(Path::new(path)), "{pattern} {path}");
        }
        for path in no {
            assert!(!glob.matches(Path::new(path)), "{pattern} {path}");
        }
    }

    #[test]
    fn patterns_match_as_in_a_shell() {
        check("*.rs", &["a.rs", "src/a.rs"], &["a.rsx", "rs"]);
        check("src/*.rs", &["src/a.rs"], &["src/b/a.rs", "a.rs", "x/src/a.rs"]);
        check("src/**/*.rs", &["src/a.rs", "src/b/c/a.rs"], &["a.rs"]);
        check("src/**", &["src/a", "src/b/c"], &["a"]);
        check("*.{ts,tsx}", &["a.ts", "a.tsx"], &["a.t", "a.{ts,tsx}"]);
        check("[a-c]?.[!x]", &["b1.y"], &["d1.y", "b1.x", "b.y"]);
        check("a+(b).c", &["a+(b).c"], &["aab.c"]);
        check("./Cargo.toml", &["Cargo.toml", "x/Cargo.toml"], &[]);
        check("[", &["["], &[]);
        check("{a", &["a"], &["b"]);
    }

    proptest::proptest! {
        #[test]
        fn any_pattern_is_answered(pattern in "[ -~]{0,20}") {
            _ = Glob::parse(&pattern);
        }
    }
}
