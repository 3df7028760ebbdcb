//! The settings as JSON Schemas (draft 7), for editors that check and complete TOML.

use serde_json::{Map, Value as Json, json};

use crate::key::{Declaration, DefaultText, KeyPath, TENANT_DEFAULTS, TENANTS};
use crate::kind::{TenantName, ValueKind, to_json};
use crate::layer::raw_from_toml;
use crate::schema::{Entry, Schema};

const DRAFT: &str = "http://json-schema.org/draft-07/schema#";

/// The JSON Schema of the main file, which is `config/quotegate.schema.json`.
pub fn settings_schema() -> String {
    let schema = Schema::new();
    let mut root = table("quotegate settings", "Everything that can be set in quotegate.toml.");
    for section in &schema.sections {
        let is_tenant = section.path == KeyPath::new([TENANT_DEFAULTS]);
        let keys = if is_tenant { json!({ "$ref": "#/definitions/tenant" }) } else { keys_of(&schema, &section.path) };
        let (name, parents) =
            section.path.names().split_last().map_or(("", &[][..]), |(last, parents)| (last, parents));
        let parent = parents.iter().fold(&mut root, |parent, name| &mut parent["properties"][name.as_str()]);
        parent["properties"][name] = keys;
    }
    root["properties"][TENANTS] = json!({
        "title": "tenants",
        "description": "One table per tenant, named by its ID.",
        "type": "object",
        "propertyNames": TenantName.schema(),
        "additionalProperties": { "$ref": "#/definitions/tenant" },
    });
    let mut tenant = keys_of_tenant(&schema);
    tenant["title"] = json!("tenant");
    tenant["description"] = json!("The settings of a tenant.");
    root["definitions"] = json!({ "tenant": tenant });
    document(root)
}

/// The JSON Schema of a tenant's own file, which is `config/tenant.schema.json`.
pub fn tenant_schema() -> String {
    let mut root = keys_of_tenant(&Schema::new());
    root["title"] = json!("quotegate tenant");
    root["description"] = json!("Everything that can be set in tenants/<id>.toml.");
    let mut id = TenantName.schema();
    id["title"] = json!("id");
    id["description"] = json!("The tenant's ID, if it is not the file's name without .toml.");
    root["properties"]["id"] = id;
    document(root)
}

fn keys_of_tenant(schema: &Schema) -> Json {
    let mut keys = keys_of(schema, &KeyPath::new([TENANT_DEFAULTS]));
    keys["not"] = json!({ "required": ["collection", "collections"] });
    keys
}

fn document(mut root: Json) -> String {
    root["$schema"] = json!(DRAFT);
    format!("{root:#}\n")
}

fn table(title: &str, description: &str) -> Json {
    json!({
        "title": title,
        "description": description,
        "type": "object",
        "properties": {},
        "additionalProperties": false,
    })
}

/// The schema of one section.
fn keys_of(schema: &Schema, section: &KeyPath) -> Json {
    let doc = schema.sections.iter().find(|known| known.path == *section).map_or("", |section| section.doc);
    let mut table = table(&section.to_string(), doc);
    let keys: Map<_, _> =
        schema.entries_in(section).map(|entry| (entry.path.last().to_owned(), entry_schema(entry))).collect();
    table["properties"] = Json::Object(keys);
    table
}

fn entry_schema(entry: &Entry) -> Json {
    // A tenant's keys are in many tables, so only their names are the same everywhere.
    let is_tenant = entry.path.parent() == KeyPath::new([TENANT_DEFAULTS]);
    let title = if is_tenant { entry.path.last().to_owned() } else { entry.path.to_string() };
    property(&entry.declaration, &title)
}

/// The schema of one key, with what the documentation says about it.
pub(crate) fn property(key: &Declaration, title: &str) -> Json {
    let mut schema = key.kind.schema();
    schema["title"] = json!(title);
    schema["description"] = json!(key.description("\n\n"));
    let as_json = |text: &str| raw_from_toml(text).and_then(|value| to_json("", &value).ok());
    match &key.default {
        DefaultText::Value(text) => schema["default"] = json!(as_json(text)),
        DefaultText::Example(text) => schema["examples"] = json!([as_json(text)]),
    }
    schema
}
