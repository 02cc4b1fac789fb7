//! Characters that are not seen but change what is: control characters, direction overrides, zero-width ones.

use std::borrow::Cow;

/// What stands for a character that was taken away and would have changed the order of what is shown.
const REPLACEMENT: char = '\u{fffd}';

/// `text` with nothing in it that a terminal obeys or a reader cannot see. Line feeds and tabs stay; other control
/// characters become their pictures (`␛`), direction overrides become `U+FFFD`, and zero-width characters vanish,
/// except for joiners between letters of scripts that need them.
pub fn neutral(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_suspect) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    let mut before = '\0';
    while let Some(character) = characters.next() {
        if is_suspect(character) {
            let after = characters.peek().copied().unwrap_or('\0');
            out.extend(harmless(character, before, after));
        } else {
            out.push(character);
        }
        before = character;
    }
    Cow::Owned(out)
}

/// Whether a character needs a decision.
fn is_suspect(character: char) -> bool {
    match character {
        '\n' | '\t' => false,
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
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}' => true,
        _ => character.is_control(),
    }
}

/// What a suspect character is shown as; none when it is left out.
fn harmless(character: char, before: char, after: char) -> Option<char> {
    match character {
        // The two parts of a Windows line end are one line end.
        '\r' => None,
        '\0'..='\u{1f}' => char::from_u32(0x2400 + u32::from(character)),
        '\u{7f}' => Some('\u{2421}'),
        '\u{2028}' | '\u{2029}' => Some('\n'),
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => Some(REPLACEMENT),
        // Persian, Indic scripts and composed emoji are wrong without their joiners. Between other characters a joiner
        // only hides.
        '\u{200c}' | '\u{200d}' if joins(before) && joins(after) => Some(character),
        _ if character.is_control() => Some(REPLACEMENT),
        _ => None,
    }
}

fn joins(neighbour: char) -> bool {
    neighbour > '\u{2ff}' && !is_suspect(neighbour)
}

#[cfg(test)]
mod tests {
    use super::neutral;

    #[test]
    fn what_cannot_be_seen_is_shown_or_gone() {
        for (input, expected) in [
            ("plain\n\ttext", "plain\n\ttext"),
            ("\u{1b}[31mred\u{7}", "␛[31mred␇"),
            ("a\r\nb", "a\nb"),
            ("\u{9b}31m", "\u{fffd}31m"),
            ("exe\u{202e}txt.", "exe\u{fffd}txt."),
            ("pay\u{200b}pal\u{2060}", "paypal"),
            ("a\u{200d}b", "ab"),
            ("می\u{200c}خواهم", "می\u{200c}خواهم"),
            ("👩\u{200d}💻", "👩\u{200d}💻"),
            ("hi\u{e0041}\u{e0042}", "hi"),
            ("x\u{2028}y", "x\ny"),
        ] {
            assert_eq!(neutral(input), expected, "{input:?}");
        }
    }
}
