//! The vault: what it keeps, what it refuses, and what it never shows.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    sync::Arc,
};

use egress::{
    Binding, BoundSecret, Dead, EnvName, KeySource, KeySources, Passphrase, SecretSettings, SecretValue, Standing,
    Vault, VaultError,
};
use types::{SecretName, Timestamp};

const NOW: Timestamp = Timestamp(1_000);
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
    vault.set(&name("a"), value(VALUE), NOW).unwrap();
    vault
}

#[test]
fn values_survive_and_can_be_removed() {
    let home = tempfile::tempdir().unwrap();
    let vault = filled(home.path());
    vault.set(&name("b"), value("another-value"), NOW).unwrap();
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
    command_line.set(&name("a"), value("replaced-value"), NOW).unwrap();
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
                    vault.set(&name(&format!("s{thread}-{count}")), value("some-value"), NOW).unwrap();
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
    vault.set(&name("a"), value(VALUE), NOW).unwrap();
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
            assert!(matches!(vault.set(&name("b"), value("x"), NOW), Err(VaultError::Exposed { .. })));
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
    assert!(matches!(vault.set(&name("b"), value("x"), NOW), Err(VaultError::KeyMissing { .. })));
    check_refused(home.path(), |error| matches!(error, VaultError::KeyMissing { .. }));
}

#[test]
fn damage_is_noticed_and_nothing_is_overwritten() {
    let home = tempfile::tempdir().unwrap();
    let vault = filled(home.path());
    vault.set(&name("b"), value("another-value"), NOW).unwrap();
    let whole = fs::read_to_string(home.path().join("vault")).unwrap();
    let corrupt = |error: &VaultError| matches!(error, VaultError::Corrupt { .. });
    for damaged in ["", "{", "null", &whole[..whole.len() / 2], &whole.replace("\"sealed\"", "\"seal\"")] {
        overwrite(home.path(), "vault", damaged.as_bytes());
        check_refused(home.path(), corrupt);
        assert!(vault.set(&name("c"), value("x"), NOW).is_err());
        check_refused(home.path(), corrupt);
    }
    // One entry under the other's name: each opens only under its own.
    let mut file: serde_json::Value = serde_json::from_str(&whole).unwrap();
    file["entries"]["b"] = file["entries"]["a"].clone();
    overwrite(home.path(), "vault", file.to_string().as_bytes());
    check_refused(home.path(), corrupt);
    file["format"] = serde_json::json!(3);
    overwrite(home.path(), "vault", file.to_string().as_bytes());
    check_refused(home.path(), |error| matches!(error, VaultError::Newer { format: 3, .. }));
}

#[test]
fn a_crashed_writer_leaves_no_obstacle() {
    let home = tempfile::tempdir().unwrap();
    let vault = filled(home.path());
    fs::write(home.path().join("vault.new"), "half").unwrap();
    vault.set(&name("b"), value("another-value"), NOW).unwrap();
    assert_eq!(Vault::open(home.path()).unwrap().names().unwrap().len(), 2);
    assert!(!home.path().join("vault.new").exists());
}

fn dead(why: &str) -> Dead {
    Dead::new(NOW, why, "notes.txt line 3")
}

#[test]
fn a_replaced_value_stays_masked_for_those_who_never_saw_it() {
    let home = tempfile::tempdir().unwrap();
    let vault = filled(home.path());
    vault.rotate(&name("a"), value("another-value"), Timestamp(2_000)).unwrap();
    let again = Vault::open(home.path()).unwrap();
    assert!(masks(&again, VALUE) && masks(&again, "another-value"));
    let info = &again.list().unwrap()[0];
    assert_eq!((info.created, info.rotated), (Some(NOW), Some(Timestamp(2_000))));
    let standing = |text: &str| again.known_in(text).iter().map(|known| known.standing).collect::<Vec<_>>();
    assert_eq!(standing(&format!("x {VALUE}")), [Standing::Former]);
    assert_eq!(standing("x another-value"), [Standing::Current]);
    assert_eq!(standing("nothing"), []);
}

#[test]
fn old_values_are_bounded() {
    let home = tempfile::tempdir().unwrap();
    let vault = filled(home.path());
    for count in 0..20 {
        vault.set(&name("a"), value(&format!("value-number-{count:02}")), NOW).unwrap();
    }
    let again = Vault::open(home.path()).unwrap();
    assert!(masks(&again, "value-number-19") && masks(&again, "value-number-11"));
    assert!(!masks(&again, "value-number-10") && !masks(&again, VALUE));
}

