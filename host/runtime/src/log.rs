//! Log lines: JSON with the fields that Cloud Logging knows, or readable text on a terminal.
//!
//! A separate thread writes them to standard error. Lines that it cannot write in time are dropped and counted, because
//! the feed's reader must never wait for a log (invariant 4).

mod recent;

pub use recent::{RecentError, recent_errors};

use std::fmt;
use std::io::{IsTerminal, stderr};

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

/// Starts logging. `filter` is `info` or `quotegate_feed=debug,info`, as in `RUST_LOG`. Dropping the guard writes the
/// lines that are still queued.
pub fn start(format: LogFormat, filter: &str) -> anyhow::Result<WorkerGuard> {
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        anyhow::anyhow!("log.level {filter:?} is not a valid filter: {error}; try `info` or `debug`")
    })?;
    let (writer, guard) = NonBlocking::new(stderr());
    let terminal = stderr().is_terminal();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    let json = format == LogFormat::Json || (format == LogFormat::Auto && !terminal);
    let started = if json {
        lines.event_format(CloudLogging).finish().with(recent::RecentErrorLayer).try_init()
    } else {
        lines
            .with_ansi(terminal && std::env::var_os("NO_COLOR").is_none())
            .with_target(false)
            .finish()
            .with(recent::RecentErrorLayer)
            .try_init()
    };
    started.map_err(|error| anyhow::anyhow!("logging is already started: {error}"))?;
    Ok(guard)
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
    fields.0.insert("time".into(), time.to_string().into());
    fields.0.insert("severity".into(), severity(*event.metadata().level()).into());
    event.record(&mut fields);
    fields.0.insert("target".into(), event.metadata().target().into());
    Value::Object(fields.0)
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
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.insert(field, format!("{value:?}"));
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
    use std::sync::Arc;
    use tracing_subscriber::layer::Context;
    use tracing_subscriber::{Layer, Registry};

    struct Capture(Arc<Mutex<Vec<Value>>>);

    impl<S: Subscriber> Layer<S> for Capture {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            self.0.lock().push(json_line(event, Timestamp::UNIX_EPOCH));
        }
    }

    #[test]
    fn a_line_has_the_fields_of_cloud_logging_and_its_own() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        tracing::subscriber::with_default(Registry::default().with(Capture(lines.clone())), || {
            tracing::warn!(event_type = "alpaca_disconnect", code = 406, "another session has the connection");
        });
        let expected = serde_json::json!({
            "time": "1970-01-01T00:00:00Z",
            "severity": "WARNING",
            "message": "another session has the connection",
            "event_type": "alpaca_disconnect",
            "code": 406,
            "target": "quotegate_runtime::log::tests",
        });
        assert_eq!(*lines.lock(), [expected]);
    }
}
