//! From HTML to plain text for a model: what a reader would see, headings and lists marked, links with where they lead.
//! A scanner, not a browser: it runs nothing, loads nothing, and takes broken markup as it comes. Its work is linear in the
//! length of the page and it keeps no tree, so no page can make it slow or deep.

/// Elements whose content nobody reads.
const HIDDEN: [&str; 9] = ["script", "style", "head", "template", "noscript", "svg", "math", "iframe", "object"];
/// Elements that begin a line of their own.
const BLOCKS: [&str; 30] = [
    "address",
    "article",
    "aside",
    "blockquote",
    "br",
    "dd",
    "details",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figcaption",
    "figure",
    "footer",
    "form",
    "header",
    "hr",
    "li",
    "main",
    "nav",
    "ol",
    "p",
    "pre",
    "section",
    "summary",
    "table",
    "tbody",
    "tr",
    "ul",
    "caption",
];
/// The longest address of a link that is shown.
const MAX_LINK: usize = 500;

/// The longest tag, in bytes; pictures within pages are longer, and nobody reads them.
const MAX_TAG: usize = 16 * 1024;

/// A tag: its name in lower case, whether it closes, and the rest of what stands in it.
struct Tag<'a> {
    name: String,
    closes: bool,
    rest: &'a str,
}

/// What a `<` begins.
enum Read<'a> {
    /// A tag, and what follows it.
    Tag(Tag<'a>, &'a str),
    /// No tag: so many bytes are text.
    Text(usize),
}

/// The page's title and text.
pub(crate) fn text_of(page: &str) -> String {
    let mut out = Text::default();
    let mut rest = page;
    let mut hidden: Option<String> = None;
    let mut link: Option<String> = None;
    if let Some(title) = title(page) {
        out.words(&title);
        out.paragraph();
    }
    while let Some(start) = rest.find('<') {
        let (before, tagged) = rest.split_at(start);
        if hidden.is_none() {
            out.text(before);
        }
        let (tag, after) = match tag(tagged) {
            Read::Tag(tag, after) => (tag, after),
            Read::Text(length) => {
                if hidden.is_none() {
                    out.text(&tagged[..length]);
                }
                rest = &tagged[length..];
                continue;
            }
        };
        rest = after;
        match &hidden {
            Some(name) => {
                if tag.closes && tag.name == *name {
                    hidden = None;
                }
            }
            None if HIDDEN.contains(&tag.name.as_str()) => {
                if !tag.closes && !tag.rest.ends_with('/') {
                    hidden = Some(tag.name);
                }
            }
            None => mark(&mut out, &tag, &mut link),
        }
    }
    if hidden.is_none() {
        out.text(rest);
    }
    out.finish()
}

