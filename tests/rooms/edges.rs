//! The paths in a file that lead out of its module, resolved from the root of the crate.

use super::tokens::Token;

/// One thing that a file names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A path from the crate's root, at least one segment; a glob ends in `*`.
    Path(Vec<String>),
    /// The root itself under another name, or a glob over it, as written.
    Root(String),
    /// The first segment of any other path.
    Extern(String),
    /// Source from elsewhere: `#[path]`, `include!`.
    Hidden(&'static str),
}

/// Everything that `tokens` name, with its line; `here` is the module of the file and `name` the
/// crate's own name.
pub(super) fn find(tokens: &[Token], here: &[String], name: &str) -> Vec<(usize, Found)> {
    let mut finder =
        Finder { tokens, name, here: here.to_vec(), open: Vec::new(), depth: 0, out: Vec::new() };
    let mut i = 0;
    while i < tokens.len() {
        i = finder.item(i);
    }
    finder.out
}

struct Finder<'a> {
    tokens: &'a [Token],
    name: &'a str,
    /// The module that the current token stands in, inline modules included.
    here: Vec<String>,
    /// Depth at which each inline module was opened.
    open: Vec<usize>,
    depth: usize,
    out: Vec<(usize, Found)>,
}

impl Finder<'_> {
    fn at(&self, i: usize) -> &str {
        self.tokens.get(i).map_or("", |t| &t.text)
    }

    fn before(&self, i: usize, by: usize) -> &str {
        i.checked_sub(by).map_or("", |i| self.at(i))
    }

    fn is_word(&self, i: usize) -> bool {
        self.at(i).starts_with(|c: char| c.is_alphanumeric() || c == '_')
    }

    fn say(&mut self, i: usize, found: Found) {
        self.out.push((self.tokens[i].line, found));
    }

    /// Looks at the token `i` and answers where to go on.
    fn item(&mut self, i: usize) -> usize {
        match self.at(i) {
            "{" => self.depth += 1,
            "}" => {
                self.depth = self.depth.saturating_sub(1);
                if self.open.last() == Some(&self.depth) {
                    self.open.pop();
                    self.here.pop();
                }
            }
            "mod" if self.is_word(i + 1) && self.at(i + 2) == "{" => {
                self.here.push(self.at(i + 1).to_owned());
                self.open.push(self.depth);
                self.depth += 1;
                return i + 3;
            }
            // `use<'a>` in a return type captures lifetimes; it is no import.
            "use" if self.at(i + 1) != "<" => {
                let end = self.tree(i + 1, Vec::new());
                return end;
            }
            "path" if self.before(i, 1) == "[" && self.at(i + 1) == "=" => {
                self.say(i, Found::Hidden("#[path]"));
            }
            "include" if self.at(i + 1) == "!" => self.say(i, Found::Hidden("include!")),
            "crate" if self.before(i, 1) == "extern" => {
                let name = self.at(i + 1).to_owned();
                self.say(i, Found::Extern(name));
                return i + 2;
            }
            _ if self.is_word(i) && self.at(i + 1) == "::" => return self.inline(i),
            _ => {}
        }
        i + 1
    }

    /// A path in an expression or a type, starting with the word at `i`.
    fn inline(&mut self, i: usize) -> usize {
        // The rest of a path whose head is no word: `<T as X>::y::z`.
        let follows = self.before(i, 1) == "::"
            && (self.before(i, 2) == ">" || self.before(i, 2).starts_with(char::is_alphanumeric));
        let mut path = vec![self.at(i).to_owned()];
        let mut end = i + 1;
        while self.at(end) == "::" && self.is_word(end + 1) {
            path.push(self.at(end + 1).to_owned());
            end += 2;
        }
        if !follows {
            self.resolve(i, &path, false);
        }
        end
    }

    /// One tree of a `use`, whose prefix is known; answers the token after it.
    fn tree(&mut self, mut i: usize, mut path: Vec<String>) -> usize {
        let start = i;
        loop {
            match self.at(i) {
                "::" => i += 1,
                "{" => {
                    i += 1;
                    while !matches!(self.at(i), "}" | "") {
                        i = self.tree(i, path.clone());
                        if self.at(i) == "," {
                            i += 1;
                        }
                    }
                    return i + 1;
                }
                "*" => {
                    path.push("*".to_owned());
                    self.resolve(start, &path, true);
                    return i + 1;
                }
                "as" => {
                    self.resolve(start, &path, true);
                    return i + 2;
                }
                _ if self.is_word(i) => {
                    // `a::{self}` is a itself; at the head `self` is the module.
                    if self.at(i) != "self" || path.is_empty() {
                        path.push(self.at(i).to_owned());
                    }
                    i += 1;
                }
                _ => {
                    if !path.is_empty() {
                        self.resolve(start, &path, true);
                    }
                    // A sign that belongs to no tree (`#`, `$` in a macro) must not stop the reading.
                    return if i == start { i + 1 } else { i };
                }
            }
        }
    }

    /// Takes a path as written to the crate's root, if it leads there.
    fn resolve(&mut self, i: usize, path: &[String], imported: bool) {
        let mut rest = path;
        let mut base = match path[0].as_str() {
            "crate" => Vec::new(),
            head if head == self.name => Vec::new(),
            "self" | "super" => self.here.clone(),
            head => return self.say(i, Found::Extern(head.to_owned())),
        };
        if path[0] != "super" {
            rest = &rest[1..];
        }
        while rest.first().is_some_and(|s| s == "super") {
            base.pop();
            rest = &rest[1..];
        }
        base.extend(rest.iter().cloned());
        if base.first().is_none_or(|s| s == "*") {
            // `use` of the root would give every room a second name; elsewhere it is only a word.
            if imported {
                self.say(i, Found::Root(path.join("::")));
            }
            return;
        }
        self.say(i, Found::Path(base));
    }
}
