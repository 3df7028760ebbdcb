use std::path::PathBuf;
use std::time::Duration;

use crate::declare::settings;
use crate::kind::{Bool, Choice, FilePath, Integer, Number, Size, Text, TimeSpan, ZeroIsOff, rule};
use crate::reader::Reader;

/// What the time in a heartbeat's `ts` follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeartbeatTime {
    /// The host: the time of writing.
    Host,
    /// The feed: it stops when quotes stop while the exchange is open.
    Feed,
}

const HEARTBEAT_TIMES: &[(&str, HeartbeatTime)] = &[("host", HeartbeatTime::Host), ("feed", HeartbeatTime::Feed)];

settings! {
    /// The heartbeat documents, `[heartbeat]`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct HeartbeatSettings from Reader {
        /// The longest time between two heartbeats of a tenant. Each heartbeat is one Firestore write. The page and
        /// `quotegate status` say STALE when two of them are overdue, but not before 30 s. UIs and trading gates have limits
        /// of their own (often 30 s and 120 s), so keep the interval below half of the shortest.
        interval: Duration = "interval_s" ["HEARTBEAT_INTERVAL_S"], TimeSpan::seconds(1.0, 3600.0),
            default Duration::from_secs(15);
        /// What the fields ts and last_heartbeat_at follow. "feed": they stop when quotes stop while the exchange is
        /// open, or when writing is paused; outside trading hours they go on. "host": they are the time of writing, as
        /// updated_at always is. The default is "feed" because trading gates and UIs read only these fields, and with
        /// "host" they would trust prices that stopped hours ago. A gate that closes without need refuses an order; a
        /// gate that stays open without quotes trades on old prices. Choose "host" if all your symbols together often
        /// have no quote for minutes.
        ts_follows: HeartbeatTime = "ts_follows", Choice(HEARTBEAT_TIMES), default HeartbeatTime::Feed;
    }
}

settings! {
    /// What the plugins of all tenants share, `[plugins]`.
    #[derive(Debug, Clone, PartialEq)]
    pub struct PluginRuntimeSettings from Reader {
        /// Keep compiled plugins on disk, so that the next start does not compile them again.
        cache: bool = "cache", Bool, default true;
        /// The folder for compiled plugins. Nobody else may be able to write to it. Unless this is set, it is the folder
        /// quotegate in the user's cache folder.
        cache_folder: Option<PathBuf> = "cache_folder", FilePath, example "\"/var/cache/quotegate\"";
        /// The size of all compiled plugins on disk. Above it, those that were not used for the longest time are deleted.
        cache_bytes: usize = "cache_mib", Size::mib(1, 1_048_576), default 1024 << 20;
        /// How many tenants run at once, with their plugins. A plugin whose call takes long does not count: another thread
        /// takes over.
        threads: Option<u32> = "threads",
            ZeroIsOff { kind: Integer { min: 1, max: 1024 }, meaning: "for one per CPU" }, default None;
        /// The share of all CPUs that all plugins together may use. Beyond it, calls are skipped for tenants whose plugins
        /// have used the most.
        share_of_time: f64 = "share_of_time", Number { min: 0.01, max: 1.0 }, default 0.8;
    }
}

settings! {
    /// What a component may contain, `[plugins.component_limits]`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct ComponentLimits from Reader {
        /// The size of the file.
        bytes: usize = "size_mib", Size::mib(1, 1024), default 64 << 20;
        /// The number of functions, in all modules of the component together.
        functions: usize = "functions", Integer { min: 1, max: 1_000_000 }, default 50_000;
        /// The size of the code of all functions. Each local variable counts as one more byte.
        code_bytes: usize = "code_kib", Size::kib(1, 1_048_576), default 16_384 << 10;
        /// The size of the code of one function.
        function_bytes: usize = "function_kib", Size::kib(1, 7168), default 768 << 10;
        /// The number of types.
        types: usize = "types", Integer { min: 1, max: 1_000_000 }, default 5000;
        /// The size of everything but code and data: types, imports, exports, elements of tables, and so on.
        declaration_bytes: usize = "declarations_kib", Size::kib(1, 65_536), default 2048 << 10;
        /// The number of tables.
        tables: u32 = "tables", Integer { min: 0, max: 100 }, default 4;
        /// The number of memories.
        memories: u32 = "memories", Integer { min: 0, max: 100 }, default 2;
    }
}

