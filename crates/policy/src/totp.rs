//! Codes of an authenticator app: TOTP after RFC 6238 with SHA-1, 6 digits and steps of 30 seconds, which is what every
//! app can do. Pure: the time is handed in, and which codes were used is the caller's to keep.

use hmac::{Hmac, Mac};
use sha1::Sha1;

/// Seconds for which one code is shown.
pub const STEP_SECONDS: u64 = 30;
/// Bytes of a secret: as many as SHA-1 gives, after RFC 4226.
pub const SECRET_BYTES: usize = 20;
/// How many steps the two clocks may be apart, either way.
const SKEW: u64 = 1;
/// The alphabet of base32 after RFC 4648.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The secret that a second factor shares with the app.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; SECRET_BYTES]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secret {
    /// A secret of these random bytes.
    pub fn new(bytes: [u8; SECRET_BYTES]) -> Self {
        Self(bytes)
    }

    /// Reads base32. Spaces and the case of letters do not count. None when it is not 20 bytes.
    pub fn read(text: &str) -> Option<Self> {
        let mut bytes = Vec::with_capacity(SECRET_BYTES);
        let (mut buffer, mut bits) = (0_u32, 0_u32);
        for character in text.bytes().filter(|byte| !byte.is_ascii_whitespace()) {
            let value = BASE32.iter().position(|letter| *letter == character.to_ascii_uppercase())?;
            buffer = (buffer << 5) | u32::try_from(value).ok()?;
            bits += 5;
            if bits >= 8 {
                bits -= 8;
                bytes.push(u8::try_from((buffer >> bits) & 0xff).ok()?);
                buffer &= (1 << bits) - 1;
            }
            if bytes.len() > SECRET_BYTES {
                return None;
            }
        }
        (bits == 0).then_some(())?;
        bytes.try_into().ok().map(Self)
    }

    /// The secret in base32, as apps take it.
    pub fn base32(&self) -> String {
        let five_bits = |group: &[u8]| {
            let value = group.iter().fold(0_u64, |value, byte| (value << 8) | u64::from(*byte));
            (0..8).map(move |place| char::from(BASE32[usize::from((value >> (35 - 5 * place)) as u8 & 31)]))
        };
        self.0.chunks_exact(5).flat_map(five_bits).collect()
    }

    /// The code of a step, as an app shows it.
    pub fn code(&self, step: u64) -> String {
        let mut mac = Hmac::<Sha1>::new_from_slice(&self.0).expect("HMAC takes keys of every length");
        mac.update(&step.to_be_bytes());
        let digest = mac.finalize().into_bytes();
        // RFC 4226, 5.3: the last four bits say where the 31 bits of the number begin.
        let at = usize::from(digest[digest.len() - 1] & 15);
        let number = u32::from_be_bytes([digest[at] & 0x7f, digest[at + 1], digest[at + 2], digest[at + 3]]);
        format!("{:06}", number % 1_000_000)
    }
}

/// The step of a time in seconds since 1970.
pub fn step(seconds: u64) -> u64 {
    seconds / STEP_SECONDS
}

/// The step whose code this is, if it is one of about now that comes after `used`, the step of the last code that was
/// accepted. A code counts once.
pub fn verify(secret: &Secret, code: &str, seconds: u64, used: Option<u64>) -> Option<u64> {
    let code = code.trim();
    if code.len() != 6 || !code.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let now = step(seconds);
    let mut found = None;
    // All are compared, and each whole, so that the time tells nothing.
    for step in now.saturating_sub(SKEW)..=now.saturating_add(SKEW) {
        let differing = secret.code(step).bytes().zip(code.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b));
        if differing == 0 && used.is_none_or(|used| step > used) {
            found = Some(step);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secret() -> Secret {
        Secret::new(*b"12345678901234567890")
    }

    #[test]
    fn the_codes_are_those_of_the_standard() {
        // RFC 6238, appendix B, for SHA-1; the last six of its eight digits.
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(secret().code(step(seconds)), code);
            assert_eq!(verify(&secret(), code, seconds, None), Some(step(seconds)));
        }
        assert_eq!(secret().base32(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
    }

    #[test]
    fn a_code_holds_for_a_step_before_and_after_and_once() {
        let now = 1_000 * STEP_SECONDS;
        for (step, holds) in [(998, false), (999, true), (1_000, true), (1_001, true), (1_002, false)] {
            let code = secret().code(step);
            assert_eq!(verify(&secret(), &code, now, None), holds.then_some(step), "{step}");
            assert_eq!(verify(&secret(), &code, now, Some(step)), None, "{step} again");
            assert_eq!(verify(&secret(), &code, now, Some(1_001)), None, "{step} after a later one");
        }
        for wrong in ["", "12345", "1234567", "abcdef", "28708２"] {
            assert_eq!(verify(&secret(), wrong, 59, None), None, "{wrong}");
        }
        assert_eq!(verify(&secret(), " 287082 ", 59, None), Some(1));
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        for text in
            ["", "GEZDGNBV", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJ1", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBV", "é"]
        {
            assert_eq!(Secret::read(text), None, "{text}");
        }
        assert_eq!(Secret::read("gezd gnbv gy3t qojq gezd gnbv gy3t qojq"), Some(secret()));
        assert_eq!(format!("{:?}", secret()), "Secret(..)");
    }

    proptest! {
        #[test]
        fn base32_is_read_back(bytes: [u8; SECRET_BYTES]) {
            let secret = Secret::new(bytes);
            prop_assert_eq!(Secret::read(&secret.base32()), Some(secret));
        }
    }
}
