//! Plays a recording through the tenants of the settings: [`quotegate_pipeline::simulation`], fed from a file.

use std::sync::Arc;

use anyhow::Context;
use quotegate_config::Settings;
use quotegate_feed::{FeedStatus, Replay, ReplaySpeed};
use quotegate_loader::PluginLoader;
use quotegate_market::UnixNanos;
use quotegate_pace::Rate;
use quotegate_pipeline::simulation::{Observer, SimTenantSpec, Simulation, SimulationReport};
use quotegate_recording::{Recording, RecordingError};
use tokio_util::sync::CancellationToken;

use crate::host::source::ReplayFrame;
use crate::host::{PreparedTenant, prepare_tenants, wiring};

/// The tenants of these settings for a simulation, and their global write limit.
pub async fn simulated_tenants(settings: &Settings) -> anyhow::Result<(Vec<SimTenantSpec>, Rate)> {
    let limit = wiring::rate(settings.pace.writes_per_second, settings.pace.burst)?;
    let prepared = prepare_tenants(&Arc::new(PluginLoader::new(settings)), settings).await?;
    let tenant = |PreparedTenant { setup, chain, .. }| SimTenantSpec { spec: setup.spec, wanted: setup.wanted, chain };
    Ok((prepared.into_iter().map(tenant).collect(), limit))
}

/// Plays the whole recording, and then continues until the newest quote of every symbol is written. It runs as fast as
/// the plugins allow, not at the recording's speed. `stop` ends it early, with the results so far.
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
        Ok::<_, RecordingError>(ReplayFrame(frame))
    });
    let replay = Replay { speed: ReplaySpeed::Unpaced, status: Arc::new(FeedStatus::default()), stop };
    replay.run(frames, &mut simulation).await?;
    let (first, last) = times.with_context(|| format!("{path} has no frames"))?;
    let tenants = simulation.finish(last)?;
    Ok(SimulationReport { seconds: last.saturating_sub(first) as f64 / 1e9, tenants })
}
