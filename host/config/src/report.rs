use crate::Origin;

/// One effective setting, for `quotegate check`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The key, dotted as in the file.
    pub key: String,
    /// The value as TOML; `set` or `unset` for a secret, `none` for an optional setting that nobody set.
    pub value: String,
    /// Where the value comes from.
    pub origin: Origin,
}

/// The rows as aligned plain text, one line each: key, value, origin.
pub fn render(rows: &[Row]) -> String {
    // A long list of symbols must not push every other line's origin off the screen.
    const WIDEST_VALUE: usize = 40;
    let width = |text: &str| text.chars().count();
    let key_width = rows.iter().map(|row| width(&row.key)).max().unwrap_or(0);
    let value_width = rows.iter().map(|row| width(&row.value).min(WIDEST_VALUE)).max().unwrap_or(0);
    let line = |row: &Row| format!("{:key_width$}  {:value_width$}  {}\n", row.key, row.value, row.origin);
    rows.iter().map(line).collect()
}
