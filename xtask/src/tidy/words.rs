//! Words that must not stand in the repository: debt without an issue, pictograms, and the place where somebody happens
//! to keep it.

use std::path::Path;

use super::{run::Findings, source::Source};

/// Marks of debt. Each needs the number of an issue in parentheses behind it.
const DEBT: [&str; 3] = ["TODO", "FIXME", "XXX"];

/// Checks one text file. In Rust only comments count: what stands in a string may be there to be tested.
pub fn check(path: &Path, text: &str, root: &Path, findings: &mut Findings) {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let is_prose = matches!(extension, "md" | "toml" | "rs" | "yml" | "yaml" | "sh");
    if !is_prose {
        return;
    }
    let prose = if extension == "rs" { Source::read(text).comments } else { text.to_owned() };
    for (line, number) in prose.lines().zip(1..) {
        let place = format!("{}:{number}", path.display());
        if let Some(mark) = DEBT.iter().find(|mark| is_open_debt(line, mark)) {
            findings.error(format!("{place} says {mark} without an issue; write {mark}(#123) or mend it"));
        }
        if let Some(picture) = line.chars().find(|character| is_pictogram(*character)) {
            findings.error(format!("{place} holds the pictogram U+{:04X}", u32::from(picture)));
        }
    }
    let home = root.to_string_lossy();
    // A root as short as `/src` would be found in innocent text.
    if home.len() > 5
        && let Some(offset) = text.find(home.as_ref())
    {
        let number = text[..offset].lines().count().max(1);
        findings.error(format!("{}:{number} names the directory of one machine", path.display()));
    }
}

/// A mark as a word of its own that no issue follows.
fn is_open_debt(line: &str, mark: &str) -> bool {
    line.match_indices(mark).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = &line[at + mark.len()..];
        let is_word = !before.is_some_and(is_part_of_word) && !after.chars().next().is_some_and(is_part_of_word);
        let number = after.strip_prefix("(#").and_then(|rest| rest.split_once(')')).map(|(number, _)| number);
        is_word && number.is_none_or(|number| number.parse::<u32>().is_err())
    })
}

fn is_part_of_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_' || character == '`'
}

fn is_pictogram(character: char) -> bool {
    matches!(u32::from(character), 0x2600..=0x27BF | 0x2B50..=0x2B55 | 0xFE0F | 0x1F000..=0x1FAFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(path: &str, text: &str) -> usize {
        let mut findings = Findings::default();
        check(path.as_ref(), text, "/home/somebody/factotum".as_ref(), &mut findings);
        findings.errors().len()
    }

    #[test]
    fn debt_needs_an_issue() {
        assert_eq!(errors("a.rs", "// TODO: later\n"), 1);
        assert_eq!(errors("a.rs", "// TODO(#12): later\n"), 0);
        assert_eq!(errors("a.rs", "// TODO(#x): later\n"), 1);
        assert_eq!(errors("a.rs", "let a = \"TODO\";\n"), 0);
        assert_eq!(errors("a.md", "FIXME\nand `TODO` as a word\n"), 1);
        assert_eq!(errors("a.rs", "// a mktemp XXXXXX name\n"), 0);
    }

    #[test]
    fn pictograms_and_places_are_found() {
        assert_eq!(errors("a.md", "done \u{2705}\n"), 1);
        assert_eq!(errors("a.md", "a → b … ≤ 3\n"), 0);
        assert_eq!(errors("a.rs", "let a = \"\u{1F600}\";\n"), 0);
        assert_eq!(errors("a.rs", "let a = \"/home/somebody/factotum/x\";\n"), 1);
        assert_eq!(errors("a.snap", "/home/somebody/factotum TODO\n"), 0);
    }
}
