use std::collections::HashSet;

use quotegate_document::{CollectionPath, Document, DocumentKey, Field, FieldPath, IdError, Value};
use quotegate_market::Symbol;

use crate::bindings::RawDocument;
use crate::limits::PluginLimits;

/// The tenant's collections that a plugin may write to. Documents that name none go to the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collections(Vec<CollectionPath>);

impl Collections {
    /// Checks the paths.
    pub fn new(first: &str, others: &[String]) -> Result<Self, IdError> {
        let paths = std::iter::once(first).chain(others.iter().map(String::as_str));
        Ok(Self(paths.map(CollectionPath::new).collect::<Result<_, _>>()?))
    }

    fn choose(&self, named: Option<String>) -> Result<CollectionPath, DocumentError> {
        match named {
            None => Ok(self.0[0].clone()),
            Some(name) => {
                let allowed = self.0.iter().find(|path| path.as_str() == name).cloned();
                allowed.ok_or(DocumentError::Collection(name))
            }
        }
    }
}

/// Why a document is refused: Firestore would refuse it, or the tenant's settings do not allow it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DocumentError {
    /// More than `documents_per_quote`.
    #[error("it made {0} documents from one quote; make fewer, or raise `limits.documents_per_quote`")]
    TooMany(usize),
    /// Over 1 MiB, or over `document_bytes_per_quote`.
    #[error(
        "its documents for one quote have {0} bytes; make them smaller, or raise `limits.document_kib_per_quote` (Firestore's own limit is 1 MiB per document)"
    )]
    TooLarge(usize),
    /// Not one of the allowed collections.
    #[error("it names the collection {0:?}, which the tenant's settings do not allow")]
    Collection(String),
    /// Firestore would refuse the id.
    #[error("its document id {0:?} is not valid: {1}")]
    Id(String, IdError),
    /// Firestore would refuse the field path.
    #[error("its field path {0:?} is not valid: {1}")]
    Path(String, IdError),
    /// The same path twice, or one inside another.
    #[error("its field path {0:?} is used twice or lies inside another field")]
    Overlap(String),
    /// NaN or infinite.
    #[error("its field {0:?} is not a finite number")]
    NotFinite(String),
    /// The same document twice for one quote.
    #[error("it returned the document {0:?} twice for one quote")]
    Duplicate(String),
}

/// Firestore's limit for a document, in bytes.
const DOCUMENT_BYTES: usize = 1 << 20;
/// What Firestore adds to the size of every document.
const DOCUMENT_OVERHEAD: usize = 32;

/// The field paths of the last document checked. Maps nearly always return the same ones, and not checking them again
/// halves the cost of a check.
#[derive(Debug, Default)]
pub(crate) struct KnownPaths(Vec<FieldPath>);

/// Checks and converts what a guest returned for one quote.
pub(crate) fn check(
    raw: Vec<RawDocument>,
    symbol: &Symbol,
    allowed: &Collections,
    limits: &PluginLimits,
    known: &mut KnownPaths,
) -> Result<Vec<Document>, DocumentError> {
    if raw.len() > limits.documents_per_quote {
        return Err(DocumentError::TooMany(raw.len()));
    }
    let mut total = 0;
    let mut documents: Vec<Document> = Vec::with_capacity(raw.len());
    for raw in raw {
        let document = check_one(raw, symbol, allowed, known)?;
        let bytes = size(&document);
        total += bytes;
        if bytes > DOCUMENT_BYTES || total > limits.document_bytes_per_quote {
            return Err(DocumentError::TooLarge(total));
        }
        if documents.iter().any(|other| other.key == document.key) {
            return Err(DocumentError::Duplicate(document.key.to_string()));
        }
        documents.push(document);
    }
    Ok(documents)
}

