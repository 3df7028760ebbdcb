use std::fmt::Write;

use crate::catalogue::{Catalogue, DefaultText, Entry};
use crate::key::{KeyPath, TENANT_DEFAULTS};

const HEAD: &str = "\
# quotegate: every setting, with its default. A line that begins with # changes nothing; take the # away and change it.
#
# Later layers win: defaults, this file, tenants/*.toml beside it, environment variables, flags.
# Every key has a variable QUOTEGATE_SECTION__KEY; lists have commas between, an empty variable counts as unset.
# `quotegate check` shows what counts in the end and where it comes from. Relative paths start at the working directory.
# Keys end with their unit: _s seconds, _ms milliseconds, _mib MiB, _kib KiB.
";

const TAIL: &str = "
# One section for each tenant, named by its id, with the keys of [tenant_defaults]; what is missing comes from there.
# A tenant can also have a file of its own, tenants/<id>.toml beside this one, with the same keys at the top level
# (the key `id` gives it an id that differs from the file's name). TENANT_ID adds a tenant, and MONITORED_SYMBOLS then
# sets that tenant's symbols. Variables of one tenant: QUOTEGATE_TENANTS__ACME__SYMBOLS.
[tenants.acme]
symbols = [\"SPY\", \"AAPL\"]

[tenants.globex]
symbols = [\"QQQ\"]
per_symbol_min_interval_ms = 5000
";

/// The text of `config/quotegate.toml`: every key with its meaning, bounds, variables and default, made from the same
/// declarations that read it.
pub fn documented_settings() -> String {
    let mut text = HEAD.to_owned();
    let mut section = KeyPath::default();
    for entry in Catalogue::new().entries() {
        if entry.path.parent() != section {
            section = entry.path.parent();
            let _ = writeln!(text, "{}\n[{section}]", note(&section));
        }
        describe(entry, &mut text);
    }
    text + TAIL
}

fn note(section: &KeyPath) -> &'static str {
    if *section == KeyPath::new([TENANT_DEFAULTS]) { "\n# What a tenant has that does not say otherwise." } else { "" }
}

fn describe(entry: &Entry, text: &mut String) {
    let variables: Vec<_> = entry.variables.iter().map(|name| (*name).to_owned()).collect();
    let set_by = match variables.split_first() {
        None => String::new(),
        Some((first, [])) => format!(" Also {first}."),
        Some((first, others)) => format!(" Also {first} (or {}).", others.join(", ")),
    };
    let expects = entry.form.expects();
    let wrapped = wrap(&format!("{} Takes {expects}.{set_by}", entry.doc));
    let name = entry.path.last();
    // Writing to a string cannot fail.
    let _ = match &entry.default {
        DefaultText::Value(default) => writeln!(text, "\n{wrapped}# {name} = {default}"),
        DefaultText::Example(example) => writeln!(text, "\n{wrapped}# No default; for example:\n# {name} = {example}"),
    };
    let keys = entry.form.table_keys();
    if !keys.is_empty() {
        let _ = write!(text, "#\n# Each is a table [[tenants.<id>.{name}]], or [[{}]], with these keys:\n", entry.path);
    }
    for key in keys {
        let _ = write!(text, "#\n{}#   {} = {}\n", wrap(&key.doc), key.name, key.example);
    }
}

/// Comment lines of at most 120 characters.
fn wrap(sentence: &str) -> String {
    let mut lines = String::from("#");
    let mut width = 1;
    for word in sentence.split(' ') {
        if width + 1 + word.chars().count() > 120 {
            lines.push_str("\n#");
            width = 1;
        }
        lines.push(' ');
        lines.push_str(word);
        width += 1 + word.chars().count();
    }
    lines.push('\n');
    lines
}
