//! `config/quotegate.toml`: every key with its meaning, bounds, variables, and default.

use std::fmt::Write;

use crate::key::{Declaration, DefaultText};
use crate::schema::{Entry, Schema};

const HEAD: &str = "\
#:schema ./quotegate.schema.json

# Every setting of quotegate with its default. To change one, remove the # at the beginning of its line.
#
# Later sources override earlier ones: defaults, this file, tenants/*.toml next to this file, environment variables, flags.
# `quotegate check` prints the value of every setting and where it comes from.
#
# - Units are part of the key: _s is seconds, _ms milliseconds, _mib MiB, _kib KiB.
# - Each key has an environment variable QUOTEGATE_SECTION__KEY, for example QUOTEGATE_SINK__BATCH_SIZE. Lists are
#   separated by commas. An empty variable is ignored. Some keys have other variables too, listed after \"Environment\".
# - Relative paths start at the working directory, not at this file.
# - The first line is for editors: with a TOML plugin such as Even Better TOML, they check and complete the keys.
";

const TAIL: &str = "
# One section per tenant, named by the tenant's ID. It takes the keys of [tenant_defaults]; keys that it does not set come
# from there.
#
# A tenant can also have its own file, tenants/<id>.toml next to this one, with the same keys at the top level. There the
# key `id` sets the ID if it is not the name of the file, and the schema for editors is ../tenant.schema.json.
#
# The environment variable TENANT_ID adds a tenant; MONITORED_SYMBOLS then sets the symbols of that tenant. To set other
# keys of one tenant, use variables such as QUOTEGATE_TENANTS__ACME__BURST.
[tenants.acme]
symbols = [\"SPY\", \"AAPL\"]

[tenants.globex]
symbols = [\"QQQ\"]
per_symbol_min_interval_ms = 5000
";

/// The text of `config/quotegate.toml`, made from the same declarations that read it.
pub fn documented_settings() -> String {
    let schema = Schema::new();
    let mut text = HEAD.to_owned();
    for section in &schema.sections {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n{}[{}]\n", wrap(section.doc), section.path);
        for entry in schema.entries_in(&section.path) {
            describe(entry, &mut text);
        }
    }
    text + TAIL
}

fn describe(entry: &Entry, text: &mut String) {
    let Entry { path, declaration: key } = entry;
    let _ = write!(text, "\n{}", wrap(&key.description("\n")));
    let _ = match &key.default {
        DefaultText::Value(default) => writeln!(text, "# {} = {default}", key.name),
        DefaultText::Example(example) => writeln!(text, "# No default. Example:\n# {} = {example}", key.name),
    };
    let keys = key.kind.table_keys();
    if !keys.is_empty() {
        let name = key.name;
        let _ = write!(text, "#\n# Each plugin is a table [[tenants.<id>.{name}]] or [[{path}]] with these keys:\n");
    }
    for key in keys {
        describe_table_key(&key, "", text);
    }
}

fn describe_table_key(key: &Declaration, prefix: &str, text: &mut String) {
    let keys = key.kind.table_keys();
    if keys.is_empty() {
        let _ = match &key.default {
            DefaultText::Value(default) => {
                write!(text, "#\n{}#   {prefix}{} = {default}\n", wrap(&key.description("\n")), key.name)
            }
            DefaultText::Example(example) => {
                let description = wrap(&format!("{} No default. Example:", key.description("\n")));
                write!(text, "#\n{description}#   {prefix}{} = {example}\n", key.name)
            }
        };
    }
    for inner in keys {
        describe_table_key(&inner, &format!("{prefix}{}.", key.name), text);
    }
}

impl Declaration {
    /// What the key does, and on another line what it must be and which environment variables set it.
    pub(crate) fn description(&self, line_break: &str) -> String {
        let environment = match self.variables {
            [] => String::new(),
            [only] => format!(" Environment: {only}."),
            [first, others @ ..] => format!(" Environment: {first} (or {}).", others.join(", ")),
        };
        format!("{}{line_break}Must be {}.{environment}", self.doc, self.kind.expects())
    }
}

/// Comment lines of at most 120 characters.
fn wrap(text: &str) -> String {
    let mut lines = String::new();
    for line in text.lines() {
        lines.push('#');
        let mut width = 1;
        for word in line.split(' ') {
            if width + 1 + word.chars().count() > 120 {
                lines.push_str("\n#");
                width = 1;
            }
            lines.push(' ');
            lines.push_str(word);
            width += 1 + word.chars().count();
        }
        lines.push('\n');
    }
    lines
}
