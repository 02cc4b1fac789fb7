//! The versions of coding agents that can be installed, as data: which npm package holds the native program, and the
//! checksum of its archive. No package's own scripts are needed. A newer version is a new line here.

/// One version of one coding agent for one kind of processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The coding agent.
    pub coder: &'static str,
    /// Its version.
    pub version: &'static str,
    /// The processor, as npm names it.
    pub cpu: &'static str,
    /// The package.
    pub package: &'static str,
    /// The package's own version, which may name the platform as well.
    pub package_version: &'static str,
    /// The SHA-512 of the package's archive, as npm writes it.
    pub integrity: &'static str,
    /// The native program in the package.
    pub program: &'static str,
}

/// Newest first, for each coding agent.
pub const PINS: &[Pin] = &[
    Pin {
        coder: "claude",
        version: "2.1.329",
        cpu: "x64",
        package: "@anthropic-ai/claude-code-linux-x64",
        package_version: "2.1.329",
        integrity: "sha512-+n4lu1ubYAp02Y0X/MAUnxw9yY6SHHZ77F+IoW+V0wVoFuiI9opdH6gofjf14gXJCEYMTNpks7Gn1i8XZTKAWA==",
        program: "claude",
    },
    Pin {
        coder: "claude",
        version: "2.1.329",
        cpu: "arm64",
        package: "@anthropic-ai/claude-code-linux-arm64",
        package_version: "2.1.329",
        integrity: "sha512-IiG5umFToSCVWqB1lEsxxwIxKgxPXyZ3DRU915v8J4Bz5Q3JpslM0ew1m5yaT+lFXBPvYxmsEgi0XI68XHND0A==",
        program: "claude",
    },
    Pin {
        coder: "codex",
        version: "0.169.0",
        cpu: "x64",
        package: "@openai/codex",
        package_version: "0.169.0-linux-x64",
        integrity: "sha512-o05NyAOCDygSPRo1yinzxvkRSdmsZyBD9E7mbpmjRanSfM8lypqWtQgEo4XfNkwhuCR2aFu8mlGOsQGFXVbVww==",
        program: "vendor/x86_64-unknown-linux-musl/bin/codex",
    },
    Pin {
        coder: "codex",
        version: "0.169.0",
        cpu: "arm64",
        package: "@openai/codex",
        package_version: "0.169.0-linux-arm64",
        integrity: "sha512-NZ/DaQUpcQmxmqee7Z9uC1rzw3GhSbooawcaTe1LN5Yk+WlinUKGdTXJgClRT/9ogQEEM9TWxYzvxPfj5G/xFg==",
        program: "vendor/aarch64-unknown-linux-musl/bin/codex",
    },
    Pin {
        coder: "opencode",
        version: "1.18.33",
        cpu: "x64",
        package: "opencode-linux-x64",
        package_version: "1.18.33",
        integrity: "sha512-q/t/3p2CTxOT9y2kvjesb/LZab2+1eqlhhWA02Be6mjTtmYtNBcBsrI5yDo4Fw7ZSPBW2oyMIGMNRqiKQjiAWw==",
        program: "bin/opencode",
    },
];

/// The newest version of a coding agent, or the one that is asked for; none where this program knows no checksum of it.
pub fn pin(coder: &str, version: Option<&str>, cpu: &str) -> Option<&'static Pin> {
    let mut all = PINS.iter().filter(|pin| pin.coder == coder && pin.cpu == cpu);
    all.find(|pin| version.is_none_or(|version| pin.version == version))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn every_line_names_an_archive_and_a_program_inside_of_it() {
        for line in PINS {
            let digest = line.integrity.strip_prefix("sha512-").unwrap();
            assert_eq!(digest.len(), 88, "{line:?}");
            assert!(line.package_version.starts_with(line.version), "{line:?}");
            assert!(!line.program.starts_with('/') && !line.program.contains(".."), "{line:?}");
            assert_eq!(pin(line.coder, Some(line.version), line.cpu).unwrap(), line);
        }
        assert_eq!(pin("claude", None, "x64").unwrap().version, "2.1.329");
        assert!(pin("claude", Some("0.0.1"), "x64").is_none() && pin("forge", None, "x64").is_none());
    }

    /// The tests drive the same versions that can be installed.
    #[test]
    fn the_tests_use_what_is_pinned() {
        let lock = include_str!("../../../tests/coders/package-lock.json");
        for line in PINS {
            assert!(lock.contains(line.integrity), "{line:?}");
        }
    }
}
