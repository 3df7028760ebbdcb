//! The write budget that all tenants share: a [`Pacer`] behind a lock, and a timer.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;
use quotegate_document::TenantId;
use quotegate_pace::{Lane, Pacer, Rate};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Hands out write tokens to tenants in turn.
#[derive(Debug)]
pub struct Budget {
    inner: Mutex<Inner>,
    /// Notified when the next grant may be possible sooner.
    wants_changed: Notify,
}

#[derive(Debug)]
struct Inner {
    pacer: Pacer,
    limit: Rate,
    /// Until when [`Budget::run`] sleeps; `None`: until it is notified.
    sleeps_until: Option<std::time::Instant>,
    /// By lane.
    granted: Vec<Arc<Granted>>,
    /// Kept when a tenant is removed: if it is added again, it continues with its old bucket, not with a full one.
    lanes: HashMap<TenantId, Lane>,
}

/// Tokens granted to one tenant and not used yet. Added by the budget, taken by the tenant.
#[derive(Debug)]
struct Granted {
    tokens: AtomicU32,
    wake: Arc<Notify>,
}

/// One tenant's handle of the [`Budget`].
#[derive(Debug)]
pub struct TenantBudget {
    budget: Arc<Budget>,
    lane: Lane,
    granted: Arc<Granted>,
}

impl Budget {
    /// A full budget. [`Budget::run`] must run for tokens to arrive later.
    pub fn new(global: Rate) -> Arc<Self> {
        let pacer = Pacer::new(global, now());
        Arc::new(Self {
            inner: Mutex::new(Inner {
                pacer,
                limit: global,
                sleeps_until: None,
                granted: Vec::new(),
                lanes: HashMap::new(),
            }),
            wants_changed: Notify::new(),
        })
    }

    /// Adds a tenant, whose task is woken when it gets a token. A tenant has at most one budget at a time.
    pub fn tenant(self: &Arc<Self>, tenant: &TenantId, own: Option<Rate>, wake: Arc<Notify>) -> TenantBudget {
        let granted = Arc::new(Granted { tokens: AtomicU32::new(0), wake });
        let mut inner = self.inner.lock();
        let lane = match inner.lanes.get(tenant).copied() {
            Some(lane) => {
                inner.pacer.set_rate(lane, own, now());
                inner.granted[lane.index()] = granted.clone();
                lane
            }
            None => {
                let lane = inner.pacer.add_lane(own, now());
                inner.lanes.insert(tenant.clone(), lane);
                inner.granted.push(granted.clone());
                lane
            }
        };
        drop(inner);
        TenantBudget { budget: self.clone(), lane, granted }
    }

    /// Changes the rate of all tenants together. Adds no tokens by itself.
    pub fn set_global(&self, global: Rate) {
        let mut inner = self.inner.lock();
        inner.pacer.set_global(global, now());
        inner.limit = global;
        drop(inner);
        self.wants_changed.notify_one();
    }

    /// Changes the rate to this host's share of it. Without a share, the bucket is empty and stays so. Adds no tokens by
    /// itself: what this host gains, another host may have used until now.
    pub fn set_share(&self, share: Option<Rate>) {
        match share {
            Some(share) => self.set_global(share),
            None => {
                let mut inner = self.inner.lock();
                // One token in thirty years.
                if let Ok(never) = Rate::new(1e-9, 1) {
                    inner.pacer.set_global(never, now());
                }
                inner.pacer.drain(now());
            }
        }
    }

    /// Empties the bucket. Another host may have used its tokens until now.
    pub fn drain(&self) {
        self.inner.lock().pacer.drain(now());
        self.wants_changed.notify_one();
    }

    /// From now on there are only the tokens that are in the bucket. Another host uses the rate.
    pub fn stop_refilling(&self) {
        let mut inner = self.inner.lock();
        // Less than one token in the grace period of any shutdown.
        if let Ok(rate) = Rate::new(1e-4, inner.limit.burst()) {
            inner.pacer.set_global(rate, now());
        }
    }

    /// The limit of all tenants' writes together.
    pub fn limit(&self) -> Rate {
        self.inner.lock().limit
    }

    /// Whole tokens in the global bucket.
    pub fn tokens(&self) -> u32 {
        self.inner.lock().pacer.tokens(now())
    }

    /// Grants tokens as they become available, until `stop`.
    pub async fn run(&self, stop: CancellationToken) {
        loop {
            let next = {
                let mut inner = self.inner.lock();
                inner.grant_all();
                inner.sleeps_until = inner.pacer.next_grant_at(now());
                inner.sleeps_until
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.wants_changed.notified() => {}
                () = sleep_until(next) => {}
            }
        }
    }
}

impl Inner {
    /// True if the next grant is possible before [`Budget::run`] wakes.
    fn is_sooner(&self) -> bool {
        let next = self.pacer.next_grant_at(now());
        next.is_some_and(|next| self.sleeps_until.is_none_or(|until| next < until))
    }

    fn grant_all(&mut self) {
        while let Some(lane) = self.pacer.grant(now()) {
            let granted = &self.granted[lane.index()];
            granted.tokens.fetch_add(1, Ordering::Relaxed);
            granted.wake.notify_one();
        }
    }
}

