use std::ffi::OsStr;
use std::ops::Range;
use std::path::Path;

use figment::value::{Dict, Empty, Tag, Value};
use quotegate_io::{TEXT_LIMIT, read_text};
use toml_edit::{Document, Item, TableLike, TomlError};

use super::Layer;
use crate::key::{KeyPath, TENANTS};
use crate::kind::shown;
use crate::schema::Schema;
use crate::{Origin, SettingError};

/// The settings in the main file; none if it cannot be read, which is reported.
pub(crate) fn file_layer(path: &Path, schema: &Schema, errors: &mut Vec<SettingError>) -> Layer {
    let mut layer = Layer::default();
    if let Some(file) = TomlFile::open(path, errors) {
        let mut walk = Walk { file: &file, schema, layer: &mut layer, errors };
        walk.table(&KeyPath::default(), file.document.as_table());
    }
    layer
}

/// A tenant's own file.
pub(super) struct TenantFile<'a> {
    file: TomlFile<'a>,
    pub(super) id: String,
    /// Where its id comes from.
    pub(super) origin: Origin,
}

impl<'a> TenantFile<'a> {
    /// Opens the file. The tenant's id is the file's name without `.toml`, unless the key `id` sets another one.
    pub(super) fn open(path: &'a Path, errors: &mut Vec<SettingError>) -> Option<Self> {
        let file = TomlFile::open(path, errors)?;
        let Some((_, item)) = file.document.as_table().get_key_value("id") else {
            let origin = Origin::Path(path.to_owned());
            let Some(id) = path.file_stem().and_then(OsStr::to_str).map(str::to_owned) else {
                let sentence = "The file's name is not UTF-8, so it cannot be a tenant's ID.";
                errors.push(SettingError::new(origin, sentence, "Rename the file, or set the key id in it."));
                return None;
            };
            return Some(Self { file, id, origin });
        };
        let origin = file.origin(item.span());
        let Some(id) = item.as_str().map(str::to_owned) else {
            let error = SettingError::new(origin, "A tenant's ID must be a string.", "Put it in quotes.");
            errors.push(error.of(&KeyPath::new(["id"])).with_value(shown(&raw_value(item))));
            return None;
        };
        Some(Self { file, id, origin })
    }

    /// Adds the tenant's settings to `layer`.
    pub(super) fn read_into(self, layer: &mut Layer, schema: &Schema, errors: &mut Vec<SettingError>) {
        layer.add_tenant(&self.id, self.origin, errors);
        let mut walk = Walk { file: &self.file, schema, layer, errors };
        walk.tenant_file(&KeyPath::new([TENANTS, &self.id]));
    }
}

/// The error for a file or folder that cannot be opened.
pub(crate) fn unreadable(path: &Path, what: &str, error: &std::io::Error) -> SettingError {
    use std::io::ErrorKind;
    let (sentence, remedy) = match error.kind() {
        ErrorKind::NotFound => (format!("There is no such {what}."), "Check the path."),
        ErrorKind::PermissionDenied => {
            (format!("This user does not have permission to read the {what}."), "Change its permissions or its owner.")
        }
        ErrorKind::InvalidData => (format!("The {what} is not UTF-8 text."), "Save it as UTF-8."),
        _ => (format!("The {what} cannot be read: {error}."), "Check the path."),
    };
    SettingError::new(Origin::Path(path.to_owned()), sentence, remedy)
}

struct TomlFile<'a> {
    path: &'a Path,
    document: Document<String>,
    lines: Lines,
}

