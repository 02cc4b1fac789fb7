//! What a coding agent found, as it must write it. Everything in it is foreign text. Pure.

use serde::Deserialize;
use types::unseen::is_unseen;

/// The largest file, in bytes.
pub(super) const MAX_BYTES: usize = 128 << 10;
/// The longest summary, in characters.
const MAX_SUMMARY: usize = 2_000;
/// The most findings.
const MAX_FINDINGS: usize = 30;
/// The longest text of a finding, in characters.
const MAX_TEXT: usize = 1_000;
/// The longest path, in characters.
const MAX_PATH: usize = 300;

/// A review. It has no verdict: a comment approves nothing.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Review {
    pub summary: String,
    pub findings: Vec<Finding>,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Finding {
    pub path: String,
    /// In the new file, from 1; none where it is about the whole file.
    pub line: Option<u32>,
    pub severity: Severity,
    pub text: String,
}

/// How serious a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    Blocker,
    Major,
    Minor,
}

impl Severity {
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Blocker => "blocker",
            Self::Major => "major",
            Self::Minor => "minor",
        }
    }
}

impl Review {
    /// Reads the coding agent's file. The error is for it, and says what to change.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let wrong = |why: String| format!("`review.json` is not as it should be: {why}");
        if bytes.is_empty() {
            return Err("there is no file `review.json` at the top of the repository, or it is empty".to_owned());
        }
        if bytes.len() > MAX_BYTES {
            return Err(wrong(format!("it has more than {} KiB", MAX_BYTES >> 10)));
        }
        let review: Self = serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
        review.check().map_err(wrong)?;
        Ok(review)
    }

    fn check(&self) -> Result<(), String> {
        text("summary", &self.summary, MAX_SUMMARY)?;
        if self.findings.len() > MAX_FINDINGS {
            return Err(format!("`findings` has {} entries; at most {MAX_FINDINGS}", self.findings.len()));
        }
        for (index, finding) in self.findings.iter().enumerate() {
            let place = |field: &str| format!("findings[{index}].{field}");
            text(&place("text"), &finding.text, MAX_TEXT)?;
            text(&place("path"), &finding.path, MAX_PATH)?;
            let leaves = finding.path.starts_with('/') || finding.path.split('/').any(|part| part == "..");
            if leaves || finding.path.contains(is_unseen) {
                return Err(format!("`{}` must be a path within the repository, on one line", place("path")));
            }
            if finding.line == Some(0) {
                return Err(format!("`{}` counts from 1; write null where there is no line", place("line")));
            }
        }
        Ok(())
    }
}

fn text(field: &str, text: &str, most: usize) -> Result<(), String> {
    let length = text.trim().chars().count();
    if (1..=most).contains(&length) {
        Ok(())
    } else {
        Err(format!("`{field}` has {length} characters; write 1 to {most}"))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(review: &Value) -> Result<Review, String> {
        Review::read(review.to_string().as_bytes())
    }

    #[test]
    fn a_review_has_just_this_form() {
        let finding = json!({ "path": "src/a.rs", "line": 3, "severity": "major", "text": "it panics" });
        let review = read(&json!({ "summary": "It adds a thing.", "findings": [finding] })).unwrap();
        assert_eq!((review.findings[0].line, review.findings[0].severity), (Some(3), Severity::Major));
        assert!(read(&json!({ "summary": "Fine.", "findings": [] })).unwrap().findings.is_empty());
        let with = |field: &str, value: Value| {
            let mut finding = finding.clone();
            finding[field] = value;
            json!({ "summary": "s", "findings": [finding] })
        };
        for (bad, part) in [
            (json!({ "summary": "s", "findings": [], "verdict": "approve" }), "unknown field `verdict`"),
            (json!({ "findings": [] }), "missing field `summary`"),
            (json!({ "summary": " ", "findings": [] }), "`summary` has 0 characters"),
            (json!({ "summary": "x".repeat(2_001), "findings": [] }), "`summary` has 2001"),
            (json!({ "summary": "s", "findings": vec![finding.clone(); 31] }), "31 entries"),
            (with("severity", json!("none")), "unknown variant `none`"),
            (with("path", json!("/etc/passwd")), "findings[0].path"),
            (with("path", json!("a/../../b")), "findings[0].path"),
            (with("path", json!("a\nb")), "findings[0].path"),
            (with("line", json!(0)), "counts from 1"),
            (with("line", json!("3")), "invalid type"),
            (with("text", json!("x".repeat(1_001))), "findings[0].text"),
        ] {
            let error = read(&bad).unwrap_err();
            assert!(error.contains(part), "{part}: {error}");
        }
        assert!(Review::read(b"").unwrap_err().contains("no file"));
        assert!(Review::read(&vec![b' '; MAX_BYTES + 1]).unwrap_err().contains("more than 128 KiB"));
    }
}
