//! The subset of HTML that Telegram reads: <https://core.telegram.org/bots/api#html-style>.

use crate::format::{Rich, Style};

/// One open element.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Element {
    Quote,
    Pre,
    CodeOf(String),
    Link(String),
    Bold,
    Italic,
    Strike,
    Code,
}

/// `rich` in Telegram's markup. Elements are always closed and nested properly.
pub fn telegram_html(rich: &Rich) -> String {
    let mut out = String::new();
    let mut open: Vec<Element> = Vec::new();
    for span in &rich.spans {
        let wanted = elements(&span.style);
        let common = open.iter().zip(&wanted).take_while(|(a, b)| a == b).count();
        close(&mut out, &mut open, common);
        for element in wanted.into_iter().skip(common) {
            start(&mut out, &element);
            open.push(element);
        }
        escape(&mut out, &span.text);
    }
    close(&mut out, &mut open, 0);
    out
}

/// The elements around text of this style, from the outermost. Code must not contain others, and a link is worth more
/// than the look of code.
fn elements(style: &Style) -> Vec<Element> {
    let mut elements = Vec::new();
    if style.quote {
        elements.push(Element::Quote);
    }
    if let Some(language) = &style.block {
        elements.push(Element::Pre);
        elements.extend(language.clone().map(Element::CodeOf));
        return elements;
    }
    if let Some(address) = &style.link {
        elements.push(Element::Link(address.clone()));
    } else if style.code {
        elements.push(Element::Code);
        return elements;
    }
    for (wanted, element) in
        [(style.bold, Element::Bold), (style.italic, Element::Italic), (style.strike, Element::Strike)]
    {
        if wanted {
            elements.push(element);
        }
    }
    elements
}

fn start(out: &mut String, element: &Element) {
    match element {
        Element::Quote => out.push_str("<blockquote>"),
        Element::Pre => out.push_str("<pre>"),
        Element::CodeOf(language) => {
            out.push_str("<code class=\"language-");
            escape(out, language);
            out.push_str("\">");
        }
        Element::Link(address) => {
            out.push_str("<a href=\"");
            escape(out, address);
            out.push_str("\">");
        }
        Element::Bold => out.push_str("<b>"),
        Element::Italic => out.push_str("<i>"),
        Element::Strike => out.push_str("<s>"),
        Element::Code => out.push_str("<code>"),
    }
}

/// Closes elements until `keep` are open.
fn close(out: &mut String, open: &mut Vec<Element>, keep: usize) {
    while open.len() > keep {
        let Some(element) = open.pop() else { return };
        out.push_str(match element {
            Element::Quote => "</blockquote>",
            Element::Pre => "</pre>",
            Element::CodeOf(_) | Element::Code => "</code>",
            Element::Link(_) => "</a>",
            Element::Bold => "</b>",
            Element::Italic => "</i>",
            Element::Strike => "</s>",
        });
    }
}

fn escape(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
}
