//! What is shown in the place of characters that are not seen but change what is.

use std::borrow::Cow;

use types::unseen;

/// What stands for a character that was taken away and would have changed the order of what is shown.
const REPLACEMENT: char = '\u{fffd}';

/// `text` with nothing in it that a terminal obeys or a reader cannot see. Line feeds and tabs stay; other control
/// characters become their pictures (`␛`), direction overrides become `U+FFFD`, and zero-width characters vanish,
/// except for joiners between letters of scripts that need them.
pub fn neutral(text: &str) -> Cow<'_, str> {
    // Line ends are made ours as well.
    if !unseen::hides(text) && !text.contains('\r') {
        return Cow::Borrowed(text);
    }
    let harmless = |(character, hides)| if hides || character == '\r' { harmless(character) } else { Some(character) };
    Cow::Owned(unseen::in_place(text).filter_map(harmless).collect())
}

/// What a hidden character is shown as; none when it is left out.
fn harmless(character: char) -> Option<char> {
    match character {
        // The two parts of a Windows line end are one line end.
        '\r' => None,
        '\0'..='\u{1f}' => char::from_u32(0x2400 + u32::from(character)),
        '\u{7f}' => Some('\u{2421}'),
        '\u{2028}' | '\u{2029}' => Some('\n'),
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => Some(REPLACEMENT),
        _ if character.is_control() => Some(REPLACEMENT),
        _ => None,
    }
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
            ("❤\u{fe0f} a\u{fe0f}\u{fe01}", "❤\u{fe0f} a"),
            ("👩\u{200d}❤\u{fe0f}\u{200d}👩", "👩\u{200d}❤\u{fe0f}\u{200d}👩"),
        ] {
            assert_eq!(neutral(input), expected, "{input:?}");
        }
    }
}
