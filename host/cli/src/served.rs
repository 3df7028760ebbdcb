use std::net::SocketAddr;

use quotegate_config::Settings;
use quotegate_ops::{Ops, OpsListener, RunningOps};
use quotegate_runtime::host::{Host, Summary};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// A running host, and the server that shows it to operators.
pub(crate) struct ServedHost {
    pub(crate) host: Host,
    ops: Option<RunningOps>,
}

impl ServedHost {
    /// Starts both. The port is taken first, so that it is known early if it cannot be had.
    pub(crate) async fn start(settings: &Settings) -> anyhow::Result<Self> {
        let listener = listener(settings).await?;
        let host = Host::start(settings).await?;
        let shown = Ops { status: host.status(), pulses: host.pulses(), token: settings.ops.token.clone() };
        Ok(Self { ops: listener.map(|listener| listener.serve(shown)), host })
    }

    /// Where health, metrics and state are served, if they are.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.ops.as_ref().map(|ops| ops.address)
    }

    /// As [`Host::finish`]. Operators see the host until it has ended.
    pub(crate) async fn finish(self, stop: CancellationToken) -> anyhow::Result<Summary> {
        let summary = self.host.finish(stop).await;
        if let Some(ops) = self.ops {
            ops.end().await;
        }
        summary
    }
}

/// A default port that is taken is no reason not to run.
async fn listener(settings: &Settings) -> anyhow::Result<Option<OpsListener>> {
    let Some(port) = settings.ops.port else { return Ok(None) };
    match OpsListener::bind(SocketAddr::new(settings.ops.address, port)).await {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if settings.ops.port_is_default => {
            warn!(event_type = "ops_off", "no health, metrics and state: {error:#}");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
