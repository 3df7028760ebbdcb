use std::collections::BTreeSet;

use quotegate_plugin::{PluginEngine, PluginFailure, PluginInstance, PreparedPlugin, Sha256Hash};
use serde::Serialize;
use wasmparser::{KnownCustom, Parser, Payload};

use crate::setup::Setup;

/// What a component contains. `quotegate plugin inspect --json` prints it as JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspection {
    /// Incremented when a field changes its meaning or is removed.
    pub schema: u32,
    /// The file's size.
    pub bytes: usize,
    /// The file's hash, which tenants can pin.
    pub sha256: String,
    /// From its producers sections: `language`, `processed-by` or `sdk`, and a name and version.
    pub made_by: Vec<(String, String)>,
    /// Names of its imports.
    pub imports: Vec<String>,
    /// Names of its exports.
    pub exports: Vec<String>,
    /// Why this host does not accept or start it; `None` if it does.
    pub refused: Option<String>,
    /// What it is; `None` if it is rejected before it is started.
    pub plugin: Option<Accepted>,
}

/// A plugin whose component this host accepts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Accepted {
    /// The version of `quotegate:plugin` that it is built for.
    pub interface: &'static str,
    /// Whether it has a filter.
    pub filters: bool,
    /// Whether it has a map.
    pub maps: bool,
    /// What it declares in `configure`, or why it did not start.
    pub started: Result<Started, String>,
}

/// A plugin that has started.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Started {
    /// The columns that its filter reads. Fewer are faster.
    pub columns: Vec<&'static str>,
    /// Its reasons for refusing quotes.
    pub reasons: Vec<String>,
    /// Its memory after the start.
    pub memory_bytes: usize,
}

/// Inspects any file. If it is an accepted component, compiles it and starts it with this setup, as a host would. Without a
/// setup it gets an empty configuration, which it may reject: then it needs one.
pub fn inspect(engine: &PluginEngine, name: &str, bytes: &[u8], setup: Option<&Setup>) -> Inspection {
    let mut found = Inspection {
        schema: 1,
        bytes: bytes.len(),
        sha256: Sha256Hash::of(bytes).to_string(),
        made_by: Vec::new(),
        imports: Vec::new(),
        exports: Vec::new(),
        refused: None,
        plugin: None,
    };
    // A file that is broken at the end is still worth reporting on.
    let _ = read(bytes, &mut found);
    match PreparedPlugin::new(engine, name, bytes, None) {
        Err(error) => found.refused = Some(error.to_string()),
        Ok(plugin) => {
            let Setup { tenant, config, limits, .. } = &setup.cloned().unwrap_or_default();
            let started = PluginInstance::start(&plugin, tenant, config, limits);
            found.refused = match &started {
                Ok(_) => None,
                Err(PluginFailure::Configuration(_)) if setup.is_none() => None,
                Err(failure) => Some(format!("It does not start: {}.", failure.to_string().trim_end_matches('.'))),
            };
            let started = started.map_err(|failure| failure.to_string()).map(|instance| Started {
                columns: instance.columns(),
                reasons: instance.reasons().to_vec(),
                memory_bytes: instance.memory_bytes(),
            });
            found.plugin =
                Some(Accepted { interface: plugin.version(), filters: plugin.filters(), maps: plugin.maps(), started });
        }
    }
    found
}

/// Imports and exports are those of the outermost component; producers sections are also in the modules inside it.
fn read(bytes: &[u8], found: &mut Inspection) -> wasmparser::Result<()> {
    let mut made_by = BTreeSet::new();
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    found.imports.push(printable(import?.name.name));
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    found.exports.push(printable(export?.name.name));
                }
            }
            Payload::CustomSection(section) => {
                if let KnownCustom::Producers(fields) = section.as_known() {
                    for field in fields {
                        let field = field?;
                        for value in field.values {
                            let value = value?;
                            let named = printable(&format!("{} {}", value.name, value.version));
                            made_by.insert((printable(field.name), named.trim_end().to_owned()));
                        }
                    }
                    found.made_by = made_by.iter().cloned().collect();
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Replaces control characters, because the terminal must not be controlled by a file.
fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}
