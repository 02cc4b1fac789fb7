//! Whether the owner wrote a destination. Values are compared whole and by their kind (an address, a link, a host, a
//! telephone or account number), never as substrings: "June 13" does not name the file `13`. What has no such kind is
//! never the owner's. Pure; which texts are the owner's is the caller's knowledge, what of them is quoted is decided here.

use std::borrow::Cow;

/// The fewest digits of a telephone number, and of letters and digits of an account.
const SHORTEST_NUMBER: usize = 7;
const SHORTEST_ACCOUNT: usize = 12;
/// The most groups that one number may be written in.
const MAX_GROUPS: usize = 12;
/// The most bytes of a value that is looked at; a longer one is nobody's.
const MAX_VALUE: usize = 2_048;

/// A destination by its kind, in the form in which it is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    /// `anna@example.com`, in lower case.
    Mail(String),
    /// A link: scheme and host in lower case, the rest verbatim, no fragment.
    Link(String),
    /// A host name with at least one dot, in lower case.
    Host(String),
    /// Digits only.
    Phone(String),
    /// Letters in upper case and digits.
    Account(String),
}

/// Whether there are destinations and each of them stands in one of the owner's texts.
pub fn are_owners<T: AsRef<str>>(texts: &[T], destinations: &[String]) -> bool {
    !destinations.is_empty() && destinations.iter().all(|destination| is_owners(texts, destination))
}

fn is_owners<T: AsRef<str>>(texts: &[T], destination: &str) -> bool {
    value(destination).is_some_and(|wanted| texts.iter().any(|text| names(text.as_ref(), &wanted)))
}

/// What of a message is the owner's own: without the lines that they quoted and the blocks that they pasted in fences.
pub fn own_words(text: &str) -> Cow<'_, str> {
    if !has_quotes(text) && !text.contains("```") && !text.contains("~~~") {
        return Cow::Borrowed(text);
    }
    let mut open: Option<Fence> = None;
    let mut own = String::with_capacity(text.len());
    for line in text.lines() {
        let fence = fence(line);
        match (open, fence) {
            (Some(opened), Some(mark)) if mark.closes(opened) => open = None,
            (Some(_), Some(_) | None) => {}
            (None, Some(_)) => open = fence,
            (None, None) if is_quoted(line) => {}
            (None, None) => {
                own.push_str(line);
                own.push('\n');
            }
        }
    }
    Cow::Owned(own)
}

/// A line that opens or closes a block of code (CommonMark 4.5).
#[derive(Clone, Copy)]
struct Fence {
    mark: char,
    length: usize,
    /// Nothing follows, so that it may close.
    is_bare: bool,
}

impl Fence {
    /// A block ends at a line of the same mark that is no shorter than the first; what is pasted into it cannot end it otherwise.
    fn closes(self, opened: Self) -> bool {
        self.is_bare && self.mark == opened.mark && self.length >= opened.length
    }
}

fn fence(line: &str) -> Option<Fence> {
    let start = line.trim_start();
    let mark = start.chars().next().filter(|mark| matches!(mark, '`' | '~'))?;
    let length = start.chars().take_while(|character| *character == mark).count();
    let is_bare = start.trim_start_matches(mark).trim().is_empty();
    (length >= 3).then_some(Fence { mark, length, is_bare })
}

/// Whether a message quotes somebody: a line of it begins with `>`.
pub fn has_quotes(text: &str) -> bool {
    text.lines().any(is_quoted)
}

/// Whether a message holds a block of code, whose words may be anybody's.
pub fn has_fences(text: &str) -> bool {
    text.lines().any(|line| fence(line).is_some())
}

fn is_quoted(line: &str) -> bool {
    line.trim_start().starts_with('>')
}

/// The kind of a value; none for what cannot be compared safely.
fn value(text: &str) -> Option<Value> {
    if text.len() > MAX_VALUE || text.chars().any(|character| character.is_control() || !character.is_ascii()) {
        return None;
    }
    mail(text)
        .or_else(|| link(text))
        .or_else(|| host(text).map(Value::Host))
        .or_else(|| phone(text))
        .or_else(|| account(text))
}

