use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::info;

/// A token that SIGTERM and SIGINT cancel. A second signal ends the process at once, as people expect of Ctrl-C.
pub(super) fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let token = stop.clone();
    // Ends with the runtime: there is nothing to clean up after it.
    tokio::spawn(async move {
        let mut first = true;
        loop {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if !first {
                std::process::exit(1);
            }
            first = false;
            info!(event_type = "shutdown", signal = name, "{name}: no more quotes are read; writing what is dirty");
            token.cancel();
        }
    });
    Ok(stop)
}

/// Rung by each SIGHUP, which would otherwise end the process.
pub(super) fn reload_on_signal() -> anyhow::Result<Arc<Notify>> {
    let mut hangup = signal(SignalKind::hangup())?;
    let asked = Arc::new(Notify::new());
    let bell = asked.clone();
    // Ends with the runtime, as above.
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            bell.notify_one();
        }
    });
    Ok(asked)
}
