//! One authenticated session: keeps the subscription as wanted, delivers quotes, watches for both ways of dying.

use std::sync::Arc;

use futures_util::FutureExt as _;
use quotegate_market::{QuoteReceiver, Subscription};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_tungstenite::tungstenite::Message;
use tracing::{debug, info, warn};

use crate::connection::{Connection, End};
use crate::control::{Control, Verdict};
use crate::reader::FrameReader;
use crate::request;
use crate::settings::{Clock, FeedSettings};
use crate::status::{FeedStatus, RetryCause};
use crate::subscription::Subscriber;
use crate::watchdog::{DataWatchdog, Pulse, SocketWatchdog};

/// A warning names at most this many symbols.
const NAMED: usize = 20;

pub(crate) struct Session<'a> {
    pub(crate) connection: &'a mut Connection,
    pub(crate) reader: &'a mut FrameReader,
    pub(crate) subscriber: &'a mut Subscriber,
    pub(crate) wanted: &'a mut watch::Receiver<Arc<Subscription>>,
    pub(crate) receiver: &'a mut dyn QuoteReceiver,
    pub(crate) settings: &'a FeedSettings,
    pub(crate) status: &'a FeedStatus,
    pub(crate) clock: &'a Clock,
}

/// The deadlines of one session.
struct Watch {
    socket: SocketWatchdog,
    data: DataWatchdog,
    answer_by: Option<Instant>,
}

impl Watch {
    fn wake_at(&self) -> Instant {
        let earliest = self.data.wake_at().into_iter().chain(self.answer_by).min();
        earliest.map_or(self.socket.wake_at(), |other| other.min(self.socket.wake_at()))
    }
}

