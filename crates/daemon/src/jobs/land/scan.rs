//! Looks for secrets in what commits add: texts that look like keys, and values that the vault knows. Pure. Must never repeat
//! what it found.

use policy::{
    Redactor,
    leak::{self, Severity},
};
use types::unseen::is_unseen;

/// The most findings that are told.
const MAX_FINDINGS: usize = 20;

/// What was found, each in a line: the kind and the file. `patch` is git's, with the prefixes `a/` and `b/`.
pub(super) fn scan(patch: &[u8], messages: &[u8], redactor: &Redactor) -> Vec<String> {
    let mut findings = Vec::new();
    look("the messages of the commits", &String::from_utf8_lossy(messages), redactor, &mut findings);
    let patch = String::from_utf8_lossy(patch);
    let mut file = Added::default();
    for line in patch.lines() {
        if line.starts_with("diff --git ") {
            file.look(redactor, &mut findings);
            file = Added::default();
        } else if let Some(path) = line.strip_prefix("+++ ").filter(|_| !file.in_hunk) {
            file.path = path.strip_prefix("b/").unwrap_or(path).to_owned();
        } else if line.starts_with("@@ ") {
            file.in_hunk = true;
        } else if let Some(added) = line.strip_prefix('+') {
            file.text.push_str(added);
            file.text.push('\n');
        }
    }
    file.look(redactor, &mut findings);
    findings.dedup();
    findings.truncate(MAX_FINDINGS);
    findings
}

/// What looks like a secret in a text that would be published, each in a line.
pub(crate) fn secrets_in(text: &str, redactor: &Redactor) -> Vec<String> {
    let mut findings = Vec::new();
    look("the text", text, redactor, &mut findings);
    findings
}

/// What was added to one file.
#[derive(Default)]
struct Added {
    path: String,
    text: String,
    in_hunk: bool,
}

impl Added {
    fn look(&self, redactor: &Redactor, findings: &mut Vec<String>) {
        let path: String = self.path.chars().map(|c| if is_unseen(c) { '?' } else { c }).take(120).collect();
        look(&path, &self.text, redactor, findings);
    }
}

fn look(place: &str, text: &str, redactor: &Redactor, findings: &mut Vec<String>) {
    if findings.len() >= MAX_FINDINGS {
        return;
    }
    if matches!(redactor.redact(text), std::borrow::Cow::Owned(_)) {
        findings.push(format!("a secret of the vault in {place}"));
    }
    for finding in leak::scan(text).iter().filter(|finding| finding.severity == Severity::High) {
        findings.push(format!("a {} in {place}", finding.kind().name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> String {
        // In two parts, so that no scanner takes this file for a leak.
        format!("ghp_{}", "0123456789abcdefghijABCDEFGHIJ012345")
    }

    fn scanned(patch: &str, message: &str) -> Vec<String> {
        scan(patch.as_bytes(), message.as_bytes(), &Redactor::default())
    }

    #[test]
    fn what_is_added_counts_and_what_was_there_does_not() {
        let key = key();
        let head = "diff --git a/x.env b/x.env\nindex 1..2 100644\n--- a/x.env\n+++ b/x.env\n@@ -1,2 +1,2 @@\n";
        let found = scanned(&format!("{head} context\n+id={key}\n"), "");
        assert!(found.len() == 1 && found[0].ends_with("in x.env") && !found[0].contains(&key), "{found:?}");
        assert!(scanned(&format!("{head}-id={key}\n {key}\n+fine\n"), "").is_empty());
        assert_eq!(scanned("", &format!("see {key}")).len(), 1);
        // A line that looks like the name of a file is a line.
        assert_eq!(scanned(&format!("{head}+++ b/{key}\n"), "").len(), 1);
    }

    #[test]
    fn a_key_of_many_lines_is_found() {
        let begin = format!("-----BEGIN RSA {} KEY-----", "PRIVATE");
        let body: String = (0..12)
            .map(|n| format!("+MIIEpAIBAAKCAQEA{n:02}x7Yq9ZkP3vT5mW8sR2uF6hJ4bN1cD0gLaEiOwQ+/{n:02}\n"))
            .collect();
        let patch = format!(
            "diff --git a/k b/k\n--- /dev/null\n+++ b/k\n@@ -0,0 +1,9 @@\n+{begin}\n{body}+-----END RSA {} KEY-----\n",
            "PRIVATE"
        );
        assert_eq!(scanned(&patch, "").len(), 1, "{:?}", scanned(&patch, ""));
    }
}
