use std::net::SocketAddr;

use quotegate_config::Settings;
use quotegate_ops::{OpsListener, OpsSources, RunningOps};
use quotegate_runtime::host::{Host, Summary};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// A running host, and its HTTP server for operators.
pub(crate) struct ServedHost {
    pub(crate) host: Host,
    ops: Option<RunningOps>,
}

impl ServedHost {
    /// Starts both. Binds the port first, to fail early.
    pub(crate) async fn start(settings: &Settings) -> anyhow::Result<Self> {
        let listener = listener(settings).await?;
        let host = Host::start(settings).await?;
        let sources =
            OpsSources { status: host.status(), watchdog: host.watchdog(), token: settings.ops.token.clone() };
        Ok(Self { ops: listener.map(|listener| listener.serve(sources)), host })
    }

    /// The address of the HTTP server, if there is one.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.ops.as_ref().map(|ops| ops.address)
    }

    /// The same as [`Host::finish`]. The HTTP server runs until the host has ended.
    pub(crate) async fn finish(self, stop: CancellationToken) -> anyhow::Result<Summary> {
        let summary = self.host.finish(stop).await;
        if let Some(ops) = self.ops {
            ops.shut_down().await;
        }
        summary
    }
}

/// The host runs without the server if only the default port is in use.
async fn listener(settings: &Settings) -> anyhow::Result<Option<OpsListener>> {
    let Some(port) = settings.ops.port else { return Ok(None) };
    match OpsListener::bind(SocketAddr::new(settings.ops.address, port)).await {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if settings.ops.port_is_default => {
            warn!(event_type = "ops_off", "no page, health, metrics or state: {error:#}");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
