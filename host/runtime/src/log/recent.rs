//! The latest warnings and errors of this process, for the page, `status` and `top`.
//!
//! Bounded in memory and time: a repeated line only increments a count, and a thread that logs never waits for one that
//! reads.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use parking_lot::Mutex;
use quotegate_market::UnixNanos;
use serde::{Deserialize, Serialize};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// How many different errors are kept.
const MAX_ERRORS: usize = 20;
/// More lines per second than this are ignored.
const MAX_PER_SECOND: u32 = 20;
/// Longer texts are cut.
const MAX_CHARS: usize = 500;

static RECENT: Mutex<Recent> = Mutex::new(Recent::new());

/// A warning or an error of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecentError {
    /// When it was last logged.
    pub time: UnixNanos,
    /// `WARNING` or `ERROR`.
    pub severity: Cow<'static, str>,
    /// The kind of event, where the log line has one.
    pub event_type: Option<String>,
    /// What the log line says.
    pub message: String,
    /// The line's other text fields, as in `tenant=acme plugin=map`. Without the numbers, so that repeated lines are equal.
    pub details: String,
    /// How often it was logged, since it was last forgotten.
    pub count: u64,
}

/// The latest errors, newest first.
pub fn recent_errors() -> Vec<RecentError> {
    RECENT.lock().errors.iter().cloned().collect()
}

#[derive(Debug)]
struct Recent {
    errors: VecDeque<RecentError>,
    since: Option<Instant>,
    in_this_second: u32,
}

impl Recent {
    const fn new() -> Self {
        Self { errors: VecDeque::new(), since: None, in_this_second: 0 }
    }

    /// Whether one more line may be kept in this second.
    fn within_rate(&mut self, now: Instant) -> bool {
        if self.since.is_none_or(|since| now.duration_since(since) >= Duration::from_secs(1)) {
            self.since = Some(now);
            self.in_this_second = 0;
        }
        self.in_this_second += 1;
        self.in_this_second <= MAX_PER_SECOND
    }

    fn add(&mut self, mut error: RecentError) {
        let same = |held: &RecentError| {
            let key = |error: &RecentError| (error.severity.clone(), error.event_type.clone());
            key(held) == key(&error) && held.message == error.message && held.details == error.details
        };
        if let Some(at) = self.errors.iter().position(same)
            && let Some(held) = self.errors.remove(at)
        {
            error.count += held.count;
        }
        self.errors.truncate(MAX_ERRORS - 1);
        self.errors.push_front(error);
    }
}

/// Keeps the warnings and errors of the log.
pub(super) struct RecentErrorLayer;

impl<S: Subscriber> Layer<S> for RecentErrorLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let severity = match *event.metadata().level() {
            Level::ERROR => "ERROR",
            Level::WARN => "WARNING",
            _ => return,
        };
        // Losing a line here is better than waiting: the log has it anyway.
        let Some(mut recent) = RECENT.try_lock() else { return };
        if !recent.within_rate(Instant::now()) {
            return;
        }
        let mut texts = Texts::default();
        event.record(&mut texts);
        let time = UnixNanos::try_from(Timestamp::now().as_nanosecond()).unwrap_or(UnixNanos::MAX);
        let Texts { event_type, message, others } = texts;
        // The message often includes them.
        let others = others.iter().filter(|(_, value)| !message.contains(value.as_str()));
        let details: Vec<_> = others.map(|(name, value)| format!("{name}={value}")).collect();
        let details = shortened(details.join(" "));
        let severity = severity.into();
        recent.add(RecentError { time, severity, event_type, message, details, count: 1 });
    }
}

#[derive(Default)]
struct Texts {
    event_type: Option<String>,
    message: String,
    others: Vec<(&'static str, String)>,
}

impl Texts {
    fn add(&mut self, field: &Field, value: String) {
        match field.name() {
            "event_type" => self.event_type = Some(value),
            "message" => self.message = shortened(value),
            name => self.others.push((name, shortened(value))),
        }
    }
}

impl Visit for Texts {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.to_owned());
    }

    fn record_i64(&mut self, _: &Field, _: i64) {}

    fn record_u64(&mut self, _: &Field, _: u64) {}

    fn record_f64(&mut self, _: &Field, _: f64) {}

    fn record_bool(&mut self, _: &Field, _: bool) {}
}

fn shortened(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MAX_CHARS) {
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    fn error(message: &str, time: UnixNanos) -> RecentError {
        let (severity, message, details) = ("ERROR".into(), message.to_owned(), String::new());
        RecentError { time, severity, event_type: None, message, details, count: 1 }
    }

    #[test]
    fn repeated_errors_are_counted_and_the_oldest_is_dropped() {
        let mut recent = Recent::new();
        recent.add(error("a", 1));
        recent.add(error("b", 2));
        recent.add(error("a", 3));
        assert_eq!(recent.errors, [RecentError { count: 2, ..error("a", 3) }, error("b", 2)]);
        for at in 0..MAX_ERRORS {
            recent.add(error(&format!("{at}"), 4));
        }
        assert_eq!(recent.errors.len(), MAX_ERRORS);
        assert!(recent.errors.iter().all(|held| held.message != "a"));
    }

    #[test]
    fn a_line_keeps_its_text_fields_and_not_its_numbers() {
        let registry = tracing_subscriber::registry().with(RecentErrorLayer);
        tracing::subscriber::with_default(registry, || {
            tracing::warn!(event_type = "kept_test", tenant = "acme", quotes = 5, problem = %"no", said = "it", "it {}", "failed");
            tracing::info!(event_type = "kept_test", "not kept");
        });
        let kept: Vec<_> =
            recent_errors().into_iter().filter(|held| held.event_type.as_deref() == Some("kept_test")).collect();
        let said = |held: &RecentError| (held.severity.clone(), held.message.clone(), held.details.clone());
        let expected = ("WARNING".into(), "it failed".to_owned(), "tenant=acme problem=no".to_owned());
        assert_eq!(kept.iter().map(said).collect::<Vec<_>>(), [expected]);
    }

    #[test]
    fn lines_over_the_rate_are_ignored() {
        let mut recent = Recent::new();
        let now = Instant::now();
        let kept = (0..1000).filter(|_| recent.within_rate(now)).count();
        assert_eq!(kept, MAX_PER_SECOND as usize);
        assert!(recent.within_rate(now + Duration::from_secs(1)));
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let text = "ä".repeat(MAX_CHARS + 5);
        assert_eq!(shortened(text), format!("{}…", "ä".repeat(MAX_CHARS)));
        assert_eq!(shortened("short".into()), "short");
    }
}
