use std::path::PathBuf;
use std::time::Duration;

use quotegate_document::{TenantId, WriteMode};

use super::source::check_readable;
use super::tenant::TenantSettings;
use crate::declare::settings;
use crate::key::KeyPath;
use crate::kind::{Bool, Choice, FilePath, Integer, Number, TenantName, Text, TimeSpan, rule};
use crate::origin::Origin;
use crate::reader::Reader;

settings! {
    /// The limit of quote writes that all tenants share, `[pace]`.
    #[derive(Debug, Clone, PartialEq)]
    pub struct PaceSettings from Reader {
        /// Quote writes per second over all tenants, in the long run. Firestore charges for each write.
        writes_per_second: f64 = "writes_per_second" ["GLOBAL_WRITES_PER_SEC"], Number { min: 0.001, max: 1_000_000.0 },
            default 20.0;
        /// Quote writes that may happen at once after a quiet period.
        burst: u32 = "burst" ["GLOBAL_BURST"], Integer { min: 1, max: 1_000_000 }, default 40;
        /// The longest that a quote waits for others, so that they share a request. This does not limit how often a symbol is
        /// written, or how many writes there are: per_symbol_min_interval_ms and writes_per_second do.
        flush_interval: Duration = "flush_interval_ms" ["FLUSH_INTERVAL_MS"], TimeSpan::milliseconds(1.0, 60_000.0),
            default Duration::from_millis(200);
    }
}

/// Firestore, or nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkKind {
    /// Documents are written.
    Firestore,
    /// Documents are only printed.
    DryRun,
}

const KINDS: &[(&str, SinkKind)] = &[("firestore", SinkKind::Firestore), ("dry-run", SinkKind::DryRun)];
const MODES: &[(&str, WriteMode)] = &[("merge", WriteMode::Merge), ("replace", WriteMode::Replace)];
const PROJECT: Text = Text { expects: "a project ID such as \"acme-prod\"", rule: rule::ONE_WORD };
const DATABASE: Text = Text { expects: "a database ID such as \"(default)\"", rule: rule::ONE_WORD };
const ORDER_FIELD: Text =
    Text { expects: "a field name such as \"_event_time\", or \"\" for none", rule: rule::FIELD_PATH_OR_NONE };
const EMULATOR: Text = Text { expects: "a host and port such as \"127.0.0.1:8080\"", rule: rule::HOST_AND_PORT };

/// Projects that begin with `demo-` exist only in emulators, so no write can end up anywhere else.
const EMULATOR_PROJECT: &str = "demo-quotegate";

settings! {
    /// Where documents go, `[sink]`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct SinkSettings from Reader {
        /// Write documents to Firestore, or only print them (dry run). DRY_RUN=1 means "dry-run", and DRY_RUN=0
        /// "firestore".
        kind: SinkKind = "kind" ["DRY_RUN"], Choice(KINDS), default SinkKind::Firestore;
        /// The Google Cloud project. Unless this is set, it is the project of the credentials, or "demo-quotegate" with an
        /// emulator.
        project_id: Option<String> = "project_id" ["FIRESTORE_PROJECT_ID"], PROJECT, example "\"acme-prod\"";
        /// The project's Firestore database.
        database_id: String = "database_id", DATABASE, default "(default)".to_owned();
        /// A service account's key file. Unless this is set, Application Default Credentials are used.
        credentials_file: Option<PathBuf> = "credentials_file" ["GOOGLE_APPLICATION_CREDENTIALS"], FilePath,
            example "\"/run/secrets/google.json\"";
        /// A Firestore emulator to use instead of Firestore. It needs no credentials.
        emulator_host: Option<String> = "emulator_host" ["FIRESTORE_EMULATOR_HOST"], EMULATOR,
            example "\"127.0.0.1:8080\"";
        /// The number of documents per request.
        batch_size: u32 = "batch_size", Integer { min: 1, max: 500 }, default 100;
        /// The number of requests that may wait for an answer at the same time.
        max_in_flight: u32 = "max_in_flight", Integer { min: 1, max: 1000 }, default 4;
        /// A request fails if it is not answered within this time.
        request_timeout: Duration = "request_timeout_s", TimeSpan::seconds(0.1, 600.0),
            default Duration::from_secs(10);
        /// The longest wait before the first retry of a write. Each failed attempt doubles the wait, and the actual wait is
        /// random.
        retry_base: Duration = "retry_base_ms", TimeSpan::milliseconds(1.0, 60_000.0),
            default Duration::from_millis(500);
        /// The longest wait before any retry.
        retry_max: Duration = "retry_max_s", TimeSpan::seconds(0.001, 3600.0), default Duration::from_secs(30);
        /// Whether a write keeps ("merge") or removes ("replace") the other fields of a document.
        mode: WriteMode = "mode", Choice(MODES), default WriteMode::Merge;
        /// Write a document only if no one else has changed it since this host last read or wrote it, so that it never goes
        /// back to an older quote: not by a request that Firestore applies late, not by a second host, not by a host that
        /// was frozen. Costs one read per document after each start, and one per change by someone else. Without it
        /// (false), whatever arrives last stays.
        fence: bool = "fence", Bool, default true;
        /// The field that the host adds to documents of map plugins, with the quote's event time as a timestamp, to tell
        /// which of two versions is newer. It is not added to documents whose field "ts" or "last_update_ts" is that time,
        /// like the host's own. With "", the other documents are only protected against late requests of this host.
        order_field: String = "order_field", ORDER_FIELD, default "_event_time".to_owned();
        /// Start at 500 writes per second and allow 50% more every five minutes, as Firestore recommends for new
        /// collections.
        ramp: bool = "ramp", Bool, default false;
        /// The tenant whose quotes are also written to live_quotes/{symbol} at the root of the database, in the standard
        /// shape, for trusted backends. The shipped rules let no browser read it. Each write takes a token of the tenant.
        root_mirror: Option<TenantId> = "root_mirror", TenantName, example "\"acme\"";
    }
}

impl SinkSettings {
    /// Checks that the tenant of the root mirror exists.
    pub(super) fn check_mirror(&self, tenants: &[TenantSettings], from: &mut Reader<'_>) {
        let is_unknown = |id: &&TenantId| !tenants.is_empty() && tenants.iter().all(|tenant| tenant.id != **id);
        if let Some(id) = self.root_mirror.as_ref().filter(is_unknown) {
            let sentence = format!("There is no tenant {:?}.", id.as_str());
            let remedy = "Set it to the ID of the one tenant whose quotes are mirrored, or remove it.";
            from.error_at(&["sink", "root_mirror"], sentence, remedy);
        }
    }

    /// Fills in and checks what depends on more than one key.
    pub(super) fn resolve(&mut self, from: &mut Reader<'_>) {
        if self.retry_max < self.retry_base {
            from.conflict(
                ["retry_max_s", "retry_base_ms"],
                "The longest wait before a retry is shorter than the first one.",
                "Set sink.retry_max_s to at least sink.retry_base_ms, which is in milliseconds.",
            );
        }
        if self.emulator_host.is_some() && self.project_id.is_none() {
            self.project_id = Some(EMULATOR_PROJECT.to_owned());
            let reason = Origin::DefaultBecause("emulator");
            from.replace_row(&KeyPath::new(["sink", "project_id"]), &format!("{EMULATOR_PROJECT:?}"), reason);
        }
        if let (SinkKind::Firestore, None, Some(file)) = (self.kind, &self.emulator_host, &self.credentials_file) {
            check_readable(file, &["sink", "credentials_file"], from);
        }
    }
}
