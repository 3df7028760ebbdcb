use std::path::PathBuf;
use std::time::Duration;

use super::source::check_readable;
use crate::form::{Choice, Flag, Number, PathText, Span, Text, Whole, rule};
use crate::key::{KeyPath, key};
use crate::origin::Origin;
use crate::reader::Reader;

/// The limit of all tenants together, `[pace]`. Heartbeats are outside it.
#[derive(Debug, Clone, PartialEq)]
pub struct PaceSettings {
    /// Tokens that the global bucket gains a second: quote writes a second in the long run. Above 0, finite.
    pub writes_per_second: f64,
    /// Tokens that it holds: quote writes at once. At least 1.
    pub burst: u32,
    /// The longest that a due quote waits for others to share its request.
    pub flush_interval: Duration,
}

impl PaceSettings {
    pub(super) fn read(from: &mut Reader<'_>) -> Self {
        from.section(["pace"]);
        let rate = key(
            "writes_per_second",
            "Quote writes a second over all tenants, in the long run. Each one costs money.",
            Number { min: 0.001, max: 1_000_000.0 },
        );
        let burst = key("burst", "Quote writes at once after a quiet time.", Whole { min: 1, max: 1_000_000 });
        let flush = key(
            "flush_interval_ms",
            "The longest that a due quote waits for others to share its request.",
            Span::milliseconds(1.0, 60_000.0),
        );
        Self {
            writes_per_second: from.read(rate.named(&["GLOBAL_WRITES_PER_SEC"]), 20.0),
            burst: from.read(burst.named(&["GLOBAL_BURST"]), 40),
            flush_interval: from.read(flush.named(&["FLUSH_INTERVAL_MS"]), Duration::from_millis(200)),
        }
    }
}

/// Where documents go, `[sink]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkSettings {
    /// Firestore, or nowhere.
    pub kind: SinkKind,
    /// The project; `None`: that of the credentials.
    pub project_id: Option<String>,
    /// The database of the project.
    pub database_id: String,
    /// A key file; `None`: Application Default Credentials. If the sink needs it, it could be opened when the settings
    /// were checked.
    pub credentials_file: Option<PathBuf>,
    /// `host:port` of an emulator, which takes no credentials.
    pub emulator_host: Option<String>,
    /// Documents in one BatchWrite, 1 to 500.
    pub batch_size: u32,
    /// Requests that may be unanswered at one time. At least 1.
    pub max_in_flight: u32,
    /// A request not answered in this time has failed.
    pub request_timeout: Duration,
    /// The first retry waits at most this long. Above 0.
    pub retry_base: Duration,
    /// No retry waits longer. At least the base.
    pub retry_max: Duration,
    /// What happens to fields that a write does not name.
    pub mode: WriteMode,
    /// Follow Firestore's advice for new collections: 500 writes a second, half as much again every five minutes.
    pub ramp: bool,
}

/// Firestore, or nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkKind {
    /// Documents are written.
    Firestore,
    /// Documents are shown.
    DryRun,
}

/// What happens to fields that a write does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteMode {
    /// They stay.
    Merge,
    /// They go.
    Replace,
}

const KINDS: &[(&str, SinkKind)] = &[("firestore", SinkKind::Firestore), ("dry-run", SinkKind::DryRun)];
const MODES: &[(&str, WriteMode)] = &[("merge", WriteMode::Merge), ("replace", WriteMode::Replace)];
const PROJECT: Text = Text { expects: "a project's id such as \"acme-prod\"", rule: rule::one_word };
const DATABASE: Text = Text { expects: "a database's id such as \"(default)\"", rule: rule::one_word };
const EMULATOR: Text = Text { expects: "host and port such as \"127.0.0.1:8080\"", rule: rule::host_and_port };

/// Projects that begin with `demo-` exist in emulators only, so no write can end up anywhere else.
const EMULATOR_PROJECT: &str = "demo-quotegate";

impl SinkSettings {
    pub(super) fn read(from: &mut Reader<'_>) -> Self {
        from.section(["sink"]);
        let kind = key(
            "kind",
            "Write documents to Firestore, or only show them. DRY_RUN=1 is \"dry-run\", DRY_RUN=0 \"firestore\".",
            Choice(KINDS),
        );
        let project = key(
            "project_id",
            "The Google Cloud project; without it, that of the credentials, or \"demo-quotegate\" in an emulator.",
            PROJECT,
        );
        let database = key("database_id", "The Firestore database of the project.", DATABASE);
        let credentials = key(
            "credentials_file",
            "A service account's key file; without it, Application Default Credentials.",
            PathText,
        );
        let emulator = key("emulator_host", "Host and port of a Firestore emulator, instead of Firestore.", EMULATOR);
        let batch = key("batch_size", "Documents in one request.", Whole { min: 1, max: 500 });
        let in_flight =
            key("max_in_flight", "Requests that may be unanswered at one time.", Whole { min: 1, max: 1000 });
        let timeout =
            key("request_timeout_s", "A request not answered in this time has failed.", Span::seconds(0.1, 600.0));
        let base = key("retry_base_ms", "The first retry waits at most this long.", Span::milliseconds(1.0, 60_000.0));
        let max = key("retry_max_s", "No retry waits longer.", Span::seconds(0.001, 3600.0));
        let mode =
            key("mode", "Fields of a document that a write does not name stay (merge) or go (replace).", Choice(MODES));
        let ramp = key("ramp", "Start at 500 writes a second, half as much again every five minutes.", Flag);
        let mut settings = Self {
            kind: from.read(kind.named(&["DRY_RUN"]), SinkKind::Firestore),
            project_id: from.read_optional(project.named(&["FIRESTORE_PROJECT_ID"]), "\"acme-prod\""),
            database_id: from.read(database, "(default)".to_owned()),
            credentials_file: from
                .read_optional(credentials.named(&["GOOGLE_APPLICATION_CREDENTIALS"]), "\"/run/secrets/google.json\""),
            emulator_host: from.read_optional(emulator.named(&["FIRESTORE_EMULATOR_HOST"]), "\"127.0.0.1:8080\""),
            batch_size: from.read(batch, 100),
            max_in_flight: from.read(in_flight, 4),
            request_timeout: from.read(timeout, Duration::from_secs(10)),
            retry_base: from.read(base, Duration::from_millis(500)),
            retry_max: from.read(max, Duration::from_secs(30)),
            mode: from.read(mode, WriteMode::Merge),
            ramp: from.read(ramp, false),
        };
        settings.settle(from);
        settings
    }

    fn settle(&mut self, from: &mut Reader<'_>) {
        if self.retry_max < self.retry_base {
            from.disagreement(
                ["retry_max_s", "retry_base_ms"],
                "The longest wait before a retry is shorter than the first.",
                "Make sink.retry_max_s at least sink.retry_base_ms, which is in milliseconds.",
            );
        }
        if self.emulator_host.is_some() && self.project_id.is_none() {
            self.project_id = Some(EMULATOR_PROJECT.to_owned());
            let reason = Origin::DefaultBecause("an emulator");
            from.amend(&KeyPath::new(["sink", "project_id"]), &format!("{EMULATOR_PROJECT:?}"), reason);
        }
        if let (SinkKind::Firestore, None, Some(file)) = (self.kind, &self.emulator_host, &self.credentials_file) {
            check_readable(file, &["sink", "credentials_file"], from);
        }
    }
}