impl<'a> TomlFile<'a> {
    fn open(path: &'a Path, errors: &mut Vec<SettingError>) -> Option<Self> {
        let text = read_text(path, TEXT_LIMIT).map_err(|error| errors.push(unreadable(path, "file", &error))).ok()?;
        let lines = Lines::of(&text);
        match Document::parse(text.clone()) {
            Ok(document) => Some(Self { path, document, lines }),
            Err(error) => {
                errors.push(broken(path, &text, &lines, &error));
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
    schema: &'a Schema,
    layer: &'a mut Layer,
    errors: &'a mut Vec<SettingError>,
}

impl Walk<'_> {
    fn table(&mut self, section: &KeyPath, table: &dyn TableLike) {
        for (name, item) in table.iter() {
            self.entry(&section.child(name), table, item);
        }
    }

    /// The whole file is one tenant. Its key `id` is not a setting.
    fn tenant_file(&mut self, tenant: &KeyPath) {
        let table = self.file.document.as_table();
        for (name, item) in table.iter().filter(|(name, _)| *name != "id") {
            self.entry(&tenant.child(name), table, item);
        }
    }

    fn entry(&mut self, path: &KeyPath, table: &dyn TableLike, item: &Item) {
        let key_span = table.get_key_value(path.last()).and_then(|(key, _)| key.span());
        if self.schema.find(path).is_some() {
            self.value(path, item, key_span);
        } else if self.schema.is_section(path) {
            self.section(path, item, key_span);
        } else {
            self.errors.push(self.schema.unknown(path, self.file.origin(key_span)));
        }
    }

    fn section(&mut self, path: &KeyPath, item: &Item, key_span: Option<Range<usize>>) {
        let origin = self.file.origin(item.span().or(key_span));
        let Some(table) = item.as_table_like() else {
            let remedy = format!("Write [{path}] on its own line, and its keys below it.");
            self.errors
                .push(SettingError::new(origin, "This is a section, so it cannot have a value.", remedy).of(path));
            return;
        };
        if let (Some(id), 2) = (path.tenant(), path.names().len()) {
            self.layer.add_tenant(id, origin, self.errors);
        }
        self.table(path, table);
    }

    fn value(&mut self, path: &KeyPath, item: &Item, key_span: Option<Range<usize>>) {
        for (index, span) in element_spans(item).into_iter().enumerate() {
            let origin = self.file.origin(span);
            self.layer.place_element(path, index, origin);
        }
        let origin = self.file.origin(item.span().or(key_span));
        self.layer.set(self.schema, &origin, path, raw_value(item), self.errors);
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
fn raw_value(item: &Item) -> Value {
    match item {
        Item::None => Value::Empty(Tag::Default, Empty::None),
        Item::Value(value) => raw_of(value),
        Item::Table(table) => raw_table(table),
        Item::ArrayOfTables(tables) => Value::from(tables.iter().map(|table| raw_table(table)).collect::<Vec<_>>()),
    }
}

/// The value that a text is in TOML, if it is valid.
pub(crate) fn raw_from_toml(text: &str) -> Option<Value> {
    let value: toml_edit::Value = text.trim().parse().ok()?;
    Some(raw_of(&value))
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

/// The error for a text that is not TOML, with the line that is wrong.
fn broken(path: &Path, text: &str, lines: &Lines, error: &TomlError) -> SettingError {
    let (line, column) = lines.place(text, error.span().map_or(0, |span| span.start));
    let origin = Origin::File { path: path.to_owned(), line, column };
    let source = text.lines().nth(line - 1).unwrap_or_default();
    let mut sentence = format!("This is not valid TOML: {}.", error.message().replace('\n', " "));
    // The parser only names the second definition.
    if error.message().contains("duplicate")
        && let Some(first) = earlier_definition(text, line)
    {
        sentence.push_str(&format!("\nThe first definition is at {}:{first}.", path.display()));
    }
    sentence.push('\n');
    sentence.push_str(&excerpt(text, source, line, column));
    SettingError::new(origin, sentence, "Fix this line. The syntax of TOML is at https://toml.io.")
}

/// The line before `line` that defines the same table or key.
fn earlier_definition(text: &str, line: usize) -> Option<usize> {
    let name = |line: &str| line.split('=').next().unwrap_or_default().trim().to_owned();
    let wanted = name(text.lines().nth(line - 1)?);
    let earlier: Vec<(usize, String)> = text.lines().take(line - 1).map(name).enumerate().collect();
    let in_reach = |(_, name): &&(usize, String)| wanted.starts_with('[') || !name.starts_with('[');
    let found = earlier.iter().rev().take_while(in_reach).find(|(_, name)| *name == wanted && !name.is_empty());
    found.map(|(index, _)| index + 1)
}

/// The line with a mark below the error; not in a file that may contain a secret, because any line may be part of it.
fn excerpt(text: &str, source: &str, line: usize, column: usize) -> String {
    if may_contain_a_secret(text) {
        return format!("{line} | (not shown, because this file may contain a secret)");
    }
    let shown: String = source.chars().take(120).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let margin = " ".repeat(line.to_string().len());
    let mark = if column <= 121 { format!("\n{margin} | {}^", " ".repeat(column - 1)) } else { String::new() };
    format!("{line} | {shown}{mark}")
}

/// It is unknown which values of a broken file are secret, so a word outside comments decides.
fn may_contain_a_secret(text: &str) -> bool {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines.map(str::to_ascii_lowercase).any(|line| line.contains("secret") || line.contains("key"))
}

/// Where each line begins.
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
        assert!(excerpt("secret_key =\nabc==", "abc==", 2, 1).contains("not shown"));
        assert!(excerpt("Key = \"abc", "Key = \"abc", 1, 7).contains("not shown"));
        assert_eq!(excerpt("# key\na b", "a b", 2, 3), "2 | a b\n  |   ^");
    }
}