/// A host's part of the work, if a relay divides it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Both of the others.
    All,
    /// It competes for the lease. Its owner reads the feed.
    Reader,
    /// It writes the documents of its shards of the tenants.
    Worker,
}

const ROLES: &[(&str, Role)] = &[("all", Role::All), ("reader", Role::Reader), ("worker", Role::Worker)];
const INSTANCE: Text = Text { expects: "one word such as \"host-a\"", rule: rule::ONE_WORD };

settings! {
    /// The process, `[run]`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct RunSettings from Reader {
        /// Shut down after this long.
        stop_after: Option<Duration> = "stop_after_s" ["STOP_AFTER_SECONDS"],
            ZeroIsOff { kind: TimeSpan::seconds(0.1, 31_536_000.0), meaning: "to run until stopped" }, default None;
        /// How long a shutdown may take to write the latest quotes. Cloud Run kills the process 10 seconds after SIGTERM.
        shutdown_grace: Duration = "shutdown_grace_s", TimeSpan::seconds(0.0, 3600.0), default Duration::from_secs(8);
        /// How long a tenant with something to do may wait for a thread that is busy with other tenants before another CPU
        /// is woken for it; up to four times as long if none has waited for that long shortly before. More saves processor time.
        /// On an idle host, no tenant waits.
        wake_delay: Duration = "wake_delay_ms", TimeSpan::milliseconds(0.0, 100.0), default Duration::from_millis(2);
        /// How often to check the files of settings and plugins for changes. SIGHUP checks them at once.
        watch_interval: Option<Duration> = "watch_interval_s",
            ZeroIsOff { kind: TimeSpan::seconds(0.1, 86_400.0), meaning: "to check only on SIGHUP" },
            default Some(Duration::from_secs(5));
        /// What this host does if there is a relay. "reader": it competes for the lease, whose owner reads the feed, and writes
        /// no documents. "worker": it writes the documents of its part of the tenants, never reads the feed, and needs no Alpaca key. "all":
        /// both.
        role: Role = "role", Choice(ROLES), default Role::All;
        /// The name of this process in heartbeats and logs. Unless this is set, a name is generated.
        instance: Option<String> = "instance", INSTANCE, example "\"host-a\"";
        /// Write nothing but heartbeats, which say that the host is paused. A reload applies a change at once. The
        /// switches of the old job pause too, whatever this says: EXECUTION_HALTED, INGEST_ENABLED, and their files.
        paused: bool = "paused", Bool, default false;
        /// How often to read the Firestore document ops/ingest_control, which can pause writing. Each time is one Firestore
        /// read.
        control_interval: Option<Duration> = "control_interval_s",
            ZeroIsOff { kind: TimeSpan::seconds(0.1, 3600.0), meaning: "to never read it" },
            default Some(Duration::from_secs(10));
    }
}

/// What log lines look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Pretty on a terminal, JSON elsewhere.
    Auto,
    /// One JSON object per line, in the fields that Cloud Logging knows.
    Json,
    /// For people.
    Pretty,
}

const FORMATS: &[(&str, LogFormat)] =
    &[("auto", LogFormat::Auto), ("json", LogFormat::Json), ("pretty", LogFormat::Pretty)];
const FILTER: Text =
    Text { expects: "log levels such as \"info\" or \"info,quotegate_feed=debug\"", rule: rule::LOG_FILTER };

settings! {
    /// The log, `[log]`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct LogSettings from Reader {
        /// JSON lines for machines, or pretty lines for people. "auto" is pretty on a terminal and JSON elsewhere.
        format: LogFormat = "format", Choice(FORMATS), default LogFormat::Auto;
        /// Which lines to log: one level for everything, and optionally others for parts of the program. The library that
        /// talks to Firestore logs nothing unless it has a level here, as in "info,gcloud_sdk=debug".
        level: String = "level", FILTER, default "info".to_owned();
    }
}
