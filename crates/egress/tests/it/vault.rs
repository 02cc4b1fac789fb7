//! The vault: what it keeps, what it refuses, and what it never shows.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use egress::{SecretValue, Vault, VaultError};
use types::SecretName;

const VALUE: &str = "hunter2-hunter2";

fn name(text: &str) -> SecretName {
    SecretName::new(text).unwrap()
}

fn value(text: &str) -> SecretValue {
    SecretValue::new(text).unwrap()
}

/// Whether the vault masks `text`: the only way to see from outside which values it holds.
fn masks(vault: &Vault, text: &str) -> bool {
    vault.redactor().redact(text) != text
}

fn filled(home: &Path) -> Vault {
    let vault = Vault::open(home).unwrap();
    vault.set(&name("a"), value(VALUE)).unwrap();
    vault
}

#[test]
fn values_survive_and_can_be_removed() {
    let home = tempfile::tempdir().unwrap();
    let vault = filled(home.path());
    vault.set(&name("b"), value("another-value")).unwrap();
    let again = Vault::open(home.path()).unwrap();
    assert_eq!(again.names().unwrap(), [name("a"), name("b")]);
    assert!(masks(&again, VALUE) && masks(&again, "another-value"));
    again.remove(&name("a")).unwrap();
    assert!(!again.contains(&name("a")).unwrap() && again.contains(&name("b")).unwrap());
    assert!(matches!(again.remove(&name("a")), Err(VaultError::Missing { .. })));
    assert!(!masks(&Vault::open(home.path()).unwrap(), VALUE));
    // The one that knew the value goes on masking it.
    assert!(masks(&again, VALUE));
}

#[test]
fn a_home_without_a_vault_is_left_untouched() {
    let home = tempfile::tempdir().unwrap();
    let vault = Vault::open(home.path()).unwrap();
    assert_eq!(vault.names().unwrap(), []);
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}

#[test]
fn another_process_s_change_is_noticed() {
    let home = tempfile::tempdir().unwrap();
    let daemon = filled(home.path());
    let command_line = Vault::open(home.path()).unwrap();
    command_line.set(&name("a"), value("replaced-value")).unwrap();
    assert!(masks(&daemon, "replaced-value") && masks(&daemon, VALUE));
    command_line.remove(&name("a")).unwrap();
    assert_eq!(daemon.names().unwrap(), []);
}

#[test]
fn writers_do_not_lose_each_other_s_entries() {
    let home = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let home = home.path();
            scope.spawn(move || {
                for count in 0..5 {
                    let vault = Vault::open(home).unwrap();
                    vault.set(&name(&format!("s{thread}-{count}")), value("some-value")).unwrap();
                }
            });
        }
    });
    assert_eq!(Vault::open(home.path()).unwrap().names().unwrap().len(), 20);
}

#[test]
fn nothing_on_disk_or_in_print_shows_a_value() {
    let home = tempfile::tempdir().unwrap();
    let vault = filled(home.path());
    for file in fs::read_dir(home.path()).unwrap() {
        let file = file.unwrap();
        let bytes = fs::read(file.path()).unwrap();
        assert!(!bytes.windows(VALUE.len()).any(|window| window == VALUE.as_bytes()), "{:?}", file.path());
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600, "{:?}", file.path());
    }
    assert!(!format!("{vault:?} {:?}", value(VALUE)).contains(VALUE));
}

#[test]
fn equal_values_are_sealed_differently() {
    let home = tempfile::tempdir().unwrap();
    let vault = filled(home.path());
    let before = fs::read_to_string(home.path().join("vault")).unwrap();
    vault.set(&name("a"), value(VALUE)).unwrap();
    assert_ne!(before, fs::read_to_string(home.path().join("vault")).unwrap());
}

