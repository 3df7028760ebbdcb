use std::fs;
use std::ops::Range;
use std::path::Path;

use figment::value::{Dict, Empty, Tag, Value};
use toml_edit::{Document, Item, TableLike, TomlError};

use super::{Known, Layer};
use crate::catalogue::Catalogue;
use crate::form::shown;
use crate::key::{KeyPath, TENANTS};
use crate::{Origin, Problem};

/// What the main file says. `None` if it cannot be read at all, which is noted.
pub(crate) fn file_layer(path: &Path, catalogue: &Catalogue, problems: &mut Vec<Problem>) -> Option<Layer> {
    let file = TomlFile::open(path, problems)?;
    let mut walk = Walk { file: &file, catalogue, layer: Layer::default(), problems };
    walk.table(&KeyPath::default(), file.document.as_table());
    Some(walk.layer)
}

/// What a tenant's own file says: the keys of `[tenants.<id>]` at the top level. The id is the file's name without
/// `.toml`, unless the key `id` gives another.
pub(crate) fn tenant_file_layer(path: &Path, catalogue: &Catalogue, problems: &mut Vec<Problem>) -> Option<Layer> {
    let file = TomlFile::open(path, problems)?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let (id, origin) = match file.document.as_table().get_key_value("id") {
        None => (stem.as_ref(), Origin::Path(path.to_owned())),
        Some((_, item)) => {
            let origin = file.origin(item.span());
            let Some(id) = item.as_str() else {
                let problem = Problem::new(origin, "A tenant's id is a text.", "Put it in quotes.");
                problems.push(problem.of(&KeyPath::new(["id"])).with_value(shown(&raw_value(item))));
                return None;
            };
            (id, origin)
        }
    };
    let mut walk = Walk { file: &file, catalogue, layer: Layer::default(), problems };
    walk.layer.add_tenant(id, origin, walk.problems);
    walk.table(&KeyPath::new([TENANTS, id]), file.document.as_table());
    Some(walk.layer)
}

/// The problem of a file or folder that cannot be opened.
pub(crate) fn unreadable(path: &Path, what: &str, error: &std::io::Error) -> Problem {
    use std::io::ErrorKind;
    let (sentence, remedy) = match error.kind() {
        ErrorKind::NotFound => (format!("There is no such {what}."), "Check the path, or leave it out."),
        ErrorKind::PermissionDenied => {
            (format!("The {what} may not be read by this user."), "Change its permissions or its owner.")
        }
        ErrorKind::InvalidData => (format!("The {what} is not UTF-8 text."), "Save it as UTF-8."),
        _ => (format!("The {what} cannot be read: {error}."), "Check that the path names the right thing."),
    };
    Problem::new(Origin::Path(path.to_owned()), sentence, remedy)
}

struct TomlFile<'a> {
    path: &'a Path,
    document: Document<String>,
    lines: Lines,
}

impl<'a> TomlFile<'a> {
    fn open(path: &'a Path, problems: &mut Vec<Problem>) -> Option<Self> {
        let text = fs::read_to_string(path).map_err(|error| problems.push(unreadable(path, "file", &error))).ok()?;
        let lines = Lines::of(&text);
        match Document::parse(text.clone()) {
            Ok(document) => Some(Self { path, document, lines }),
            Err(error) => {
                problems.push(broken(path, &text, &lines, &error));
                None
            }
        }
    }

    fn origin(&self, span: Option<Range<usize>>) -> Origin {
        let offset = span.map_or(0, |span| span.start);
        let (line, column) = self.lines.place(self.document.raw(), offset);
        Origin::File { path: self.path.to_owned(), line, column }
    }
}

struct Walk<'a> {
    file: &'a TomlFile<'a>,
    catalogue: &'a Catalogue,
    layer: Layer,
    problems: &'a mut Vec<Problem>,
}

impl Walk<'_> {
    fn table(&mut self, section: &KeyPath, table: &dyn TableLike) {
        for (name, item) in table.iter() {
            let path = section.child(name);
            let key_span = table.get_key_value(name).and_then(|(key, _)| key.span());
            let is_tenant_id = name == "id" && section.names().len() == 2 && self.file_is_tenant(section);
            if is_tenant_id {
                continue;
            }
            if self.catalogue.find(&path).is_some() {
                self.value(&path, item, key_span);
            } else if self.catalogue.is_section(&path) {
                self.section(&path, item, key_span);
            } else {
                self.problems.push(self.catalogue.unknown(&path, self.file.origin(key_span)));
            }
        }
    }

    /// True when the whole file is one tenant: then `id` at its top is the id and no setting.
    fn file_is_tenant(&self, section: &KeyPath) -> bool {
        section.tenant().is_some() && !self.file.document.as_table().contains_key(TENANTS)
    }

    fn section(&mut self, path: &KeyPath, item: &Item, key_span: Option<Range<usize>>) {
        let origin = self.file.origin(item.span().or(key_span));
        let Some(table) = item.as_table_like() else {
            let remedy = format!("Write a line [{path}], and its keys below.");
            self.problems.push(Problem::new(origin, "This is a section, not a value.", remedy).of(path));
            return;
        };
        if let (Some(id), 2) = (path.tenant(), path.names().len()) {
            self.layer.add_tenant(id, origin, self.problems);
        }
        self.table(path, table);
    }

    fn value(&mut self, path: &KeyPath, item: &Item, key_span: Option<Range<usize>>) {
        for (index, span) in element_spans(item).into_iter().enumerate() {
            let origin = self.file.origin(span);
            self.layer.place_element(path, index, origin);
        }
        let origin = self.file.origin(item.span().or(key_span));
        let known = Known { catalogue: self.catalogue, origin: &origin };
        self.layer.set(&known, path, raw_value(item), self.problems);
    }
}