#[test]
fn a_dead_secret_needs_another_value() {
    let home = tempfile::tempdir().unwrap();
    let vault = filled(home.path());
    let daemon = Vault::open(home.path()).unwrap();
    assert!(vault.mark_dead(&name("a"), dead("seen in a file")).unwrap());
    assert!(!vault.mark_dead(&name("a"), dead("seen again")).unwrap());
    let info = &daemon.list().unwrap()[0];
    assert_eq!(info.dead, Some(dead("seen in a file")), "the first finding counts");
    assert_eq!(daemon.known_in(VALUE)[0].standing, Standing::Dead);
    assert!(masks(&daemon, VALUE));
    let refused = |error| matches!(error, VaultError::OldValue { .. });
    assert!(refused(vault.set(&name("a"), value(VALUE), NOW).unwrap_err()));
    assert!(refused(vault.rotate(&name("a"), value(VALUE), NOW).unwrap_err()));
    vault.rotate(&name("a"), value("another-value"), NOW).unwrap();
    assert_eq!(daemon.list().unwrap()[0].dead, None);
    assert!(refused(vault.set(&name("a"), value(VALUE), NOW).unwrap_err()), "it leaked, and stays so");
    assert!(matches!(vault.mark_dead(&name("b"), dead("x")), Err(VaultError::Missing { .. })));
    assert!(matches!(vault.rotate(&name("b"), value("x"), NOW), Err(VaultError::Missing { .. })));
}

#[test]
fn bindings_survive_a_rotation_and_end_with_the_secret() {
    let home = tempfile::tempdir().unwrap();
    let vault = filled(home.path());
    let bindings = vec![Binding::to("api.example.com").unwrap()];
    let env = EnvName::new("EXAMPLE_KEY").unwrap();
    assert!(vault.bound().unwrap().is_empty());
    vault.configure(&name("a"), SecretSettings { bindings: Some(bindings.clone()), env: Some(env.clone()) }).unwrap();
    vault.rotate(&name("a"), value("another-value"), NOW).unwrap();
    let bound = Vault::open(home.path()).unwrap().bound().unwrap();
    assert_eq!(bound[..], [BoundSecret { name: name("a"), bindings: bindings.clone(), env: Some(env) }]);
    let bad = Binding { port: 0, ..bindings[0].clone() };
    let settings = SecretSettings { bindings: Some(vec![bad]), env: None };
    assert!(matches!(vault.configure(&name("a"), settings), Err(VaultError::Binding(_))));
    vault.mark_dead(&name("a"), dead("seen")).unwrap();
    assert!(vault.bound().unwrap().is_empty());
}

#[test]
fn a_value_that_two_secrets_share_names_both() {
    let home = tempfile::tempdir().unwrap();
    let vault = filled(home.path());
    vault.set(&name("b"), value(VALUE), NOW).unwrap();
    let names: Vec<_> = vault.known_in(VALUE).into_iter().map(|known| known.name).collect();
    assert_eq!(names, [name("a"), name("b")]);
}

fn with_passphrase(text: &'static str) -> KeySources {
    KeySources {
        passphrase: Some(Arc::new(move || Ok(Passphrase::new(text.to_owned())))),
        prefer_passphrase: true,
        ..KeySources::default()
    }
}

#[test]
fn a_passphrase_locks_the_vault_and_leaves_no_key_file() {
    let home = tempfile::tempdir().unwrap();
    let vault = Vault::open_with(home.path(), with_passphrase("correct horse battery")).unwrap();
    vault.set(&name("a"), value(VALUE), NOW).unwrap();
    assert_eq!(vault.key_source().unwrap(), Some(KeySource::Passphrase));
    assert!(!home.path().join("vault.key").exists());
    assert!(masks(&Vault::open_with(home.path(), with_passphrase("correct horse battery")).unwrap(), VALUE));
    let wrong = Vault::open_with(home.path(), with_passphrase("wrong horse battery"));
    assert!(matches!(wrong, Err(VaultError::WrongKey { place: KeySource::Passphrase, .. })));
    let none = Vault::open_with(home.path(), KeySources::default()).unwrap_err();
    assert!(none.to_string().contains("FACTOTUM_PASSPHRASE_FILE"), "{none}");
    let short = tempfile::tempdir().unwrap();
    let vault = Vault::open_with(short.path(), with_passphrase("short")).unwrap();
    assert!(matches!(vault.set(&name("a"), value(VALUE), NOW), Err(VaultError::KeyUnavailable { .. })));
}

