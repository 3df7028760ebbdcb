//! Log lines: JSON with the fields that Cloud Logging knows, or readable text on a terminal.
//!
//! A separate thread writes them to standard error. Lines that it cannot write in time are dropped and counted, because
//! the feed's reader must never wait for a log (invariant 4).

mod recent;

pub use recent::{RecentError, recent_errors};

use std::fmt;
use std::io::{IsTerminal, stderr};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use jiff::Timestamp;
use quotegate_config::LogFormat;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_appender::non_blocking::{NonBlocking, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// Off unless `log.level` names them: the libraries that talk to Firestore and NATS log an error for each failed request or
/// attempt, without saying what failed. The sink and the relay do.
const QUIET: &str = "gcloud_sdk=off,async_nats=off";
/// Off whatever `log.level` says: writes tokens and signatures into its trace.
const SECRET: &str = "async_nats::connection=off";

/// True once log lines are JSON.
static JSON: AtomicBool = AtomicBool::new(false);
/// The name of this host, a label of every line.
static INSTANCE: OnceLock<String> = OnceLock::new();

/// Starts logging. `filter` is `info` or `quotegate_feed=debug,info`, as in `RUST_LOG`. Dropping the guard writes the
/// lines that are still queued.
pub fn start(format: LogFormat, filter: &str) -> anyhow::Result<WorkerGuard> {
    let filter = env_filter(filter)?;
    set_format(format);
    let (writer, guard) = NonBlocking::new(stderr());
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    let started = if is_json() {
        lines.event_format(CloudLogging).finish().with(recent::RecentErrorLayer).try_init()
    } else {
        lines
            .with_ansi(stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
            .with_target(false)
            .finish()
            .with(recent::RecentErrorLayer)
            .try_init()
    };
    started.map_err(|error| anyhow::anyhow!("logging is already started: {error}"))?;
    Ok(guard)
}

/// Decides whether [`exit_line`] makes JSON, for errors before the log starts.
pub fn set_format(format: LogFormat) {
    JSON.store(format == LogFormat::Json || (format == LogFormat::Auto && !stderr().is_terminal()), Relaxed);
}

/// Adds the label `instance` to every line from now on.
pub(crate) fn set_instance(instance: &str) {
    // A process has one host.
    let _ = INSTANCE.set(instance.to_owned());
}

fn is_json() -> bool {
    JSON.load(Relaxed)
}

/// The line for an error that ends the process, if log lines are JSON. It does not go through the log, which may not have
/// started, or may have ended.
pub fn exit_line(message: &str) -> Option<String> {
    let fields = [("event_type", "exit"), ("message", message)].map(|(name, text)| (name.to_owned(), text.into()));
    is_json().then(|| Fields(Map::from_iter(fields)).into_line(Level::ERROR, Timestamp::now()).to_string())
}

fn env_filter(filter: &str) -> anyhow::Result<EnvFilter> {
    EnvFilter::try_new(format!("{QUIET},{filter},{SECRET}"))
        .map_err(|error| anyhow::anyhow!("log.level {filter:?} is not a valid filter: {error}; try `info` or `debug`"))
}

/// JSON lines with `severity`, `message` and `time` as Cloud Logging reads them, next to the event's own fields.
struct CloudLogging;

impl<S, N> FormatEvent<S, N> for CloudLogging
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let line = json_line(event, Timestamp::now());
        writeln!(writer, "{line}")
    }
}

fn json_line(event: &Event<'_>, time: Timestamp) -> Value {
    let mut fields = Fields(Map::new());
    event.record(&mut fields);
    fields.0.insert("target".into(), event.metadata().target().into());
    fields.into_line(*event.metadata().level(), time)
}

/// Cloud Logging's name of a level. It has none below DEBUG.
fn severity(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        Level::DEBUG | Level::TRACE => "DEBUG",
    }
}

struct Fields(Map<String, Value>);

