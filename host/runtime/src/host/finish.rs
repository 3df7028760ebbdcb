//! How a host stops, in order.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context;
use quotegate_loader::PluginLoader;
use quotegate_pipeline::tenant::Unflushed;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{Host, Summary};
use crate::heartbeat::{self, Occasion};
use crate::text::counted;

/// There are no new tokens after a handover, so what is not written soon never will be.
const FLUSH_AFTER_HANDOVER: Duration = Duration::from_secs(3);

/// The other workers are waiting for the tenants, and get the latest quotes from the reader.
const FLUSH_BEFORE_LEAVING: Duration = Duration::from_millis(300);

/// How long closing the websocket may take before the lease is released anyway.
const DISCONNECT_LIMIT: Duration = Duration::from_secs(1);

impl Host {
    /// Runs until `stop`, until `run.stop_after_s` is over, or until the source ends or fails. Then it stops reading
    /// quotes, flushes what is dirty as far as token buckets and grace period allow, writes a last heartbeat that says
    /// `stopped`, and logs how many symbols were not flushed. Returns an error if the source failed.
    pub async fn finish(mut self, stop: CancellationToken) -> anyhow::Result<Summary> {
        let mut source_end = None;
        tokio::select! {
            () = stop.cancelled() => {}
            () = sleep(self.stop_after.unwrap_or(Duration::MAX)), if self.stop_after.is_some() => {
                info!(event_type = "shutdown", "run.stop_after_s is over");
            }
            end = self.quotes.ended() => source_end = Some(end),
        }
        let failed = matches!(source_end, Some(Err(_)));
        if let Some(Ok(())) = source_end {
            // The end of a replay is not urgent, so its last quotes are written without a deadline.
            self.status.source_ended.store(true, Ordering::Relaxed);
            info!(event_type = "shutdown", "the source has ended; writing what is dirty");
            self.wait_for_tenants(&stop).await;
        }

        self.status.stopping.store(true, Ordering::Relaxed);
        // First, so that no tenant is added from here on.
        if let Some((task, stop)) = self.reloader.take() {
            stop.cancel();
            let _ = task.await;
        }
        let ends = Instant::now() + self.grace;
        // The rest of the grace period is for the last heartbeat.
        let flush_until = ends - (self.grace / 4).min(Duration::from_millis(1500));
        self.quotes.stop();
        let handed_over = self.hand_over(flush_until, &mut source_end).await;
        let flush_until = match (handed_over, &self.status.shards) {
            (true, None) => flush_until.min(Instant::now() + FLUSH_AFTER_HANDOVER),
            (true, Some(_)) => flush_until.min(Instant::now() + FLUSH_BEFORE_LEAVING),
            (false, _) => flush_until,
        };
        self.deadline.send_replace(Some(flush_until.into_std()));
        let tasks = self.take_tenant_tasks().await;
        let unflushed = collect(tasks, flush_until, &self.plugins).await;
        if source_end.is_none() && self.status.shards.is_none() {
            source_end = timeout_at(flush_until, self.quotes.disconnected()).await.ok();
        }
        self.end_sink(flush_until).await;
        self.leave_relay(handed_over, ends, &mut source_end).await;
        self.quotes.end_services().await;
        self.stop_ticking.cancel();
        let _ = self.heartbeat_task.await;
        let _ = self.budget_task.await;
        for task in [self.control_task.take(), self.switch_task.take(), self.relay_task.take()].into_iter().flatten() {
            let _ = task.await;
        }
        let failure = source_end.as_ref().and_then(|end| end.as_ref().err()).map(|error| format!("{error:#}"));
        let last = Occasion::Last(failure.as_deref());
        // After a handover, heartbeats are the other host's work.
        if !handed_over && timeout_at(ends, heartbeat::write_all(&self.status, &self.heartbeats, last)).await.is_err() {
            warn!(event_type = "heartbeat", "the last heartbeat was not confirmed in time");
        }
        if let Some(ownership) = self.ownership.take() {
            ownership.release().await;
            if !handed_over {
                ownership.leave().await;
            }
            ownership.end().await;
        }

        // None are left unless a tenant has just been stopped.
        self.plugins.stop_calls();
        drop(self.tenants);
        let _ = tokio::task::spawn_blocking(move || drop(self.threads)).await;

        let summary = Summary { elapsed: self.began.elapsed(), snapshot: self.status.snapshot(), unflushed };
        log_end(&summary, failed);
        match source_end {
            Some(Err(error)) => Err(error).context("the feed failed"),
            _ => Ok(summary),
        }
    }

