//! What the redactor must find, and what it must leave.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use proptest::prelude::*;

use super::*;

fn redactor(value: &str) -> Redactor {
    let name = SecretName::new("lab-key").expect("the name is valid");
    Redactor::new([(name, value.to_owned())])
}

fn check(value: &str, text: &str, expected: &str) {
    assert_eq!(redactor(value).redact(text), expected, "{text}");
}

fn percent(value: &str) -> String {
    value.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

#[test]
fn every_form_is_masked() {
    let value = "s3cr\"t/+%pw";
    check(value, "key=s3cr\"t/+%pw.", "key=[secret lab-key].");
    check(value, r#"{"key":"s3cr\"t\/+%pw"}"#, r#"{"key":"[secret lab-key]"}"#);
    check(value, "?k=s3cr%22t%2f%2B%25pw&x", "?k=[secret lab-key]&x");
    check(value, &percent(value), "[secret lab-key]");
    check(value, &hex::encode_upper(value), "[secret lab-key]");
    check(value, &STANDARD.encode(value), "[secret lab-key]");
    check(value, "73:33:63:72:22:74:2f:2b:25:70:77", "[secret lab-key]");
}

#[test]
fn a_basic_credential_is_masked() {
    let header = format!("Basic {}", STANDARD.encode("user:hunter2hunter2"));
    assert_eq!(redactor("hunter2hunter2").redact(&header), "Basic dXNlcj[secret lab-key]");
}

#[test]
fn wrapped_base64_is_masked() {
    let encoded = STANDARD.encode("a-rather-long-secret-value");
    let wrapped = format!("{}\n{}", &encoded[..16], &encoded[16..]);
    check("a-rather-long-secret-value", &wrapped, "[secret lab-key]");
}

#[test]
fn ordinary_text_is_left_alone() {
    for text in ["", "hunter", "HUNTER22", "hunter2 2", "%", "\\", "%6", "\\u00", "é"] {
        assert!(matches!(redactor("hunter22").redact(text), Cow::Borrowed(_)), "{text}");
    }
    check("short", "short", "short");
}

#[test]
fn overlapping_secrets_leave_no_tail() {
    let name = |name: &str| SecretName::new(name).expect("the name is valid");
    let redactor = Redactor::new([
        (name("one"), "abcdefgh".to_owned()),
        (name("two"), "efghijkl".to_owned()),
        (name("three"), "bcdefg".to_owned()),
    ]);
    assert_eq!(redactor.redact("<abcdefghijkl>"), "<[secret one]>");
    assert_eq!(redactor.redact("bcdefgabcdefgh"), "[secret three][secret one]");
}

#[test]
fn debug_shows_names_only() {
    let shown = format!("{:?}", redactor("hunter2hunter2"));
    assert!(shown.contains("lab-key") && !shown.contains("hunter"), "{shown}");
}

#[test]
fn a_growing_text_is_held_back_where_a_secret_may_begin() {
    let redactor = redactor("hunter22");
    assert_eq!(redactor.settled("say hunt"), 4);
    assert_eq!(redactor.settled("say hunter22"), 4);
    assert_eq!(redactor.settled("say hunter22 "), 13);
    assert_eq!(redactor.settled("say huntsman"), 12);
}

proptest! {
    #[test]
    fn nothing_of_a_secret_remains(
        value in "[!-~]{6,40}",
        before in "[ -~é]{0,9}",
        after in "[ -~é]{0,9}",
    ) {
        let redactor = redactor(&value);
        let marker = "[secret lab-key]";
        prop_assume!(!marker.contains(&value));
        let joined = format!("{before}{value}{after}");
        let spellings = [
            joined.clone(),
            format!("{before}{}{after}", percent(&value)),
            format!("{before} {}{after}", hex::encode(&value)),
            format!("{before} {}{after}", hex::encode_upper(&value)),
        ];
        for text in spellings {
            let masked = redactor.redact(&text);
            prop_assert!(masked.contains(marker), "{text} -> {masked}");
            prop_assert!(redactor.hits(masked.as_bytes()).is_empty(), "{text} -> {masked}");
        }
        for encoded in [STANDARD.encode(&joined), STANDARD_NO_PAD.encode(&joined), URL_SAFE_NO_PAD.encode(&joined)] {
            let masked = redactor.redact(&encoded);
            // Every character that carries bits of the value is gone; the neighbours' own characters stay.
            let first = before.len() * 8 / 6;
            let last = ((before.len() + value.len()) * 8).div_ceil(6);
            let expected = format!("{}{marker}{}", &encoded[..first], encoded[last..].trim_start_matches('='));
            prop_assert_eq!(masked.trim_end_matches('='), expected.trim_end_matches('='));
        }
    }

    #[test]
    fn showing_a_growing_text_piece_by_piece_leaks_nothing(
        value in "[a-c%]{6,12}",
        before in "[a-c% ]{0,20}",
        after in "[a-c% ]{0,20}",
        cut in 1usize..5,
    ) {
        let redactor = redactor(&value);
        let text = format!("{before}{value}{after}");
        let (mut seen, mut shown, mut out) = (String::new(), 0, String::new());
        let pieces: Vec<char> = text.chars().collect();
        for piece in pieces.chunks(cut) {
            seen.extend(piece);
            let settled = shown + redactor.settled(&seen[shown..]);
            out.push_str(&redactor.redact(&seen[shown..settled]));
            shown = settled;
        }
        out.push_str(&redactor.redact(&seen[shown..]));
        prop_assert!(!out.contains(&value), "{text} -> {out}");
        prop_assert!(out.contains("[secret lab-key]"));
    }
}
