//! Markdown into [`Rich`] text. Reads with one pass over the parser's events; nesting costs no recursion.

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use crate::format::{
    LinkText, Rich, Style,
    invisible::neutral,
    link::{self, Destination},
    table::Table,
};

/// How deep lists are indented at most.
const MAX_INDENT: usize = 8;

pub(super) fn read(markdown: &str, links: LinkText) -> Rich {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut reader = Reader::new(links);
    for event in Parser::new_ext(markdown, options) {
        reader.event(event);
    }
    reader.out.trim_end();
    reader.out
}

struct Reader {
    links: LinkText,
    out: Rich,
    /// Line feeds owed before the next text.
    gap: usize,
    /// What stands before the next text of a list item.
    bullet: Option<String>,
    bold: usize,
    italic: usize,
    strike: usize,
    quotes: usize,
    /// Whether the owed gap lies between two quotations and so in neither.
    gap_leaves_quote: bool,
    block: Option<Option<String>>,
    /// The open lists, each with its next number if it is numbered.
    lists: Vec<Option<u64>>,
    /// The open links and images: address and label so far.
    open_links: Vec<(String, String)>,
    table: Option<Table>,
}

impl Reader {
    fn new(links: LinkText) -> Self {
        Self {
            links,
            out: Rich::default(),
            gap: 0,
            bullet: None,
            bold: 0,
            italic: 0,
            strike: 0,
            quotes: 0,
            gap_leaves_quote: false,
            block: None,
            lists: Vec::new(),
            open_links: Vec::new(),
            table: None,
        }
    }

    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) => self.text(&text, false),
            Event::Code(text) => self.text(&text, true),
            Event::Html(text) | Event::InlineHtml(text) => self.html(&text),
            Event::InlineMath(text) | Event::DisplayMath(text) => self.text(&text, true),
            Event::FootnoteReference(name) => self.text(&format!("[^{name}]"), false),
            Event::SoftBreak | Event::HardBreak => self.line_break(),
            Event::Rule => {
                self.owe(2);
                self.text("———", false);
                self.owe(2);
            }
            Event::TaskListMarker(done) => self.text(if done { "☑ " } else { "☐ " }, false),
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Paragraph | Tag::HtmlBlock | Tag::FootnoteDefinition(_) | Tag::MetadataBlock(_) => {
                self.owe(self.between());
            }
            Tag::Heading { .. } => {
                self.owe(2);
                self.bold += 1;
            }
            Tag::BlockQuote(_) => {
                self.owe(2);
                self.gap_leaves_quote |= self.quotes == 0;
                self.quotes += 1;
            }
            Tag::CodeBlock(kind) => {
                self.owe(self.between());
                self.block = Some(match kind {
                    CodeBlockKind::Fenced(info) => language(&info),
                    CodeBlockKind::Indented => None,
                });
            }
            Tag::List(first) => {
                self.owe(if self.lists.is_empty() { 2 } else { 1 });
                self.lists.push(first);
            }
            Tag::Item => self.start_item(),
            Tag::Table(_) => {
                self.owe(2);
                self.table = Some(Table::default());
            }
            Tag::TableHead | Tag::TableRow => self.in_table(Table::start_row),
            Tag::TableCell => self.in_table(Table::start_cell),
            Tag::Emphasis => self.italic += 1,
            Tag::Strong => self.bold += 1,
            Tag::Strikethrough => self.strike += 1,
            Tag::Link { dest_url, .. } => self.open_links.push((dest_url.into_string(), String::new())),
            Tag::Image { dest_url, .. } => {
                self.open_links.push((dest_url.into_string(), String::new()));
                self.text("image: ", false);
            }
            Tag::DefinitionList | Tag::DefinitionListTitle | Tag::DefinitionListDefinition => self.owe(1),
            Tag::Superscript | Tag::Subscript => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Paragraph | TagEnd::HtmlBlock | TagEnd::FootnoteDefinition | TagEnd::MetadataBlock(_) => {
                self.owe(self.between());
            }
            TagEnd::Heading(_) => {
                self.bold = self.bold.saturating_sub(1);
                self.owe(2);
            }
            TagEnd::BlockQuote(_) => {
                self.quotes = self.quotes.saturating_sub(1);
                self.owe(2);
                self.gap_leaves_quote |= self.quotes == 0;
            }
            TagEnd::CodeBlock => {
                // The parser gives the line feed before the closing fence as a part of the code.
                self.out.trim_end();
                self.block = None;
                self.owe(self.between());
            }
            TagEnd::List(_) => {
                self.lists.pop();
                self.bullet = None;
                self.owe(if self.lists.is_empty() { 2 } else { 1 });
            }
            TagEnd::Item => self.owe(1),
            TagEnd::Table => {
                if let Some(table) = self.table.take() {
                    self.block = Some(None);
                    self.text(&table.render(), false);
                    self.block = None;
                }
                self.owe(2);
            }
            TagEnd::Emphasis => self.italic = self.italic.saturating_sub(1),
            TagEnd::Strong => self.bold = self.bold.saturating_sub(1),
            TagEnd::Strikethrough => self.strike = self.strike.saturating_sub(1),
            TagEnd::Link | TagEnd::Image => self.end_link(),
            TagEnd::TableHead
            | TagEnd::TableRow
            | TagEnd::TableCell
            | TagEnd::Superscript
            | TagEnd::Subscript
            | TagEnd::DefinitionList
            | TagEnd::DefinitionListTitle
            | TagEnd::DefinitionListDefinition => {}
        }
    }

    fn start_item(&mut self) {
        self.owe(1);
        let indent = "  ".repeat(self.lists.len().saturating_sub(1).min(MAX_INDENT));
        let mark = match self.lists.last_mut() {
            Some(Some(number)) => {
                let mark = format!("{number}. ");
                *number = number.saturating_add(1);
                mark
            }
            Some(None) | None => "• ".to_owned(),
        };
        self.bullet = Some(format!("{indent}{mark}"));
    }

    /// How many line feeds stand between two blocks here.
    fn between(&self) -> usize {
        if self.lists.is_empty() { 2 } else { 1 }
    }

    fn owe(&mut self, lines: usize) {
        self.gap = self.gap.max(lines);
    }

    fn in_table(&mut self, change: impl FnOnce(&mut Table)) {
        if let Some(table) = &mut self.table {
            change(table);
        }
    }

    fn style(&self, code: bool) -> Style {
        if let Some(block) = &self.block {
            return Style { block: Some(block.clone()), quote: self.quotes > 0, ..Style::default() };
        }
        let address = self.open_links.first().map(|(address, _)| address);
        Style {
            bold: self.bold > 0,
            italic: self.italic > 0,
            strike: self.strike > 0,
            code,
            block: None,
            quote: self.quotes > 0,
            link: address.filter(|address| matches!(link::destination(address), Destination::Web { .. })).cloned(),
        }
    }

    fn text(&mut self, text: &str, code: bool) {
        let text = neutral(text);
        if let Some((_, label)) = self.open_links.last_mut() {
            label.push_str(&text);
        }
        if let Some(table) = &mut self.table {
            table.push(&text);
            return;
        }
        if text.is_empty() {
            return;
        }
        self.settle_gap();
        let style = self.style(code);
        self.out.push(&text, &style);
    }

    /// Writes the line feeds that are owed, and the mark of a list item.
    fn settle_gap(&mut self) {
        let quoted = self.quotes > 0 && !self.gap_leaves_quote;
        let between = Style { quote: quoted, ..Style::default() };
        let gap = std::mem::take(&mut self.gap);
        let bullet = self.bullet.take();
        if gap > 0 && !self.out.spans.is_empty() {
            self.out.push(&"\n".repeat(gap), &between);
            if bullet.is_none() && self.block.is_none() {
                self.indent();
            }
        }
        self.gap_leaves_quote = false;
        if let Some(bullet) = bullet {
            self.out.push(&bullet, &Style { quote: self.quotes > 0, ..Style::default() });
            if self.block.is_some() {
                self.out.push("\n", &Style { quote: self.quotes > 0, ..Style::default() });
            }
        }
    }

    fn indent(&mut self) {
        let indent = "  ".repeat(self.lists.len().min(MAX_INDENT));
        self.out.push(&indent, &Style { quote: self.quotes > 0, ..Style::default() });
    }

    fn line_break(&mut self) {
        if self.table.is_some() {
            self.text(" ", false);
        } else if self.gap == 0 {
            self.text("\n", false);
            self.indent();
        }
    }

    /// Markup that is not Markdown is shown, except for the line break that models use in tables.
    fn html(&mut self, html: &str) {
        let name: String = html.trim().chars().filter(|c| !c.is_whitespace()).collect();
        if matches!(name.to_ascii_lowercase().as_str(), "<br>" | "<br/>") {
            self.line_break();
        } else {
            self.text(html.strip_suffix('\n').unwrap_or(html), false);
            if html.ends_with('\n') {
                self.owe(1);
            }
        }
    }

    /// Says where the link leads, unless its label does.
    fn end_link(&mut self) {
        let Some((address, label)) = self.open_links.last().cloned() else { return };
        if !link::says_it_all(&label, &address) && !address.is_empty() {
            let place = match (link::destination(&address), self.links) {
                (Destination::Web { host, more: true }, LinkText::Host) => format!("{host}/…"),
                (Destination::Web { host, more: false }, LinkText::Host) => host,
                (Destination::Web { .. }, LinkText::Address) | (Destination::Other, _) => address,
            };
            let separator = if label.trim().is_empty() { "" } else { " " };
            self.text(&format!("{separator}({place})"), false);
        }
        // The label of an image inside a link belongs to the link.
        let inner = self.open_links.pop();
        if let (Some((_, outer)), Some((_, inner))) = (self.open_links.last_mut(), inner) {
            outer.push_str(&inner);
        }
    }
}

/// The language of a fence, if it is a plain word.
fn language(info: &str) -> Option<String> {
    let word = info.split([' ', ',', '\t', '{']).next().unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '#' | '-' | '_' | '.');
    (!word.is_empty() && word.len() <= 32 && word.chars().all(plain)).then(|| word.to_owned())
}
