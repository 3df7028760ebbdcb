//! Where quotes come from. The source has its own thread, so nothing else in the process can delay reading.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow};
use quotegate_config::{Settings, Source};
use quotegate_feed::{
    Calendar, Feed, FeedSettings, FeedStatus, FrameTap, Payload, Replay, ReplaySpeed, SnapshotSettings, snapshots,
    system_clock,
};
use quotegate_market::{QuoteReceiver, Subscription, UnixNanos};
use quotegate_pace::Backoff;
use quotegate_recording::{RecordedFrame, Recording};
use quotegate_sim::Simulator;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::wiring;
use crate::watchdog::{ThreadGroup, Watchdog};

/// The longest wait after error 406 while this host owns the lease. The shortest is half of it.
const HELD_RETRY: Duration = Duration::from_secs(1);

/// A source that is checked and ready to start.
pub enum PreparedSource {
    /// Alpaca, or the embedded simulator in its place.
    Live(Box<Live>),
    /// A recording.
    Replay(Box<Recording>, ReplaySpeed),
}

/// A websocket before it is opened.
pub struct Live {
    settings: FeedSettings,
    snapshots: Option<SnapshotSettings>,
    simulator: Option<Simulator>,
    tap: Option<Box<dyn FrameTap>>,
}

/// When quotes are expected. A replay is silent only at its end.
pub fn calendar(settings: &Settings) -> Calendar {
    match &settings.source {
        Source::Alpaca(_) | Source::Relay { simulated: false } => {
            wiring::calendar(settings.feed.calendar, settings.feed.name)
        }
        Source::Sim(_) | Source::Relay { simulated: true } => Calendar::Always,
        Source::Replay(_) => Calendar::Never,
    }
}

/// Prepares the source that the settings name; `None` if it is another host's. Binds the embedded simulator, so that its address is known.
pub async fn prepare(settings: &Settings) -> anyhow::Result<Option<PreparedSource>> {
    Ok(Some(match &settings.source {
        Source::Alpaca(credentials) => {
            let mut feed = wiring::feed(&settings.feed, credentials)?;
            if wiring::has_lease(settings) {
                // No other host competes for the connection, so each second counts once Alpaca has noticed that it is free.
                feed.backoff.held_elsewhere = Backoff::new(HELD_RETRY, HELD_RETRY)?;
            }
            live(&settings.feed, feed, None)?
        }
        Source::Sim(sim) => {
            let simulator = Simulator::bind(wiring::LOOPBACK, wiring::simulator(sim))
                .await
                .context("the embedded simulator cannot listen on a loopback port")?;
            let url = format!("ws://{}/v2/{}", simulator.local_addr(), "iex");
            info!(event_type = "sim_started", url, "the embedded simulator serves simulated quotes at {url}");
            live(&settings.feed, wiring::simulated_feed(&settings.feed, url)?, Some(simulator))?
        }
        Source::Replay(replay) => {
            let recording = Recording::open(&replay.file)?;
            let speed = replay.speed.map_or(ReplaySpeed::Unpaced, ReplaySpeed::Times);
            PreparedSource::Replay(Box::new(recording), speed)
        }
        Source::Relay { .. } => return Ok(None),
    }))
}

fn live(
    chosen: &quotegate_config::FeedSettings,
    settings: FeedSettings,
    simulator: Option<Simulator>,
) -> anyhow::Result<PreparedSource> {
    let snapshots = wiring::snapshots(chosen, &settings)?;
    Ok(PreparedSource::Live(Box::new(Live { settings, snapshots, simulator, tap: None })))
}

impl PreparedSource {
    /// A description for the first log line.
    pub fn describe(&self) -> String {
        match self {
            Self::Live(live) if live.simulator.is_some() => "simulated quotes".to_owned(),
            Self::Live(live) => format!("quotes from {}", live.settings.url),
            Self::Replay(recording, _) => format!("quotes from the recording {}", recording.path().display()),
        }
    }

    /// True if its quotes are recorded.
    pub fn is_replay(&self) -> bool {
        matches!(self, Self::Replay(..))
    }

    /// Passes every frame to `tap`, and asks for no quotes that are in no frame. A replay cannot be tapped, because its
    /// frames are in a file already.
    pub fn tap(&mut self, tap: Box<dyn FrameTap>) -> anyhow::Result<()> {
        match self {
            Self::Live(live) => {
                live.tap = Some(tap);
                live.snapshots = None;
            }
            Self::Replay(..) => return Err(anyhow!("a replay cannot be recorded: copy its file instead")),
        }
        Ok(())
    }

