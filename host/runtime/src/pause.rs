//! The kill switch: which tenants may not write, and why.
//!
//! The old job's switches can pause all tenants; the settings and the document `ops/ingest_control` all tenants or one of
//! them. A tenant is paused while any of them says so. Knows nothing of quotes.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::discriminant;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use quotegate_config::{Settings, SwitchState, Switches};
use quotegate_document::TenantId;
use quotegate_pipeline::pause::{Pause, PauseFlag};
use quotegate_sink::{FirestoreSink, PauseControl, PauseControlError};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::text::counted;

/// A log line names at most this many tenants.
const MAX_NAMES: usize = 20;

/// How often the files of the old job's switches are read. Not a setting: reading a line costs nothing, and a switch
/// must not be slow because a setting was for something else.
const SWITCH_INTERVAL: Duration = Duration::from_secs(1);

/// What switches, settings and document say about pausing, and the flags of the tenants.
#[derive(Debug)]
pub(crate) struct Pauses {
    instance: String,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    switches: SwitchState,
    all_by_settings: bool,
    by_settings: BTreeSet<TenantId>,
    control: PauseControl,
    is_standby: bool,
    flags: BTreeMap<TenantId, Arc<PauseFlag>>,
}

impl Pauses {
    /// For the host named `instance`.
    pub(crate) fn new(instance: &str, settings: &Settings) -> Self {
        let pauses = Self { instance: instance.to_owned(), inner: Mutex::default() };
        pauses.set_settings(settings);
        pauses.set_switches(settings.switches.state());
        pauses
    }

    /// Applies what the switches say now, and logs what changed.
    fn set_switches(&self, switches: SwitchState) {
        let mut inner = self.inner.lock();
        for reading in switches.readings.iter().filter(|reading| !inner.switches.readings.contains(reading)) {
            match reading.is_warning() {
                true => warn!(event_type = "switch", "{reading}"),
                false => info!(event_type = "switch", "{reading}"),
            }
        }
        inner.switches = switches;
        inner.apply(&self.instance);
    }

    /// Reads the files of the switches once per second until `stop`.
    pub(crate) async fn poll_switches_until(&self, switches: Switches, stop: CancellationToken) {
        let switches = Arc::new(switches);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(SWITCH_INTERVAL) => {}
            }
            let read = tokio::task::spawn_blocking({
                let switches = switches.clone();
                move || switches.state()
            });
            // A file system that does not answer must not delay the shutdown.
            tokio::select! {
                () = stop.cancelled() => return,
                state = read => if let Ok(state) = state {
                    self.set_switches(state);
                },
            }
        }
    }

    /// Applies new settings.
    pub(crate) fn set_settings(&self, settings: &Settings) {
        let mut inner = self.inner.lock();
        inner.all_by_settings = settings.run.paused;
        let paused = settings.tenants.iter().filter(|tenant| tenant.paused);
        inner.by_settings = paused.map(|tenant| tenant.id.clone()).collect();
        inner.apply(&self.instance);
    }

    /// Applies new contents of the document.
    fn set_control(&self, control: PauseControl) {
        let mut inner = self.inner.lock();
        inner.control = control;
        inner.apply(&self.instance);
    }

    /// Stops all tenants while another host owns the feed.
    pub(crate) fn set_standby(&self, is_standby: bool) {
        let mut inner = self.inner.lock();
        inner.is_standby = is_standby;
        inner.apply(&self.instance);
    }

    /// Adds a tenant, and sets its flag at once if it is paused.
    pub(crate) fn add(&self, tenant: TenantId, flag: Arc<PauseFlag>) {
        let mut inner = self.inner.lock();
        let mut changed = Changed::new();
        inner.set_flag(&tenant, &flag, &self.instance, &mut changed);
        // A switch pauses every tenant, and has been logged.
        if inner.switches.stopped_by().is_none() {
            log_changes(changed);
        }
        inner.flags.insert(tenant, flag);
    }

    /// Forgets a tenant. Its flag stays as it is.
    pub(crate) fn forget(&self, tenant: &TenantId) {
        self.inner.lock().flags.remove(tenant);
    }

    /// Reads the document once per `interval` until `stop`.
    pub(crate) async fn poll_control_until(
        &self,
        mut poller: ControlPoller,
        interval: Duration,
        stop: CancellationToken,
    ) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(interval) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.poll_control(&mut poller) => {}
            }
        }
    }

    /// Reads the document once. A document that cannot be read or is malformed changes nothing.
    pub(crate) async fn poll_control(&self, poller: &mut ControlPoller) {
        let result = poller.sink.pause_control().await;
        poller.log_change(result.as_ref().err());
        if let Ok(control) = result {
            self.set_control(control);
        }
    }
}

