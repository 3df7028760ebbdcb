//! What keeps a host from starting, as far as that can be known without connecting.

use std::sync::Arc;

use quotegate_config::{FeedSettings, Settings, Source};
use quotegate_loader::PluginLoader;
use quotegate_recording::Recording;
use quotegate_relay::Relay;
use quotegate_sink::FirestoreSink;

use super::wiring;

/// Every problem that [`super::Host::start`] would stop at. Compiles and starts the plugins. Asks the metadata server for
/// the project if nothing else names it, and connects to nothing else.
pub async fn start_problems(settings: &Settings) -> Vec<String> {
    let mut problems = Vec::new();
    problems.extend(source(&settings.feed, &settings.source).err().map(|error| format!("{error:#}")));
    if !wiring::is_dry_run(settings)
        && let Err(error) = FirestoreSink::check(&wiring::firestore(&settings.sink)).await
    {
        problems.push(error.to_string());
    }
    let relay = settings.relay.as_ref().map(|relay| Relay::check(&wiring::relay(relay, settings.feed.name, "check")));
    problems.extend(relay.and_then(Result::err).map(|error| format!("relay: {error}")));
    let plugins = Arc::new(PluginLoader::new(settings));
    for tenant in &settings.tenants {
        problems.extend(plugins.check(tenant).await.iter().map(ToString::to_string));
    }
    problems
}

fn source(feed: &FeedSettings, source: &Source) -> anyhow::Result<()> {
    match source {
        Source::Alpaca(credentials) => wiring::feed(feed, credentials).map(drop),
        Source::Sim(_) => wiring::simulated_feed(feed, format!("ws://{}", wiring::LOOPBACK)).map(drop),
        Source::Relay { .. } => Ok(()),
        Source::Replay(replay) => Ok(Recording::open(&replay.file).map(drop)?),
    }
}