    /// Starts the thread. `receiver` gets the quotes of `subscription`, which may change. It is dropped after the last
    /// quote. A websocket is open only in the tenures of `tenure`, if it is given.
    pub fn start(
        self,
        subscription: watch::Receiver<Arc<Subscription>>,
        mut receiver: impl QuoteReceiver + 'static,
        status: Arc<FeedStatus>,
        watchdog: Arc<Watchdog>,
        tenure: Option<watch::Receiver<Option<u64>>>,
    ) -> anyhow::Result<RunningSource> {
        let stop = CancellationToken::new();
        let stop_services = CancellationToken::new();
        let (ended, end) = oneshot::channel();
        let mut tasks = Vec::new();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("could not start the feed's runtime")?;
        let run = {
            let stop = stop.clone();
            let work = match self {
                Self::Live(live) => {
                    let Live { settings, snapshots, simulator, tap } = *live;
                    tasks.extend(simulator.map(|simulator| tokio::spawn(simulator.run(stop_services.clone()))));
                    let services = Handle::current();
                    Work::Live(Box::new(LiveWork { settings, snapshots, subscription, tap, tenure, services }))
                }
                Self::Replay(recording, speed) => Work::Replay(recording, speed),
            };
            move || {
                let stop_reports = CancellationToken::new();
                // On the reader's only thread: when the reader is stuck, the reports stop.
                let reports = runtime.spawn(watchdog.report(ThreadGroup::Feed, stop_reports.clone()));
                let outcome = runtime.block_on(async {
                    let outcome = work.run(&mut receiver, status, stop).await;
                    stop_reports.cancel();
                    let _ = reports.await;
                    outcome
                });
                drop(receiver);
                let _ = ended.send(outcome);
            }
        };
        thread::Builder::new().name("feed".into()).spawn(run).context("could not start the feed's thread")?;
        Ok(RunningSource { stop, stop_services, tasks, end })
    }
}

struct LiveWork {
    settings: FeedSettings,
    snapshots: Option<SnapshotSettings>,
    subscription: watch::Receiver<Arc<Subscription>>,
    tap: Option<Box<dyn FrameTap>>,
    tenure: Option<watch::Receiver<Option<u64>>>,
    /// Requests over REST are made here, not on the reader's thread.
    services: Handle,
}

impl LiveWork {
    /// Runs one feed after another: each as long as this host may connect.
    async fn run(
        mut self,
        receiver: &mut dyn QuoteReceiver,
        status: &Arc<FeedStatus>,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        while wait_for(&mut self.tenure, true, stop).await {
            let stop_feed = stop.child_token();
            let ends = match &self.snapshots {
                Some(chosen) => snapshots(chosen, status.clone(), system_clock())?,
                None => None,
            };
            let (task, snapshots) = ends.unzip();
            let task = task.map(|task| self.services.spawn(task.run(stop_feed.clone())));
            let feed = Feed {
                settings: self.settings.clone(),
                subscription: self.subscription.clone(),
                status: status.clone(),
                clock: system_clock(),
                tap: self.tap.take(),
                snapshots,
                stop: stop_feed.clone(),
            };
            let mut tenure = self.tenure.clone();
            let end_feed = async {
                if wait_for(&mut tenure, false, stop).await {
                    stop_feed.cancel();
                }
            };
            let mut feed = Box::pin(feed.run(receiver));
            let ended = tokio::select! {
                ended = &mut feed => ended,
                () = end_feed => feed.await,
            };
            stop_feed.cancel();
            if let Some(task) = task {
                let _ = task.await;
            }
            ended?;
        }
        Ok(())
    }
}

/// Waits until this host may or may not connect. False when it is told to stop.
async fn wait_for(tenure: &mut Option<watch::Receiver<Option<u64>>>, wanted: bool, stop: &CancellationToken) -> bool {
    let changed = async {
        match tenure {
            Some(tenure) => tenure.wait_for(|tenure| tenure.is_some() == wanted).await.is_ok(),
            None if wanted => true,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => false,
        changed = changed => changed,
    }
}

enum Work {
    Live(Box<LiveWork>),
    Replay(Box<Recording>, ReplaySpeed),
}

impl Work {
    async fn run(
        self,
        receiver: &mut dyn QuoteReceiver,
        status: Arc<FeedStatus>,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        match self {
            Self::Live(live) => {
                live.run(receiver, &status, &stop).await?;
            }
            Self::Replay(recording, speed) => {
                let frames = recording.map(|frame| frame.map(ReplayFrame));
                Replay { speed, status, stop }.run(frames, receiver).await?;
            }
        }
        Ok(())
    }
}

/// A recorded frame, as the feed's replay takes it.
pub struct ReplayFrame(pub RecordedFrame);

impl quotegate_feed::RecordedFrame for ReplayFrame {
    fn received_time(&self) -> UnixNanos {
        self.0.received_time
    }

    fn payload(&self) -> Payload<'_> {
        match &self.0.payload {
            quotegate_recording::Payload::Text(text) => Payload::Text(text),
            quotegate_recording::Payload::Binary(bytes) => Payload::Binary(bytes),
        }
    }
}

/// A handle of the thread that reads.
pub struct RunningSource {
    stop: CancellationToken,
    stop_services: CancellationToken,
    /// The embedded simulator, and the requests for latest quotes.
    tasks: Vec<JoinHandle<()>>,
    end: oneshot::Receiver<anyhow::Result<()>>,
}

impl RunningSource {
    /// Waits for the end: `Ok` after [`Self::stop`] or at the end of a replay. Do not call it again after that.
    pub async fn ended(&mut self) -> anyhow::Result<()> {
        (&mut self.end).await.unwrap_or_else(|_| Err(anyhow!("the feed's thread panicked")))
    }

    /// Stops reading.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Stops what the feed talks to in this process. Call it once the feed has disconnected.
    pub async fn end_services(&mut self) {
        self.stop_services.cancel();
        for task in self.tasks.drain(..) {
            let _ = task.await;
        }
    }
}