/// What a tag does to the text.
fn mark(out: &mut Text, tag: &Tag<'_>, link: &mut Option<String>) {
    match (tag.name.as_str(), tag.closes) {
        ("a", false) => *link = attribute(tag.rest, "href").filter(|href| is_shown(href)),
        ("a", true) => {
            if let Some(href) = link.take() {
                out.words(&format!(" ({href})"));
            }
        }
        ("img", false) => {
            if let Some(text) = attribute(tag.rest, "alt").filter(|text| !text.trim().is_empty()) {
                out.words(&format!("[{}]", text.trim()));
            }
        }
        ("li", false) => {
            out.line();
            out.words("- ");
        }
        ("td" | "th", false) => out.cell(),
        ("pre", closes) => {
            out.line();
            out.keeps = !closes;
        }
        ("h1" | "h2" | "h3" | "h4" | "h5" | "h6", false) => {
            out.paragraph();
            let level = tag.name.bytes().last().map_or(1, |digit| usize::from(digit - b'0'));
            out.words(&format!("{} ", "#".repeat(level)));
        }
        ("h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "p", _) => out.paragraph(),
        (name, _) if BLOCKS.contains(&name) => out.line(),
        _ => {}
    }
}

fn is_shown(href: &str) -> bool {
    !href.is_empty() && href.len() <= MAX_LINK && !href.starts_with('#') && !href.starts_with("javascript:")
}

fn title(page: &str) -> Option<String> {
    let start = find_ignoring_case(page, "<title")?;
    let inner = page[start..].split_once('>')?.1;
    let end = find_ignoring_case(inner, "</title")?;
    let title = decode(inner[..end].trim());
    (!title.is_empty()).then_some(title)
}

/// Where an ASCII text begins.
fn find_ignoring_case(text: &str, wanted: &str) -> Option<usize> {
    text.as_bytes().windows(wanted.len()).position(|window| window.eq_ignore_ascii_case(wanted.as_bytes()))
}

/// What stands at the beginning of `text`, a `<`; comments and declarations are tags without a name.
fn tag(text: &str) -> Read<'_> {
    let nameless = |rest| Read::Tag(Tag { name: String::new(), closes: false, rest: "" }, rest);
    if let Some(comment) = text.strip_prefix("<!--") {
        return nameless(comment.split_once("-->").map_or("", |(_, rest)| rest));
    }
    if text.starts_with("<!") || text.starts_with("<?") {
        return nameless(text.split_once('>').map_or("", |(_, rest)| rest));
    }
    let inner = &text[1..];
    let (closes, inner) = inner.strip_prefix('/').map_or((false, inner), |inner| (true, inner));
    if !inner.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Read::Text(1);
    }
    let length = inner.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(inner.len());
    match end_of_tag(&inner[length..]) {
        // All that is left has no end of a tag: looking again at each `<` would take for ever.
        None => Read::Text(text.len()),
        Some((end, next)) => {
            let (rest, after) = (&inner[length..length + end], &inner[length + next..]);
            Read::Tag(Tag { name: inner[..length].to_ascii_lowercase(), closes, rest: rest.trim() }, after)
        }
    }
}

/// Where a tag ends, at a `>` that stands in no quotes, and where the text goes on. One that is too long ends anywhere.
fn end_of_tag(text: &str) -> Option<(usize, usize)> {
    let mut quote = None;
    for (at, character) in text.char_indices() {
        match (quote, character) {
            (None, '>') => return Some((at, at + 1)),
            _ if at > MAX_TAG => return Some((at, at)),
            (None, '"' | '\'') => quote = Some(character),
            (Some(open), character) if open == character => quote = None,
            _ => {}
        }
    }
    None
}

/// The value of an attribute.
fn attribute(text: &str, wanted: &str) -> Option<String> {
    let mut rest = text;
    while let Some(equals) = rest.find('=') {
        let name = rest[..equals].trim().rsplit(char::is_whitespace).next().unwrap_or_default();
        let value = rest[equals + 1..].trim_start();
        let (value, after) = match value.chars().next()? {
            quote @ ('"' | '\'') => value[1..].split_once(quote).unwrap_or((&value[1..], "")),
            _ => value.split_once(char::is_whitespace).unwrap_or((value, "")),
        };
        if name.eq_ignore_ascii_case(wanted) {
            return Some(decode(value.trim()));
        }
        rest = after;
    }
    None
}