fn mail(text: &str) -> Option<Value> {
    let (local, domain) = text.strip_prefix("mailto:").unwrap_or(text).split_once('@')?;
    let is_local = |character: char| character.is_ascii_alphanumeric() || ".!#$%&'*+/=?^_`{|}~-".contains(character);
    let fits = !local.is_empty() && local.chars().all(is_local);
    let domain = host(domain).filter(|_| fits)?;
    Some(Value::Mail(format!("{}@{domain}", local.to_ascii_lowercase())))
}

fn link(text: &str) -> Option<Value> {
    let (scheme, rest) = text.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    if scheme != "https" && scheme != "http" {
        return None;
    }
    let rest = rest.split('#').next().unwrap_or_default();
    if rest.chars().any(char::is_whitespace) || rest.contains(['\\', '<', '>', '"']) {
        return None;
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (place, path) = rest.split_at(end);
    // A name before the host is a way to lie about the host.
    if place.contains('@') {
        return None;
    }
    let (name, port) = place.split_once(':').unwrap_or((place, ""));
    let name = host(name)?;
    let usual = if scheme == "https" { "443" } else { "80" };
    if !port.chars().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let port = if port.is_empty() || port == usual { String::new() } else { format!(":{port}") };
    let path = if path.is_empty() { "/" } else { path };
    Some(Value::Link(format!("{scheme}://{name}{port}{path}")))
}

/// A host name: labels of letters, digits and hyphens, of which the last has a letter; numbers are not hosts here.
fn host(text: &str) -> Option<String> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|character| character.is_ascii_alphanumeric() || character == '-')
    };
    let (_, last) = name.rsplit_once('.')?;
    let fits =
        name.split('.').all(is_label) && last.len() >= 2 && last.starts_with(|first: char| first.is_ascii_alphabetic());
    fits.then_some(name)
}

fn phone(text: &str) -> Option<Value> {
    let is_part = |character: char| character.is_ascii_digit() || " -/().".contains(character);
    let body = text.strip_prefix('+').unwrap_or(text);
    let digits: String = body.chars().filter(char::is_ascii_digit).collect();
    let plus = if text.starts_with('+') { "+" } else { "" };
    (body.chars().all(is_part) && digits.len() >= SHORTEST_NUMBER).then(|| Value::Phone(format!("{plus}{digits}")))
}

fn account(text: &str) -> Option<Value> {
    let kept: String = text.chars().filter(|character| !" -".contains(*character)).collect();
    let letters = kept.chars().filter(char::is_ascii_alphabetic).count();
    let digits = kept.chars().filter(char::is_ascii_digit).count();
    let fits = letters + digits == kept.len() && letters >= 1 && digits >= 6 && kept.len() >= SHORTEST_ACCOUNT;
    fits.then(|| Value::Account(kept.to_ascii_uppercase()))
}

/// Whether the text holds the value, as a word of its own or, for a number, in groups.
fn names(text: &str, wanted: &Value) -> bool {
    let words: Vec<&str> = text.split_whitespace().map(bare).filter(|word| !word.is_empty()).collect();
    match wanted {
        Value::Mail(_) | Value::Link(_) => words.iter().any(|word| is(word, wanted)),
        // Whoever wrote a link named its host.
        Value::Host(name) => words.iter().any(|word| is(word, wanted) || is_link_to(word, name)),
        Value::Phone(_) | Value::Account(_) => (0..words.len()).any(|start| {
            (1..=MAX_GROUPS.min(words.len() - start)).any(|count| {
                let joined = words[start..start + count].join(" ");
                value(&joined).is_some_and(|found| found == *wanted)
            })
        }),
    }
}

fn is(word: &str, wanted: &Value) -> bool {
    value(word).is_some_and(|found| found == *wanted) || value(trimmed(word)).is_some_and(|found| found == *wanted)
}

fn is_link_to(word: &str, name: &str) -> bool {
    let Some(Value::Link(link)) = value(word) else { return false };
    let place = link.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
    place == name
}

/// The word without what a sentence puts around it.
fn bare(word: &str) -> &str {
    word.trim_matches(['"', '\'', '`', '<', '>', '(', ')', '[', ']', '{', '}', ',', ';', '!', '?', '*'])
}

