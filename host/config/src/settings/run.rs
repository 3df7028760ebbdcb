use std::path::PathBuf;
use std::time::Duration;

use crate::form::{Choice, Flag, PathText, Span, Text, Whole, ZeroIsOff, rule};
use crate::key::key;
use crate::reader::Reader;

/// The heartbeat documents, `[heartbeat]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeartbeatSettings {
    /// The longest time between two heartbeats of a tenant.
    pub interval: Duration,
}

impl HeartbeatSettings {
    pub(super) fn read(from: &mut Reader<'_>) -> Self {
        from.section(["heartbeat"]);
        let interval = key(
            "interval_s",
            "The longest time between two heartbeats of a tenant. Each one is a write.",
            Span::seconds(1.0, 3600.0),
        );
        Self { interval: from.read(interval.named(&["HEARTBEAT_INTERVAL_S"]), Duration::from_secs(15)) }
    }
}

/// What all plugins share, `[plugins]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginRoomSettings {
    /// Whether compiled code is kept on disk.
    pub cache: bool,
    /// Where; `None`: the user's cache folder.
    pub cache_folder: Option<PathBuf>,
    /// Threads that tenants run on; `None`: four times the processors, at least eight.
    pub threads: Option<u32>,
}

impl PluginRoomSettings {
    pub(super) fn read(from: &mut Reader<'_>) -> Self {
        from.section(["plugins"]);
        let cache = key("cache", "Keep compiled plugins on disk, so that the next start need not compile them.", Flag);
        let folder = key(
            "cache_folder",
            "The folder for compiled plugins, which nobody else may write to; else quotegate in the user's cache folder.",
            PathText,
        );
        let threads = key(
            "threads",
            "Threads for the tenants and their plugins. A plugin in an endless loop holds one until its time is over.",
            ZeroIsOff { form: Whole { min: 1, max: 1024 }, meaning: "four times the processors, at least eight" },
        );
        Self {
            cache: from.read(cache, true),
            cache_folder: from.read_optional(folder, "\"/var/cache/quotegate\""),
            threads: from.read(threads, None),
        }
    }
}

/// The process, `[run]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunSettings {
    /// The host shuts down after this time; `None`: when it is told to.
    pub stop_after: Option<Duration>,
    /// How long a shutdown may write what is dirty.
    pub shutdown_grace: Duration,
    /// How often the settings' files and the plugins are looked at for changes; `None`: only on SIGHUP.
    pub watch_interval: Option<Duration>,
    /// A name of this process in heartbeats and logs; `None`: one is made up.
    pub instance: Option<String>,
    /// Nothing is written but heartbeats.
    pub paused: bool,
    /// How often the document `ops/ingest_control` is read, which pauses too; `None`: never.
    pub control_interval: Option<Duration>,
}

const INSTANCE: Text = Text { expects: "one word such as \"host-a\"", rule: rule::one_word };

impl RunSettings {
    pub(super) fn read(from: &mut Reader<'_>) -> Self {
        from.section(["run"]);
        let stop = key(
            "stop_after_s",
            "The host shuts down by itself after this time.",
            ZeroIsOff { form: Span::seconds(0.1, 31_536_000.0), meaning: "it does not" },
        );
        let grace = key(
            "shutdown_grace_s",
            "How long a shutdown may write what is dirty. Cloud Run kills after 10 s.",
            Span::seconds(0.0, 3600.0),
        );
        let watch = key(
            "watch_interval_s",
            "How often files of settings and plugins are looked at for changes. SIGHUP looks at once.",
            ZeroIsOff { form: Span::seconds(0.1, 86_400.0), meaning: "only on SIGHUP" },
        );
        let instance = key("instance", "A name of this process in heartbeats and logs; else one is made up.", INSTANCE);
        let paused =
            key("paused", "Write nothing but heartbeats, which say so. Counts at once when it is reloaded.", Flag);
        let control = key(
            "control_interval_s",
            "How often the Firestore document ops/ingest_control is read, which pauses writing. Each time is one read.",
            ZeroIsOff { form: Span::seconds(0.1, 3600.0), meaning: "never" },
        );
        Self {
            stop_after: from.read(stop.named(&["STOP_AFTER_SECONDS"]), None),
            shutdown_grace: from.read(grace, Duration::from_secs(8)),
            watch_interval: from.read(watch, Some(Duration::from_secs(5))),
            instance: from.read_optional(instance, "\"host-a\""),
            paused: from.read(paused, false),
            control_interval: from.read(control, Some(Duration::from_secs(10))),
        }
    }
}

/// The log, `[log]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// For machines or for people.
    pub format: LogFormat,
    /// Which lines: levels for everything and for parts, as in `info,quotegate_feed=debug`.
    pub level: String,
}

/// For machines or for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Pretty on a terminal, JSON else.
    Auto,
    /// JSON lines in the fields that Cloud Logging knows.
    Json,
    /// Lines for people.
    Pretty,
}

const FORMATS: &[(&str, LogFormat)] =
    &[("auto", LogFormat::Auto), ("json", LogFormat::Json), ("pretty", LogFormat::Pretty)];
const FILTER: Text =
    Text { expects: "levels such as \"info\" or \"info,quotegate_feed=debug\"", rule: rule::log_filter };

impl LogSettings {
    pub(super) fn read(from: &mut Reader<'_>) -> Self {
        from.section(["log"]);
        let format = key("format", "JSON lines or lines for people; auto goes by the terminal.", Choice(FORMATS));
        let level = key("level", "Which lines: a level for everything, and others for parts of the program.", FILTER);
        Self { format: from.read(format, LogFormat::Auto), level: from.read(level, "info".to_owned()) }
    }
}
