use std::fmt;

use crate::form::Form;

/// The names from the outermost table to a key. A tenant's id may hold dots, so a joined text would not do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct KeyPath(Vec<String>);

impl KeyPath {
    pub(crate) fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self(names.into_iter().map(str::to_owned).collect())
    }

    /// This path and one name more.
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

    /// The id, if this is a tenant's table or something in it.
    pub(crate) fn tenant(&self) -> Option<&str> {
        match self.0.as_slice() {
            [first, id, ..] if first == TENANTS => Some(id),
            _ => None,
        }
    }
}

/// The table with a table for every tenant.
pub(crate) const TENANTS: &str = "tenants";
/// The table that every tenant inherits from.
pub(crate) const TENANT_DEFAULTS: &str = "tenant_defaults";

impl fmt::Display for KeyPath {
    /// As TOML writes it: dotted, odd names in quotes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.0.iter().enumerate() {
            let dot = if index == 0 { "" } else { "." };
            let bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
            if bare { write!(f, "{dot}{name}")? } else { write!(f, "{dot}{name:?}")? }
        }
        Ok(())
    }
}

/// What a setting is: its name in its section, what it does (one sentence, with its unit), what its values look like.
pub(crate) struct Key<F> {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) form: F,
    pub(crate) variables: &'static [&'static str],
}

/// A setting named `name`.
pub(crate) fn key<F: Form>(name: &'static str, doc: &'static str, form: F) -> Key<F> {
    Key { name, doc, form, variables: &[] }
}

impl<F> Key<F> {
    /// Environment variables that set it beside `QUOTEGATE_SECTION__KEY`; the first name is the one to use.
    pub(crate) fn named(self, variables: &'static [&'static str]) -> Self {
        Self { variables, ..self }
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