#[test]
fn the_passphrase_is_asked_for_once() {
    let home = tempfile::tempdir().unwrap();
    let asked = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let counter = asked.clone();
    let ask: egress::AskPassphrase = Arc::new(move || {
        counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(Passphrase::new("correct horse battery".to_owned()))
    });
    let keys = KeySources { passphrase: Some(ask), prefer_passphrase: true, ..KeySources::default() };
    let vault = Vault::open_with(home.path(), keys).unwrap();
    for count in 0..3 {
        vault.set(&name("a"), value(&format!("value-{count}")), NOW).unwrap();
        vault.names().unwrap();
    }
    assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[test]
fn a_systemd_credential_is_preferred_to_a_passphrase_and_a_file() {
    let (home, credentials) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let keys =
        KeySources { credentials: Some(credentials.path().to_owned()), ..with_passphrase("correct horse battery") };
    fs::write(credentials.path().join("factotum-vault-key"), "ab".repeat(32) + "\n").unwrap();
    let vault = Vault::open_with(home.path(), keys.clone()).unwrap();
    vault.set(&name("a"), value(VALUE), NOW).unwrap();
    assert_eq!(vault.key_source().unwrap(), Some(KeySource::Systemd));
    assert!(!home.path().join("vault.key").exists());
    assert!(masks(&Vault::open_with(home.path(), keys).unwrap(), VALUE));
    assert!(matches!(Vault::open(home.path()), Err(VaultError::KeyMissing { .. })));
    fs::write(credentials.path().join("factotum-vault-key"), "ab").unwrap();
    let keys = KeySources { credentials: Some(credentials.path().to_owned()), ..KeySources::default() };
    assert!(matches!(Vault::open_with(home.path(), keys), Err(VaultError::KeyDamaged { .. })));
}

#[test]
fn a_vault_can_move_to_another_key_and_back() {
    let home = tempfile::tempdir().unwrap();
    let daemon = filled(home.path());
    let vault = Vault::open_with(home.path(), with_passphrase("correct horse battery")).unwrap();
    vault.reseal(KeySource::Passphrase, None).unwrap();
    assert!(!home.path().join("vault.key").exists(), "the old key is gone");
    assert!(matches!(Vault::open(home.path()), Err(VaultError::KeyUnavailable { .. })));
    // One that runs cannot read it any more, but goes on masking.
    assert!(daemon.names().is_err() && masks(&daemon, VALUE));
    vault.reseal(KeySource::File, None).unwrap();
    assert_eq!(Vault::open(home.path()).unwrap().key_source().unwrap(), Some(KeySource::File));
    assert_eq!(daemon.names().unwrap(), [name("a")]);
    assert!(matches!(vault.reseal(KeySource::Systemd, None), Err(VaultError::KeyUnavailable { .. })));
    assert!(masks(&Vault::open(home.path()).unwrap(), VALUE), "a failed move leaves the vault as it was");
}

/// Not every kernel or container lets a process use keyrings; there the refusal must be an error, not a loss.
#[test]
fn the_kernel_s_keyring_holds_the_key_and_takes_it_back() {
    let home = tempfile::tempdir().unwrap();
    let vault = filled(home.path());
    let recovery = match vault.reseal(KeySource::Keyring, None) {
        Ok(recovery) => recovery.unwrap(),
        Err(error) => {
            assert!(matches!(error, VaultError::KeyUnavailable { .. }), "{error}");
            assert!(masks(&Vault::open(home.path()).unwrap(), VALUE));
            return;
        }
    };
    assert!(!home.path().join("vault.key").exists());
    assert!(masks(&Vault::open(home.path()).unwrap(), VALUE));
    // The same files under another path have no key: as after a restart of the machine.
    let moved = tempfile::tempdir().unwrap();
    fs::copy(home.path().join("vault"), moved.path().join("vault")).unwrap();
    let missing = Vault::open(moved.path()).unwrap_err();
    assert!(missing.to_string().contains("factotum secret key --restore"), "{missing}");
    assert!(matches!(Vault::restore_key(moved.path(), &"0".repeat(64)), Err(VaultError::WrongKey { .. })));
    Vault::restore_key(moved.path(), &recovery).unwrap();
    assert!(masks(&Vault::open(moved.path()).unwrap(), VALUE));
    for place in [home.path(), moved.path()] {
        Vault::open(place).unwrap().reseal(KeySource::File, None).unwrap();
    }
}

/// The defence of invariant 14, and that its switch undoes it.
#[cfg(feature = "faults")]
#[test]
fn without_the_defence_an_old_value_goes_on_being_used() {
    let home = tempfile::tempdir().unwrap();
    let daemon = filled(home.path());
    Vault::open(home.path()).unwrap().mark_dead(&name("a"), dead("seen")).unwrap();
    types::faults::set_broken("14");
    assert_eq!(daemon.list().unwrap()[0].dead, None);
    types::faults::set_broken("");
    assert!(daemon.list().unwrap()[0].dead.is_some());
}

/// The defence of invariant 1, and that its switch undoes it.
#[cfg(feature = "faults")]
#[test]
fn without_the_defence_nothing_is_masked() {
    let home = tempfile::tempdir().unwrap();
    let vault = filled(home.path());
    types::faults::set_broken("1");
    assert!(!masks(&vault, VALUE));
    types::faults::set_broken("");
    assert!(masks(&vault, VALUE));
}
