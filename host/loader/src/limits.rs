//! Limits, from the settings' types to those of the plugin crate.

use quotegate_config::Settings;
use quotegate_plugin::{ComponentLimits, EngineSettings, PluginLimits};

/// Converts limits from the settings to those of the plugin crate.
pub fn plugin_limits(settings: &quotegate_config::PluginLimits) -> PluginLimits {
    PluginLimits {
        time_per_call: settings.time_per_call,
        time_to_start: settings.time_to_start,
        memory_bytes: settings.memory_bytes,
        host_bytes_per_call: settings.host_bytes_per_call,
        documents_per_quote: settings.documents_per_quote,
        document_bytes_per_quote: settings.document_bytes_per_quote,
        log_lines_per_second: settings.log_lines_per_second,
        share_of_time: settings.share_of_time,
        calls_per_instance: settings.calls_per_instance,
        ..PluginLimits::default()
    }
}

/// Converts what a component may contain from the settings to the plugin crate's.
pub(crate) fn component_limits(settings: &Settings) -> ComponentLimits {
    let limits = &settings.component_limits;
    ComponentLimits {
        bytes: limits.bytes,
        functions: limits.functions,
        code_bytes: limits.code_bytes,
        function_bytes: limits.function_bytes,
        types: limits.types,
        declaration_bytes: limits.declaration_bytes,
        tables: limits.tables,
        memories: limits.memories,
    }
}

/// The largest memory limit of any plugin.
pub(crate) fn memory_bytes(settings: &Settings) -> usize {
    let plugins = settings.tenants.iter().flat_map(|tenant| &tenant.plugins);
    plugins.map(|plugin| plugin.limits.memory_bytes).fold(EngineSettings::default().memory_bytes, usize::max)
}
