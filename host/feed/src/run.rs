//! The `alpaca` source: connects and reconnects until told to stop.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use quotegate_market::{QuoteReceiver, Subscription};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::connection::{Connection, SessionEnd};
use crate::connection_loop::ConnectionLoop;
use crate::error::FeedError;
use crate::frame::FrameTap;
use crate::handshake::authenticate;
use crate::reader::FrameReader;
use crate::settings::{Clock, FeedSettings, ReconnectBackoff};
use crate::snapshot::Snapshots;
use crate::status::{ConnectionState, FeedStatus, RetryCause};
use crate::subscription::Subscriber;
use crate::unquoted::UnquotedWatch;

/// The `alpaca` source and everything it uses.
pub struct Feed {
    /// How to connect, and when to give up on a connection.
    pub settings: FeedSettings,
    /// The wanted symbols. They may change at any time; only the difference is sent.
    pub subscription: watch::Receiver<Arc<Subscription>>,
    /// Written here, read by others.
    pub status: Arc<FeedStatus>,
    /// The source of arrival times.
    pub clock: Clock,
    /// Sees every frame.
    pub tap: Option<Box<dyn FrameTap>>,
    /// Brings the latest quotes over REST.
    pub snapshots: Option<Snapshots>,
    /// Ends the feed, even while it waits.
    pub stop: CancellationToken,
}

impl Feed {
    /// Connects, delivers quotes and reconnects until `stop` is cancelled; then closes the websocket and returns `Ok`.
    /// Returns an error only if retrying is pointless.
    pub async fn run(mut self, receiver: &mut dyn QuoteReceiver) -> Result<(), FeedError> {
        let mut runner = Runner {
            reader: FrameReader::new(self.settings.symbol_capacity, self.tap.take(), Arc::clone(&self.status)),
            subscriber: Subscriber::new(self.settings.subscribe_chunk),
            retries: Retries { backoff: self.settings.backoff.clone(), rng: Rng::new(), in_a_row: 0 },
            unquoted: UnquotedWatch::new(Instant::now()),
            feed: self,
        };
        let outcome = runner.run(receiver).await;
        runner.enter(ConnectionState::Stopped);
        if let Err(error) = &outcome {
            error!(event_type = "alpaca_fatal", "{error}");
        }
        outcome
    }
}

pub(crate) struct Runner {
    pub(crate) feed: Feed,
    pub(crate) reader: FrameReader,
    pub(crate) subscriber: Subscriber,
    pub(crate) unquoted: UnquotedWatch,
    retries: Retries,
}

/// The reconnect delays, and how many there were since the last quote.
struct Retries {
    backoff: ReconnectBackoff,
    rng: Rng,
    in_a_row: u32,
}

impl Retries {
    fn next_delay(&mut self, cause: RetryCause) -> Duration {
        self.in_a_row = self.in_a_row.saturating_add(1);
        match cause {
            RetryCause::HeldElsewhere => self.backoff.held_elsewhere.next_delay_equal_jitter(&mut self.rng),
            RetryCause::RateLimited => self.backoff.rate_limited.next_delay_equal_jitter(&mut self.rng),
            _ => self.backoff.ordinary.next_delay(&mut self.rng),
        }
    }

    fn reset(&mut self) {
        self.in_a_row = 0;
        self.backoff.ordinary.reset();
        self.backoff.held_elsewhere.reset();
        self.backoff.rate_limited.reset();
    }
}

impl Runner {
    async fn run(&mut self, receiver: &mut dyn QuoteReceiver) -> Result<(), FeedError> {
        let stop = self.feed.stop.clone();
        loop {
            match self.connect_and_stream(receiver).await {
                SessionEnd::Stopped => return Ok(()),
                SessionEnd::Fatal(error) => return Err(error),
                SessionEnd::Retry { cause, reason } => {
                    let delay = self.note_retry(cause, &reason);
                    tokio::select! {
                        () = stop.cancelled() => return Ok(()),
                        () = tokio::time::sleep(delay) => {}
                    }
                }
            }
        }
    }

    /// Runs one connection and closes it. Alpaca allows one at a time, so the next is opened only after that.
    async fn connect_and_stream(&mut self, receiver: &mut dyn QuoteReceiver) -> SessionEnd {
        let stop = self.feed.stop.clone();
        self.enter(ConnectionState::Connecting);
        let opened = tokio::select! {
            biased;
            () = stop.cancelled() => return SessionEnd::Stopped,
            opened = Connection::open(&self.feed.settings, Arc::clone(&self.feed.clock)) => opened,
        };
        let mut connection = match opened {
            Ok(connection) => connection,
            Err(end) => return end,
        };
        let end = tokio::select! {
            biased;
            () = stop.cancelled() => SessionEnd::Stopped,
            Err(end) = self.stream(&mut connection, receiver) => end,
        };
        connection.close(self.feed.settings.close_timeout).await;
        end
    }

    async fn stream(
        &mut self,
        connection: &mut Connection,
        receiver: &mut dyn QuoteReceiver,
    ) -> Result<Infallible, SessionEnd> {
        self.enter(ConnectionState::Authenticating);
        self.reader.discard();
        authenticate(connection, &mut self.reader, &self.feed.settings, &self.feed.status).await?;
        self.feed.status.count_connection();
        self.enter(ConnectionState::Streaming);
        info!(event_type = "alpaca_connect", url = %self.feed.settings.url, encoding = %self.feed.settings.encoding, "connected");
        ConnectionLoop { runner: self, connection, receiver }.run().await
    }

    /// The first quote of a connection has arrived.
    pub(crate) fn quotes_are_back(&mut self) {
        if self.retries.in_a_row > 0 {
            info!(event_type = "reconnect_recovered", attempts = self.retries.in_a_row, "quotes are arriving again");
        }
        self.retries.reset();
        self.feed.status.quotes_are_back();
    }

    /// The one place where a lost connection is counted and logged.
    fn note_retry(&mut self, cause: RetryCause, reason: &str) -> Duration {
        let delay = self.retries.next_delay(cause);
        let was_connected = self.feed.status.state() == ConnectionState::Streaming;
        self.feed.status.count_retry(cause, reason, self.retries.in_a_row);
        // Without a subscription there was nothing to miss.
        if self.subscriber.holds_any() {
            self.feed.status.begin_gap(cause, (self.feed.clock)());
        }
        self.enter(match cause {
            RetryCause::HeldElsewhere => ConnectionState::HeldElsewhere,
            other => ConnectionState::Waiting(other),
        });
        let message = match cause {
            RetryCause::HeldElsewhere => {
                "Alpaca counts another connection of this account: stop the host that uses it, or wait until Alpaca notices \
                 that it is dead"
                    .to_owned()
            }
            _ if was_connected => format!("lost the connection to Alpaca: {reason}; reconnecting"),
            _ => format!("could not connect to Alpaca: {reason}; trying again"),
        };
        warn!(
            event_type = "alpaca_disconnect",
            cause = cause.as_str(),
            reason,
            attempt = self.retries.in_a_row,
            delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
            "{message}"
        );
        delay
    }

    fn enter(&self, state: ConnectionState) {
        self.feed.status.enter(state, (self.feed.clock)());
    }
}
