//! The latest warnings and errors of this process, for people who look at a running host.
//!
//! Bounded in memory and in time: a line that says again what another said is counted there, and a thread that logs
//! never waits for one that reads.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use quotegate_market::UnixNanos;
use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// So many different ones are kept.
const MOST: usize = 20;
/// So many a second are looked at.
const A_SECOND: u32 = 20;
/// So much of a message is kept.
const LONGEST: usize = 500;

static RECENT: Mutex<Recent> = Mutex::new(Recent::new());

/// A warning or an error of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecentError {
    /// When it was logged last.
    pub time: UnixNanos,
    /// `WARNING` or `ERROR`.
    pub severity: &'static str,
    /// The kind of event, where the log line has one.
    pub event_type: Option<String>,
    /// What the log line says.
    pub message: String,
    /// The line's other texts, as in `tenant=acme plugin=map`. Numbers are left out: they would make every line a new one.
    pub details: String,
    /// How often it was said since it was first said, as far as it is remembered.
    pub count: u64,
}

/// The latest, the newest first.
pub fn recent_errors() -> Vec<RecentError> {
    RECENT.lock().unwrap_or_else(PoisonError::into_inner).errors.iter().cloned().collect()
}

#[derive(Debug)]
struct Recent {
    errors: VecDeque<RecentError>,
    since: Option<Instant>,
    looked_at: u32,
}

impl Recent {
    const fn new() -> Self {
        Self { errors: VecDeque::new(), since: None, looked_at: 0 }
    }

    /// Whether one more may be looked at in this second.
    fn has_time(&mut self, now: Instant) -> bool {
        if self.since.is_none_or(|since| now.duration_since(since) >= Duration::from_secs(1)) {
            self.since = Some(now);
            self.looked_at = 0;
        }
        self.looked_at += 1;
        self.looked_at <= A_SECOND
    }

    fn add(&mut self, mut error: RecentError) {
        let same = |held: &RecentError| {
            let of = |error: &RecentError| (error.severity, error.event_type.clone());
            of(held) == of(&error) && held.message == error.message && held.details == error.details
        };
        if let Some(at) = self.errors.iter().position(same)
            && let Some(held) = self.errors.remove(at)
        {
            error.count += held.count;
        }
        self.errors.truncate(MOST - 1);
        self.errors.push_front(error);
    }
}

/// Takes warnings and errors out of the log.
pub(super) struct Keep;

impl<S: Subscriber> Layer<S> for Keep {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let severity = match *event.metadata().level() {
            Level::ERROR => "ERROR",
            Level::WARN => "WARNING",
            _ => return,
        };
        // Rather lose a line here, which the log has anyway, than wait.
        let Ok(mut recent) = RECENT.try_lock() else { return };
        if !recent.has_time(Instant::now()) {
            return;
        }
        let mut said = Said::default();
        event.record(&mut said);
        let time = UnixNanos::try_from(Timestamp::now().as_nanosecond()).unwrap_or(UnixNanos::MAX);
        let Said { event_type, message, others } = said;
        // What the sentence says already need not be said again.
        let others = others.iter().filter(|(_, value)| !message.contains(value.as_str()));
        let details: Vec<_> = others.map(|(name, value)| format!("{name}={value}")).collect();
        let details = shortened(details.join(" "));
        recent.add(RecentError { time, severity, event_type, message, details, count: 1 });
    }
}

#[derive(Default)]
struct Said {
    event_type: Option<String>,
    message: String,
    others: Vec<(&'static str, String)>,
}

impl Said {
    fn text(&mut self, field: &Field, value: String) {
        match field.name() {
            "event_type" => self.event_type = Some(value),
            "message" => self.message = shortened(value),
            name => self.others.push((name, shortened(value))),
        }
    }
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value.to_owned());
    }

    fn record_i64(&mut self, _: &Field, _: i64) {}

    fn record_u64(&mut self, _: &Field, _: u64) {}

    fn record_f64(&mut self, _: &Field, _: f64) {}

    fn record_bool(&mut self, _: &Field, _: bool) {}
}

fn shortened(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
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
        let (severity, message, details) = ("ERROR", message.to_owned(), String::new());
        RecentError { time, severity, event_type: None, message, details, count: 1 }
    }

    #[test]
    fn what_is_said_again_is_counted_and_the_oldest_goes() {
        let mut recent = Recent::new();
        recent.add(error("a", 1));
        recent.add(error("b", 2));
        recent.add(error("a", 3));
        assert_eq!(recent.errors, [RecentError { count: 2, ..error("a", 3) }, error("b", 2)]);
        for at in 0..MOST {
            recent.add(error(&format!("{at}"), 4));
        }
        assert_eq!(recent.errors.len(), MOST);
        assert!(recent.errors.iter().all(|held| held.message != "a"));
    }

    #[test]
    fn a_line_keeps_its_texts_and_not_its_numbers() {
        let registry = tracing_subscriber::registry().with(Keep);
        tracing::subscriber::with_default(registry, || {
            tracing::warn!(event_type = "kept_test", tenant = "acme", quotes = 5, problem = %"no", said = "it", "it {}", "failed");
            tracing::info!(event_type = "kept_test", "not kept");
        });
        let kept: Vec<_> =
            recent_errors().into_iter().filter(|held| held.event_type.as_deref() == Some("kept_test")).collect();
        let said = |held: &RecentError| (held.severity, held.message.clone(), held.details.clone());
        let expected = ("WARNING", "it failed".to_owned(), "tenant=acme problem=no".to_owned());
        assert_eq!(kept.iter().map(said).collect::<Vec<_>>(), [expected]);
    }

    #[test]
    fn a_storm_is_not_looked_at() {
        let mut recent = Recent::new();
        let now = Instant::now();
        let looked_at = (0..1000).filter(|_| recent.has_time(now)).count();
        assert_eq!(looked_at, A_SECOND as usize);
        assert!(recent.has_time(now + Duration::from_secs(1)));
    }

    #[test]
    fn messages_are_cut_between_letters() {
        let text = "ä".repeat(LONGEST + 5);
        assert_eq!(shortened(text), format!("{}…", "ä".repeat(LONGEST)));
        assert_eq!(shortened("short".into()), "short");
    }
}