/// And without the mark at its end.
fn trimmed(word: &str) -> &str {
    bare(word.trim_end_matches(['.', ':', ',']))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn owns(text: &str, destination: &str) -> bool {
        are_owners(&[text], &[destination.to_owned()])
    }

    #[test]
    fn what_is_pasted_cannot_end_its_own_block() {
        let text = "send this\n```\nmail eve@evil.example\n~~~\nmail ann@evil.example\n``\n``` x\nmore\n````\nto bob@example.org";
        assert_eq!(own_words(text), "send this\nto bob@example.org\n");
        assert_eq!(own_words("a\n~~~\nopen to the end\n```\nstill"), "a\n");
        assert!(has_fences(text) && !has_fences("`one` and ``two``"));
    }

    #[test]
    fn whole_values_of_the_owner_are_found() {
        for (text, destination) in [
            ("Mail anna@example.com, please.", "Anna@Example.com"),
            ("Write to <anna@example.com>.", "anna@example.com"),
            ("look at https://example.com/a?b=1.", "https://example.com/a?b=1"),
            ("look at (https://Example.com)", "https://example.com/"),
            ("look at https://example.com/docs", "example.com"),
            ("post it to api.example.com:", "api.example.com"),
            ("call +49 (0)151 2345-6789 now", "+49015123456789"),
            ("pay to DE89 3704 0044 0532 0130 00 today", "DE89370400440532013000"),
            ("pay US133000000121212121212", "us133000000121212121212"),
        ] {
            assert!(owns(text, destination), "{text} / {destination}");
        }
    }

    #[test]
    fn parts_and_lookalikes_are_not() {
        for (text, destination) in [
            ("the meeting of June 13", "13"),
            ("file 26 and file 261", "26"),
            ("tell Alice", "Alice"),
            ("tell everybody in marketing", "marketing"),
            ("anna@example.com", "anna@example.com.evil.net"),
            ("anna@example.com", "hanna@example.com"),
            ("anna@example.com", "example.com"),
            ("https://example.com/docs", "https://example.com/docs/more?secret=1"),
            ("https://example.com/docs", "https://example.com/"),
            ("https://example.com/docs", "evil-example.com"),
            ("https://example.com@evil.net/", "https://example.com@evil.net/"),
            ("example.com", "https://example.com/?q=secret"),
            ("https://example.com.evil.net/", "example.com"),
            ("pay DE89 3704 0044 0532 0130 00", "DE89370400440532013001"),
            ("pay DE89 3704 0044 0532 0130 00", "3704004405"),
            ("anna@ex\u{430}mple.com", "anna@ex\u{430}mple.com"),
            ("", ""),
        ] {
            assert!(!owns(text, destination), "{text} / {destination}");
        }
        assert!(!are_owners(&["anna@example.com"], &[]));
        let both = ["anna@example.com".to_owned(), "eve@example.com".to_owned()];
        assert!(!are_owners(&["anna@example.com"], &both));
        assert!(are_owners(&["anna@example.com", "and eve@example.com"], &both));
    }

    #[test]
    fn quoted_and_pasted_text_is_not_the_owners_word() {
        let text = "Answer this:\n> mail me at eve@example.net\nand\n```\ncurl https://evil.example/\n```\nto anna@example.com";
        let own = own_words(text);
        assert!(has_quotes(text) && !has_quotes(&own));
        assert!(owns(&own, "anna@example.com"));
        assert!(!owns(&own, "eve@example.net") && !owns(&own, "https://evil.example/"));
        assert_eq!(own_words("a > b"), "a > b");
    }

    proptest! {
        #[test]
        fn a_longer_or_shorter_value_never_matches(local in "[a-z]{6,10}", add in "[a-z0-9]{1,3}") {
            let address = format!("{local}@example.com");
            let text = format!("write to {address} today");
            prop_assert!(owns(&text, &address));
            let added = format!("{add}{address}");
            let cut = &address[1..];
            prop_assert!(!owns(&text, &added));
            prop_assert!(!owns(&text, cut));
        }

        #[test]
        fn nothing_panics(text in ".{0,200}", destination in ".{0,60}") {
            let own = own_words(&text);
            let _ = are_owners(&[own.as_ref()], &[destination]);
        }
    }
}
