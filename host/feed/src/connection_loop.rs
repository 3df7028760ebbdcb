//! One authenticated connection: keeps the subscription up to date, delivers quotes, and runs the watchdogs.

use std::convert::Infallible;
use std::sync::Arc;

use futures_util::FutureExt as _;
use quotegate_market::QuoteReceiver;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_tungstenite::tungstenite::Message;
use tracing::{debug, info, warn};

use crate::connection::{Connection, SessionEnd};
use crate::control_message::{ControlMessage, ErrorAction};
use crate::decode::LatestQuotes;
use crate::gap::Gap;
use crate::request;
use crate::run::Runner;
use crate::snapshot::Snapshots;
use crate::status::RetryCause;
use crate::subscription::{Acknowledged, Name, WILDCARD};
use crate::unquoted::UnquotedWatch;
use crate::watchdog::{DataWatchdog, SocketCheck, SocketWatchdog};

/// A warning names at most this many symbols.
const MAX_NAMED: usize = 20;

pub(crate) struct ConnectionLoop<'a> {
    pub(crate) runner: &'a mut Runner,
    pub(crate) connection: &'a mut Connection,
    pub(crate) receiver: &'a mut dyn QuoteReceiver,
}

/// The deadlines of one connection.
struct Deadlines {
    socket: SocketWatchdog,
    data: DataWatchdog,
    ack_deadline: Option<Instant>,
}

impl Deadlines {
    fn wake_at(&self, unquoted: &UnquotedWatch) -> Instant {
        let earliest = self.data.wake_at().into_iter().chain(self.ack_deadline).chain(unquoted.wake_at()).min();
        earliest.map_or(self.socket.wake_at(), |other| other.min(self.socket.wake_at()))
    }
}

