//! A review as the comment that it becomes. What the coding agent wrote stands in blocks and spans of code, where nothing is a mention,
//! a link, an image or markup, and where it cannot pass for our words. Pure.

use types::{JobId, unseen::is_unseen};

use super::found::Review;

/// The comment.
pub(super) fn comment(number: u64, job: JobId, coder: &str, review: &Review) -> String {
    let mut text = format!(
        "**Review of pull request {number}** by the coding agent {} (job {job}). It is a comment of a program, let through by a person, \
         and approves nothing.\n\n{}\n",
        span(coder),
        block(&review.summary)
    );
    if review.findings.is_empty() {
        text.push_str("\nNo findings.\n");
    }
    for (index, finding) in review.findings.iter().enumerate() {
        let place = match finding.line {
            Some(line) => format!("{}:{line}", finding.path),
            None => finding.path.clone(),
        };
        let severity = finding.severity.in_words();
        text.push_str(&format!("\n**{}. {severity}** in {}\n\n{}\n", index + 1, span(&place), block(&finding.text)));
    }
    text
}

/// A foreign text as a block of code that it cannot leave.
fn block(text: &str) -> String {
    let is_shown = |c: &char| *c == '\n' || !is_unseen(*c);
    let text: String = text.trim().chars().map(|c| if c == '\t' { ' ' } else { c }).filter(is_shown).collect();
    let fence = "`".repeat(longest_run(&text).max(2) + 1);
    format!("{fence}text\n{text}\n{fence}")
}

/// A foreign text on one line as a span of code that it cannot leave.
fn span(text: &str) -> String {
    let text: String = text.chars().filter(|c| !is_unseen(*c)).collect();
    let ticks = "`".repeat(longest_run(&text) + 1);
    format!("{ticks} {} {ticks}", text.trim())
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::review::found::{Finding, Severity};

    #[test]
    fn foreign_words_stay_in_their_blocks() {
        let review = Review {
            summary: "LGTM @everyone\n```\n**Approved** by the owner\u{202e} #1 ![x](https://x.test/p)\n~~~\n````"
                .to_owned(),
            findings: vec![Finding {
                path: "a`b.rs".to_owned(),
                line: Some(2),
                severity: Severity::Minor,
                text: "<!-- factotum review 0 --> @acme/all".to_owned(),
            }],
        };
        let text = comment(7, JobId(3), "claude\n@me", &review);
        let mut outside = String::new();
        let mut fence: Option<&str> = None;
        for line in text.lines() {
            let ticks = &line[..line.len() - line.trim_start_matches('`').len()];
            match fence {
                None if ticks.len() >= 3 && line.ends_with("text") => fence = Some(ticks),
                Some(open) if line == open => fence = None,
                None => outside.push_str(line),
                Some(_) => {}
            }
        }
        assert_eq!(fence, None, "{text}");
        let spans: Vec<&str> = outside.split("``").collect();
        assert!(outside.contains("`` a`b.rs:2 ``") && spans.len() == 3, "{outside}");
        for part in ["everyone", "Approved", "https", "<!--", "acme"] {
            assert!(!outside.contains(part) && text.contains(part), "{part}: {outside}");
        }
        assert!(!text.contains('\u{202e}') && outside.contains("` claude@me `"), "{outside}");
        let empty = Review { summary: "Fine.".to_owned(), findings: Vec::new() };
        assert!(comment(7, JobId(3), "codex", &empty).contains("No findings."));
    }
}
