use std::fmt;
use std::sync::Arc;

/// A stock, crypto or option symbol, as the exchange writes it: `SPY`, `BRK.B`, `BTC/USD`, `SPXW240327P04925000`.
///
/// 1 to 32 bytes: letters, digits and `. / - _`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Symbol(Arc<str>);

/// Why a string is not a [`Symbol`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SymbolError {
    /// The string is empty.
    #[error("a symbol cannot be empty")]
    Empty,
    /// Longer than [`Symbol::MAX_LEN`] bytes.
    #[error("a symbol cannot be longer than {} characters", Symbol::MAX_LEN)]
    TooLong,
    /// A character that is not allowed.
    #[error("a symbol cannot contain {0:?}; letters, digits and . / - _ are allowed")]
    Character(char),
}

impl Symbol {
    /// Maximum length. The longest option symbols have 21 characters.
    pub const MAX_LEN: usize = 32;

    /// Validates `name`. Does not change its case.
    pub fn new(name: &str) -> Result<Self, SymbolError> {
        if name.is_empty() {
            return Err(SymbolError::Empty);
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '/' | '-' | '_');
        if let Some(c) = name.chars().find(|c| !allowed(*c)) {
            return Err(SymbolError::Character(c));
        }
        if name.len() > Self::MAX_LEN {
            return Err(SymbolError::TooLong);
        }
        Ok(Self(name.into()))
    }

    /// The symbol as a string.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The symbol as a Firestore document id. Characters that Firestore does not allow, as in `BTC/USD`, are
    /// percent-encoded, so that two symbols never have the same id.
    pub fn document_id(&self) -> String {
        let name = self.as_str();
        // Firestore rejects `.`, `..` and `__x__`: encoding the first character is enough.
        let reserved =
            name == "." || name == ".." || (name.len() >= 4 && name.starts_with("__") && name.ends_with("__"));
        let mut id = String::with_capacity(name.len() + 2);
        for (index, byte) in name.bytes().enumerate() {
            if byte == b'/' || (reserved && index == 0) {
                id.push_str(&format!("%{byte:02X}"));
            } else {
                id.push(byte as char);
            }
        }
        id
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use quotegate_document::check_id;

    #[test]
    fn invalid_symbols_are_rejected_with_a_reason() {
        assert_eq!(Symbol::new("SP Y"), Err(SymbolError::Character(' ')));
        assert_eq!(Symbol::new("ÄPFEL"), Err(SymbolError::Character('Ä')));
        assert_eq!(Symbol::new(""), Err(SymbolError::Empty));
        assert_eq!(Symbol::new(&"A".repeat(33)), Err(SymbolError::TooLong));
    }

    #[test]
    fn a_slash_is_encoded() {
        assert_eq!(Symbol::new("BTC/USD").unwrap().document_id(), "BTC%2FUSD");
        assert_eq!(Symbol::new("BRK.B").unwrap().document_id(), "BRK.B");
    }

    /// The symbol that an id was made from.
    fn decoded(id: &str) -> String {
        let mut parts = id.split('%');
        let first = parts.next().unwrap().to_owned();
        parts.fold(first, |name, part| {
            let letter = char::from(u8::from_str_radix(&part[..2], 16).unwrap());
            format!("{name}{letter}{}", &part[2..])
        })
    }

    proptest! {
        #[test]
        fn every_symbol_round_trips_through_a_valid_document_id(name in "[A-Za-z0-9./_-]{1,32}") {
            let symbol = Symbol::new(&name).unwrap();
            let id = symbol.document_id();
            prop_assert_eq!(check_id(&id), Ok(()));
            prop_assert_eq!(decoded(&id), name);
        }
    }
}
