//! The queue: what a requester's bot has to get done, one JSON object a line, from a file or from stdin.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};
use tokio::sync::mpsc;

use crate::market::Msat;

/// The most bytes of one line.
pub(super) const LONGEST_LINE: usize = 64 << 10;
/// The most items of one queue.
pub(super) const MOST_ITEMS: usize = 1_000_000;
/// The longest id of an item, in bytes.
const LONGEST_ID: usize = 100;

/// One thing to get done.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// What makes it one item, however often the queue is read.
    pub id: String,
    /// What it pays, where it is not the template's price.
    pub price: Option<Msat>,
    /// Files for whoever does it.
    pub inputs: Vec<PathBuf>,
    /// Everything that the line says.
    pub fields: Map<String, Value>,
}

impl Item {
    /// The text with every `{{field}}` replaced by what the line says. Names that the line has not are
    /// left as they are.
    pub fn fill(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            out.push_str(before);
            let value = after.split_once("}}").and_then(|(name, tail)| {
                let value = match self.fields.get(name.trim())? {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                Some((value, tail))
            });
            match value {
                Some((value, tail)) => {
                    out.push_str(&value);
                    rest = tail;
                }
                None => {
                    out.push_str("{{");
                    rest = after;
                }
            }
        }
        out.push_str(rest);
        out
    }
}

/// Reads one line; `number` counts from 1, paths begin at `beside`.
///
/// # Errors
/// The place of the mistake, and how to mend it.
pub fn read_item(line: &str, number: usize, beside: &Path) -> Result<Item, String> {
    let wrong = |why: String| format!("line {number}: {why}");
    if line.len() > LONGEST_LINE {
        return Err(wrong(format!(
            "longer than {LONGEST_LINE} bytes: put what is long into a file and name it in `inputs`"
        )));
    }
    let fields: Map<String, Value> = serde_json::from_str(line).map_err(|why| {
        format!("line {number}, column {}: {why}: a line is one JSON object", why.column())
    })?;
    let id = match fields.get("id") {
        Some(Value::String(id)) => id.clone(),
        Some(Value::Number(id)) => id.to_string(),
        _ => {
            return Err(wrong(
                "there is no `id`: give each line one of its own, like \"id\":\"7\"".into(),
            ));
        }
    };
    let fits = |c: char| !c.is_control() && !c.is_whitespace() && c != '#' && c != '/';
    if id.is_empty() || id.len() > LONGEST_ID || !id.chars().all(fits) || id.starts_with('.') {
        return Err(wrong(format!(
            "an id has 1 to {LONGEST_ID} bytes without spaces, `#` and `/`, and does not begin with a dot"
        )));
    }
    let price = match fields.get("price") {
        None => None,
        Some(Value::String(text)) => {
            Some(text.parse().map_err(|why| wrong(format!("`price`: {why}")))?)
        }
        Some(Value::Number(sats)) => Some(
            sats.as_u64()
                .and_then(Msat::sats)
                .ok_or_else(|| wrong("`price` is whole sats".into()))?,
        ),
        Some(_) => return Err(wrong("`price` is sats, or a text like \"2000sat\"".into())),
    };
    let inputs = match fields.get("inputs") {
        None => Vec::new(),
        Some(Value::Array(all)) => {
            let path = |one: &Value| one.as_str().map(|path| beside.join(path));
            let paths: Option<Vec<_>> = all.iter().map(path).collect();
            paths.ok_or_else(|| wrong("`inputs` is a list of paths".into()))?
        }
        Some(_) => return Err(wrong("`inputs` is a list of paths".into())),
    };
    Ok(Item { id, price, inputs, fields })
}

/// Items in the order in which they came.
#[derive(Debug, Default)]
pub struct Queue {
    items: Vec<Item>,
    by_id: BTreeMap<String, usize>,
    /// No more will come.
    pub closed: bool,
}

impl Queue {
    /// One more.
    ///
    /// # Errors
    /// Its id is there already, or there are too many.
    pub fn push(&mut self, item: Item) -> Result<(), String> {
        if self.items.len() >= MOST_ITEMS {
            return Err(format!("a queue has at most {MOST_ITEMS} items"));
        }
        if self.by_id.contains_key(&item.id) {
            return Err(format!(
                "the id `{}` is there twice: each line needs one of its own",
                item.id
            ));
        }
        self.by_id.insert(item.id.clone(), self.items.len());
        self.items.push(item);
        Ok(())
    }

