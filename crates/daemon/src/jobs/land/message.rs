//! What a commit and a pull request say, in words of ours. Pure.

use types::{JobId, unseen::is_unseen};

/// The longest title, in characters.
const MAX_TITLE: usize = 72;
/// The longest text of a pull request, in characters.
const MAX_BODY: usize = 8_000;

/// What the commit and the pull request of a job say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    title: String,
    /// The commit's own, where it holds a part of the work.
    part: Option<String>,
    job: JobId,
    coder: String,
    brief: String,
    report: String,
}

impl Message {
    /// The message of a job with this brief, done by this coding agent; `report` is ours, such as rounds and cost.
    pub fn new(job: JobId, coder: &str, brief: &str, report: &str) -> Self {
        let coder = plain(coder, 64);
        Self { title: title(brief, job), part: None, job, coder, brief: brief.to_owned(), report: report.to_owned() }
    }

    /// The same for a commit of a part of the work, which has a title of its own.
    pub fn of_part(self, part: Option<&str>) -> Self {
        let part = part.map(|part| title(part, self.job));
        Self { part, ..self }
    }

    /// The first line.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The commit's message.
    pub fn commit(&self) -> String {
        let title = self.part.as_ref().unwrap_or(&self.title);
        format!("{title}\n\nJob: {}\nCoding-agent: {}\n", self.job, self.coder)
    }

    /// The text of the pull request; `was_checked` where a done condition held for what it has.
    pub fn pull_request(&self, changes: &str, was_checked: bool) -> String {
        let checked = if was_checked { " and checked by its done condition" } else { "" };
        // The brief may hold anything; in a block it is neither a mention nor an image that somebody is made to load.
        let brief: String = self.brief.chars().take(MAX_BODY / 2).collect();
        let fence = fence(&brief);
        let text = format!(
            "Done by the coding agent {} as job {}{checked}.\n\nThe task:\n\n{fence}\n{}\n{fence}\n\n{changes}\n\n{}\n",
            self.coder,
            self.job,
            brief.trim_end(),
            self.report
        );
        text.chars().take(MAX_BODY).collect()
    }
}

/// A fence that is longer than any in the text.
fn fence(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(longest.max(2) + 1)
}

/// One line for a title: the brief's first, cut between words.
fn title(brief: &str, job: JobId) -> String {
    let first = brief.lines().map(|line| plain(line, 1_000)).find(|line| !line.is_empty());
    let Some(first) = first else { return format!("Work of job {job}") };
    // Git takes these at the beginning of a line for something else.
    let first = first.trim_start_matches(['#', '-', ' ']).to_owned();
    if first.chars().count() <= MAX_TITLE {
        return if first.is_empty() { format!("Work of job {job}") } else { first };
    }
    let mut short = String::new();
    for word in first.split(' ') {
        if short.chars().count() + word.chars().count() + 2 > MAX_TITLE {
            break;
        }
        if !short.is_empty() {
            short.push(' ');
        }
        short.push_str(word);
    }
    if short.is_empty() {
        short = first.chars().take(MAX_TITLE - 1).collect();
    }
    short.push('…');
    short
}

/// A text as one line without anything that is not shown.
fn plain(text: &str, most: usize) -> String {
    let shown: String = text.chars().map(|c| if is_unseen(c) { ' ' } else { c }).take(most).collect();
    shown.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn title_of(brief: &str) -> String {
        Message::new(JobId(7), "claude", brief, "").title
    }

    #[test]
    fn a_title_is_one_short_line() {
        assert_eq!(title_of("Fix the failing tests"), "Fix the failing tests");
        assert_eq!(title_of("\n  # Fix\tit\u{1b}[2J \nmore"), "Fix it [2J");
        assert_eq!(title_of(""), "Work of job 7");
        assert_eq!(title_of("###"), "Work of job 7");
        let long = title_of(&"word ".repeat(40));
        assert!(long.chars().count() <= 72 && long.ends_with("word…"), "{long}");
        assert_eq!(title_of(&"x".repeat(200)).chars().count(), 72);
    }

    #[test]
    fn a_brief_stays_in_its_block() {
        let message = Message::new(JobId(7), "claude\nX: y", "do ```` it\n@everyone ![x](http://x)", "3 rounds");
        let text = message.pull_request("1 file changed", true);
        assert!(text.contains("`````\ndo ```` it"), "{text}");
        let part = message.clone().of_part(Some("Rename a thing\nX: y"));
        assert!(part.commit().starts_with("Rename a thing\n\nJob: 7\n"), "{}", part.commit());
        assert_eq!(part.title(), message.title());
        assert!(message.commit().ends_with("\n\nJob: 7\nCoding-agent: claude X: y\n"));
        assert!(Message::new(JobId(7), "c", &"y".repeat(100_000), "").pull_request("", false).len() <= MAX_BODY);
    }
}
