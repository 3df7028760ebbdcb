//! The connection to the broker.

mod authentication;
mod options;
mod state;

use std::sync::Arc;

use async_nats::connection::State;
use async_nats::{Client, ServerAddr};
use parking_lot::Mutex;
use quotegate_market::Subscription;
use tokio::sync::watch;

use crate::error::RelayError;
use crate::publisher::{Publisher, PublisherTask, publisher};
use crate::settings::RelaySettings;
use crate::status::{PublisherSnapshot, RelaySnapshot, SubscriberSnapshot};
use crate::subjects::Subjects;
use crate::subscriber::Subscriber;
use state::ConnectionState;

/// A connection to the broker, which is kept up in the background. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Relay {
    shared: Arc<Shared>,
    client: Client,
}

/// What all parts of a relay know.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: RelaySettings,
    pub(crate) subjects: Subjects,
    connection: Arc<ConnectionState>,
    /// Written by the publisher's task, once per turn.
    pub(crate) publisher: Mutex<PublisherSnapshot>,
    /// Written by the subscriber.
    pub(crate) subscriber: Mutex<SubscriberSnapshot>,
}

impl Relay {
    /// Checks the settings and starts to connect. Does not wait for the broker, and keeps trying for as long as the relay
    /// lives: [`Relay::status`] says why there is no connection.
    ///
    /// # Errors
    /// If a setting or a file is invalid.
    pub async fn connect(settings: RelaySettings) -> Result<Self, RelayError> {
        let servers = servers(&settings.url)?;
        let connection = Arc::new(ConnectionState::new(settings.url.clone()));
        let options = options::connect_options(&settings, connection.clone())?;
        // Returns at once, because the options say that the first connection is made in the background, too.
        let client = options.connect(servers).await.map_err(|_| RelayError::Url(settings.url.clone()))?;
        let subjects = Subjects::new(settings.feed);
        let shared =
            Shared { settings, subjects, connection, publisher: Mutex::default(), subscriber: Mutex::default() };
        Ok(Self { shared: Arc::new(shared), client })
    }

    /// Everything for which [`Relay::connect`] would fail. Connects to nothing.
    ///
    /// # Errors
    /// If a setting or a file is invalid.
    pub fn check(settings: &RelaySettings) -> Result<(), RelayError> {
        servers(&settings.url)?;
        options::connect_options(settings, Arc::new(ConnectionState::new(settings.url.clone()))).map(drop)
    }

    /// The reader's side: where the feed puts quotes, and the task that publishes them. There should be one per relay,
    /// because all of them count in the same place.
    pub fn publisher(&self) -> (Publisher, PublisherTask) {
        publisher(self.shared.clone(), self.client.clone())
    }

    /// The worker's side, for the symbols of `wanted`, which may change at any time. One per relay, likewise.
    pub fn subscriber(&self, wanted: watch::Receiver<Arc<Subscription>>) -> Subscriber {
        Subscriber::new(self.shared.clone(), self.client.clone(), wanted)
    }

    /// State and counters.
    pub fn status(&self) -> RelaySnapshot {
        RelaySnapshot {
            connection: self.shared.connection.snapshot(self.client.connection_state() == State::Connected),
            publisher: self.shared.publisher.lock().clone(),
            subscriber: self.shared.subscriber.lock().clone(),
        }
    }
}

/// The servers in `url`, which may be several, separated by commas.
fn servers(url: &str) -> Result<Vec<ServerAddr>, RelayError> {
    let server = |address: &str| {
        // Not repeated in a message: it may contain a secret.
        if address.contains('@') {
            return Err(RelayError::SecretInUrl);
        }
        let scheme = address.split_once("://").map(|(scheme, _)| scheme);
        let known = matches!(scheme, Some("nats" | "tls"));
        let parsed = address.parse::<ServerAddr>().ok().filter(|parsed| known && !parsed.host().is_empty());
        parsed.ok_or_else(|| RelayError::Url(address.to_owned()))
    };
    url.split(',').map(|address| server(address.trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_scheme_of_nats_and_no_secret() {
        let hosts = |url| servers(url).map(|servers| servers.iter().map(|server| server.host().to_owned()).collect());
        assert_eq!(hosts("nats://a:4222, tls://b"), Ok(vec!["a".to_owned(), "b".to_owned()]));
        for invalid in ["", "localhost", "http://a", "nats://", "nats://a,"] {
            assert!(matches!(hosts(invalid), Err(RelayError::Url(_))), "{invalid}");
        }
        let error = hosts("nats://me:hush@a").unwrap_err();
        assert!(error == RelayError::SecretInUrl && !error.to_string().contains("hush"));
    }
}
