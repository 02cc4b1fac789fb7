//! Texts with names in braces, which become values. In a done condition a value is one word of the shell whatever it holds, and a
//! command is one unit, so that no value changes what stands around it. Pure. Start with [`fill`] and [`fill_shell`].

use std::collections::BTreeMap;

use super::parameter::{Kind, Parameter};

/// Values by name.
pub(super) type Values = BTreeMap<String, String>;

/// A part of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece<'a> {
    Text(&'a str),
    Name(&'a str),
}

/// Whether a text can name a parameter.
pub(super) fn is_name(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Takes a template apart. Two braces in a row stand for one; a brace before anything but a name stands for itself.
fn pieces(template: &str) -> Vec<Piece<'_>> {
    let (mut pieces, mut rest) = (Vec::new(), template);
    while let Some((before, behind)) = rest.split_once('{') {
        pieces.push(Piece::Text(before));
        if let Some(after) = behind.strip_prefix('{') {
            pieces.push(Piece::Text("{"));
            rest = after;
            continue;
        }
        match behind.split_once('}').filter(|(name, _)| is_name(name)) {
            Some((name, after)) => {
                pieces.push(Piece::Name(name));
                rest = after;
            }
            None => {
                pieces.push(Piece::Text("{"));
                rest = behind;
            }
        }
    }
    pieces.push(Piece::Text(rest));
    pieces.retain(|piece| *piece != Piece::Text(""));
    pieces
}

/// The names that a template uses.
pub(super) fn names_in(template: &str) -> Vec<&str> {
    let name = |piece| match piece {
        Piece::Name(name) => Some(name),
        Piece::Text(_) => None,
    };
    pieces(template).into_iter().filter_map(name).collect()
}

/// The template with values in place of names. What a value holds is never looked at again.
pub(super) fn fill(template: &str, values: &Values) -> String {
    fill_with(template, |name| values.get(name).cloned())
}

/// The same for a pattern of paths: a path is taken literally.
pub(super) fn fill_pattern(template: &str, values: &Values, parameters: &BTreeMap<String, Parameter>) -> String {
    fill_with(template, |name| {
        let value = values.get(name)?;
        let is_path = parameters.get(name).is_some_and(|parameter| parameter.kind == Kind::Path);
        Some(if is_path { literally(value) } else { value.clone() })
    })
}

/// The same for the shell, where [`check_shell`] has let the template through.
pub(super) fn fill_shell(template: &str, values: &Values, parameters: &BTreeMap<String, Parameter>) -> String {
    let is_alone = matches!(pieces(template.trim()).as_slice(), [Piece::Name(_)]);
    fill_with(template, |name| {
        let value = values.get(name)?;
        let is_command = parameters.get(name).is_some_and(|parameter| parameter.kind == Kind::Command);
        Some(match (is_command, is_alone) {
            (true, true) => value.clone(),
            // A shell of its own: neither an `exit` nor an open quotation in it reaches what stands around it.
            (true, false) => format!("( eval {} )", quoted(value)),
            (false, _) => quoted(value),
        })
    })
}

fn fill_with(template: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let part = |piece| match piece {
        Piece::Text(text) => text.to_owned(),
        Piece::Name(name) => value(name).unwrap_or_else(|| format!("{{{name}}}")),
    };
    pieces(template).into_iter().map(part).collect()
}

/// A text as one word of the shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A path as a pattern that fits nothing else.
fn literally(path: &str) -> String {
    let mut pattern = String::new();
    for character in path.chars() {
        match character {
            '*' | '?' | '[' | '{' | '}' | ',' => pattern.extend(['[', character, ']']),
            other => pattern.push(other),
        }
    }
    // A pattern without a slash would be about names in every directory.
    if path.contains('/') || path.is_empty() { pattern } else { format!("{{{pattern},/}}") }
}

/// Whether every name in a template for the shell stands where a word can stand. The error is a sentence.
pub(super) fn check_shell(template: &str) -> Result<(), String> {
    let pieces = pieces(template);
    if !pieces.iter().any(|piece| matches!(piece, Piece::Name(_))) {
        return Ok(());
    }
    for (mark, what) in [
        ("`", "a backquote; write $(...)"),
        ("#", "a `#`, which may begin a comment"),
        ("<<", "a here-document"),
        ("((", "arithmetic"),
        ("[[", "`[[`; write [ ... ]"),
        ("$'", "a quotation that begins with `$`"),
    ] {
        if template.contains(mark) {
            return Err(format!("a done condition that uses parameters may not hold {what}"));
        }
    }
    let (mut open, mut last) = (None, ' ');
    for piece in pieces {
        match piece {
            Piece::Name(name) if open.is_some() || matches!(last, '\\' | '$') => {
                return Err(format!(
                    "`{{{name}}}` stands in quotation marks, or behind `\\` or `$`; it becomes a quoted word by itself, so write it \
                     alone"
                ));
            }
            Piece::Name(_) => last = ' ',
            Piece::Text(text) => (open, last) = read_on(text, open, last),
        }
    }
    if open.is_some() { Err("a quotation in the done condition has no end".to_owned()) } else { Ok(()) }
}

/// Follows the quotations of the shell through a text: which one is open at its end, and the last character, which is a space
/// where it was taken literally.
fn read_on(text: &str, mut open: Option<char>, mut last: char) -> (Option<char>, char) {
    for character in text.chars() {
        let is_literal = last == '\\' && open != Some('\'');
        match (open, character) {
            _ if is_literal => {
                last = ' ';
                continue;
            }
            (None, '\'' | '"') => open = Some(character),
            (Some(mark), _) if mark == character => open = None,
            _ => {}
        }
        last = character;
    }
    (open, last)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parameters() -> BTreeMap<String, Parameter> {
        let one = |kind| Parameter { about: "it".to_owned(), kind, default: None };
        BTreeMap::from([
            ("text".to_owned(), one(Kind::Text)),
            ("path".to_owned(), one(Kind::Path)),
            ("command".to_owned(), one(Kind::Command)),
        ])
    }

    fn values(text: &str) -> Values {
        ["text", "path", "command"].map(|name| (name.to_owned(), text.to_owned())).into()
    }

    /// What the shell reads as one word, by the rules of POSIX for what is neither expanded nor split; none where it would do
    /// anything else with it.
    fn word(text: &str) -> Option<String> {
        let (mut word, mut rest) = (String::new(), text.chars());
        while let Some(character) = rest.next() {
            match character {
                '\'' => loop {
                    match rest.next()? {
                        '\'' => break,
                        inside => word.push(inside),
                    }
                },
                '\\' => word.push(rest.next().filter(|next| *next != '\n')?),
                plain if plain.is_ascii_alphanumeric() || "-_./=,:@%+".contains(plain) => word.push(plain),
                _ => return None,
            }
        }
        Some(word)
    }

    #[test]
    fn names_stand_for_values_and_values_for_themselves() {
        let values = values("{text} $HOME");
        assert_eq!(fill("a {text}{ {gone} {Not} {{text}", &values), "a {text} $HOME{ {gone} {Not} {text}");
        assert_eq!(names_in("{a} {{b} { c} {d"), ["a"]);
        assert_eq!(fill_shell("{command}", &values, &parameters()), "{text} $HOME");
        assert_eq!(
            fill_shell("{command} && test {text}", &values, &parameters()),
            "( eval '{text} $HOME' ) && test '{text} $HOME'"
        );
    }

    #[test]
    fn a_name_stands_where_a_word_can_stand() {
        for good in [
            "{command}",
            "grep -q -- {text} \"$file\" && test '{' = \"\\\"\"",
            "test $(echo {text} | wc -l) = 1",
            "true # no parameter `here`",
            "echo 'it'\\''s' {text}",
        ] {
            assert_eq!(check_shell(good), Ok(()), "{good}");
        }
        for bad in [
            "grep '{text}'",
            "grep \"{text}\"",
            "echo \\{text}",
            "echo ${text}",
            "echo `echo {text}`",
            "cat <<E\n{text}\nE",
            "true # it's\n{text}",
            "(( {text} > 1 ))",
            "[[ {text} -eq 1 ]]",
            "{text} 'open",
            "echo $'\\'' {text}",
            "echo \"\\\" {text}\"",
        ] {
            assert!(check_shell(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_path_is_a_pattern_for_itself_alone() {
        for path in ["src/[id].tsx", "a*b", "{x,y}", "lib.rs", "a/b?c,d", "a}b"] {
            let pattern = fill_pattern("{path}", &values(path), &parameters());
            let glob = tools::Glob::parse(&pattern).unwrap();
            assert!(glob.matches(std::path::Path::new(path)), "{path}: {pattern}");
            for other in ["src/i.tsx", "axb", "x", "y", "src/lib.rs", "a/bxc,d", "ab"] {
                assert!(!glob.matches(std::path::Path::new(other)), "{pattern} fits {other}");
            }
        }
    }

    proptest! {
        #[test]
        fn every_value_is_one_word_of_the_shell(value in "[^\u{0}]{0,60}") {
            let filled = fill_shell("test {text}", &values(&value), &parameters());
            prop_assert_eq!(word(filled.strip_prefix("test ").unwrap()), Some(value.clone()));
            let filled = fill_shell("{command} && x", &values(&value), &parameters());
            let inner = filled.strip_prefix("( eval ").and_then(|rest| rest.strip_suffix(" ) && x")).unwrap();
            prop_assert_eq!(word(inner), Some(value));
        }

        #[test]
        fn quotation_marks_in_values_are_words_too(value in "['\"\\\\$`!#;&|()<> a]{0,40}") {
            let filled = fill_shell("x={text}", &values(&value), &parameters());
            prop_assert_eq!(word(filled.strip_prefix("x=").unwrap()), Some(value));
        }
    }
}
