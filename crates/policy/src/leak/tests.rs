//! Every kind is found wherever it stands, nothing else is, and a finding repeats nothing.

use proptest::{
    prelude::*,
    strategy::ValueTree,
    string::string_regex,
    test_runner::{Config, TestRunner},
};

use super::*;

/// Shapes as the generator takes them: it makes no example of a lazy or an endless repetition.
fn examples(kind: &Kind) -> impl Strategy<Value = String> + use<> {
    let shape = match kind.id {
        "private-key" => {
            "-----BEGIN OPENSSH PRIVATE KEY-----\n([A-Za-z0-9+/]{70}\n){2,8}-----END OPENSSH PRIVATE KEY-----"
        }
        _ => kind.shape,
    };
    // The generator would fill what is anything but a few characters with all of Unicode.
    let shape = shape.replace("[^\\s/@\"'`]", "[A-Za-z0-9]").replace("[^\\s:/@\"'`]", "[a-z]");
    string_regex(&shape.replace("(?P<s>", "(").replace("(?i:", "(").replace("\\s", "[ \n]")).unwrap()
}

fn some_example(kind: &Kind) -> String {
    let mut runner = TestRunner::new(Config::default());
    for _ in 0..100 {
        let text = examples(kind).new_tree(&mut runner).unwrap().current();
        let shape = Regex::new(kind.shape).unwrap();
        let secret = shape.captures(&text).and_then(|found| found.name("s").or_else(|| found.get(0)));
        if secret.is_some_and(|secret| !is_stand_in(secret.as_str())) {
            return text;
        }
    }
    panic!("no example of {}", kind.id);
}

#[test]
fn the_table_is_complete() {
    for kind in KINDS {
        assert!(!kind.how.is_empty() && kind.how.ends_with('.'), "{}", kind.id);
        assert!(!kind.revoke.is_empty() && !kind.name.is_empty(), "{}", kind.id);
        assert_eq!(KINDS.iter().filter(|other| other.id == kind.id).count(), 1, "{}", kind.id);
    }
}

#[test]
fn what_is_no_secret_is_left_alone() {
    let image = "iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4//8/w38GIAXDIBKE0DHxgljNBAAO9TXL0Y4OHwAAAABJRU5ErkJggg==";
    let texts = [
        "550e8400-e29b-41d4-a716-446655440000",
        "commit 9fceb02d0ae598e95dc970b74767f19372d61af8",
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "sha512-WFhaYWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoxMjM0NTY3ODkwQUJDREVGR0hJSktMTU5PUA==",
        image,
        "https://example.com/path?query=1#fragment and ssh://git@github.com/a/b.git",
        "postgres://user:password@localhost/db and postgres://user:$PASSWORD@localhost/db",
        "mysql://root:<secret>@host/db, redis://:${REDIS}@host",
        "Authorization: Bearer $TOKEN",
        "Authorization: Bearer <your token here>",
        "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----",
        "the file begins with -----BEGIN PRIVATE KEY----- and goes on",
        "sk-learn sk-ant sk-something task-force disk-usage risk-assessment-of-the-whole-project-and-more",
        "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "fph_0123456789abcdef0123456789abcdef",
        "12:30:45 AAPL rose; 1234567890:AAAA",
        "the AKIA prefix of AWS keys",
    ];
    for text in texts {
        assert_eq!(scan(text), [], "{text}");
        assert!(matches!(redact_patterns(text, Severity::Low), Cow::Borrowed(_)));
    }
}

#[test]
fn places_are_told_by_line_and_kind() {
    let token = some_example(KINDS.iter().find(|kind| kind.id == "github-token").unwrap());
    let text = format!("first\nsecond {token}\nthird");
    let found = scan(&text);
    assert_eq!((found.len(), found[0].kind, found[0].line, found[0].from), (1, "github-token", 2, 13));
    assert!(found[0].remedy().contains("https://github.com/settings/tokens"));
    assert_eq!(redact_patterns(&text, Severity::High), "first\nsecond [masked github-token]\nthird");
}

#[test]
fn masking_spares_what_is_below_the_line() {
    let key = some_example(KINDS.iter().find(|kind| kind.id == "aws-access-key").unwrap());
    assert!(matches!(redact_patterns(&key, Severity::High), Cow::Borrowed(_)));
    assert_eq!(redact_patterns(&key, Severity::Low), "[masked aws-access-key]");
}

#[test]
fn a_key_in_an_escaped_string_is_found() {
    let body = "A1b2C3d4E5f6G7h8".repeat(8);
    let text =
        format!("{{\"key\": \"-----BEGIN PRIVATE KEY-----\\n{body}\\n-----END PRIVATE KEY-----\\n\", \"x\": 1}}");
    assert_eq!(redact_patterns(&text, Severity::High), "{\"key\": \"[masked private-key]\\n\", \"x\": 1}");
    let cut = format!("-----BEGIN RSA PRIVATE KEY-----\n{body}");
    assert_eq!(redact_patterns(&cut, Severity::High), "[masked private-key]");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    /// Wherever an example of a kind stands, no long part of it is left.
    #[test]
    fn an_example_is_masked_wherever_it_stands(before in "([a-z]{1,8}[ \n=:\"'(,]){0,6}", after in "([ \n\"'),;][a-z]{1,8}){0,6}", seed in 0_u8..255) {
        let _ = seed;
        for kind in KINDS {
            let example = some_example(kind);
            let text = format!("{before}{example}{after}");
            let found = scan(&text);
            prop_assert!(!found.is_empty(), "{} in {:?}", kind.id, text);
            let masked = redact_patterns(&text, Severity::Low);
            let secret = &text[found[0].from..found[0].to];
            prop_assert!(!masked.contains(secret), "{} {} {}", kind.id, text, masked);
            for one in &found {
                prop_assert!(!format!("{one:?}").contains(&text[one.from..one.to]), "{}", kind.id);
            }
        }
    }

    /// Random words, hashes and base64 are no secrets.
    #[test]
    fn random_text_is_left_alone(text in "([A-Za-z0-9+/]{0,120}[ \n]|[0-9a-f]{8,64}[ \n]|[a-z]{1,12}[ ,.\n]){0,20}") {
        prop_assert_eq!(scan(&text), []);
    }

    /// Whatever the text: places lie in it, in order and apart, and masking keeps the rest.
    #[test]
    fn places_are_in_order_and_apart(text in "\\PC{0,200}") {
        let mut last = 0;
        for one in scan(&text) {
            prop_assert!(last <= one.from && one.from < one.to && one.to <= text.len());
            prop_assert!(text.is_char_boundary(one.from) && text.is_char_boundary(one.to));
            last = one.to;
        }
    }
}
