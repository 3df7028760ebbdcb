use std::collections::BTreeSet;

use quotegate_plugin::{PluginEngine, PluginInstance, PreparedPlugin, Sha256Hash};
use serde::Serialize;
use wasmparser::{KnownCustom, Parser, Payload};

use crate::setup::Setup;

/// What can be known of a file that should be a plugin. As JSON it is what `quotegate plugin inspect --json` prints.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspection {
    /// Goes up when something changes its meaning or goes away.
    pub schema: u32,
    /// Of the file.
    pub bytes: usize,
    /// Of the file; what a tenant pins.
    pub sha256: String,
    /// `language`, `processed-by` or `sdk`, then name and version: what its producers sections say of its making.
    pub made_by: Vec<(String, String)>,
    /// What it wants of the host.
    pub imports: Vec<String>,
    /// What it offers.
    pub exports: Vec<String>,
    /// Why this host does not accept it, in a sentence; `None`: it does.
    pub refused: Option<String>,
    /// What it says of itself once it is configured; `None` where it is not accepted.
    pub plugin: Option<Accepted>,
}

/// Of a plugin that this host accepts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Accepted {
    /// The version of `quotegate:plugin` that it is built for.
    pub interface: &'static str,
    /// Whether it filters.
    pub filters: bool,
    /// Whether it maps.
    pub maps: bool,
    /// Columns and reasons, or why it does not start with this setup.
    pub started: Result<Started, String>,
}

/// Of a plugin that has started.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Started {
    /// The columns that its filter reads; fewer are faster.
    pub columns: Vec<&'static str>,
    /// Why it may refuse a quote.
    pub reasons: Vec<String>,
    /// What it holds once it has started.
    pub memory_bytes: usize,
}

/// Looks at a file, whatever it is; compiles and starts it with this setup if the host accepts it.
pub fn inspect(engine: &PluginEngine, name: &str, bytes: &[u8], setup: &Setup) -> Inspection {
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
    // What is broken further on may have said enough before.
    let _ = read(bytes, &mut found);
    match PreparedPlugin::new(engine, name, bytes, None) {
        Err(problem) => found.refused = Some(problem.to_string()),
        Ok(plugin) => {
            let started = PluginInstance::start(&plugin, &setup.tenant, &setup.config, &setup.limits);
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

/// Imports and exports are the outermost component's; the modules in it say what made them.
fn read(bytes: &[u8], found: &mut Inspection) -> wasmparser::Result<()> {
    let mut made_by = BTreeSet::new();
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    found.imports.push(plain(import?.name.name));
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    found.exports.push(plain(export?.name.name));
                }
            }
            Payload::CustomSection(section) => {
                if let KnownCustom::Producers(fields) = section.as_known() {
                    for field in fields {
                        let field = field?;
                        for value in field.values {
                            let value = value?;
                            let named = plain(&format!("{} {}", value.name, value.version));
                            made_by.insert((plain(field.name), named.trim_end().to_owned()));
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

/// A file from anywhere must not write to a terminal as it likes.
fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}