impl Fields {
    fn insert(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn into_line(mut self, level: Level, time: Timestamp) -> Value {
        let tenant = self.0.get("tenant").and_then(Value::as_str).map(str::to_owned);
        let labels = [("instance", INSTANCE.get().cloned()), ("tenant", tenant)];
        let labels: Map<_, _> = labels.into_iter().filter_map(|(name, of)| Some((name.into(), of?.into()))).collect();
        if !labels.is_empty() {
            self.0.insert("logging.googleapis.com/labels".into(), labels.into());
        }
        self.0.insert("time".into(), time.to_string().into());
        self.0.insert("severity".into(), severity(level).into());
        Value::Object(self.0)
    }
}

impl Visit for Fields {
    /// What reads as a JSON object or list becomes one: the fields of a document, a list of tenants, a map of counts.
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        let may_be_json = text.starts_with(['{', '[']) && field.name() != "message";
        let json = may_be_json.then(|| serde_json::from_str(&text).ok()).flatten();
        self.insert(field, json.unwrap_or(Value::String(text)));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.insert(field, value.to_string());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use serde_json::json;
    use std::sync::Arc;
    use tracing_subscriber::layer::Context;
    use tracing_subscriber::{Layer, Registry};

    struct Capture(Arc<Mutex<Vec<Value>>>);

    impl<S: Subscriber> Layer<S> for Capture {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            self.0.lock().push(json_line(event, Timestamp::UNIX_EPOCH));
        }
    }

    fn lines(log: impl FnOnce()) -> Vec<Value> {
        let lines = Arc::new(Mutex::new(Vec::new()));
        tracing::subscriber::with_default(Registry::default().with(Capture(lines.clone())), log);
        std::mem::take(&mut lines.lock())
    }

    #[test]
    fn what_the_nats_client_sends_is_never_logged() {
        for filter in ["trace", "async_nats=trace", "async_nats::connection=trace"] {
            let logs = Registry::default().with(env_filter(filter).unwrap());
            tracing::subscriber::with_default(logs, || {
                assert!(!tracing::enabled!(target: "async_nats::connection", Level::TRACE), "{filter}");
                assert!(
                    tracing::enabled!(target: "async_nats::connector", Level::TRACE) == (filter == "async_nats=trace")
                );
            });
        }
    }

    #[test]
    fn a_line_has_the_fields_of_cloud_logging_and_its_own() {
        let lines = lines(|| {
            tracing::warn!(event_type = "alpaca_disconnect", code = 406, "another session has the connection");
        });
        let expected = json!({
            "time": "1970-01-01T00:00:00Z",
            "severity": "WARNING",
            "message": "another session has the connection",
            "event_type": "alpaca_disconnect",
            "code": 406,
            "target": "quotegate_runtime::log::tests",
        });
        assert_eq!(lines, [expected]);
    }

    #[test]
    fn maps_and_lists_are_json_and_tenants_are_labels() {
        let counts = std::collections::BTreeMap::from([("wide", 3_u64)]);
        let lines = lines(|| {
            tracing::info!(tenant = %"acme", refused = ?counts, tenants = ?["a", "b"], fields = %r#"{"bid":1.5}"#, "x");
            tracing::info!(reason = %"[not JSON", "{}", "[1]");
        });
        let field = |line: usize, name: &str| lines[line][name].clone();
        assert_eq!(field(0, "refused"), json!({"wide": 3}));
        assert_eq!(field(0, "tenants"), json!(["a", "b"]));
        assert_eq!(field(0, "fields"), json!({"bid": 1.5}));
        assert_eq!(field(0, "logging.googleapis.com/labels"), json!({"tenant": "acme"}));
        assert_eq!(field(1, "reason"), "[not JSON");
        assert_eq!(field(1, "message"), "[1]");
        assert_eq!(field(1, "logging.googleapis.com/labels"), Value::Null);
    }

    #[test]
    fn the_library_that_talks_to_firestore_is_silent_unless_it_is_named() {
        for (filter, expected) in [("info", 1), ("debug", 1), ("info,gcloud_sdk=error", 2)] {
            let lines = Arc::new(Mutex::new(Vec::new()));
            let layer = Capture(lines.clone()).with_filter(env_filter(filter).unwrap());
            tracing::subscriber::with_default(Registry::default().with(layer), || {
                tracing::error!(target: "gcloud_sdk::middleware", "Err: took 0ms");
                tracing::error!("could not write");
            });
            assert_eq!(lines.lock().len(), expected, "{filter}");
        }
    }
}
