//! The HTML that the real server reads, as strictly as it does, and the plain text and marks that come of it.

use serde_json::{Value, json};

const TAGS: [&str; 18] = [
    "a",
    "b",
    "strong",
    "i",
    "em",
    "s",
    "strike",
    "del",
    "u",
    "ins",
    "tg-spoiler",
    "span",
    "tg-emoji",
    "pre",
    "code",
    "blockquote",
    "tg-time",
    "tg-math",
];

struct Open {
    tag: String,
    attribute: Option<String>,
    /// Where it starts, in UTF-16 units.
    offset: usize,
}

struct Reader<'a> {
    html: &'a str,
    at: usize,
    text: String,
    units: usize,
    open: Vec<Open>,
    entities: Vec<Value>,
}

/// Reads `html`. The error is what the real server says after "can't parse entities: ".
pub(super) fn parse_html(html: &str) -> Result<(String, Vec<Value>), String> {
    let mut reader = Reader { html, at: 0, text: String::new(), units: 0, open: Vec::new(), entities: Vec::new() };
    while let Some(character) = reader.rest().chars().next() {
        match character {
            '<' if reader.rest().starts_with("</") => reader.end_tag()?,
            '<' => reader.start_tag()?,
            '&' => reader.reference(),
            other => {
                reader.at += other.len_utf8();
                reader.push(other);
            }
        }
    }
    match reader.open.last() {
        Some(open) => Err(format!("Can't find end tag corresponding to start tag \"{}\"", open.tag)),
        None => {
            reader
                .entities
                .sort_by_key(|entity| (entity["offset"].as_u64(), std::cmp::Reverse(entity["length"].as_u64())));
            Ok((reader.text, reader.entities))
        }
    }
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.html.get(self.at..).unwrap_or_default()
    }

    fn push(&mut self, character: char) {
        self.text.push(character);
        self.units += character.len_utf16();
    }

    fn start_tag(&mut self) -> Result<(), String> {
        let begin = self.at;
        let close = self.rest().find('>').ok_or_else(|| format!("Unclosed start tag at byte offset {begin}"))?;
        let inner = self.rest().get(1..close).unwrap_or_default().to_owned();
        let name_end = inner.find(|c: char| c.is_whitespace()).unwrap_or(inner.len());
        let tag = inner.get(..name_end).unwrap_or_default().to_ascii_lowercase();
        if !TAGS.contains(&tag.as_str()) {
            return Err(format!("Unsupported start tag \"{tag}\" at byte offset {begin}"));
        }
        let attribute = attribute(inner.get(name_end..).unwrap_or_default());
        self.at += close + 1;
        self.open.push(Open { tag, attribute, offset: self.units });
        Ok(())
    }

    fn end_tag(&mut self) -> Result<(), String> {
        let begin = self.at;
        let close = self.rest().find('>').ok_or_else(|| format!("Unclosed end tag at byte offset {begin}"))?;
        let tag = self.rest().get(2..close).unwrap_or_default().trim().to_ascii_lowercase();
        let Some(open) = self.open.pop() else { return Err(format!("Unexpected end tag at byte offset {begin}")) };
        if !tag.is_empty() && tag != open.tag {
            return Err(format!(
                "Unmatched end tag at byte offset {begin}, expected \"</{}>\", found \"</{tag}>\"",
                open.tag
            ));
        }
        self.at += close + 1;
        self.close(open);
        Ok(())
    }

    fn close(&mut self, open: Open) {
        let length = self.units - open.offset;
        if length == 0 {
            return;
        }
        let kind = match open.tag.as_str() {
            "b" | "strong" => "bold",
            "i" | "em" => "italic",
            "s" | "strike" | "del" => "strikethrough",
            "u" | "ins" => "underline",
            "a" => "text_link",
            "pre" => "pre",
            "code" => "code",
            "blockquote" => "blockquote",
            _ => "spoiler",
        };
        let mut entity = json!({ "type": kind, "offset": open.offset, "length": length });
        match (kind, open.attribute) {
            ("text_link", Some(url)) => entity["url"] = url.into(),
            ("code", Some(class)) => {
                // The language of a block is given by code within it.
                if let (Some(language), Some(outer)) = (class.strip_prefix("language-"), self.open.last_mut()) {
                    outer.attribute = Some(language.to_owned());
                }
                return;
            }
            ("pre", Some(language)) => entity["language"] = language.into(),
            _ => {}
        }
        self.entities.push(entity);
    }

    /// A character reference; what is none is text.
    fn reference(&mut self) {
        const NAMED: [(&str, char); 4] = [("&lt;", '<'), ("&gt;", '>'), ("&amp;", '&'), ("&quot;", '"')];
        if let Some((name, character)) = NAMED.iter().find(|(name, _)| self.rest().starts_with(name)) {
            self.at += name.len();
            self.push(*character);
            return;
        }
        if let Some((length, character)) = numeric(self.rest()) {
            self.at += length;
            self.push(character);
            return;
        }
        self.at += 1;
        self.push('&');
    }
}

fn numeric(text: &str) -> Option<(usize, char)> {
    let end = text.find(';').filter(|end| *end <= 10)?;
    let digits = text.get(2..end)?;
    let code = match text.get(1..2)? {
        "#" if digits.starts_with('x') => u32::from_str_radix(digits.get(1..)?, 16).ok()?,
        "#" => digits.parse().ok()?,
        _ => return None,
    };
    Some((end + 1, char::from_u32(code).filter(|character| *character != '\0')?))
}

/// The value of the first attribute.
fn attribute(text: &str) -> Option<String> {
    let (_, value) = text.split_once('=')?;
    let value = value.trim().trim_matches(|c| c == '"' || c == '\'');
    Some(value.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_becomes_marks_in_utf16() {
        let (text, entities) =
            parse_html("👍 <b>a &lt; <i>b</i></b> <a href=\"https://x.org/?a&amp;b\">x</a>").unwrap_or_default();
        assert_eq!(text, "👍 a < b x");
        let expected = [
            json!({ "type": "bold", "offset": 3, "length": 5 }),
            json!({ "type": "italic", "offset": 7, "length": 1 }),
            json!({ "type": "text_link", "offset": 9, "length": 1, "url": "https://x.org/?a&b" }),
        ];
        assert_eq!(entities, expected);
        let (_, code) = parse_html("<pre><code class=\"language-rust\">fn</code></pre>").unwrap_or_default();
        assert_eq!(code, [json!({ "type": "pre", "offset": 0, "length": 2, "language": "rust" })]);
    }

    #[test]
    fn mistakes_are_refused_with_the_real_words() {
        for (html, expected) in [
            ("a < b", "Unclosed start tag at byte offset 2"),
            ("a <p>b</p>", "Unsupported start tag \"p\" at byte offset 2"),
            ("<b>a", "Can't find end tag corresponding to start tag \"b\""),
            ("a</b>", "Unexpected end tag at byte offset 1"),
            ("<b>a</i>", "Unmatched end tag at byte offset 4, expected \"</b>\", found \"</i>\""),
        ] {
            assert_eq!(parse_html(html), Err(expected.to_owned()), "{html}");
        }
    }
}
