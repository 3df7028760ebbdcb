//! A recording of the settings' tenants, played through [`quotegate_pipeline::rehearsal`].

use std::sync::Arc;

use anyhow::Context;
use quotegate_config::Settings;
use quotegate_feed::{FeedStatus, Pace, Replay};
use quotegate_market::UnixNanos;
use quotegate_pace::Rate;
use quotegate_pipeline::rehearsal::{Audience, Rehearsed, Role, Stage};
use quotegate_recording::{Recording, RecordingProblem};
use tokio_util::sync::CancellationToken;

use crate::host::source::Played;
use crate::host::{Newcomer, newcomers, plan};
use crate::plugins::Plugins;

/// The tenants of these settings, and the limit of all together.
pub async fn cast(settings: &Settings) -> anyhow::Result<(Vec<Role>, Rate)> {
    let plugins = Arc::new(Plugins::new(settings));
    let limit = plan::rate(settings.pace.writes_per_second, settings.pace.burst)?;
    let role = |newcomer: Newcomer| Role {
        tenant: newcomer.terms.plan.id,
        collection: newcomer.terms.plan.collection,
        wanted: newcomer.terms.wanted,
        interval: newcomer.terms.plan.per_symbol_min_interval,
        retry: newcomer.terms.plan.retry,
        rate: newcomer.terms.plan.rate,
        chain: newcomer.chain,
    };
    Ok((newcomers(&plugins, settings).await?.into_iter().map(role).collect(), limit))
}

/// Plays the whole recording, and then on until the last word of every symbol is written. Takes as long as its plugins
/// and its size make it, not as long as it lasted; a stop ends it with what was played so far.
pub async fn rehearse(
    roles: Vec<Role>,
    limit: Rate,
    recording: Recording,
    audience: &mut (dyn Audience + Send),
    stop: CancellationToken,
) -> anyhow::Result<Rehearsed> {
    let path = recording.path().display().to_string();
    let mut stage = Stage::new(roles, limit, audience);
    let mut times: Option<(UnixNanos, UnixNanos)> = None;
    let frames = recording.map(|frame| {
        let frame = frame?;
        let first = times.map_or(frame.received_time, |(first, _)| first);
        times = Some((first, frame.received_time));
        Ok::<_, RecordingProblem>(Played(frame))
    });
    let replay = Replay { pace: Pace::Unpaced, status: Arc::new(FeedStatus::default()), stop };
    replay.run(frames, &mut stage).await?;
    let (first, last) = times.with_context(|| format!("{path} has no frames"))?;
    let tenants = stage.end(last)?;
    Ok(Rehearsed { seconds: last.saturating_sub(first) as f64 / 1e9, tenants })
}