impl Session<'_> {
    /// Runs until the session ends; `on_first_quote` is called when data has flowed.
    pub(crate) async fn run(&mut self, mut on_first_quote: impl FnMut()) -> End {
        let now = Instant::now();
        let mut watch = Watch {
            socket: SocketWatchdog::new(self.settings.ping_interval, self.settings.pong_timeout, now),
            data: DataWatchdog::new(self.settings.stale_after, now),
            answer_by: None,
        };
        self.subscriber.start_session();
        self.want();
        let mut flowing = false;
        let mut wanted_may_change = true;
        let mut alarm = std::pin::pin!(sleep_until(watch.wake_at()));
        loop {
            if let Err(end) = self.send_next_request(&mut watch, alarm.as_mut()).await {
                return end;
            }
            // The alarm comes before the frames: a flood must not hide a deadline.
            tokio::select! {
                biased;
                changed = self.wanted.changed(), if wanted_may_change => match changed {
                    Ok(()) => self.want(),
                    // Whoever decides is gone: the last word stands.
                    Err(_) => wanted_may_change = false,
                },
                () = &mut alarm => {
                    // What has arrived counts, however late we come to look at it: a host that was held up must not
                    // take its own silence for the server's.
                    if let Some(read) = self.connection.read(self.reader).now_or_never()
                        && let Err(end) = self.take_in(read, &mut watch, &mut flowing, &mut on_first_quote)
                    {
                        return end;
                    }
                    if let Err(end) = self.check(&mut watch).await {
                        return end;
                    }
                    alarm.as_mut().reset(watch.wake_at());
                }
                read = self.connection.read(self.reader) => {
                    if let Err(end) = self.take_in(read, &mut watch, &mut flowing, &mut on_first_quote) {
                        return end;
                    }
                    // A socket that always has more would otherwise never let another task run.
                    tokio::task::coop::consume_budget().await;
                }
            }
        }
    }

    /// Hands on what a read brought.
    fn take_in(
        &mut self,
        read: Result<usize, End>,
        watch: &mut Watch,
        flowing: &mut bool,
        on_first_quote: &mut impl FnMut(),
    ) -> Result<(), End> {
        read?;
        watch.socket.heard();
        if self.reader.deliver(self.receiver) {
            watch.data.quote_arrived(Instant::now());
            if !std::mem::replace(flowing, true) {
                on_first_quote();
            }
        }
        for control in self.reader.take_controls() {
            self.obey(control, watch)?;
        }
        Ok(())
    }

    fn want(&mut self) {
        let wanted = Arc::clone(&self.wanted.borrow_and_update());
        self.subscriber.want(&wanted);
        self.status.set_missing(self.subscriber.missing());
    }

    async fn send_next_request(&mut self, watch: &mut Watch, alarm: std::pin::Pin<&mut Sleep>) -> Result<(), End> {
        let Some(request) = self.subscriber.next_request() else { return Ok(()) };
        debug!(event_type = "subscription_request", action = ?request.action, symbols = request.names.len(), "asking");
        self.connection.send(request::subscription(request, self.settings.encoding)).await?;
        watch.answer_by = Some(Instant::now() + self.settings.step_timeout);
        // The only deadline that can come before those known when the alarm was set.
        alarm.reset(watch.wake_at());
        Ok(())
    }

    async fn check(&mut self, watch: &mut Watch) -> Result<(), End> {
        let now = Instant::now();
        if watch.answer_by.is_some_and(|deadline| now >= deadline) {
            return Err(End::retry(RetryCause::Unacknowledged, "a subscription request was not acknowledged in time"));
        }
        let expected = self.subscriber.holds_any() && self.settings.calendar.is_open((self.clock)());
        if !expected {
            // From here on silence is in order.
            self.status.set_silent(false);
        }
        if watch.data.is_stale(expected, now) {
            return Err(End::retry(RetryCause::Stale, "no quote for too long while the exchange is open"));
        }
        match watch.socket.check(now) {
            Pulse::Dead => Err(End::retry(RetryCause::Silent, "a ping went unanswered")),
            Pulse::Ping => self.connection.send(Message::Ping(Vec::new().into())).await,
            Pulse::Wait => Ok(()),
        }
    }

    fn obey(&mut self, control: Control, watch: &mut Watch) -> Result<(), End> {
        match control {
            Control::Subscription(names) => {
                let missing = self.subscriber.acknowledged(&names);
                self.lacking(&missing, "the server acknowledged the request without these symbols");
                if !self.subscriber.is_waiting() {
                    watch.answer_by = None;
                }
                info!(event_type = "alpaca_subscribed", symbols = self.subscriber.held(), "the server acknowledged");
            }
            Control::Error { code, message } => {
                self.status.count_error(code);
                self.obey_error(code, &message)?;
                if !self.subscriber.is_waiting() {
                    watch.answer_by = None;
                }
            }
            Control::Connected | Control::Authenticated | Control::OtherSuccess(_) => {
                debug!(?control, "a success message out of turn");
            }
        }
        Ok(())
    }

    fn obey_error(&mut self, code: u16, message: &str) -> Result<(), End> {
        match Verdict::of(code) {
            Verdict::Fatal(error) => return Err(End::Fatal(error)),
            Verdict::HeldElsewhere => return Err(End::retry(RetryCause::HeldElsewhere, message)),
            Verdict::Reconnect => return Err(End::retry(RetryCause::ServerError, format!("{code} {message}"))),
            Verdict::BadRequest => {
                let culprit = self.subscriber.rejected();
                self.lacking(culprit.as_slice(), "the server does not accept this symbol: remove it from the settings");
            }
            Verdict::SymbolLimit => {
                let refused = self.subscriber.over_limit();
                self.lacking(&refused, "the plan allows fewer symbols: remove some, or choose a larger plan");
            }
            Verdict::Ignore => warn!(event_type = "alpaca_error", code, message, "an error that changes nothing"),
        }
        Ok(())
    }

    /// The one place where missing symbols are counted and told.
    fn lacking(&self, names: &[Arc<str>], why: &'static str) {
        if names.is_empty() {
            return;
        }
        self.status.count_missing(names.len());
        self.status.set_missing(self.subscriber.missing());
        let named = &names[..names.len().min(NAMED)];
        warn!(event_type = "symbols_missing", count = names.len(), symbols = ?named, "{why}");
    }
}