impl Inner {
    fn apply(&self, instance: &str) {
        log_changes(self.set_flags(instance));
    }

    /// Sets every tenant's flag. Returns the tenants that operators have paused or resumed, by reason. Whether this host may
    /// write at all is in the log already.
    fn set_flags(&self, instance: &str) -> Changed<'_> {
        let mut changed = Changed::new();
        for (tenant, flag) in &self.flags {
            self.set_flag(tenant, flag, instance, &mut changed);
        }
        changed
    }

    fn set_flag<'t>(&self, tenant: &'t TenantId, flag: &PauseFlag, instance: &str, changed: &mut Changed<'t>) {
        let (old, pause) = (flag.get(), self.pause(tenant, instance));
        let [before, now] = [&old, &pause].map(|pause| pause.as_ref().and_then(Pause::by_operator));
        if before != now {
            changed.entry(now.cloned()).or_default().push(tenant.as_str());
        }
        flag.set(pause);
    }

    /// An operator's reason comes first.
    fn pause(&self, tenant: &TenantId, instance: &str) -> Option<Pause> {
        let by_operator = self.reason(tenant, instance).map(|reason| Pause::Operator(reason.into()));
        by_operator.or_else(|| self.is_standby.then_some(Pause::NotOwner))
    }

    /// How an operator has paused the tenant, if one has.
    fn reason(&self, tenant: &TenantId, instance: &str) -> Option<String> {
        let id = tenant.as_str();
        let listed = |list: &BTreeMap<String, bool>, name: &str| list.get(name).is_some_and(|paused| *paused);
        if let Some(switch) = self.switches.stopped_by() {
            return Some(format!("{switch} pauses this host"));
        }
        if self.all_by_settings {
            return Some("the setting run.paused pauses this host".to_owned());
        }
        if self.by_settings.contains(tenant) {
            return Some(format!("the setting tenants.{id}.paused pauses this tenant"));
        }
        if self.control.paused {
            return Some("the document ops/ingest_control pauses all hosts".to_owned());
        }
        if listed(&self.control.hosts, instance) {
            return Some(format!("the document ops/ingest_control pauses the host {instance}"));
        }
        if listed(&self.control.tenants, id) {
            return Some(format!("the document ops/ingest_control pauses the tenant {id}"));
        }
        None
    }
}

/// Tenants that operators have paused or resumed, by reason.
type Changed<'t> = BTreeMap<Option<Arc<str>>, Vec<&'t str>>;

fn log_changes(changed: Changed<'_>) {
    for (reason, tenants) in changed {
        let (count, named) = (tenants.len(), &tenants[..tenants.len().min(MAX_NAMES)]);
        match reason {
            Some(reason) => {
                warn!(event_type = "paused", count, tenants = ?named, "paused {}: {reason}", counted(count, "tenant"));
            }
            None => {
                info!(event_type = "resumed", count, tenants = ?named, "{} may write again", counted(count, "tenant"));
            }
        }
    }
}

/// Reads the document, and remembers what was wrong with it the last time.
pub(crate) struct ControlPoller {
    sink: Arc<FirestoreSink>,
    last_error: Option<PauseControlError>,
}

impl ControlPoller {
    pub(crate) fn new(sink: Arc<FirestoreSink>) -> Self {
        Self { sink, last_error: None }
    }

