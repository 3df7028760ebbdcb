//! Plays a recording through the tenants of settings: [`quotegate_pipeline::simulation`] with a file for a feed.

use std::sync::Arc;

use anyhow::Context;
use quotegate_config::Settings;
use quotegate_feed::{FeedStatus, Replay, ReplaySpeed};
use quotegate_market::UnixNanos;
use quotegate_pace::Rate;
use quotegate_pipeline::simulation::{Observer, SimTenantSpec, Simulation, SimulationReport};
use quotegate_recording::{Recording, RecordingError};
use tokio_util::sync::CancellationToken;

use crate::host::source::Played;
use crate::host::{Newcomer, newcomers, wiring};
use quotegate_loader::PluginLoader;

/// The tenants of these settings for a simulation, and the limit of all of them together.
pub async fn simulated_tenants(settings: &Settings) -> anyhow::Result<(Vec<SimTenantSpec>, Rate)> {
    let limit = wiring::rate(settings.pace.writes_per_second, settings.pace.burst)?;
    let newcomers = newcomers(&Arc::new(PluginLoader::new(settings)), settings).await?;
    let tenant =
        |Newcomer { terms, chain, .. }: Newcomer| SimTenantSpec { spec: terms.plan, wanted: terms.wanted, chain };
    Ok((newcomers.into_iter().map(tenant).collect(), limit))
}

/// Plays the whole recording, and then on until the last word of every symbol is written. This takes as long as its
/// size and its plugins need, not as long as the recording lasted; `stop` ends it with what was played so far.
pub async fn simulate(
    tenants: Vec<SimTenantSpec>,
    limit: Rate,
    recording: Recording,
    observer: &mut (dyn Observer + Send),
    stop: CancellationToken,
) -> anyhow::Result<SimulationReport> {
    let path = recording.path().display().to_string();
    let mut simulation = Simulation::new(tenants, limit, observer);
    let mut times: Option<(UnixNanos, UnixNanos)> = None;
    let frames = recording.map(|frame| {
        let frame = frame?;
        let first = times.map_or(frame.received_time, |(first, _)| first);
        times = Some((first, frame.received_time));
        Ok::<_, RecordingError>(Played(frame))
    });
    let replay = Replay { speed: ReplaySpeed::Unpaced, status: Arc::new(FeedStatus::default()), stop };
    replay.run(frames, &mut simulation).await?;
    let (first, last) = times.with_context(|| format!("{path} has no frames"))?;
    let tenants = simulation.finish(last)?;
    Ok(SimulationReport { seconds: last.saturating_sub(first) as f64 / 1e9, tenants })
}
