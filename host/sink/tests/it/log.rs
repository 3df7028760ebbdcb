//! The log lines of all tests of a binary, kept apart by tenant.

#![allow(unreachable_pub, missing_docs, clippy::unwrap_used)]

use std::fmt::Debug;
use std::sync::{Arc, Mutex, OnceLock};

use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// Told lines: whose they are, and what they say.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<Line>>>);

#[derive(Default)]
struct Line {
    tenant: String,
    message: String,
}

/// From now on, for the whole process: threads of the tests share what they log.
pub fn capture() -> Lines {
    static LINES: OnceLock<Lines> = OnceLock::new();
    let start = || {
        let lines = Lines::default();
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(lines.clone())).unwrap();
        lines
    };
    LINES.get_or_init(start).clone()
}

impl Lines {
    /// What was told of `tenant`.
    pub fn of(&self, tenant: &str) -> Vec<String> {
        let lines = self.0.lock().unwrap();
        lines.iter().filter(|line| line.tenant == tenant).map(|line| line.message.clone()).collect()
    }
}

impl<S: tracing::Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        self.0.lock().unwrap().push(line);
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "tenant" => self.tenant = format!("{value:?}"),
            "message" => self.message = format!("{value:?}"),
            _ => {}
        }
    }
}
