use quotegate_plugin_sdk::{Document, Map, QuoteView, Value};

use crate::config::{Config, FieldConfig, Settings};
use crate::field::Field;
use crate::template::Template;

/// The fields that the host writes without any map, and their sources.
const STANDARD: [(&str, &str); 11] = [
    ("symbol", "symbol"),
    ("bid", "bid_price"),
    ("ask", "ask_price"),
    ("price", "mid"),
    ("bid_size", "bid_size"),
    ("ask_size", "ask_size"),
    ("ts", "event_time"),
    ("updated_at", "received_time"),
    ("bid_price", "bid_price"),
    ("ask_price", "ask_price"),
    ("last_update_ts", "event_time"),
];

/// Compiled settings.
#[derive(Debug)]
pub struct FieldMap {
    collection: Option<Template>,
    id: Option<Template>,
    fields: Vec<Field>,
    /// The standard fields that the settings leave; none where they do not ask for them.
    standard: Option<Vec<Field>>,
    /// Paths that an earlier document does not pass on.
    covered: Vec<String>,
}

impl Map for FieldMap {
    type Config = Settings;

    fn new(tenant: &str, settings: Settings) -> Result<Self, String> {
        let config = Config::new(settings)?;
        let paths: Vec<&String> = config.fields.keys().collect();
        check_paths(&paths)?;
        if !config.standard && config.fields.is_empty() {
            return Err("No document has a field; give `fields`, or `standard = true`.".into());
        }
        if !config.standard && !config.drop.is_empty() {
            return Err("`drop` has nothing to leave out; it goes with `standard = true`.".into());
        }
        let compile = |name: &str, text: &Option<String>| {
            let template = text.as_ref().map(|text| Template::new(text, tenant)).transpose();
            template.map_err(|problem| format!("In `{name}`: {problem}"))
        };
        let (collection, id) = (compile("collection", &config.collection)?, compile("id", &config.id)?);
        let fields = config.fields.iter().map(|(path, field)| Field::read(path, field, tenant, config.nulls));
        let fields = fields.collect::<Result<_, _>>()?;
        let covered: Vec<String> = paths.into_iter().chain(&config.drop).cloned().collect();
        let standard = config.standard.then(|| standard(&config, &covered)).transpose()?;
        Ok(Self { collection, id, fields, standard, covered })
    }

    fn map(&mut self, quote: &QuoteView<'_>, earlier: &[Document]) -> Vec<Document> {
        if self.standard.is_none() || earlier.is_empty() {
            return vec![self.finish(Document::new(), quote, self.standard.as_deref().unwrap_or(&[]))];
        }
        earlier.iter().map(|document| self.finish(self.pass_on(document), quote, &[])).collect()
    }
}

impl FieldMap {
    fn pass_on(&self, earlier: &Document) -> Document {
        let mut document = earlier.clone();
        document.fields.retain(|(path, _)| !is_covered(path, &self.covered));
        document
    }

    fn finish(&self, mut document: Document, quote: &QuoteView<'_>, standard: &[Field]) -> Document {
        if let Some(collection) = &self.collection {
            document.collection = Some(collection.id(quote));
        }
        if let Some(id) = &self.id {
            document.id = Some(id.id(quote));
        }
        let fields = standard.iter().chain(&self.fields);
        document.fields.reserve(standard.len() + self.fields.len());
        document.fields.extend(fields.filter_map(|field| Some((field.path.clone(), field.value(quote)?))));
        document
    }
}

fn standard(config: &Config, covered: &[String]) -> Result<Vec<Field>, String> {
    let mut fields = Vec::new();
    for (path, source) in STANDARD {
        fields.push(Field::new(path, &FieldConfig::Name(source.into()), "", config.nulls)?);
    }
    let source = crate::field::Recipe::Constant("alpaca".into());
    fields.push(Field { path: "source".into(), recipe: source, default: Value::Null, nulls: config.nulls });
    fields.retain(|field| !is_covered(&field.path, covered));
    Ok(fields)
}

/// Whether a path is one of these, or lies below or above one.
fn is_covered(path: &str, by: &[String]) -> bool {
    by.iter().any(|other| path == other || is_below(path, other) || is_below(other, path))
}

fn is_below(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.starts_with('.'))
}

fn check_paths(paths: &[&String]) -> Result<(), String> {
    for path in paths {
        if !path.split('.').all(is_name) || path.split('.').count() > 20 {
            return Err(format!(
                "`{path}` is no path of a field; names of letters, digits and _ joined by dots, at most 20, are."
            ));
        }
        if let Some(above) = paths.iter().find(|above| is_below(path, above)) {
            return Err(format!("`{above}` cannot be a field and also hold `{path}`; rename one."));
        }
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    let reserved = name.len() >= 4 && name.starts_with("__") && name.ends_with("__");
    let begins = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    begins && !reserved && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