/// Where the elements of a list are, whether it is written `[…]` or as `[[…]]`.
fn element_spans(item: &Item) -> Vec<Option<Range<usize>>> {
    match item {
        Item::Value(toml_edit::Value::Array(array)) => array.iter().map(toml_edit::Value::span).collect(),
        Item::ArrayOfTables(tables) => tables.iter().map(toml_edit::Table::span).collect(),
        _ => Vec::new(),
    }
}

/// A TOML value as figment holds it. The parser bounds the depth.
pub(crate) fn raw_value(item: &Item) -> Value {
    match item {
        Item::None => Value::Empty(Tag::Default, Empty::None),
        Item::Value(value) => raw_of(value),
        Item::Table(table) => raw_table(table),
        Item::ArrayOfTables(tables) => Value::from(tables.iter().map(|table| raw_table(table)).collect::<Vec<_>>()),
    }
}

fn raw_of(value: &toml_edit::Value) -> Value {
    match value {
        toml_edit::Value::String(text) => Value::from(text.value().as_str()),
        toml_edit::Value::Integer(number) => Value::from(*number.value()),
        toml_edit::Value::Float(number) => Value::from(*number.value()),
        toml_edit::Value::Boolean(flag) => Value::from(*flag.value()),
        toml_edit::Value::Datetime(_) => Value::Empty(Tag::Default, Empty::Unit),
        toml_edit::Value::Array(array) => Value::from(array.iter().map(raw_of).collect::<Vec<_>>()),
        toml_edit::Value::InlineTable(table) => raw_table(table),
    }
}

fn raw_table(table: &dyn TableLike) -> Value {
    let dict: Dict = table.iter().map(|(name, item)| (name.to_owned(), raw_value(item))).collect();
    Value::from(dict)
}

/// The problem of a text that is not TOML, with the line it is in.
fn broken(path: &Path, text: &str, lines: &Lines, error: &TomlError) -> Problem {
    let (line, column) = lines.place(text, error.span().map_or(0, |span| span.start));
    let origin = Origin::File { path: path.to_owned(), line, column };
    let source = text.lines().nth(line - 1).unwrap_or_default();
    let mut sentence = format!("This is not TOML: {}.", error.message().replace('\n', " "));
    if let Some(first) = earlier_twin(text, line) {
        sentence.push_str(&format!("\nIts first place is {}:{first}.", path.display()));
    }
    sentence.push('\n');
    sentence.push_str(&excerpt(text, source, line, column));
    Problem::new(origin, sentence, "Mend the line; https://toml.io shows how TOML is written.")
}

/// The line that names the same table or key before `line`, for what is defined twice.
fn earlier_twin(text: &str, line: usize) -> Option<usize> {
    let name = |line: &str| line.split('=').next().unwrap_or_default().trim().to_owned();
    let wanted = name(text.lines().nth(line - 1)?);
    let earlier: Vec<(usize, String)> = text.lines().take(line - 1).map(name).enumerate().collect();
    let in_reach = |(_, name): &&(usize, String)| wanted.starts_with('[') || !name.starts_with('[');
    let found = earlier.iter().rev().take_while(in_reach).find(|(_, name)| *name == wanted && !name.is_empty());
    found.map(|(index, _)| index + 1)
}

/// The line with a mark below the place. A file that may hold a secret shows only what comes before the first `=`.
fn excerpt(text: &str, source: &str, line: usize, column: usize) -> String {
    if may_hold_a_secret(text) {
        let name = source.split_once('=').map_or("…".to_owned(), |(name, _)| format!("{name}= …"));
        return format!("{line} | {name}");
    }
    let shown: String = source.chars().take(120).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let margin = " ".repeat(line.to_string().len());
    let mark = if column <= 121 { format!("\n{margin} | {}^", " ".repeat(column - 1)) } else { String::new() };
    format!("{line} | {shown}{mark}")
}

/// A broken file cannot be asked which of its values are secret, so a word outside comments decides.
fn may_hold_a_secret(text: &str) -> bool {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines.map(str::to_ascii_lowercase).any(|line| line.contains("secret") || line.contains("key"))
}

/// Where lines begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        let after_breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self([0].into_iter().chain(after_breaks).collect())
    }

    /// Line and column of a byte, both from 1, the column in characters.
    fn place(&self, text: &str, offset: usize) -> (usize, usize) {
        let line = self.0.partition_point(|start| *start <= offset).max(1);
        let before = text.get(self.0[line - 1]..offset).unwrap_or_default();
        (line, before.chars().count() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_lines_and_characters_from_one() {
        let text = "a = 1\nä = \"ü\" # x\n";
        let lines = Lines::of(text);
        assert_eq!(lines.place(text, 0), (1, 1));
        assert_eq!(lines.place(text, text.find('#').unwrap()), (2, 9));
        assert_eq!(lines.place(text, text.len()), (3, 1));
        assert_eq!(lines.place("", 0), (1, 1));
    }

    #[test]
    fn a_line_near_a_secret_is_not_shown() {
        let text = "secret_key = \"abc\nx = 1";
        assert_eq!(excerpt(text, "secret_key = \"abc", 1, 18), "1 | secret_key = …");
        assert_eq!(excerpt(text, "abc\"\"\"", 1, 18), "1 | …");
        assert_eq!(excerpt("a b", "a b", 1, 3), "1 | a b\n  |   ^");
    }
}