impl ConnectionLoop<'_> {
    /// Runs until the connection ends.
    pub(crate) async fn run(&mut self) -> Result<Infallible, SessionEnd> {
        let now = Instant::now();
        let mut deadlines = Deadlines {
            socket: SocketWatchdog::new(
                self.runner.feed.settings.ping_interval,
                self.runner.feed.settings.pong_timeout,
                now,
            ),
            data: DataWatchdog::new(self.runner.feed.settings.stale_after, now),
            ack_deadline: None,
        };
        self.runner.subscriber.reset();
        self.update_wanted();
        let mut flowing = false;
        let mut wanted_may_change = true;
        let mut timer = std::pin::pin!(sleep_until(deadlines.wake_at(&self.runner.unquoted)));
        loop {
            self.send_next_request(&mut deadlines, timer.as_mut()).await?;
            // The timer comes before the frames: a burst of frames must not hide a deadline.
            tokio::select! {
                biased;
                changed = self.runner.feed.subscription.changed(), if wanted_may_change => match changed {
                    Ok(()) => self.update_wanted(),
                    // The sender is gone: keep the last subscription.
                    Err(_) => wanted_may_change = false,
                },
                () = &mut timer => {
                    // Read what has already arrived before checking deadlines: a host that was stalled must not mistake
                    // its own delay for silence of the server.
                    if let Some(read) = self.connection.read(&mut self.runner.reader).now_or_never() {
                        self.process(read, &mut deadlines, &mut flowing)?;
                    }
                    self.check(&mut deadlines).await?;
                    timer.as_mut().reset(deadlines.wake_at(&self.runner.unquoted));
                }
                // Before the frames as well, and rare.
                latest = next_latest(&mut self.runner.feed.snapshots) => self.runner.reader.deliver_latest(latest, self.receiver),
                read = self.connection.read(&mut self.runner.reader) => {
                    self.process(read, &mut deadlines, &mut flowing)?;
                    // Without this, a socket that always has more frames would never let another task run.
                    tokio::task::coop::consume_budget().await;
                }
            }
        }
    }

    /// Processes the result of a read.
    fn process(
        &mut self,
        read: Result<usize, SessionEnd>,
        deadlines: &mut Deadlines,
        flowing: &mut bool,
    ) -> Result<(), SessionEnd> {
        read?;
        deadlines.socket.heard();
        if self.runner.reader.deliver(self.receiver) {
            deadlines.data.quote_arrived(Instant::now());
            if !std::mem::replace(flowing, true) {
                self.runner.quotes_are_back();
            }
        }
        for message in self.runner.reader.take_control_messages() {
            self.handle(message, deadlines)?;
        }
        Ok(())
    }

    fn update_wanted(&mut self) {
        let wanted = Arc::clone(&self.runner.feed.subscription.borrow_and_update());
        self.runner.subscriber.want(&wanted);
        self.runner.unquoted.want(&wanted, Instant::now());
        self.runner.feed.status.set_missing(self.runner.subscriber.missing());
    }

    async fn send_next_request(
        &mut self,
        deadlines: &mut Deadlines,
        timer: std::pin::Pin<&mut Sleep>,
    ) -> Result<(), SessionEnd> {
        let Some(request) = self.runner.subscriber.next_request() else { return Ok(()) };
        debug!(event_type = "subscription_request", action = ?request.action, symbols = request.names.len(), "sending a subscription request");
        self.connection.send(request::subscription(request, self.runner.feed.settings.encoding)).await?;
        deadlines.ack_deadline = Some(Instant::now() + self.runner.feed.settings.step_timeout);
        // The only deadline that can be earlier than the ones the timer was set for.
        timer.reset(deadlines.wake_at(&self.runner.unquoted));
        Ok(())
    }

    async fn check(&mut self, deadlines: &mut Deadlines) -> Result<(), SessionEnd> {
        let now = Instant::now();
        if deadlines.ack_deadline.is_some_and(|deadline| now >= deadline) {
            return Err(SessionEnd::retry(
                RetryCause::Unacknowledged,
                "the server did not acknowledge a subscription request in time",
            ));
        }
        let expected = self.runner.subscriber.holds_any()
            && self.runner.feed.settings.calendar.is_open((self.runner.feed.clock)());
        if !expected {
            self.runner.feed.status.excuse_silence();
        }
        self.check_unquoted(expected, now);
        if deadlines.data.is_stale(expected, now) {
            return Err(SessionEnd::retry(
                RetryCause::Stale,
                "no quotes arrived for too long while the exchange is open",
            ));
        }
        match deadlines.socket.check(now) {
            SocketCheck::Dead => Err(SessionEnd::retry(RetryCause::Silent, "the server did not answer a ping")),
            SocketCheck::Ping => self.connection.send(Message::Ping(Vec::new().into())).await,
            SocketCheck::Wait => Ok(()),
        }
    }

    fn handle(&mut self, message: ControlMessage, deadlines: &mut Deadlines) -> Result<(), SessionEnd> {
        match message {
            ControlMessage::Subscription(names) => {
                let Acknowledged { added, undone } = self.runner.subscriber.acknowledged(&names);
                self.report_missing(&undone, "the server did not include these symbols in its acknowledgement");
                if !self.runner.subscriber.is_waiting() {
                    deadlines.ack_deadline = None;
                }
                info!(
                    event_type = "alpaca_subscribed",
                    symbols = self.runner.subscriber.held(),
                    "the server acknowledged the subscription"
                );
                self.ask_for_latest(added);
                self.end_gap();
            }
            ControlMessage::Error { code, message } => {
                self.runner.feed.status.count_error(code);
                self.handle_error(code, &message)?;
                if !self.runner.subscriber.is_waiting() {
                    deadlines.ack_deadline = None;
                }
            }
            ControlMessage::Connected | ControlMessage::Authenticated | ControlMessage::OtherSuccess(_) => {
                debug!(?message, "unexpected success message");
            }
        }
        Ok(())
    }

    fn handle_error(&mut self, code: u16, message: &str) -> Result<(), SessionEnd> {
        match ErrorAction::of(code, message) {
            ErrorAction::End(end) => return Err(end),
            ErrorAction::BadRequest => {
                let rejected = self.runner.subscriber.rejected();
                self.report_missing(
                    rejected.as_slice(),
                    "the server rejected this symbol: remove it from the settings",
                );
            }
            ErrorAction::SymbolLimit => {
                let refused = self.runner.subscriber.over_limit();
                self.report_missing(&refused, "the plan allows fewer symbols: remove some, or upgrade the plan");
            }
            ErrorAction::Ignore => {
                warn!(event_type = "alpaca_error", code, message, "ignoring an error message from the server");
            }
        }
        Ok(())
    }

    /// Asks REST for quotes of symbols whose ticks arrive from now on, so that none is missed in between. What the
    /// wildcard stands for is known only of symbols that have quoted before.
    fn ask_for_latest(&self, added: Vec<Name>) {
        let Some(snapshots) = &self.runner.feed.snapshots else { return };
        if added.iter().any(|name| **name == *WILDCARD) {
            snapshots.ask(self.runner.reader.symbols().symbols().iter().map(|symbol| symbol.as_str().into()));
        } else {
            snapshots.ask(added);
        }
    }

    /// The one place where a gap is logged.
    fn end_gap(&self) {
        if !self.runner.subscriber.is_complete() {
            return;
        }
        let Some(Gap { from, to, cause }) = self.runner.feed.status.end_gap((self.runner.feed.clock)()) else { return };
        let to = to.unwrap_or(from);
        let text = |time| jiff::Timestamp::from_nanosecond(i128::from(time)).unwrap_or_default();
        info!(
            event_type = "feed_gap",
            from = %text(from),
            to = %text(to),
            seconds = to.saturating_sub(from) as f64 / 1e9,
            cause = cause.as_str(),
            snapshot = self.runner.feed.snapshots.is_some(),
            "no quotes arrived from {} to {}",
            text(from),
            text(to),
        );
    }

    /// The one place where symbols without quotes are logged.
    fn check_unquoted(&mut self, expected: bool, now: Instant) {
        let (unquoted, is_new) = self.runner.unquoted.check(expected, self.runner.reader.symbols(), now);
        if is_new {
            let count = unquoted.count;
            warn!(event_type = "symbols_unquoted", count, "wanted symbols that have never quoted: {unquoted}");
        }
        self.runner.feed.status.set_unquoted(unquoted);
    }

    /// The one place where missing symbols are counted and logged.
    fn report_missing(&self, names: &[Arc<str>], why: &'static str) {
        if names.is_empty() {
            return;
        }
        self.runner.feed.status.count_missing(names.len());
        self.runner.feed.status.set_missing(self.runner.subscriber.missing());
        let named = &names[..names.len().min(MAX_NAMED)];
        warn!(event_type = "symbols_missing", count = names.len(), symbols = ?named, "{why}");
    }
}

async fn next_latest(snapshots: &mut Option<Snapshots>) -> LatestQuotes {
    match snapshots {
        Some(snapshots) => snapshots.next().await,
        None => std::future::pending().await,
    }
}