/// Character references, by number and the names that pages really use.
fn decode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('&') {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let end = rest.bytes().take(12).position(|byte| byte == b';');
        match end.and_then(|end| Some((reference(&rest[1..end])?, end))) {
            Some((text, end)) => {
                out.push(text);
                rest = &rest[end + 1..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

fn reference(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(code).filter(|c| !c.is_control() || matches!(c, '\n' | '\t'));
    }
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        "ndash" => '\u{2013}',
        "mdash" => '\u{2014}',
        "hellip" => '\u{2026}',
        "lsquo" => '\u{2018}',
        "rsquo" => '\u{2019}',
        "ldquo" => '\u{201c}',
        "rdquo" => '\u{201d}',
        "laquo" => '\u{ab}',
        "raquo" => '\u{bb}',
        "copy" => '\u{a9}',
        "reg" => '\u{ae}',
        "trade" => '\u{2122}',
        "euro" => '\u{20ac}',
        "middot" => '\u{b7}',
        "times" => '\u{d7}',
        "rarr" => '\u{2192}',
        "larr" => '\u{2190}',
        _ => return None,
    })
}

/// Text as it grows: white space is one blank, except where it is kept.
#[derive(Default)]
struct Text {
    out: String,
    /// White space that was read and not yet written.
    gap: bool,
    /// Whether white space stands as it is.
    keeps: bool,
}

impl Text {
    /// Text between tags.
    fn text(&mut self, raw: &str) {
        let text = decode(raw);
        if self.keeps {
            self.out.push_str(&text);
            return;
        }
        for word in text.split_inclusive(char::is_whitespace) {
            let bare = word.trim_end();
            if !bare.is_empty() {
                self.words(bare);
            }
            self.gap |= bare.len() < word.len();
        }
    }

    /// Text as it is to be read.
    fn words(&mut self, words: &str) {
        if self.gap && !self.out.is_empty() && !self.out.ends_with(char::is_whitespace) {
            self.out.push(' ');
        }
        self.gap = false;
        self.out.push_str(words);
    }

    fn line(&mut self) {
        self.gap = false;
        if !self.out.is_empty() && !self.out.ends_with('\n') {
            self.out.push('\n');
        }
    }

    fn paragraph(&mut self) {
        self.line();
        if !self.out.is_empty() && !self.out.ends_with("\n\n") {
            self.out.push('\n');
        }
    }

    fn cell(&mut self) {
        if !self.out.is_empty() && !self.out.ends_with('\n') {
            self.words(" | ");
        }
    }

    fn finish(self) -> String {
        let lines: Vec<&str> = self.out.lines().map(str::trim_end).collect();
        lines.join("\n").trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_page_reads_as_a_person_sees_it() {
        let page = "<!doctype html><html><head><title>A &amp; B</title><style>p{}</style></head><body>\
                    <script>let x = '<p>no</p>';</script><h1>Head\n line</h1><p>One <b>two</b>,  <a class=x href=\"/three?a=1&amp;b=2\">three</a>.</p>\
                    <ul><li>four<li>five</ul><table><tr><td>a<td>b<tr><td>c<td>d</table><pre>  x\n    y</pre><!-- no --><img alt='a cat' src=z>";
        let text = "A & B\n\n# Head line\n\nOne two, three (/three?a=1&b=2).\n\n- four\n- five\na | b\nc | d\n  x\n    y\n[a cat]";
        assert_eq!(text_of(page), text);
    }

    #[test]
    fn broken_markup_is_taken_as_it_comes() {
        let cases = [
            ("", ""),
            ("a < b && c > d", "a < b && c > d"),
            ("<p", "<p"),
            ("<a href='javascript:x'>t</a>", "t"),
            ("<script>never closed", ""),
            ("<style/>seen", "seen"),
            ("x<br>y<BR/>z", "x\ny\nz"),
            ("&#x41;&#66;&#0;&unknown;&", "AB&#0;&unknown;&"),
            ("<p title='a>b'>c", "c"),
        ];
        for (page, text) in cases {
            assert_eq!(text_of(page), text, "{page}");
        }
    }

    #[test]
    fn no_page_is_slow() {
        let begun = std::time::Instant::now();
        for piece in ["<p '", "<p \"x", "<", "&", "<a href=", "<!--", "<script>", "&#", "<title"] {
            text_of(&piece.repeat(300_000));
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
    }

    proptest! {
        #[test]
        fn nothing_of_a_script_and_no_tag_of_ours_comes_through(words in "[a-z <>/&;'\"=!-]{0,200}") {
            let page = format!("<script>hidden{words}</script><p>{words}");
            let text = text_of(&page);
            prop_assert!(text.len() <= page.len() * 4);
            prop_assert!(!text.contains("hidden") || words.contains("hidden") || words.contains("</script"));
        }
    }
}
