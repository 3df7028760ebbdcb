//! What the rest of the program sees: checked, immutable, with units in the types.

mod credentials;
mod feed;
mod ops;
mod plugin;
mod run;
mod sink;
mod source;
mod tenant;

pub use credentials::Credentials;
pub use feed::{AuthBy, Calendar, Encoding, FeedSettings};
pub use ops::OpsSettings;
pub use plugin::{OnError, PluginCode, PluginLimits, PluginSettings, PluginSetup, StandardPlugin};
pub use run::{HeartbeatSettings, LogFormat, LogSettings, PluginRoomSettings, RunSettings};
pub use sink::{PaceSettings, SinkKind, SinkSettings, WriteMode};
pub use source::{ReplaySettings, SimRate, SimSettings, SimSymbols, Source, Speed};
pub use tenant::{SymbolChoice, TenantSettings, WriteRate};

use crate::reader::Reader;

/// Every setting. What exists has been checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where quotes come from: `feed.source` and what belongs to it.
    pub source: Source,
    /// The connection to a live feed and its watchdogs.
    pub feed: FeedSettings,
    /// The limit of all tenants together.
    pub pace: PaceSettings,
    /// Where documents go.
    pub sink: SinkSettings,
    /// The heartbeat documents.
    pub heartbeat: HeartbeatSettings,
    /// What operators look at, over HTTP.
    pub ops: OpsSettings,
    /// What all plugins share.
    pub plugins: PluginRoomSettings,
    /// The process.
    pub run: RunSettings,
    /// Its log.
    pub log: LogSettings,
    /// Every tenant, by id in ascending order; at least one.
    pub tenants: Vec<TenantSettings>,
}

impl Settings {
    /// Reads everything, in the order of the documentation. `None` only beside a noted problem.
    pub(crate) fn read(from: &mut Reader<'_>) -> Option<Self> {
        from.section(["feed"]);
        let source = source::SourceValues::read(from);
        let feed = FeedSettings::read(from);
        let (sim, replay) = (SimSettings::read(from), source::ReplayValues::read(from));
        let pace = PaceSettings::read(from);
        let sink = SinkSettings::read(from);
        let heartbeat = HeartbeatSettings::read(from);
        let ops = OpsSettings::read(from);
        let plugins = PluginRoomSettings::read(from);
        let run = RunSettings::read(from);
        let log = LogSettings::read(from);
        let tenants = tenant::read_all(from);

        feed.check_plan(&tenants, from);
        let source = source.settle(sim, replay, &feed, &sink, from)?;
        Some(Self { source, feed, pace, sink, heartbeat, ops, plugins, run, log, tenants })
    }
}
