//! Where this host's quotes come from: its own source, or a relay, which its own source may feed.

use super::source::RunningSource;
use crate::relay::RunningRelay;

/// The handles of what brings quotes.
pub(super) struct RunningQuotes {
    /// `None`: only another host reads the feed.
    pub(super) source: Option<RunningSource>,
    pub(super) relay: Option<RunningRelay>,
}

impl RunningQuotes {
    /// Waits until the source has ended or failed, or the relay has failed. Do not call it again after that.
    pub(super) async fn ended(&mut self) -> anyhow::Result<()> {
        let relay = async {
            match &mut self.relay {
                Some(relay) => Err(relay.failed().await),
                None => std::future::pending().await,
            }
        };
        let source = async {
            match &mut self.source {
                Some(source) => source.ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = source => ended,
            failed = relay => failed,
        }
    }

    /// Ends the quotes of this host's tenants. With a relay, the source goes on for other hosts.
    pub(super) fn stop(&self) {
        match &self.relay {
            Some(relay) => relay.stop_receiving(),
            None => self.stop_source(),
        }
    }

    pub(super) fn stop_source(&self) {
        if let Some(source) = &self.source {
            source.stop();
        }
    }

    /// Waits until the source has disconnected, after [`Self::stop_source`].
    pub(super) async fn disconnected(&mut self) -> anyhow::Result<()> {
        match &mut self.source {
            Some(source) => source.ended().await,
            None => Ok(()),
        }
    }

    /// Stops what the source talks to. Call it once the source has disconnected.
    pub(super) async fn end_services(&mut self) {
        if let Some(relay) = &mut self.relay {
            relay.end().await;
        }
        if let Some(source) = &mut self.source {
            source.end_services().await;
        }
    }
}
