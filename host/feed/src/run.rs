//! The `alpaca` source: session after session until told to stop.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use quotegate_market::{QuoteReceiver, Subscription};
use quotegate_pace::Backoff;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::connection::{Connection, End};
use crate::error::FeedError;
use crate::frame::FrameTap;
use crate::handshake::authenticate;
use crate::reader::FrameReader;
use crate::session::Session;
use crate::settings::{Clock, FeedSettings, RetryPauses};
use crate::status::{ConnectionState, FeedStatus, RetryCause};
use crate::subscription::Subscriber;

/// The `alpaca` source and all that it touches.
pub struct Feed {
    /// How to connect, and when to give up on a connection.
    pub settings: FeedSettings,
    /// What is wanted; may change at any time, and only the difference is sent.
    pub subscription: watch::Receiver<Arc<Subscription>>,
    /// Written here, read by others.
    pub status: Arc<FeedStatus>,
    /// Stamps frames.
    pub clock: Clock,
    /// Sees every frame.
    pub tap: Option<Box<dyn FrameTap>>,
    /// Ends the feed. Every wait heeds it.
    pub stop: CancellationToken,
}

impl Feed {
    /// Connects, delivers, reconnects, for ever. `Ok` once `stop` is cancelled and the websocket closed; an error only
    /// for what no retry can mend.
    pub async fn run(self, receiver: &mut dyn QuoteReceiver) -> Result<(), FeedError> {
        let Self { settings, subscription, status, clock, tap, stop } = self;
        let mut runner = Runner {
            reader: FrameReader::new(settings.symbol_capacity, tap, Arc::clone(&status)),
            subscriber: Subscriber::new(settings.subscribe_chunk),
            retries: Retries { pauses: settings.pauses.clone(), rng: Rng::new(), in_a_row: 0 },
            settings,
            subscription,
            status,
            clock,
            stop,
        };
        let outcome = runner.run(receiver).await;
        runner.enter(ConnectionState::Stopped);
        if let Err(problem) = &outcome {
            error!(event_type = "alpaca_fatal", "{problem}");
        }
        outcome
    }
}

struct Runner {
    settings: FeedSettings,
    subscription: watch::Receiver<Arc<Subscription>>,
    status: Arc<FeedStatus>,
    clock: Clock,
    stop: CancellationToken,
    reader: FrameReader,
    subscriber: Subscriber,
    retries: Retries,
}

/// The pauses, and how many there were since the last quote.
struct Retries {
    pauses: RetryPauses,
    rng: Rng,
    in_a_row: u32,
}

impl Retries {
    fn next_delay(&mut self, cause: RetryCause) -> Duration {
        self.in_a_row = self.in_a_row.saturating_add(1);
        match cause {
            RetryCause::HeldElsewhere => slow_delay(&mut self.pauses.held_elsewhere, &mut self.rng),
            RetryCause::RateLimited => slow_delay(&mut self.pauses.rate_limited, &mut self.rng),
            _ => self.pauses.ordinary.next_delay(&mut self.rng),
        }
    }

    fn reset(&mut self) {
        self.in_a_row = 0;
        self.pauses.ordinary.reset();
        self.pauses.held_elsewhere.reset();
        self.pauses.rate_limited.reset();
    }
}

/// Jitter over the upper half only: these causes do not go away in an instant, so no attempt is made in one.
fn slow_delay(backoff: &mut Backoff, rng: &mut Rng) -> Duration {
    let floor = backoff.cap() / 2;
    floor + backoff.next_delay(rng) / 2
}

impl Runner {
    async fn run(&mut self, receiver: &mut dyn QuoteReceiver) -> Result<(), FeedError> {
        let stop = self.stop.clone();
        loop {
            match self.connect_and_stream(receiver).await {
                End::Stopped => return Ok(()),
                End::Fatal(problem) => return Err(problem),
                End::Retry { cause, reason } => {
                    let delay = self.note_retry(cause, &reason);
                    tokio::select! {
                        () = stop.cancelled() => return Ok(()),
                        () = tokio::time::sleep(delay) => {}
                    }
                }
            }
        }
    }

    /// One connection, from the first packet to the last: the old socket is closed before a new one is tried.
    async fn connect_and_stream(&mut self, receiver: &mut dyn QuoteReceiver) -> End {
        let stop = self.stop.clone();
        self.enter(ConnectionState::Connecting);
        let opened = tokio::select! {
            biased;
            () = stop.cancelled() => return End::Stopped,
            opened = Connection::open(&self.settings, Arc::clone(&self.clock)) => opened,
        };
        let mut connection = match opened {
            Ok(connection) => connection,
            Err(end) => return end,
        };
        let end = tokio::select! {
            biased;
            () = stop.cancelled() => End::Stopped,
            end = self.stream(&mut connection, receiver) => end,
        };
        connection.close(self.settings.close_timeout).await;
        end
    }

    async fn stream(&mut self, connection: &mut Connection, receiver: &mut dyn QuoteReceiver) -> End {
        self.enter(ConnectionState::Authenticating);
        self.reader.discard();
        if let Err(end) = authenticate(connection, &mut self.reader, &self.settings, &self.status).await {
            return end;
        }
        self.status.count_connection();
        self.enter(ConnectionState::Streaming);
        info!(event_type = "alpaca_connect", url = %self.settings.url, encoding = %self.settings.encoding, "connected");
        let mut session = Session {
            connection,
            reader: &mut self.reader,
            subscriber: &mut self.subscriber,
            wanted: &mut self.subscription,
            receiver,
            settings: &self.settings,
            status: &self.status,
            clock: &self.clock,
        };
        let (retries, status) = (&mut self.retries, &self.status);
        session
            .run(|| {
                if retries.in_a_row > 0 {
                    info!(event_type = "reconnect_recovered", attempts = retries.in_a_row, "quotes flow again");
                }
                retries.reset();
                status.set_attempts(0);
                status.set_silent(false);
            })
            .await
    }

    /// The one place where a lost connection is counted and told.
    fn note_retry(&mut self, cause: RetryCause, reason: &str) -> Duration {
        let delay = self.retries.next_delay(cause);
        self.status.count_retry(cause);
        if cause == RetryCause::Stale {
            self.status.set_silent(true);
        }
        self.status.set_attempts(self.retries.in_a_row);
        self.enter(match cause {
            RetryCause::HeldElsewhere => ConnectionState::HeldElsewhere,
            other => ConnectionState::Waiting(other),
        });
        let remedy = match cause {
            RetryCause::HeldElsewhere => {
                "another host holds the connection of this account; stop it to let this one in"
            }
            _ => "the connection to Alpaca is lost; a new one follows",
        };
        warn!(
            event_type = "alpaca_disconnect",
            cause = cause.as_str(),
            reason,
            attempt = self.retries.in_a_row,
            delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
            "{remedy}"
        );
        delay
    }

    fn enter(&self, state: ConnectionState) {
        self.status.enter(state, (self.clock)());
    }
}