impl TenantBudget {
    /// Sets how many writes want a token, including those that have one. Grants available tokens at once.
    pub fn want(&self, writes: usize) {
        let mut inner = self.budget.inner.lock();
        // Tokens are only added under the lock, so none can slip in between.
        let held = self.granted.tokens.load(Ordering::Relaxed);
        let wanted = u32::try_from(writes).unwrap_or(u32::MAX).saturating_sub(held);
        inner.pacer.want(self.lane, wanted);
        if wanted > 0 {
            inner.grant_all();
            // Waking the timer for every tenant that wants a token would cost more than the writes.
            if inner.is_sooner() {
                self.budget.wants_changed.notify_one();
            }
        }
    }

    /// Granted tokens that are not taken yet.
    pub fn held(&self) -> usize {
        self.granted.tokens.load(Ordering::Relaxed) as usize
    }

    /// Takes a granted token for one write.
    pub fn take(&self) -> bool {
        let taken = self.granted.tokens.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| held.checked_sub(1));
        taken.is_ok()
    }

    /// Changes the tenant's own limit.
    pub fn set_rate(&self, own: Option<Rate>) {
        self.budget.inner.lock().pacer.set_rate(self.lane, own, now());
        self.budget.wants_changed.notify_one();
    }

    /// Returns a token whose write was not attempted.
    pub fn refund(&self) {
        self.budget.inner.lock().pacer.refund(self.lane);
        self.budget.wants_changed.notify_one();
    }
}

/// Unused tokens go to other tenants.
impl Drop for TenantBudget {
    fn drop(&mut self) {
        self.budget.inner.lock().pacer.want(self.lane, 0);
        while self.take() {
            self.refund();
        }
    }
}

/// Sleeps until `at`, or forever if it is `None`.
pub(crate) async fn sleep_until(at: Option<std::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(Instant::from_std(at)).await,
        None => std::future::pending().await,
    }
}

/// The time on tokio's clock, which tests can pause.
pub fn now() -> std::time::Instant {
    Instant::now().into_std()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn tenant(number: usize) -> TenantId {
        TenantId::new(&format!("tenant-{number}")).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_removed_tenant_returns_its_tokens_and_gets_no_second_burst_when_added_again() {
        let budget = Budget::new(Rate::new(1.0, 10).unwrap());
        let wake = || Arc::new(Notify::new());
        let own = Some(Rate::new(0.01, 4).unwrap());
        let acme = budget.tenant(&tenant(0), own, wake());
        acme.want(10);
        assert!(acme.take() && acme.take() && acme.take());
        assert_eq!((acme.held(), budget.tokens()), (1, 6));
        drop(acme);
        assert_eq!(budget.tokens(), 7);
        let acme = budget.tenant(&tenant(0), own, wake());
        acme.want(10);
        assert!(acme.take() && !acme.take());
        let other = budget.tenant(&tenant(1), None, wake());
        other.want(10);
        assert_eq!(other.held(), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn a_budget_that_is_handed_over_gives_what_it_holds_and_the_next_one_starts_empty() {
        let rate = Rate::new(10.0, 5).unwrap();
        let [old, new] = [(); 2].map(|()| Budget::new(rate));
        new.drain();
        old.stop_refilling();
        assert_eq!((old.tokens(), new.tokens(), old.limit()), (5, 0, rate));
        tokio::time::advance(Duration::from_millis(300)).await;
        assert_eq!((old.tokens(), new.tokens()), (5, 3));
        let acme = old.tenant(&tenant(0), None, Arc::new(Notify::new()));
        acme.want(10);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!((acme.held(), old.tokens()), (5, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_share_that_grows_brings_no_tokens_and_without_a_share_there_are_none() {
        let rate = |per_second, burst| Rate::new(per_second, burst).unwrap();
        let budget = Budget::new(rate(10.0, 4));
        budget.set_share(Some(rate(20.0, 8)));
        assert_eq!(budget.tokens(), 4);
        budget.set_share(None);
        tokio::time::advance(Duration::from_secs(3600)).await;
        let acme = budget.tenant(&tenant(0), None, Arc::new(Notify::new()));
        acme.want(10);
        assert_eq!((budget.tokens(), acme.held()), (0, 0));
        budget.set_share(Some(rate(20.0, 8)));
        assert_eq!(budget.tokens(), 0);
        tokio::time::advance(Duration::from_millis(100)).await;
        acme.want(10);
        assert_eq!(acme.held(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn later_tokens_wake_the_waiting_tenant() {
        let budget = Budget::new(Rate::new(10.0, 1).unwrap());
        let wakes = [(); 2].map(|()| Arc::new(Notify::new()));
        let [first, second] = [0, 1].map(|at| budget.tenant(&tenant(at), None, wakes[at].clone()));
        let stop = CancellationToken::new();
        let timer = tokio::spawn({
            let (budget, stop) = (budget.clone(), stop.clone());
            async move { budget.run(stop).await }
        });

        first.want(1);
        second.want(1);
        assert!(first.take() && !second.take());

        let before = Instant::now();
        wakes[1].notified().await;
        assert!(second.take());
        // Tokio's timer counts in milliseconds, rounded up.
        let waited = before.elapsed();
        assert!(waited >= Duration::from_millis(100) && waited <= Duration::from_millis(102), "{waited:?}");
        stop.cancel();
        timer.await.unwrap();
    }
}
