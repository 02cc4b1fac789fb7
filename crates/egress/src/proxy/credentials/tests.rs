//! The parts that need no vault: where a placeholder stands, and which names carry credentials.

use proptest::prelude::*;

use super::*;

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("the value is valid")
}

#[test]
fn a_placeholder_counts_only_at_the_end_or_as_a_password() {
    let after = |text: &str| Some(Shape::After(text.to_owned()));
    assert_eq!(shape(&value("Bearer fph_1"), "fph_1"), after("Bearer "));
    assert_eq!(shape(&value("fph_1"), "fph_1"), after(""));
    assert_eq!(shape(&value("fph_1 x"), "fph_1"), None);
    let basic = |pair: &str| value(&format!("basic {}", general_purpose::STANDARD_NO_PAD.encode(pair)));
    assert_eq!(shape(&basic("me:fph_1"), "fph_1"), Some(Shape::Password("me".to_owned())));
    assert_eq!(shape(&basic("fph_1:x"), "fph_1"), None);
    assert_eq!(shape(&basic("a:b:fph_1"), "fph_1"), None);
}

#[test]
fn a_shape_fits_its_own_slot_alone() {
    let basic = |user: Option<&str>| CredentialSlot::Basic { user: user.map(str::to_owned) };
    let after = |text: &str| Shape::After(text.to_owned());
    assert!(after("bearer ").fits(&CredentialSlot::bearer()) && after("token ").fits(&CredentialSlot::bearer()));
    assert!(!after("Bearer x").fits(&CredentialSlot::bearer()) && !after("").fits(&CredentialSlot::bearer()));
    assert!(
        Shape::Password("a".to_owned()).fits(&basic(None)) && !Shape::Password("a".to_owned()).fits(&basic(Some("b")))
    );
    assert!(!after("Basic ").fits(&basic(None)));
}

#[test]
fn names_that_carry_credentials_are_known() {
    let is = |name: &'static str| is_credential(&HeaderName::from_static(name), &["x-special"]);
    for name in ["authorization", "cookie", "x-api-key", "x-special", "x-vendor-token", "x-shop-access-token"] {
        assert!(is(name), "{name}");
    }
    for name in ["accept", "content-type", "user-agent", "git-protocol", "x-request-id"] {
        assert!(!is(name), "{name}");
    }
    for query in ["q=rust&page=2", "service=git-upload-pack", "keyword=a", "tokens=5", ""] {
        assert_eq!(foreign_parameter(query), None, "{query}");
    }
    assert_eq!(foreign_parameter("q=1&%2561ccess%5Ftoken=x"), Some(2));
}

#[test]
fn placeholders_are_long_and_never_the_same() {
    let name = SecretName::new("key").expect("the name is valid");
    let make = || Placeholders::new([(name.clone(), Some("KEY".to_owned()))]).expect("there are random numbers");
    let (one, two) = (make(), make());
    assert_ne!(one.of(&name), two.of(&name));
    assert_eq!(one.environment()["KEY"], one.of(&name).unwrap_or_default());
    assert!(!format!("{one:?}").contains(PREFIX));
}

proptest! {
    #[test]
    fn no_value_or_query_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        if let Ok(value) = HeaderValue::from_bytes(&bytes) {
            let _ = shape(&value, "fph_1");
        }
        let _ = foreign_parameter(&String::from_utf8_lossy(&bytes));
    }
}
