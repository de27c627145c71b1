//! Markdown of strangers, as lines: headings, lists, code, quotes; no pictures, and links as text.
//!
//! Parsing decodes entities, so what comes out of it is washed once more: `&#x202e;` must not become what
//! cleaning took out.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::text::{Limit, Raw};
use crate::tui::part::pane::Sheet;
use crate::tui::theme::Role;

/// Writes a text onto a sheet.
pub(crate) fn write(sheet: &mut Sheet, text: &str) {
    let mut page =
        Page { sheet, text: String::new(), role: Role::Text, lead: Vec::new(), link: None };
    let options = Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    for event in Parser::new_ext(text, options) {
        page.take(event);
    }
    page.flush();
}

struct Page<'a> {
    sheet: &'a mut Sheet,
    text: String,
    role: Role,
    /// What stands before a line: a bullet or number per open list, `│ ` per quote.
    lead: Vec<Lead>,
    link: Option<String>,
}

enum Lead {
    Quote,
    List { next: Option<u64>, item: String },
}

impl Page<'_> {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(&tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => {
                self.text.push_str(&text);
            }
            Event::Code(code) => {
                self.text.push('`');
                self.text.push_str(&code);
                self.text.push('`');
            }
            Event::SoftBreak => self.text.push(' '),
            Event::HardBreak => self.text.push('\n'),
            Event::Rule => {
                self.flush();
                self.text.push_str("---");
                self.flush();
            }
            Event::TaskListMarker(done) => self.text.push_str(if done { "[x] " } else { "[ ] " }),
            _ => {}
        }
    }

    fn start(&mut self, tag: &Tag<'_>) {
        match tag {
            Tag::Paragraph if self.lead.is_empty() => {
                self.flush();
                self.sheet.gap();
            }
            Tag::Heading { .. } => {
                self.flush();
                self.sheet.gap();
                self.role = Role::Heading;
            }
            Tag::CodeBlock(_) => {
                self.flush();
                self.sheet.gap();
                self.role = Role::Code;
            }
            Tag::BlockQuote(_) => {
                self.flush();
                self.sheet.gap();
                self.lead.push(Lead::Quote);
            }
            Tag::List(first) => {
                self.flush();
                if self.lead.is_empty() {
                    self.sheet.gap();
                }
                self.lead.push(Lead::List { next: *first, item: String::new() });
            }
            Tag::Item => {
                self.flush();
                if let Some(Lead::List { next, item }) = self.lead.last_mut() {
                    *item = match next {
                        Some(n) => {
                            let shown = format!("{n}. ");
                            *n = n.saturating_add(1);
                            shown
                        }
                        None => "• ".to_owned(),
                    };
                }
            }
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => {
                self.link = Some(dest_url.to_string());
            }
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Paragraph | TagEnd::Item => self.flush(),
            TagEnd::Heading(_) | TagEnd::CodeBlock => {
                self.flush();
                self.role = Role::Text;
            }
            TagEnd::BlockQuote(_) | TagEnd::List(_) => {
                self.flush();
                self.lead.pop();
                if self.lead.is_empty() {
                    self.sheet.gap();
                }
            }
            TagEnd::Link | TagEnd::Image => {
                // The address is shown: what a link says is a stranger's word.
                if let Some(link) = self.link.take().filter(|link| !self.text.ends_with(link)) {
                    self.text.push_str(&format!(" ({link})"));
                }
            }
            _ => {}
        }
    }

    fn flush(&mut self) {
        let text = std::mem::take(&mut self.text);
        let clean = Raw(text).clean(Limit::BLOCK);
        let text = clean.trim_end_matches('\n');
        if text.is_empty() {
            return;
        }
        // A stranger can nest a hundred lists; the words must still have room.
        let mut lead = String::new();
        let depth = self.lead.len().min(4);
        for (n, one) in self.lead.iter_mut().take(depth).enumerate() {
            match one {
                Lead::Quote => lead.push_str("│ "),
                Lead::List { item, .. } => {
                    let wide = crate::text::cells(item);
                    lead.push_str(if n + 1 == depth { item.as_str() } else { "" });
                    if n + 1 < depth {
                        lead.push_str(&" ".repeat(wide.max(2)));
                    } else {
                        *item = " ".repeat(wide);
                    }
                }
            }
        }
        if crate::text::cells(&lead) * 2 > self.sheet.width() {
            lead.clear();
        }
        self.sheet.indented(&lead, text, self.role);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> Vec<String> {
        let mut sheet = Sheet::new(24);
        write(&mut sheet, text);
        let line = |line: &crate::tui::part::pane::Line| {
            line.0.iter().map(|(text, _)| text.as_str()).collect::<String>().trim_end().to_owned()
        };
        sheet.lines.iter().map(line).collect()
    }

    #[test]
    fn what_people_write_is_laid_out() {
        let text = "# Label\nSome *long* words that wrap.\n\n- one\n- two\n  1. deep\n\n> said\n\n```\na  b\n```\n[here](https://x.io)";
        assert_eq!(
            shown(text),
            [
                "Label",
                "",
                "Some long words that",
                "wrap.",
                "",
                "• one",
                "• two",
                "  1. deep",
                "",
                "│ said",
                "",
                "a  b",
                "",
                "here (https://x.io)"
            ]
        );
    }

    #[test]
    fn an_entity_is_washed_after_it_is_decoded() {
        let said = shown("pay &#x202e;now&#x1b;[2J &#8203;x").concat();
        assert!(
            !said.chars().any(|c| c.is_control() || matches!(c, '\u{202e}' | '\u{200b}')),
            "{said:?}"
        );
    }

    proptest! {
        #[test]
        fn nothing_runs_over(text in "(?s)([-*>#`\\[\\]()0-9a-z \n]|\\PC){0,120}", width in 1u16..40) {
            let mut sheet = Sheet::new(width);
            write(&mut sheet, &Raw(text).clean(Limit::BLOCK));
            for line in &sheet.lines {
                prop_assert!(line.cells() <= usize::from(width), "{:?}", line);
            }
        }
    }
}