    /// A whole text.
    ///
    /// # Errors
    /// The first mistake with its line.
    pub fn read(text: &str, beside: &Path) -> Result<Self, String> {
        let mut queue = Self { closed: true, ..Self::default() };
        for (n, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let item = read_item(line, n + 1, beside)?;
            queue.push(item).map_err(|why| format!("line {}: {why}", n + 1))?;
        }
        Ok(queue)
    }

    /// All of them.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// The one of this id, and its place.
    pub fn find(&self, id: &str) -> Option<(usize, &Item)> {
        let at = *self.by_id.get(id)?;
        Some((at, self.items.get(at)?))
    }
}

/// Lines that are read ahead, and handed out in one go.
const MOST_AHEAD: usize = 1_024;

/// Lines as they come, from a pipe that may stay open for days.
pub struct Feed {
    lines: mpsc::Receiver<Result<Item, String>>,
    _task: tokio::task::JoinSet<()>,
}

impl Feed {
    /// Reads until the end, or until a line is wrong.
    pub fn start(from: impl AsyncBufRead + Unpin + Send + 'static, beside: PathBuf) -> Self {
        let (tell, lines) = mpsc::channel(MOST_AHEAD);
        let mut task = tokio::task::JoinSet::new();
        task.spawn(async move {
            let mut from = from;
            let mut number = 0;
            loop {
                let mut line = Vec::new();
                let mut part = tokio::io::AsyncReadExt::take(&mut from, LONGEST_LINE as u64 + 2);
                match part.read_until(b'\n', &mut line).await {
                    Ok(0) => return,
                    Ok(_) => {}
                    Err(why) => {
                        let _ = tell.send(Err(format!("the queue cannot be read: {why}"))).await;
                        return;
                    }
                }
                number += 1;
                let text = String::from_utf8(line);
                let item = match &text {
                    Ok(text) if text.trim().is_empty() => continue,
                    Ok(text) => read_item(text.trim_end_matches('\n'), number, &beside),
                    Err(_) => Err(format!("line {number}: this is not UTF-8")),
                };
                let last = item.is_err();
                if tell.send(item).await.is_err() || last {
                    return;
                }
            }
        });
        Self { lines, _task: task }
    }

    /// Every line that is there, once there is one; none at the end. Safe to be cut short.
    pub async fn next(&mut self) -> Vec<Result<Item, String>> {
        let mut lines = Vec::new();
        self.lines.recv_many(&mut lines, MOST_AHEAD).await;
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Queue, String> {
        Queue::read(text, Path::new("/there"))
    }

    #[test]
    fn a_line_is_an_item_and_its_fields_fill_the_template() {
        let queue = read("{\"id\":7,\"text\":\"a {{id}}\",\"price\":\"2000sat\",\"inputs\":[\"x\"]}\n\n{\"id\":\"b\"}").unwrap();
        let (at, item) = queue.find("7").unwrap();
        assert_eq!((at, queue.items().len()), (0, 2));
        assert_eq!(item.price, Msat::sats(2_000));
        assert_eq!(item.inputs, [PathBuf::from("/there/x")]);
        assert_eq!(item.fill("<{{ text }}|{{id}}|{{nothing}}|{{"), "<a {{id}}|7|{{nothing}}|{{");
    }

    #[test]
    fn a_mistake_names_its_line() {
        let long = format!("{{\"id\":\"{}\"}}", "x".repeat(101));
        for (text, said) in [
            ("{\"id\":1}\n{\"id\":", "line 2, column 6: "),
            ("[1]", "line 1, column "),
            ("{\"text\":\"x\"}", "line 1: there is no `id`"),
            ("{\"id\":\"a#2\"}", "line 1: an id has 1 to 100 bytes"),
            ("{\"id\":\"../x\"}", "line 1: an id has"),
            (&long, "line 1: an id has"),
            ("{\"id\":1}\n{\"id\":\"1\"}", "line 2: the id `1` is there twice"),
            ("{\"id\":1,\"price\":-4}", "line 1: `price` is whole sats"),
            ("{\"id\":1,\"price\":\"much\"}", "line 1: `price`: "),
            ("{\"id\":1,\"inputs\":\"x\"}", "line 1: `inputs` is a list"),
        ] {
            let why = read(text).unwrap_err();
            assert!(why.starts_with(said), "{text}: {why}");
        }
    }
}
