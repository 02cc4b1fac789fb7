//! The key in the kernel's keyring: in memory that no file shows, gone when the machine restarts. It works without a
//! desktop, unlike the Secret Service. The persistent keyring of the user is used where the kernel has one, since it
//! outlives the user's last process for some days; otherwise the plain one.

use std::path::Path;

use linux_keyutils::{KeyError, KeyPermissionsBuilder, KeyRing, KeyRingIdentifier, Permission};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{
    VaultError,
    key::{KEY_BYTES, Key},
};

/// The key of this home, if there is one.
pub(super) fn read(home: &Path) -> Result<Option<Key>, VaultError> {
    let key = match ring()?.search(&description(home)) {
        Ok(key) => key,
        Err(KeyError::KeyDoesNotExist | KeyError::KeyExpired | KeyError::KeyRevoked) => return Ok(None),
        Err(error) => return Err(unavailable(error)),
    };
    let bytes = Zeroizing::new(key.read_to_vec().map_err(unavailable)?);
    let bytes: [u8; KEY_BYTES] =
        bytes.as_slice().try_into().map_err(|_| VaultError::KeyDamaged { place: "the kernel's keyring".to_owned() })?;
    Ok(Some(Key(Zeroizing::new(bytes))))
}

/// Puts the key of this home there, in place of another.
pub(super) fn write(home: &Path, key: &Key) -> Result<(), VaultError> {
    let added = ring()?.add_key(&description(home), &key.0[..]).map_err(unavailable)?;
    // A service has a session keyring of its own, which does not possess what another process of the same user added:
    // that needs the user's own permissions.
    let all = KeyPermissionsBuilder::builder().posessor(Permission::ALL).user(Permission::ALL).build();
    added.set_perms(all).map_err(unavailable)
}

/// Forgets the key of this home.
pub(super) fn erase(home: &Path) {
    if let Ok(key) = ring().and_then(|ring| ring.search(&description(home)).map_err(unavailable)) {
        // One that cannot be invalidated expires by itself.
        let _ = key.invalidate();
    }
}

fn ring() -> Result<KeyRing, VaultError> {
    KeyRing::get_persistent(KeyRingIdentifier::Process)
        .or_else(|_| KeyRing::from_special_id(KeyRingIdentifier::User, true))
        .map_err(unavailable)
}

/// Two homes of one user have two keys. The path is not told to whoever lists the keyring.
fn description(home: &Path) -> String {
    let path = home.canonicalize().unwrap_or_else(|_| home.to_owned());
    let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
    let digits: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("factotum-vault:{digits}")
}

fn unavailable(error: KeyError) -> VaultError {
    VaultError::KeyUnavailable {
        why: format!(
            "the kernel's keyring cannot be used ({error:?}); choose another place with `factotum secret key`"
        ),
    }
}
