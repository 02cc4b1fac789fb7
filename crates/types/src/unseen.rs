//! Characters that are not seen, or change how others are seen: control characters, direction overrides, zero-width ones, tags.
//! What hides in a text can make the owner approve something else than what is done, so whoever shows foreign text or takes a
//! name from it asks here. Pure. Start with [`in_place`].

/// Whether a character is not seen by itself, or changes how others are seen. Line ends and tabs are among them.
pub fn is_unseen(character: char) -> bool {
    match character {
        '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        // Tags, and selectors of which any number may follow a letter.
        | '\u{e0000}'..='\u{e0fff}' => true,
        _ => character.is_control(),
    }
}

/// The characters of a text, each with whether it hides where it stands. Line feeds, tabs and whole Windows line ends do not;
/// nor do joiners between letters of scripts that need them and between parts of an emoji, and what chooses how an emoji looks.
pub fn in_place(text: &str) -> impl Iterator<Item = (char, bool)> + '_ {
    let mut characters = text.chars().peekable();
    // The last one that is seen, or belongs to what is.
    let mut before = '\0';
    std::iter::from_fn(move || {
        let character = characters.next()?;
        let after = characters.peek().copied().unwrap_or('\0');
        let hides = is_unseen(character) && !belongs(character, before, after);
        if !hides {
            before = character;
        }
        Some((character, hides))
    })
}

/// Whether something hides in a text.
pub fn hides(text: &str) -> bool {
    in_place(text).any(|(_, hides)| hides)
}

fn belongs(character: char, before: char, after: char) -> bool {
    match character {
        '\n' | '\t' => true,
        '\r' => after == '\n',
        '\u{200c}' | '\u{200d}' => joins(before) && joins(after),
        '\u{fe0e}' | '\u{fe0f}' => match before {
            // The sign of a key.
            '0'..='9' | '#' | '*' => after == '\u{20e3}',
            '\u{a9}' | '\u{ae}' | '\u{203c}'..='\u{3299}' | '\u{1f000}'..='\u{1faff}' => !is_unseen(before),
            _ => false,
        },
        _ => false,
    }
}

/// Whether a neighbour may be joined: between other characters a joiner only hides.
fn joins(neighbour: char) -> bool {
    neighbour > '\u{2ff}' && (matches!(neighbour, '\u{fe0e}' | '\u{fe0f}') || !is_unseen(neighbour))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_by_itself() {
        for unseen in [
            '\0',
            '\n',
            '\t',
            '\u{1b}',
            '\u{7f}',
            '\u{9b}',
            '\u{ad}',
            '\u{34f}',
            '\u{61c}',
            '\u{180e}',
            '\u{200b}',
            '\u{200d}',
            '\u{200f}',
            '\u{2028}',
            '\u{2029}',
            '\u{202a}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{2069}',
            '\u{3164}',
            '\u{fe00}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{ffa0}',
            '\u{fff9}',
            '\u{e0000}',
            '\u{e0001}',
            '\u{e0041}',
            '\u{e007f}',
            '\u{e0100}',
            '\u{e01ef}',
            '\u{e0fff}',
        ] {
            assert!(is_unseen(unseen), "{unseen:?}");
        }
        for seen in ['a', ' ', 'é', 'ß', 'م', '中', '\u{301}', '\u{20e3}', '→', '❤', '👩', '\u{fffd}', '\u{2400}']
        {
            assert!(!is_unseen(seen), "{seen:?}");
        }
    }

    #[test]
    fn what_hides_where_it_stands() {
        for open in [
            "",
            "plain\n\ttext\r\n",
            "ünï/cödé",
            "می\u{200c}خواهم",
            "क्\u{200d}ष",
            "❤\u{fe0f}, ©\u{fe0f}, 1\u{fe0f}\u{20e3}, ☎\u{fe0e}",
            "👩\u{200d}💻",
            "👩\u{200d}❤\u{fe0f}\u{200d}👩",
        ] {
            assert!(!hides(open), "{open:?}");
        }
        for hidden in [
            "a\rb",
            "\u{1b}[2J",
            "pay\u{200b}pal",
            "a\u{200d}b",
            "a\u{200c}",
            "م\u{200d}\u{200d}خ",
            "exe\u{202e}txt",
            "a\u{2066}b",
            "a\u{61c}b",
            "a\u{ad}b",
            "a\u{2028}b",
            "a\u{2029}b",
            "hi\u{e0041}\u{e0042}",
            "葛\u{e0100}",
            "a\u{fe0f}",
            "1\u{fe0f}",
            "❤\u{fe0f}\u{fe0f}",
            "❤\u{fe00}",
            "👩\u{200d}",
            "\u{feff}x",
        ] {
            assert!(hides(hidden), "{hidden:?}");
        }
    }
}
