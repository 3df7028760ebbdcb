use serde_json::Value as Json;

use crate::Origin;
use crate::kind::to_json;
use crate::layer::raw_from_toml;

/// One effective setting, for `quotegate check`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The key, dotted as in the file.
    pub key: String,
    /// The value as TOML; `set` or `unset` for a secret, `none` for an optional setting that nobody set.
    pub value: String,
    /// Where the value comes from.
    pub origin: Origin,
    /// The value differs from the default. A tenant's default is the value in `[tenant_defaults]`.
    pub changed: bool,
}

impl Row {
    /// The value for programs: `null` where there is none, `"set"` for a secret.
    pub fn json_value(&self) -> Json {
        match (self.value.as_str(), raw_from_toml(&self.value)) {
            ("none" | "unset", _) => Json::Null,
            (_, Some(value)) => to_json("", &value).unwrap_or_default(),
            (text, None) => text.into(),
        }
    }
}

/// The rows as aligned plain text, one line each: key, value, origin.
pub fn render<'a>(rows: impl IntoIterator<Item = &'a Row, IntoIter: Clone>) -> String {
    // A long list of symbols must not push every other line's origin off the screen.
    const WIDEST_VALUE: usize = 40;
    let rows = rows.into_iter();
    let width = |text: &str| text.chars().count();
    let key_width = rows.clone().map(|row| width(&row.key)).max().unwrap_or(0);
    let value_width = rows.clone().map(|row| width(&row.value).min(WIDEST_VALUE)).max().unwrap_or(0);
    let line = |row: &Row| format!("{:key_width$}  {:value_width$}  {}\n", row.key, row.value, row.origin);
    rows.map(line).collect()
}
