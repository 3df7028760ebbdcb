use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::info;

/// A token that SIGTERM and SIGINT cancel. A second signal ends the process at once, as users of Ctrl-C expect.
pub(super) fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    stop_and_say("no more quotes are read, and what is dirty is written")
}

/// The same for a command that writes nothing: `what` follows "shutting down" in the log.
pub(super) fn stop_and_say(what: &'static str) -> anyhow::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let token = stop.clone();
    // Ends with the runtime. There is nothing to clean up.
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
            info!(event_type = "shutdown", signal = name, "{name}: shutting down; {what}");
            token.cancel();
        }
    });
    Ok(stop)
}

/// Notified by each SIGHUP, which would otherwise end the process.
pub(super) fn reload_on_signal() -> anyhow::Result<Arc<Notify>> {
    let mut hangup = signal(SignalKind::hangup())?;
    let requested = Arc::new(Notify::new());
    let notify = requested.clone();
    // Ends with the runtime, as above.
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            notify.notify_one();
        }
    });
    Ok(requested)
}
