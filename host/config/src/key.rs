use std::fmt;

use figment::value::Value;
use serde_json::Value as Json;

use crate::kind::{ValueError, ValueKind};

/// The names from the outermost table to a key. They are not joined, because a tenant's id may contain dots.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct KeyPath(Vec<String>);

impl KeyPath {
    pub(crate) fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self(names.into_iter().map(str::to_owned).collect())
    }

    /// The path of `name` in this table.
    pub(crate) fn child(&self, name: &str) -> Self {
        Self(self.0.iter().cloned().chain([name.to_owned()]).collect())
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.0
    }

    /// The name of the key itself.
    pub(crate) fn last(&self) -> &str {
        self.0.last().map_or("", String::as_str)
    }

    /// The table that the key is in.
    pub(crate) fn parent(&self) -> Self {
        Self(self.0[..self.0.len().saturating_sub(1)].to_vec())
    }

    /// The tenant's id, if this is a tenant's table or a key in it.
    pub(crate) fn tenant(&self) -> Option<&str> {
        match self.0.as_slice() {
            [first, id, ..] if first == TENANTS => Some(id),
            _ => None,
        }
    }
}

/// The table that holds one table per tenant.
pub(crate) const TENANTS: &str = "tenants";
/// The table that every tenant inherits from.
pub(crate) const TENANT_DEFAULTS: &str = "tenant_defaults";

impl fmt::Display for KeyPath {
    /// As TOML writes it: dotted, with quotes around names that need them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.0.iter().enumerate() {
            let dot = if index == 0 { "" } else { "." };
            let bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
            if bare { write!(f, "{dot}{name}")? } else { write!(f, "{dot}{name:?}")? }
        }
        Ok(())
    }
}

/// A key: its name in its section, what it does, what its values look like, and the environment variables that set it
/// besides `QUOTEGATE_SECTION__KEY` (the preferred one first).
pub(crate) struct Key<K> {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) kind: K,
    pub(crate) variables: &'static [&'static str],
}

impl<K: ValueKind> Key<K> {
    pub(crate) fn declare(self, default: DefaultText) -> Declaration {
        let Self { name, doc, kind, variables } = self;
        Declaration { name, doc: doc.trim(), kind: Box::new(kind), default, variables }
    }
}

/// A [`Key`] without its type, as the layers, the documentation, and the JSON Schema see it.
pub(crate) struct Declaration {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) kind: Box<dyn AnyKind>,
    pub(crate) default: DefaultText,
    pub(crate) variables: &'static [&'static str],
}

/// What the documentation writes after `key =`.
pub(crate) enum DefaultText {
    /// The default as TOML.
    Value(String),
    /// There is no default; this is what a value looks like.
    Example(&'static str),
}

/// A [`ValueKind`] without its type.
pub(crate) trait AnyKind {
    fn expects(&self) -> String;
    fn schema(&self) -> Json;
    fn errors(&self, value: &Value) -> Vec<ValueError>;
    fn raw_from_text(&self, text: &str) -> Value;
    fn table_keys(&self) -> Vec<Declaration>;
    fn is_secret(&self) -> bool;
}

impl<K: ValueKind> AnyKind for K {
    fn expects(&self) -> String {
        ValueKind::expects(self)
    }

    fn schema(&self) -> Json {
        ValueKind::schema(self)
    }

    fn errors(&self, value: &Value) -> Vec<ValueError> {
        self.parse(value).err().unwrap_or_default()
    }

    fn raw_from_text(&self, text: &str) -> Value {
        ValueKind::raw_from_text(self, text)
    }

    fn table_keys(&self) -> Vec<Declaration> {
        ValueKind::table_keys(self)
    }

    fn is_secret(&self) -> bool {
        ValueKind::is_secret(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_dot_is_shown_in_quotes() {
        let path = KeyPath::new([TENANTS, "a.b", "symbols"]);
        assert_eq!(path.to_string(), r#"tenants."a.b".symbols"#);
        assert_eq!(path.tenant(), Some("a.b"));
        assert_eq!(path.parent().child("symbols"), path);
    }
}
