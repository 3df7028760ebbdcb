use figment::value::Value;
use quotegate_document::{CollectionPath, Destination, DocumentShape};
use serde_json::{Value as Json, json};

use super::{Choice, SubTable, TableReader, Text, ValueError, ValueKind, rule};
use crate::declare::settings;

/// The path of one collection below a tenant.
pub(crate) struct Collection;

const PATH: Text = Text {
    expects: "the path of a collection, such as \"live_quotes\" or \"market_intelligence/quotes/live\"",
    rule: rule::COLLECTION_PATH,
};

impl ValueKind for Collection {
    type Value = CollectionPath;

    fn expects(&self) -> String {
        PATH.expects()
    }

    fn schema(&self) -> Json {
        PATH.schema()
    }

    fn parse(&self, value: &Value) -> Result<CollectionPath, Vec<ValueError>> {
        let path = PATH.parse(value)?;
        CollectionPath::new(&path).map_err(|error| vec![ValueError::new(value, error.to_string(), PATH.expects)])
    }

    fn show(&self, value: &CollectionPath) -> String {
        format!("{value:?}")
    }
}

/// The collections that a plugin may name.
pub(crate) struct CollectionPaths;

impl ValueKind for CollectionPaths {
    type Value = Vec<String>;

    fn expects(&self) -> String {
        "a list of paths of collections".into()
    }

    fn schema(&self) -> Json {
        json!({ "type": "array", "items": PATH.schema() })
    }

    fn parse(&self, value: &Value) -> Result<Vec<String>, Vec<ValueError>> {
        let Value::Array(_, elements) = value else { return Err(self.wrong_type(value)) };
        all(elements, |element| PATH.parse(element))
    }

    fn show(&self, value: &Vec<String>) -> String {
        format!("{value:?}")
    }
}

/// The collections of a tenant's quotes, each with or without a shape.
pub(crate) struct Destinations;

const SHAPES: Choice<DocumentShape> =
    Choice(&[("standard", DocumentShape::Standard), ("streamer", DocumentShape::Streamer)]);
const TABLE: SubTable<DestinationValues> = SubTable(DestinationValues::read);

settings! {
    /// A collection as a table.
    struct DestinationValues from TableReader {
        /// The path of the collection below tenants/{id}.
        path: Option<CollectionPath> = "path", Collection, example "\"live_quotes\"";
        /// The shape of its documents.
        shape: Option<DocumentShape> = "shape", SHAPES, example "\"streamer\"";
    }
}

impl ValueKind for Destinations {
    type Value = Vec<Destination>;

    fn expects(&self) -> String {
        "a list of collections: a path such as \"live_quotes\", or { path = \"live_quotes\", shape = \"streamer\" }"
            .into()
    }

    fn schema(&self) -> Json {
        let mut table = TABLE.schema();
        table["required"] = json!(["path"]);
        json!({ "type": "array", "minItems": 1, "items": { "anyOf": [PATH.schema(), table] } })
    }

    fn parse(&self, value: &Value) -> Result<Vec<Destination>, Vec<ValueError>> {
        let elements = match value {
            Value::Array(_, elements) if !elements.is_empty() => elements,
            Value::Array(..) => {
                return Err(self.invalid(value, "The list is empty."));
            }
            _ => return Err(self.wrong_type(value)),
        };
        let found = all(elements, |element| self.destination(element))?;
        let is_repeated = |at: &usize| found[..*at].iter().any(|other| other.collection == found[*at].collection);
        match (0..found.len()).find(is_repeated) {
            None => Ok(found),
            Some(at) => {
                let sentence = format!("The collection {:?} is in the list twice.", found[at].collection);
                let error = ValueError::hidden(sentence, "Remove one of the two.");
                Err(vec![ValueError { index: Some(at), ..error }])
            }
        }
    }

    fn show(&self, value: &Vec<Destination>) -> String {
        let one = |Destination { collection, shape }: &Destination| match shape {
            None => Collection.show(collection),
            Some(shape) => format!("{{ path = {}, shape = {} }}", Collection.show(collection), SHAPES.show(shape)),
        };
        format!("[{}]", value.iter().map(one).collect::<Vec<_>>().join(", "))
    }

    /// Paths between commas, or a list as TOML writes it.
    fn raw_from_text(&self, text: &str) -> Value {
        match crate::layer::raw_from_toml(text) {
            Some(list @ Value::Array(..)) => list,
            _ => Value::from(text.split(',').map(str::trim).filter(|path| !path.is_empty()).collect::<Vec<_>>()),
        }
    }
}

impl Destinations {
    fn destination(&self, element: &Value) -> Result<Destination, Vec<ValueError>> {
        match element {
            Value::String(..) => Ok(Destination { collection: Collection.parse(element)?, shape: None }),
            Value::Dict(_, dict) => {
                let DestinationValues { path, shape } = TABLE.parse_table(dict)?;
                let missing =
                    || vec![ValueError::hidden("The key path is missing.", format!("Use {}.", self.expects()))];
                Ok(Destination { collection: path.ok_or_else(missing)?, shape })
            }
            _ => Err(self.invalid(element, "This is not a collection.")),
        }
    }
}

/// Every value, or everything that is wrong, with its index.
pub(super) fn all<T>(
    elements: &[Value],
    mut parse: impl FnMut(&Value) -> Result<T, Vec<ValueError>>,
) -> Result<Vec<T>, Vec<ValueError>> {
    let (mut values, mut errors) = (Vec::new(), Vec::new());
    for (index, element) in elements.iter().enumerate() {
        match parse(element) {
            Ok(value) => values.push(value),
            Err(found) => errors.extend(found.into_iter().map(|error| ValueError { index: Some(index), ..error })),
        }
    }
    if errors.is_empty() { Ok(values) } else { Err(errors) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn shown(text: &str) -> Result<String, Vec<String>> {
        let errors = |errors: Vec<ValueError>| errors.iter().map(ValueError::sentence_with_key).collect();
        Destinations.parse(&Destinations.raw_from_text(text)).map(|list| Destinations.show(&list)).map_err(errors)
    }

    #[test]
    fn a_collection_is_a_path_or_a_table_with_a_shape() {
        let toml = r#"["live_quotes", { path = "market_intelligence/quotes/live", shape = "streamer" }]"#;
        assert_eq!(shown(toml).unwrap(), toml);
        assert_eq!(shown(" live_quotes, a/b/c ,").unwrap(), r#"["live_quotes", "a/b/c"]"#);
        assert_eq!(shown(r#"[{ path = "a" }]"#).unwrap(), r#"["a"]"#);
    }

    #[test]
    fn every_bad_collection_is_named() {
        let found =
            shown(r#"["a/b", "ops", { path = "x", shape = "streamr" }, { shape = "standard" }, 7]"#).unwrap_err();
        let expected = [
            "This is not a collection: it has an even number of parts",
            "This is not a collection: `ops` is reserved",
            r#"shape = "streamr": This is not one of the choices."#,
            "The key path is missing.",
            "This is not a collection.",
        ];
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}");
        }
        assert_eq!(shown("a, b, a").unwrap_err(), [r#"The collection "a" is in the list twice."#]);
        assert_eq!(shown("[]").unwrap_err(), ["The list is empty."]);
    }
}
