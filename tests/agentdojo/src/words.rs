//! What a value of a plan is made of: the owner's words, a number or a date, or a text from elsewhere. Pure.

use serde_json::Value;

/// The months as the owner writes them.
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
/// A shorter word says nothing about where a text comes from.
const SHORTEST_WORD: usize = 4;

/// The shape of a value that has few bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A whole number as a number.
    Number,
    /// An amount of money in hundredths.
    Amount,
    /// A whole number as a text: an id.
    Id,
    /// A date.
    Date,
    /// A date and a time of day.
    Moment,
}

/// The words of a text, in lower case, without what punctuation surrounds them.
pub fn words(text: &str) -> Vec<String> {
    let is_edge = |character: char| !character.is_alphanumeric();
    text.split_whitespace()
        .map(|word| word.trim_matches(is_edge).trim_end_matches("'s").to_lowercase())
        .filter(|word| !word.is_empty())
        .collect()
}

/// Whether every word of the value stands in the prompt, or it is a date that the prompt gives in words.
pub fn is_in_prompt(prompt: &str, value: &str) -> bool {
    let known = words(prompt);
    let of_value = words(value);
    !is_placeholder(value)
        && !of_value.is_empty()
        && of_value.iter().all(|word| known.contains(word) || is_named_date(&known, word))
}

/// `2025-01-11` where the prompt says "January 11th" or "11th of January".
fn is_named_date(known: &[String], word: &str) -> bool {
    let Some((_, month, day)) = date(word) else { return false };
    let named = MONTHS[month - 1];
    known.iter().enumerate().any(|(at, word)| {
        let near = &known[at.saturating_sub(2)..(at + 3).min(known.len())];
        word == named && near.iter().any(|word| ordinal(word) == Some(day))
    })
}

fn ordinal(word: &str) -> Option<usize> {
    word.trim_end_matches(|character: char| character.is_ascii_alphabetic()).parse().ok()
}

/// Year, month and day.
fn date(text: &str) -> Option<(usize, usize, usize)> {
    let mut parts = text.splitn(3, '-').map(|part| part.parse::<usize>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    ((1900..2200).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day)).then_some((year, month, day))
}

/// The shape of a value of few bits; none for free text.
pub fn shape(value: &Value) -> Option<Shape> {
    match value {
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(Shape::Number),
        Value::Number(_) => Some(Shape::Amount),
        Value::String(text)
            if !text.is_empty() && text.len() <= 6 && text.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            Some(Shape::Id)
        }
        Value::String(text) if date(text).is_some() => Some(Shape::Date),
        Value::String(text) => {
            let (day, time) = text.split_once(' ')?;
            (date(day).is_some() && minutes(time).is_some()).then_some(Shape::Moment)
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The minutes of a day.
pub fn minutes(time: &str) -> Option<u32> {
    let (hours, minutes) = time.split_once(':')?;
    let (hours, minutes): (u32, u32) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
}

/// Whether the text stands in the benchmark for one that is still to be written (`<summary>`, `...`).
pub fn is_placeholder(text: &str) -> bool {
    let text = text.trim();
    text.starts_with('<') || (!text.is_empty() && !text.chars().any(char::is_alphanumeric))
}

/// Whether the text was made from what was read: it shares a telling word with it that the owner did not write, or is
/// still to be written.
pub fn is_content(prompt: &str, outputs: &[&str], text: &str) -> bool {
    if is_placeholder(text) {
        return true;
    }
    let own = words(prompt);
    let telling: Vec<String> = words(text)
        .into_iter()
        .filter(|word| stem(word).chars().count() >= SHORTEST_WORD && !own.contains(word))
        .collect();
    outputs.iter().any(|output| {
        let read = words(output);
        telling.iter().any(|word| read.contains(word))
    })
}

/// The word before its apostrophe: "I've" tells as little as "I".
fn stem(word: &str) -> &str {
    word.split(['\'', '\u{2019}']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_date_in_words_is_the_owners() {
        let prompt = "from January 11th to January 15th 2025, on 2024-05-19 at 10:00. Mail 'a@b.com'.";
        for own in ["2025-01-11", "2025-01-15", "2024-05-19 10:00", "a@b.com"] {
            assert!(is_in_prompt(prompt, own), "{own}");
        }
        for other in ["2025-01-12", "2024-05-19 11:00", "c@b.com", ""] {
            assert!(!is_in_prompt(prompt, other), "{other}");
        }
    }

    #[test]
    fn values_of_few_bits_are_recognised() {
        assert_eq!(shape(&json!("24")), Some(Shape::Id));
        assert_eq!(shape(&json!(98.7)), Some(Shape::Amount));
        assert_eq!(shape(&json!(1200)), Some(Shape::Number));
        assert_eq!(shape(&json!("2024-05-19 16:00")), Some(Shape::Moment));
        assert_eq!(shape(&json!("2024-05-19")), Some(Shape::Date));
        for text in ["UK12345678901234567890", "Spotify", "", "12345678"] {
            assert_eq!(shape(&json!(text)), None, "{text}");
        }
    }

    #[test]
    fn text_made_from_what_was_read_is_content() {
        let read = ["Our hobbies: hiking and painting"];
        assert!(is_content("post their hobbies", &read, "hobbies are hiking"));
        assert!(is_content("post it", &read, "<summary>"));
        assert!(!is_content("post their hobbies", &read, "hobbies"));
        assert!(!is_content("refund them", &read, "Refund"));
    }
}