#[test]
fn values_have_bounds() {
    assert!(matches!(SecretValue::new(""), Err(VaultError::Empty)));
    assert!(SecretValue::new("x".repeat(64 * 1024)).is_ok());
    assert!(matches!(SecretValue::new("x".repeat(64 * 1024 + 1)), Err(VaultError::TooLong)));
}

#[test]
fn files_that_others_can_read_are_refused_with_the_remedy() {
    for file in ["vault", "vault.key"] {
        for mode in [0o640, 0o604, 0o660, 0o644] {
            let home = tempfile::tempdir().unwrap();
            let vault = filled(home.path());
            let path = home.path().join(file);
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = Vault::open(home.path()).unwrap_err();
            assert!(error.to_string().contains(&format!("chmod 600 {}", path.display())), "{error}");
            assert!(matches!(vault.set(&name("b"), value("x")), Err(VaultError::Exposed { .. })));
        }
    }
}

/// After damage, opening and writing fail and the files stay as they are.
fn check_refused(home: &Path, expected: fn(&VaultError) -> bool) {
    let contents = || ["vault", "vault.key"].map(|file| fs::read(home.join(file)).ok());
    let before = contents();
    let error = Vault::open(home).unwrap_err();
    assert!(expected(&error), "{error:?}");
    assert_eq!(contents(), before);
}

fn overwrite(home: &Path, file: &str, bytes: &[u8]) {
    // Written in place, so the permissions stay.
    fs::write(home.join(file), bytes).unwrap();
}

#[test]
fn a_wrong_missing_or_short_key_is_told_apart() {
    let home = tempfile::tempdir().unwrap();
    let vault = filled(home.path());
    overwrite(home.path(), "vault.key", &[7; 32]);
    check_refused(home.path(), |error| matches!(error, VaultError::WrongKey { .. }));
    overwrite(home.path(), "vault.key", &[7; 31]);
    check_refused(home.path(), |error| matches!(error, VaultError::KeyDamaged { .. }));
    fs::remove_file(home.path().join("vault.key")).unwrap();
    check_refused(home.path(), |error| matches!(error, VaultError::KeyMissing { .. }));
    assert!(matches!(vault.set(&name("b"), value("x")), Err(VaultError::KeyMissing { .. })));
    check_refused(home.path(), |error| matches!(error, VaultError::KeyMissing { .. }));
}

#[test]
fn damage_is_noticed_and_nothing_is_overwritten() {
    let home = tempfile::tempdir().unwrap();
    let vault = filled(home.path());
    vault.set(&name("b"), value("another-value")).unwrap();
    let whole = fs::read_to_string(home.path().join("vault")).unwrap();
    let corrupt = |error: &VaultError| matches!(error, VaultError::Corrupt { .. });
    for damaged in ["", "{", "null", &whole[..whole.len() / 2], &whole.replace("\"sealed\"", "\"seal\"")] {
        overwrite(home.path(), "vault", damaged.as_bytes());
        check_refused(home.path(), corrupt);
        assert!(vault.set(&name("c"), value("x")).is_err());
        check_refused(home.path(), corrupt);
    }
    // One entry under the other's name: each opens only under its own.
    let mut file: serde_json::Value = serde_json::from_str(&whole).unwrap();
    file["entries"]["b"] = file["entries"]["a"].clone();
    overwrite(home.path(), "vault", file.to_string().as_bytes());
    check_refused(home.path(), corrupt);
    file["format"] = serde_json::json!(2);
    overwrite(home.path(), "vault", file.to_string().as_bytes());
    check_refused(home.path(), |error| matches!(error, VaultError::Newer { format: 2, .. }));
}

#[test]
fn a_crashed_writer_leaves_no_obstacle() {
    let home = tempfile::tempdir().unwrap();
    let vault = filled(home.path());
    fs::write(home.path().join("vault.new"), "half").unwrap();
    vault.set(&name("b"), value("another-value")).unwrap();
    assert_eq!(Vault::open(home.path()).unwrap().names().unwrap().len(), 2);
    assert!(!home.path().join("vault.new").exists());
}