fn check_one(
    raw: RawDocument,
    symbol: &Symbol,
    allowed: &Collections,
    known: &mut KnownPaths,
) -> Result<Document, DocumentError> {
    let collection = allowed.choose(raw.collection)?;
    let id = raw.id.unwrap_or_else(|| symbol.document_id());
    let key = DocumentKey::new(collection, id.clone()).map_err(|error| DocumentError::Id(shorten(id), error))?;
    let mut fields = Vec::with_capacity(raw.fields.len());
    let mut all_known = raw.fields.len() == known.0.len();
    for (at, (path, value)) in raw.fields.into_iter().enumerate() {
        if !is_finite(&value) {
            return Err(DocumentError::NotFinite(shorten(path)));
        }
        let path = match known.0.get(at) {
            Some(known) => FieldPath::like(known, path),
            None => Err(path),
        };
        let path = path.or_else(|path| {
            all_known = false;
            check_path(path)
        })?;
        fields.push(Field { path, value });
    }
    if !all_known {
        check_overlap(&fields)?;
        known.0 = fields.iter().map(|field| field.path.clone()).collect();
    }
    Ok(Document { key, fields })
}

fn check_path(path: String) -> Result<FieldPath, DocumentError> {
    FieldPath::new(path.clone()).map_err(|error| DocumentError::Path(shorten(path), error))
}

/// Looks up every prefix of every path. (Sorting and comparing neighbors would work only as long as no character that is
/// allowed in a name sorts before the dot.)
fn check_overlap(fields: &[Field]) -> Result<(), DocumentError> {
    let mut paths = HashSet::with_capacity(fields.len());
    let overlap = |path: &str| Err(DocumentError::Overlap(path.to_owned()));
    for field in fields {
        if !paths.insert(field.path.as_str()) {
            return overlap(field.path.as_str());
        }
    }
    for path in fields.iter().map(|field| field.path.as_str()) {
        if path.match_indices('.').any(|(dot, _)| paths.contains(&path[..dot])) {
            return overlap(path);
        }
    }
    Ok(())
}

fn is_finite(value: &Value) -> bool {
    match value {
        Value::Double(number) => number.is_finite(),
        Value::Doubles(numbers) => numbers.iter().all(|number| number.is_finite()),
        _ => true,
    }
}

/// The document's size as Firestore counts it, or slightly more.
fn size(document: &Document) -> usize {
    let name = document.key.collection().len() + document.key.id().len() + 2;
    let fields = document.fields.iter().map(|field| field.path.as_str().len() + 1 + value_size(&field.value));
    fields.fold(DOCUMENT_OVERHEAD + name, usize::saturating_add)
}

fn value_size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Boolean(_) => 1,
        Value::Integer(_) | Value::Double(_) | Value::Timestamp(_) => 8,
        Value::Text(text) => text.len() + 1,
        Value::Bytes(bytes) => bytes.len(),
        Value::Doubles(numbers) => 8 * numbers.len(),
        Value::Texts(texts) => texts.iter().map(|text| text.len() + 1).sum(),
    }
}

