//! What the rest of the program sees: checked, immutable, with units in the types.

mod feed;
mod lease;
mod ops;
mod plugin;
mod relay;
mod run;
mod sink;
mod source;
mod tenant;

pub use feed::{Calendar, FeedSettings};
pub use lease::LeaseSettings;
pub use ops::OpsSettings;
pub(crate) use plugin::STANDARD_PLUGINS;
pub use plugin::{PluginCode, PluginLimits, PluginSettings, PluginSetup, StandardPlugin};
pub use relay::{RelayAuth, RelayCompression, RelaySettings};
pub use run::{
    ComponentLimits, HeartbeatSettings, HeartbeatTime, LogFormat, LogSettings, PluginRuntimeSettings, Role, RunSettings,
};
pub use sink::{PaceSettings, SinkKind, SinkSettings};
pub use source::{Credentials, ReplaySettings, SimSettings, SimSymbols, Source};
pub use tenant::{SymbolChoice, TenantSettings, WriteRate};

use crate::reader::Reader;
use crate::switches::Switches;
use source::SourceKind;

/// Every setting. What exists has been checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where quotes come from: `feed.source` and what belongs to it.
    pub source: Source,
    /// The connection to a live feed and its watchdogs.
    pub feed: FeedSettings,
    /// The write limit that all tenants share.
    pub pace: PaceSettings,
    /// Where documents go.
    pub sink: SinkSettings,
    /// Which of several hosts owns the feed.
    pub lease: LeaseSettings,
    /// How several hosts share the work; `None`: one process does everything.
    pub relay: Option<RelaySettings>,
    /// The heartbeat documents.
    pub heartbeat: HeartbeatSettings,
    /// The HTTP server for operators.
    pub ops: OpsSettings,
    /// What all plugins share.
    pub plugins: PluginRuntimeSettings,
    /// What their components may contain.
    pub component_limits: ComponentLimits,
    /// The process.
    pub run: RunSettings,
    /// Its log.
    pub log: LogSettings,
    /// Every tenant, by id in ascending order; at least one.
    pub tenants: Vec<TenantSettings>,
    /// The old job's switches, which the environment sets. They are not settings.
    pub switches: Switches,
}

impl Settings {
    /// Reads everything, in the order of the documentation. `None` only beside a reported error.
    pub(crate) fn read(from: &mut Reader<'_>) -> Option<Self> {
        from.section(["feed"], "The source of quotes, and the connection to Alpaca.");
        let source = source::SourceValues::read(from);
        let feed = FeedSettings::read(from);
        feed.check(from);
        let sim = SimSettings::read(from.section(["feed", "sim"], "The simulator, for feed.source = \"sim\"."));
        let replay = source::ReplayValues::read(
            from.section(["feed", "replay"], "The recording to play, for feed.source = \"replay\"."),
        );
        let pace = PaceSettings::read(
            from.section(["pace"], "The limit of quote writes that all tenants share. Heartbeats do not count."),
        );
        let mut sink = SinkSettings::read(from.section(["sink"], "Where documents are written."));
        sink.resolve(from);
        let lease = LeaseSettings::read(from.section(["lease"], "Several hosts of which one does the work."));
        let relay = relay::RelayValues::read(from.section(["relay"], "Several hosts that share the work."));
        let heartbeat = HeartbeatSettings::read(
            from.section(["heartbeat"], "The heartbeat documents, one per tenant, at tenants/{id}/ops/market_ingest."),
        );
        let ops = OpsSettings::read(
            from.section(["ops"], "The HTTP server for operators: health, metrics, state, web page."),
        );
        let plugins = PluginRuntimeSettings::read(from.section(["plugins"], "What the plugins of all tenants share."));
        let component_limits = ComponentLimits::read(from.section(
            ["plugins", "component_limits"],
            "What the component of a plugin may contain, checked before it is compiled. The defaults are far above what \
             components with a JavaScript or Python runtime contain.",
        ));
        let run = RunSettings::read(from.section(["run"], "The process: shutdown, reloading, pausing."));
        let log = LogSettings::read(from.section(["log"], "The log, which goes to standard error."));
        let tenants = tenant::read_all(from);

        feed.check_plan(&tenants, from);
        sink.check_mirror(&tenants, from);
        let relay = relay.resolve(source.kind(), &sink, &run, from);
        let source = match &relay {
            Some(_) if run.role == Role::Worker => Source::Relay { simulated: source.kind() == SourceKind::Sim },
            _ => source.resolve(sim, replay, &feed, &sink, from)?,
        };
        let switches = Switches::default();
        Some(Self {
            source,
            feed,
            pace,
            sink,
            lease,
            relay,
            heartbeat,
            ops,
            plugins,
            component_limits,
            run,
            log,
            tenants,
            switches,
        })
    }
}
