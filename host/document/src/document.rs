use std::borrow::Cow;
use std::fmt;

use crate::{DocumentKey, UnixNanos};

/// A value that a Firestore field can hold.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Null: the field is there, without a value.
    Null,
    /// True or false.
    Boolean(bool),
    /// 64-bit integer.
    Integer(i64),
    /// 64-bit float. Firestore can store NaN, but JSON cannot, so plugins may not send it.
    Double(f64),
    /// UTF-8 text.
    Text(Cow<'static, str>),
    /// A point in time; Firestore stores microseconds.
    Timestamp(UnixNanos),
    /// Raw bytes.
    Bytes(Vec<u8>),
    /// A list of floats.
    Doubles(Vec<f64>),
    /// A list of texts.
    Texts(Vec<String>),
}

impl From<Option<f64>> for Value {
    fn from(value: Option<f64>) -> Self {
        value.map_or(Self::Null, Self::Double)
    }
}

/// A Firestore field path: names joined by dots, one map level per dot. Every name is `[A-Za-z_][A-Za-z0-9_]*` and not
/// of the form `__…__`, so quoting is never needed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldPath(Cow<'static, str>);

impl FieldPath {
    /// Firestore's limit for nested maps.
    pub const MAX_DEPTH: usize = 20;
    /// Firestore's limit for a field name, applied to the whole path.
    pub const MAX_LEN: usize = 1500;

    /// Validates `path`.
    pub fn new(path: impl Into<Cow<'static, str>>) -> Result<Self, IdError> {
        let path = path.into();
        if path.is_empty() {
            return Err(IdError::Empty);
        }
        if path.len() > Self::MAX_LEN {
            return Err(IdError::TooLong);
        }
        let mut depth = 0;
        for name in path.split('.') {
            depth += 1;
            let mut bytes = name.bytes();
            let first = bytes.next().ok_or(IdError::Empty)?;
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            if first.is_ascii_digit() || !plain(first) || !bytes.all(plain) {
                return Err(IdError::FieldName);
            }
            if is_reserved(name) {
                return Err(IdError::Reserved);
            }
        }
        if depth > Self::MAX_DEPTH {
            return Err(IdError::TooDeep);
        }
        Ok(Self(path))
    }

    /// Accepts `path` without validating it again if it equals `known`; otherwise returns it.
    pub fn like(known: &Self, path: String) -> Result<Self, String> {
        if known.0 == path { Ok(Self(path.into())) } else { Err(path) }
    }

    /// A path from a constant. Panics on an invalid character, so that a wrong constant does not compile.
    pub const fn literal(path: &'static str) -> Self {
        let bytes = path.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            assert!(bytes[at].is_ascii_alphanumeric() || bytes[at] == b'_' || bytes[at] == b'.');
            at += 1;
        }
        assert!(at > 0);
        Self(Cow::Borrowed(path))
    }

    /// The path with its dots.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names, outermost first; at least one.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One field of a document.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Its path in the document.
    pub path: FieldPath,
    /// Its value.
    pub value: Value,
}

/// One document to write.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Its location.
    pub key: DocumentKey,
    /// Its fields. No path is a prefix of another or appears twice.
    pub fields: Vec<Field>,
}

/// What a write does to a document that already exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WriteMode {
    /// Keeps fields that are not in the write.
    #[default]
    Merge,
    /// Removes fields that are not in the write.
    Replace,
}

/// Why a collection path, document id or field path is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// It is empty.
    #[error("it is empty")]
    Empty,
    /// It is longer than 1,500 bytes.
    #[error("it is longer than 1,500 bytes")]
    TooLong,
    /// `/` separates the ids in a path.
    #[error("it contains a slash, which separates the parts of a path")]
    Slash,
    /// It is `.` or `..`.
    #[error("`.` and `..` are not allowed")]
    Dots,
    /// Firestore reserves `__…__`.
    #[error("names of the form __x__ are reserved by Firestore")]
    Reserved,
    /// Firestore allows control characters, but they only come from mistakes.
    #[error("it contains a control character")]
    Control,
    /// Not `[A-Za-z_][A-Za-z0-9_]*`.
    #[error("a field name must start with a letter or _ and contain only letters, digits and _")]
    FieldName,
    /// It nests deeper than 20 levels.
    #[error("it nests deeper than 20 levels")]
    TooDeep,
    /// It ends with a document.
    #[error(
        "it has an even number of parts, as the path of a document; that of a collection has one, or three, or five"
    )]
    EvenPath,
    /// The host writes its own documents there, or the rules look up members.
    #[error("`ops` is reserved for the host's own documents, and `users` for the tenant's members")]
    HostCollection,
}

/// Validates a collection or document id by Firestore's rules: 1 to 1,500 bytes, no `/`, not `.` or `..`, not `__…__`.
/// Also rejects control characters.
pub fn check_id(id: &str) -> Result<(), IdError> {
    match id {
        "" => Err(IdError::Empty),
        "." | ".." => Err(IdError::Dots),
        _ if id.len() > 1500 => Err(IdError::TooLong),
        _ if id.contains('/') => Err(IdError::Slash),
        _ if id.chars().any(char::is_control) => Err(IdError::Control),
        _ if is_reserved(id) => Err(IdError::Reserved),
        _ => Ok(()),
    }
}

fn is_reserved(name: &str) -> bool {
    name.len() >= 4 && name.starts_with("__") && name.ends_with("__")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_ids_are_rejected() {
        let cases = [
            ("", IdError::Empty),
            (".", IdError::Dots),
            ("..", IdError::Dots),
            ("../other", IdError::Slash),
            ("a/b", IdError::Slash),
            ("__x__", IdError::Reserved),
            ("____", IdError::Reserved),
            ("a\nb", IdError::Control),
        ];
        for (id, error) in cases {
            assert_eq!(check_id(id), Err(error), "{id:?}");
        }
        assert_eq!(check_id(&"x".repeat(1501)), Err(IdError::TooLong));
        assert_eq!(check_id("BRK.B"), Ok(()));
    }

    #[test]
    fn field_paths_nest_by_dots_and_need_no_quoting() {
        assert_eq!(FieldPath::new("a.b_1.C").unwrap().names().collect::<Vec<_>>(), ["a", "b_1", "C"]);
        for (path, error) in [
            ("a..b", IdError::Empty),
            ("1a", IdError::FieldName),
            ("a b", IdError::FieldName),
            ("a.__b__", IdError::Reserved),
        ] {
            assert_eq!(FieldPath::new(path), Err(error), "{path:?}");
        }
        assert_eq!(FieldPath::new(vec!["a"; 21].join(".")), Err(IdError::TooDeep));
    }
}