/// Short enough for a log line.
fn shorten(text: String) -> String {
    if text.len() <= 100 { text } else { text.chars().take(100).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(collection: Option<&str>, id: Option<&str>, fields: &[(&str, Value)]) -> RawDocument {
        let fields = fields.iter().map(|(path, value)| ((*path).to_owned(), value.clone())).collect();
        RawDocument { collection: collection.map(Into::into), id: id.map(Into::into), fields }
    }

    fn checked(documents: Vec<RawDocument>) -> Result<Vec<Document>, DocumentError> {
        let allowed = Collections::new("live_quotes", &["mids".into()]).unwrap();
        let known = &mut KnownPaths::default();
        check(documents, &Symbol::new("BTC/USD").unwrap(), &allowed, &PluginLimits::default(), known)
    }

    #[test]
    fn remembered_paths_do_not_change_the_result() {
        let allowed = Collections::new("live_quotes", &[]).unwrap();
        let (symbol, limits) = (Symbol::new("SPY").unwrap(), PluginLimits::default());
        let shapes: [&[&str]; 8] =
            [&[], &["a", "b"], &["a", "a"], &["a", "b.c"], &["a", "a.c"], &["b.c", "b"], &["a..b"], &["a", "b", "a"]];
        let mut known = KnownPaths::default();
        for turn in 0..3 {
            for (first, second) in shapes.iter().flat_map(|first| shapes.iter().map(move |second| (first, second))) {
                for paths in [first, second, second] {
                    let document = || {
                        let fields: Vec<_> = paths.iter().map(|path| (*path, Value::Boolean(turn == 1))).collect();
                        vec![raw(None, None, &fields)]
                    };
                    let fresh = check(document(), &symbol, &allowed, &limits, &mut KnownPaths::default());
                    assert_eq!(check(document(), &symbol, &allowed, &limits, &mut known), fresh, "{paths:?}");
                }
            }
        }
    }

    #[test]
    fn a_document_without_collection_and_id_goes_to_the_symbol_in_the_first_collection() {
        let documents = checked(vec![raw(None, None, &[("a.b", Value::Null), ("a.c", Value::Null)])]).unwrap();
        assert_eq!(documents[0].key.to_string(), "live_quotes/BTC%2FUSD");
    }

    #[test]
    fn no_document_leaves_the_tenant() {
        for id in ["../x", "..", ".", "a/b", "__x__", "", "a\0b"] {
            let error = checked(vec![raw(None, Some(id), &[])]).unwrap_err();
            assert!(matches!(error, DocumentError::Id(..)), "{id:?}: {error}");
        }
        for collection in ["../other", "other", "", "live_quotes/x/y", "ops", "/live_quotes"] {
            let error = checked(vec![raw(Some(collection), None, &[])]).unwrap_err();
            assert_eq!(error, DocumentError::Collection(collection.into()));
        }
    }

    #[test]
    fn the_collections_of_the_host_cannot_be_allowed() {
        for others in ["ops", "ops/market_ingest/x", "users", "a/b"] {
            assert!(Collections::new("live_quotes", &[others.into()]).is_err(), "{others}");
            assert!(Collections::new(others, &[]).is_err(), "{others}");
        }
        let nested = Collections::new("market_intelligence/quotes/live", &[]).unwrap();
        let symbol = Symbol::new("SPY").unwrap();
        let documents = vec![raw(None, None, &[])];
        let made = check(documents, &symbol, &nested, &PluginLimits::default(), &mut KnownPaths::default()).unwrap();
        assert_eq!(made[0].key.to_string(), "market_intelligence/quotes/live/SPY");
    }

    #[test]
    fn documents_that_firestore_would_refuse_are_refused() {
        let null = Value::Null;
        let refused = |fields: &[(&str, Value)]| checked(vec![raw(None, None, fields)]).unwrap_err();
        assert_eq!(refused(&[("a", null.clone()), ("a", null.clone())]), DocumentError::Overlap("a".into()));
        assert_eq!(refused(&[("a.b.c", null.clone()), ("a", null.clone())]), DocumentError::Overlap("a.b.c".into()));
        assert_eq!(refused(&[("a", Value::Doubles(vec![1.0, f64::NAN]))]), DocumentError::NotFinite("a".into()));
        assert!(matches!(refused(&[("a..b", null)]), DocumentError::Path(..)));
        assert!(matches!(refused(&[("a", Value::Bytes(vec![0; 1 << 20]))]), DocumentError::TooLarge(_)));
        let duplicate = vec![raw(None, Some("x"), &[]), raw(None, Some("x"), &[])];
        assert!(matches!(checked(duplicate), Err(DocumentError::Duplicate(_))));
        let many = (0..9).map(|n| raw(None, Some(&n.to_string()), &[])).collect();
        assert_eq!(checked(many), Err(DocumentError::TooMany(9)));
    }
}
