//! This host's part of the relay: publishes the feed's quotes while it is the reader, and receives them as a worker.

use std::sync::Arc;
use std::thread;

use anyhow::{Context, anyhow};
use quotegate_config::Settings;
use quotegate_feed::FeedStatus;
use quotegate_lease::InstanceRole;
use quotegate_market::Subscription;
use quotegate_pipeline::router::Router;
use quotegate_relay::{Publisher, PublisherTask, Relay, Subscriber};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::feed_view::{ReaderReport, RelayView};
use crate::host::wiring;
use crate::watchdog::{ThreadGroup, Watchdog};

/// The connection to the broker, before quotes flow.
pub(crate) struct PreparedRelay {
    role: InstanceRole,
    relay: Relay,
    subscriber: Option<Subscriber>,
}

/// The threads and tasks of the relay.
#[derive(Default)]
pub(crate) struct RunningRelay {
    publisher: Option<(JoinHandle<()>, CancellationToken)>,
    subscriber: Option<(oneshot::Receiver<()>, CancellationToken)>,
}

impl PreparedRelay {
    /// Begins to connect, if the settings name a broker. `wanted`: the symbols of this host's tenants.
    pub(crate) async fn connect(
        settings: &Settings,
        instance: &str,
        wanted: watch::Receiver<Arc<Subscription>>,
    ) -> anyhow::Result<Option<Self>> {
        let Some(chosen) = &settings.relay else { return Ok(None) };
        let relay = Relay::connect(wiring::relay(chosen, settings.feed.name, instance)).await.context("relay")?;
        let subscriber = wiring::works(settings).then(|| relay.subscriber(wanted));
        Ok(Some(Self { role: wiring::role(settings), relay, subscriber }))
    }

    /// For those who want to know how it is.
    pub(crate) fn view(&self) -> RelayView {
        RelayView::new(self.role, self.relay.clone(), self.subscriber.as_ref().map(Subscriber::reader))
    }

    /// Starts to receive quotes for `router`, if this host is a worker.
    pub(crate) fn start(&mut self, router: Router, watchdog: &Arc<Watchdog>) -> anyhow::Result<RunningRelay> {
        let subscriber = match self.subscriber.take() {
            Some(subscriber) => Some(receive(subscriber, router, watchdog.clone())?),
            None => None,
        };
        Ok(RunningRelay { publisher: None, subscriber })
    }

    /// Where the feed puts its quotes, and the task that publishes them.
    pub(crate) fn publisher(&self) -> (Publisher, PublisherTask) {
        self.relay.publisher()
    }
}

/// On a thread of its own, so that nothing else in the process can delay it.
fn receive(
    subscriber: Subscriber,
    mut router: Router,
    watchdog: Arc<Watchdog>,
) -> anyhow::Result<(oneshot::Receiver<()>, CancellationToken)> {
    let (stop, stopped) = (CancellationToken::new(), CancellationToken::new());
    let (ended, end) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("could not start the relay's runtime")?;
    let run = {
        let stop = stop.clone();
        move || {
            let reports = runtime.spawn(watchdog.report(ThreadGroup::Relay, stopped.clone()));
            runtime.block_on(async {
                subscriber.run(&mut router, stop).await;
                stopped.cancel();
                let _ = reports.await;
            });
            drop(router);
            let _ = ended.send(());
        }
    };
    thread::Builder::new().name("relay".into()).spawn(run).context("could not start the relay's thread")?;
    Ok((end, stop))
}

impl RunningRelay {
    /// Publishes quotes while this host is the reader: in the tenures of `tenure`.
    pub(crate) fn publish(
        &mut self,
        task: PublisherTask,
        tenure: watch::Receiver<Option<u64>>,
        feed: Arc<FeedStatus>,
        (instance, address): (String, Option<String>),
    ) {
        let report = move || {
            let report = ReaderReport { instance: instance.clone(), address: address.clone(), feed: feed.snapshot() };
            serde_json::to_vec(&report).unwrap_or_default()
        };
        let stop = CancellationToken::new();
        self.publisher = Some((tokio::spawn(task.run(tenure, report, stop.clone())), stop));
    }

    /// Waits until the receiving thread ends, which it should not do by itself.
    pub(crate) async fn failed(&mut self) -> anyhow::Error {
        match &mut self.subscriber {
            Some((end, _)) => {
                let _ = end.await;
                anyhow!("the relay's thread has ended")
            }
            None => std::future::pending().await,
        }
    }

    /// Stops receiving, so that the tenants get no more quotes.
    pub(crate) fn stop_receiving(&self) {
        if let Some((_, stop)) = &self.subscriber {
            stop.cancel();
        }
    }

    /// Stops publishing. Call it once the feed has disconnected.
    pub(crate) async fn end(&mut self) {
        if let Some((task, stop)) = self.publisher.take() {
            stop.cancel();
            let _ = task.await;
        }
    }
}
