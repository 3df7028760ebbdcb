//! The kill switch: which tenants may not write, and why.
//!
//! Settings and the document `ops/ingest_control` each have their say, for everybody or for one tenant, and a tenant is
//! paused while any of them says so. Knows nothing of quotes.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::discriminant;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use quotegate_config::Settings;
use quotegate_document::TenantId;
use quotegate_pipeline::pause::PauseFlag;
use quotegate_sink::{FirestoreSink, PauseControl, PauseControlError};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// A log line names at most this many tenants.
const NAMED: usize = 20;

/// Everything that was said about pausing, and the tenants that it is about.
#[derive(Debug)]
pub(crate) struct Pauses {
    instance: String,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    everybody: bool,
    tenants: BTreeSet<TenantId>,
    control: PauseControl,
    flags: BTreeMap<TenantId, Arc<PauseFlag>>,
}

impl Pauses {
    /// For the host of this name.
    pub(crate) fn new(instance: &str, settings: &Settings) -> Self {
        let pauses = Self { instance: instance.to_owned(), inner: Mutex::default() };
        pauses.set_settings(settings);
        pauses
    }

    /// What the settings say from now on.
    pub(crate) fn set_settings(&self, settings: &Settings) {
        let mut inner = self.lock();
        inner.everybody = settings.run.paused;
        let paused = settings.tenants.iter().filter(|tenant| tenant.paused);
        inner.tenants = paused.map(|tenant| tenant.id.clone()).collect();
        inner.apply(&self.instance);
    }

    /// What the document says from now on.
    fn set_control(&self, control: PauseControl) {
        let mut inner = self.lock();
        inner.control = control;
        inner.apply(&self.instance);
    }

    /// Adds a tenant and its flag, which is set at once.
    pub(crate) fn add(&self, tenant: TenantId, flag: Arc<PauseFlag>) {
        let mut inner = self.lock();
        inner.flags.insert(tenant, flag);
        inner.apply(&self.instance);
    }

    /// Forgets a tenant. Its flag stays as it is.
    pub(crate) fn forget(&self, tenant: &TenantId) {
        self.lock().flags.remove(tenant);
    }

    /// Reads the document each `every` until `stop`.
    pub(crate) async fn watch(&self, mut look: Look, every: Duration, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(every) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.look(&mut look) => {}
            }
        }
    }

    /// Reads the document once. A document that cannot be read, or that is malformed, changes nothing.
    pub(crate) async fn look(&self, look: &mut Look) {
        let read = look.sink.pause_control().await;
        look.tell(read.as_ref().err());
        if let Ok(control) = read {
            self.set_control(control);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }
}

impl Inner {
    fn apply(&self, instance: &str) {
        let mut changed: BTreeMap<Option<Arc<str>>, Vec<&str>> = BTreeMap::new();
        for (tenant, flag) in &self.flags {
            let reason = self.reason(tenant, instance).map(Arc::<str>::from);
            if flag.set(reason.clone()) {
                changed.entry(reason).or_default().push(tenant.as_str());
            }
        }
        for (reason, tenants) in changed {
            let (count, named) = (tenants.len(), &tenants[..tenants.len().min(NAMED)]);
            match reason {
                Some(reason) => {
                    warn!(event_type = "paused", count, tenants = ?named, "{count} tenants are paused: {reason}");
                }
                None => info!(event_type = "resumed", count, tenants = ?named, "{count} tenants write again"),
            }
        }
    }

    fn reason(&self, tenant: &TenantId, instance: &str) -> Option<String> {
        let id = tenant.as_str();
        let by = |said: bool, words: &dyn Fn() -> String| said.then(words);
        by(self.everybody, &|| "the setting run.paused pauses this host".to_owned())
            .or_else(|| {
                by(self.tenants.contains(tenant), &|| format!("the setting tenants.{id}.paused pauses this tenant"))
            })
            .or_else(|| by(self.control.paused, &|| "the document ops/ingest_control pauses all hosts".to_owned()))
            .or_else(|| {
                let host = self.control.hosts.get(instance).is_some_and(|paused| *paused);
                by(host, &|| format!("the document ops/ingest_control pauses the host {instance}"))
            })
            .or_else(|| {
                let own = self.control.tenants.get(id).is_some_and(|paused| *paused);
                by(own, &|| format!("the document ops/ingest_control pauses the tenant {id}"))
            })
    }
}

/// How the document is read, and what was wrong with it the last time.
pub(crate) struct Look {
    sink: Arc<FirestoreSink>,
    problem: Option<PauseControlError>,
}

impl Look {
    pub(crate) fn new(sink: Arc<FirestoreSink>) -> Self {
        Self { sink, problem: None }
    }

    /// Logs what has changed about the document, not each failure.
    fn tell(&mut self, problem: Option<&PauseControlError>) {
        let told = match (&self.problem, problem) {
            (None, None) => true,
            (Some(PauseControlError::Malformed { .. }), Some(new)) => self.problem.as_ref() == Some(new),
            // The words of a server that cannot be reached differ from try to try.
            (Some(old), Some(new)) => discriminant(old) == discriminant(new),
            _ => false,
        };
        if !told {
            match problem {
                Some(problem) => warn!(
                    event_type = "control_problem",
                    "{problem}; until then what it last said counts, and the settings can pause too"
                ),
                None => info!(event_type = "control_read", "ops/ingest_control can be read again"),
            }
        }
        self.problem = problem.cloned();
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
        [flags[0].reason().is_some(), flags[1].reason().is_some()]
    }

    #[test]
    fn the_document_pauses_everybody_this_host_or_a_tenant() {
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
    fn a_tenant_writes_again_only_when_nobody_pauses_it_any_more() {
        let (pauses, flags) = two_tenants();
        pauses.lock().tenants.insert(tenant("acme"));
        pauses.set_control(control(false, &[], &["acme"]));
        assert!(flags[0].reason().unwrap().contains("tenants.acme.paused"));
        pauses.lock().tenants.clear();
        pauses.set_control(control(false, &[], &["acme"]));
        assert!(flags[0].reason().unwrap().contains("ops/ingest_control"));
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
        let mut look = Look::new(Arc::new(FirestoreSink::connect(nowhere).await.unwrap()));
        for _ in 0..2 {
            pauses.look(&mut look).await;
            assert!(matches!(look.problem, Some(PauseControlError::Unreadable(_))), "{:?}", look.problem);
            assert_eq!(held(&flags), [true, false]);
        }
    }

    #[test]
    fn a_tenant_that_comes_later_is_paused_at_once() {
        let (pauses, _) = two_tenants();
        pauses.set_control(control(true, &[], &[]));
        let flag = Arc::new(PauseFlag::new(Arc::new(Notify::new())));
        pauses.add(tenant("initech"), flag.clone());
        assert!(flag.reason().is_some());
    }
}