    /// Logs changes only, not each failure.
    fn log_change(&mut self, error: Option<&PauseControlError>) {
        let unchanged = match (&self.last_error, error) {
            (None, None) => true,
            (Some(PauseControlError::Malformed { .. }), Some(new)) => self.last_error.as_ref() == Some(new),
            // The error message of an unreachable server differs between attempts.
            (Some(old), Some(new)) => discriminant(old) == discriminant(new),
            _ => false,
        };
        if !unchanged {
            match error {
                Some(error) => warn!(
                    event_type = "control_problem",
                    "{error}; until it can be read, its last contents apply, and the settings can pause writing too"
                ),
                None => info!(event_type = "control_read", "ops/ingest_control can be read again"),
            }
        }
        self.last_error = error.cloned();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::Notify;

    fn tenant(id: &str) -> TenantId {
        TenantId::new(id).unwrap()
    }

    fn control(paused: bool, hosts: &[&str], tenants: &[&str]) -> PauseControl {
        let all = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), true)).collect();
        PauseControl { paused, hosts: all(hosts), tenants: all(tenants) }
    }

    fn two_tenants() -> (Pauses, [Arc<PauseFlag>; 2]) {
        let pauses = Pauses { instance: "host-a".into(), inner: Mutex::default() };
        let flags = ["acme", "globex"].map(|id| {
            let flag = Arc::new(PauseFlag::new(Arc::new(Notify::new())));
            pauses.add(tenant(id), flag.clone());
            flag
        });
        (pauses, flags)
    }

    fn held(flags: &[Arc<PauseFlag>; 2]) -> [bool; 2] {
        [flags[0].get().is_some(), flags[1].get().is_some()]
    }

    fn reason(flag: &PauseFlag) -> String {
        flag.get().unwrap().by_operator().unwrap().to_string()
    }

    #[test]
    fn the_document_pauses_all_hosts_this_host_or_a_tenant() {
        let (pauses, flags) = two_tenants();
        for (control, expected) in [
            (control(true, &[], &[]), [true, true]),
            (control(false, &["host-b"], &["initech"]), [false, false]),
            (control(false, &["host-a"], &[]), [true, true]),
            (control(false, &[], &["globex"]), [false, true]),
            (PauseControl::default(), [false, false]),
        ] {
            pauses.set_control(control.clone());
            assert_eq!(held(&flags), expected, "{control:?}");
        }
    }

    #[test]
    fn a_switch_pauses_every_tenant_until_its_file_says_otherwise() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("halted");
        let environment = vec![
            ("TENANT_ID".into(), "acme".into()),
            ("DRY_RUN".into(), "1".into()),
            ("EXECUTION_HALTED_FILE".into(), file.clone().into()),
        ];
        let sources = quotegate_config::Sources { environment, ..Default::default() };
        let switches = Settings::load(&sources).unwrap().settings.switches;
        let (pauses, flags) = two_tenants();
        for (content, expected) in [("1", true), ("0", false), ("on", true)] {
            std::fs::write(&file, content).unwrap();
            pauses.set_switches(switches.state());
            assert_eq!(held(&flags), [expected, expected], "{content}");
        }
        assert!(reason(&flags[0]).contains("EXECUTION_HALTED_FILE"), "{flags:?}");
        std::fs::remove_file(&file).unwrap();
        pauses.set_switches(switches.state());
        assert_eq!(held(&flags), [false, false], "a file that cannot be read halts nothing");
    }

    #[test]
    fn a_tenant_writes_again_only_when_nothing_pauses_it() {
        let (pauses, flags) = two_tenants();
        pauses.inner.lock().by_settings.insert(tenant("acme"));
        pauses.set_control(control(false, &[], &["acme"]));
        assert!(reason(&flags[0]).contains("tenants.acme.paused"));
        pauses.inner.lock().by_settings.clear();
        pauses.set_control(control(false, &[], &["acme"]));
        assert!(reason(&flags[0]).contains("ops/ingest_control"));
        let version = flags[0].version();
        pauses.set_control(PauseControl::default());
        assert_eq!((held(&flags), flags[0].version()), ([false, false], version + 1));
    }

    #[tokio::test]
    async fn a_document_that_cannot_be_read_changes_nothing() {
        let (pauses, flags) = two_tenants();
        pauses.set_control(control(false, &[], &["acme"]));
        let nowhere = quotegate_sink::FirestoreSettings {
            project_id: Some("demo-nowhere".into()),
            database_id: "(default)".into(),
            emulator_host: Some("127.0.0.1:9".into()),
            credentials_file: None,
            request_timeout: Duration::from_secs(5),
            mode: quotegate_sink::WriteMode::Merge,
        };
        let mut poller = ControlPoller::new(Arc::new(FirestoreSink::connect(nowhere).await.unwrap()));
        for _ in 0..2 {
            pauses.poll_control(&mut poller).await;
            assert!(matches!(poller.last_error, Some(PauseControlError::Unreadable(_))), "{:?}", poller.last_error);
            assert_eq!(held(&flags), [true, false]);
        }
    }

    #[test]
    fn the_tenants_of_a_standby_do_not_write_and_an_operators_reason_comes_first() {
        let (pauses, flags) = two_tenants();
        pauses.set_standby(true);
        assert!(flags.iter().all(|flag| flag.get() == Some(Pause::NotOwner)));
        pauses.set_control(control(false, &[], &["acme"]));
        assert!(reason(&flags[0]).contains("ops/ingest_control") && flags[1].get() == Some(Pause::NotOwner));
        pauses.set_standby(false);
        assert_eq!(held(&flags), [true, false]);
    }

    #[test]
    fn an_added_tenant_is_paused_at_once() {
        let (pauses, _) = two_tenants();
        pauses.set_control(control(true, &[], &[]));
        let flag = Arc::new(PauseFlag::new(Arc::new(Notify::new())));
        pauses.add(tenant("initech"), flag.clone());
        assert!(flag.get().is_some());
    }
}
