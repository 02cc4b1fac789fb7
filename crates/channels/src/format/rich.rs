//! Text with marks: what Markdown becomes before it becomes a messenger's own markup.

use crate::{TextUnit, format::reader};

/// How a piece of text is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Bold.
    pub bold: bool,
    /// Italic.
    pub italic: bool,
    /// Struck through.
    pub strike: bool,
    /// As code, within a line.
    pub code: bool,
    /// As a block of code or a table, with the language if it is named.
    pub block: Option<Option<String>>,
    /// As a quotation.
    pub quote: bool,
    /// Leads to a web address whose host is part of the visible text.
    pub link: Option<String>,
}

/// A piece of text in one style.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// What is seen.
    pub text: String,
    /// How.
    pub style: Style,
}

/// What is shown after the label of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkText {
    /// The host, and whether there is more: for messengers, where the label can be clicked.
    Host,
    /// The whole address: for a terminal.
    Address,
}

/// A text in marked pieces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rich {
    /// The pieces, in order; neighbours differ in style.
    pub spans: Vec<Span>,
}

impl Rich {
    /// Reads Markdown. Everything that is not understood is shown as it is written.
    pub fn read(markdown: &str, links: LinkText) -> Self {
        reader::read(markdown, links)
    }

    /// What is seen, without the marks.
    pub fn text(&self) -> String {
        self.spans.iter().map(|span| span.text.as_str()).collect()
    }

    /// The length of what is seen.
    pub fn measure(&self, unit: TextUnit) -> usize {
        self.spans.iter().map(|span| unit.measure(&span.text)).sum()
    }

    /// Whether nothing is seen.
    pub fn is_blank(&self) -> bool {
        self.spans.iter().all(|span| span.text.trim().is_empty())
    }

    /// Adds text, joining it to the last piece if that has the same style.
    pub(super) fn push(&mut self, text: &str, style: &Style) {
        if text.is_empty() {
            return;
        }
        match self.spans.last_mut() {
            Some(last) if last.style == *style => last.text.push_str(text),
            Some(_) | None => self.spans.push(Span { text: text.to_owned(), style: style.clone() }),
        }
    }

    /// Takes away white space at the end.
    pub(super) fn trim_end(&mut self) {
        while let Some(last) = self.spans.last_mut() {
            last.text.truncate(last.text.trim_end().len());
            if !last.text.is_empty() {
                break;
            }
            self.spans.pop();
        }
    }
}