    /// If another host is waiting, gives it the lease as soon as the websocket is closed, so that quotes continue while this
    /// host flushes. Without another host the lease is kept until everything is written. With a relay, the lease can wait:
    /// quotes go on. True if others have the tenants from now on.
    async fn hand_over(&mut self, until: Instant, source_end: &mut Option<anyhow::Result<()>>) -> bool {
        let Some(ownership) = &mut self.ownership else { return false };
        if ownership.shards().is_some() {
            return ownership.has_successor().await;
        }
        ownership.stop_following().await;
        if !self.status.may_write() {
            return true;
        }
        let ended = async {
            if source_end.is_none() {
                *source_end = timeout_at(until, self.quotes.disconnected()).await.ok();
            }
        };
        let (has_successor, ()) = tokio::join!(ownership.has_successor(), ended);
        if has_successor {
            ownership.hand_over().await;
        }
        has_successor
    }

    /// With a relay, gives the shards to the other workers while this host still reads the feed, and then the feed.
    async fn leave_relay(&mut self, handed_over: bool, ends: Instant, source_end: &mut Option<anyhow::Result<()>>) {
        let Some(ownership) = self.ownership.as_mut().filter(|ownership| ownership.shards().is_some()) else { return };
        if handed_over {
            // No heartbeat may come after the new owners'.
            self.stop_ticking.cancel();
            // As the owner of the feed, this host still assigns its own shards to others.
            ownership.leave().await;
        }
        self.quotes.stop_source();
        if source_end.is_none() {
            let until = ends.min(Instant::now() + DISCONNECT_LIMIT);
            *source_end = timeout_at(until, self.quotes.disconnected()).await.ok();
        }
        // Its end is also that of publishing.
        ownership.stop_following().await;
        ownership.release().await;
    }

    /// Waits until every tenant has written everything, or `stop`.
    async fn wait_for_tenants(&mut self, stop: &CancellationToken) {
        let settled = async {
            while !self.status.tenants().iter().all(|(_, tenant)| tenant.has_ended()) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = settled => {}
        }
    }

    /// Takes the tenants' tasks, and drops the supervisor's sender: the batcher ends once all senders are gone.
    async fn take_tenant_tasks(&mut self) -> JoinSet<Unflushed> {
        let mut tenants = self.tenants.lock().await;
        let (closed, _) = mpsc::channel(1);
        tenants.services.writes = closed;
        std::mem::take(&mut tenants.tasks)
    }

    async fn end_sink(&mut self, flush_until: Instant) {
        // The tenants' senders are gone, so the batcher ends once every write has an outcome.
        if timeout_at(flush_until, &mut self.batcher).await.is_err() {
            self.batcher_deadline.cancel();
            if let Ok(end) = (&mut self.batcher).await
                && end.unanswered > 0
            {
                let documents = counted(end.unanswered, "document");
                warn!(unanswered = end.unanswered, "no answer from the sink in time for {documents}");
            }
        }
    }
}

async fn collect(mut tenants: JoinSet<Unflushed>, flush_until: Instant, plugins: &PluginLoader) -> Unflushed {
    let mut total = Unflushed::default();
    if timeout_at(flush_until, add_unflushed(&mut tenants, &mut total)).await.is_err() {
        // Tenants meet the deadline themselves, unless a call of a plugin keeps them. Then this ends it.
        plugins.stop_calls();
        let limit = flush_until + Duration::from_millis(100);
        if timeout_at(limit, add_unflushed(&mut tenants, &mut total)).await.is_err() {
            error!("{} did not end in time", counted(tenants.len(), "tenant"));
            tenants.abort_all();
        }
    }
    total
}

async fn add_unflushed(tenants: &mut JoinSet<Unflushed>, total: &mut Unflushed) {
    while let Some(ended) = tenants.join_next().await {
        match ended {
            Ok(unflushed) => {
                total.dirty += unflushed.dirty;
                total.in_flight += unflushed.in_flight;
            }
            Err(panic) => error!("a tenant's task panicked: {panic}"),
        }
    }
}

fn log_end(summary: &Summary, failed: bool) {
    let sum = |of| summary.snapshot.sum(of);
    let (quotes, written): (u64, u64) = (sum(|counters| counters.quotes), sum(|counters| counters.written));
    let left = summary.unflushed.dirty + summary.unflushed.in_flight;
    info!(
        event_type = "shutdown",
        quotes,
        written,
        unflushed = left,
        unflushed_dirty = summary.unflushed.dirty,
        unflushed_in_flight = summary.unflushed.in_flight,
        seconds = summary.elapsed.as_secs_f64(),
        failed,
        "quotegate ends: {} in, {} written, {} not flushed",
        counted(quotes, "quote"),
        counted(written, "document"),
        counted(left, "symbol"),
    );
}
