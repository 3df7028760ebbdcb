//! The settings: defaults ← TOML file ← tenant files ← environment ← flags, checked as a whole, with the origin of each
//! value.
//!
//! Two steps. The raw layers (`layer`) hold what somebody wrote, each value with its origin; a value that is wrong on its
//! own is reported there, even if a later layer overrides it. Then [`Settings`] are read from the merged layers (`reader`,
//! `settings`): typed, immutable, the only thing that the rest of the program sees. Nothing stops at the first error:
//! [`SettingsError`] has them all.
//!
//! A setting is added in one place, as a field in a `settings!` block (`declare`). The file, the environment, `quotegate
//! check`, `config/quotegate.toml`, and the JSON Schemas follow from that field.
//!
//! Knows nothing of the crates that use the settings. Reads no environment and no clock, only the files that it is given.

mod declare;
mod documentation;
mod error;
mod json_schema;
mod key;
mod kind;
mod layer;
mod load;
mod origin;
mod reader;
mod report;
mod schema;
mod settings;
mod sources;
mod switches;

pub use documentation::documented_settings;
pub use error::{SettingError, SettingsError};
pub use json_schema::{settings_schema, tenant_schema};
pub use load::Loaded;
pub use origin::Origin;
pub use report::{Row, render};
pub use settings::{
    Calendar, ComponentLimits, Credentials, FeedSettings, HeartbeatSettings, HeartbeatTime, LeaseSettings, LogFormat,
    LogSettings, OpsSettings, PaceSettings, PluginCode, PluginLimits, PluginRuntimeSettings, PluginSettings,
    PluginSetup, RelayAuth, RelayCompression, RelaySettings, ReplaySettings, Role, RunSettings, Settings, SimSettings,
    SimSymbols, SinkKind, SinkSettings, Source, StandardPlugin, SymbolChoice, TenantSettings, WriteRate,
};
pub use sources::{Override, Sources};
pub use switches::{SwitchEffect, SwitchReading, SwitchState, Switches};
