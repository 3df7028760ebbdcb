//! The settings: defaults ← TOML file ← tenant files ← environment ← flags, checked as a whole, with where each
//! value came from.
//!
//! Two steps. The raw layers (`layer`) hold what somebody wrote, each value with its place; what is wrong with a value
//! on its own is found there, even if a later layer overrides it. Then [`Settings`] are read from the merged layers
//! (`reader`, `settings`): typed, immutable, the only thing that goes inside the program. Nothing stops at the first
//! problem: [`Problems`] has them all.
//!
//! A setting is added in one place, as a field of a struct in `settings` with its `from.read(key(…))`: the file, the
//! environment, `quotegate check` and `config/quotegate.toml` follow from that line.
//!
//! Knows nothing of the other rooms; reads no environment and no clock, only the files that it is told of.

mod catalogue;
mod document;
mod form;
mod key;
mod layer;
mod load;
mod origin;
mod problem;
mod reader;
mod report;
mod settings;
mod sources;

pub use document::documented_settings;
pub use load::Loaded;
pub use origin::Origin;
pub use problem::{Problem, Problems};
pub use report::{Row, render};
pub use settings::{
    AuthBy, Calendar, Credentials, Encoding, FeedSettings, HeartbeatSettings, LogFormat, LogSettings, OnError,
    OpsSettings, PaceSettings, PluginCode, PluginLimits, PluginRoomSettings, PluginSettings, PluginSetup,
    ReplaySettings, RunSettings, Settings, SimRate, SimSettings, SimSymbols, SinkKind, SinkSettings, Source, Speed,
    StandardPlugin, SymbolChoice, TenantSettings, WriteMode, WriteRate,
};
pub use sources::{Override, Sources};
