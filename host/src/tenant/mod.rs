//! One task per tenant: its latest quotes, what of them is due, and their way to the sink.
//!
//! ```text
//! inbox ─▶ filter ─▶ latest ─▶ due ─▶ token ─▶ map ─▶ turn ─▶ sink
//!                      ▲                                       │
//!                      └───────────── outcome ─────────────────┘
//! ```
//!
//! Knows nothing of the websocket or of other tenants.

mod attempts;
mod board;
mod document;
mod keys;
mod shaping;
mod status;
#[cfg(test)]
mod tests;

pub use board::{Board, BoardChanges, BoardRow};
pub use shaping::ChainChange;
pub use status::{TenantSnapshot, TenantStatus};

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use quotegate_pace::{Accepted, Backoff, LatestTable, Rate, Resolution};
use quotegate_plugin::PluginChain;
use quotegate_quote::{Document, Quote, Symbol, TenantId, UnixNanos};
use quotegate_sink::{Answer, DocumentWrite, Outcome, TenantDocument};
use tokio::sync::{Notify, mpsc, watch};

use crate::budget::{Budget, Share, now, sleep_until};
use crate::inbox::{Batch, Inbox};
use crate::status::{Latencies, unix_now};
use attempts::Attempts;
use board::Watched;
use keys::{Keys, Outgoing, Turn};
use shaping::{Shape, Shaping};
use status::Arrived;

/// What a tenant's settings say, as far as its task needs it.
#[derive(Debug, Clone)]
pub struct TenantPlan {
    /// Whose quotes these are.
    pub id: TenantId,
    /// The least time between two writes of one symbol.
    pub per_symbol_min_interval: Duration,
    /// The tenant's own write budget, beside the global one.
    pub rate: Option<Rate>,
    /// Where its documents go.
    pub collection: Cow<'static, str>,
    /// How long failed writes wait.
    pub retry: Backoff,
}

/// What the tenant shares with the rest of the house.
#[derive(Debug)]
pub struct Links {
    /// Where the router puts its quotes.
    pub inbox: Arc<Inbox>,
    /// Rung by inbox and budget.
    pub doorbell: Arc<Notify>,
    /// The write budget of all tenants.
    pub budget: Arc<Budget>,
    /// The way to the sink.
    pub writes: mpsc::Sender<DocumentWrite>,
    /// Where others read how it goes.
    pub status: Arc<TenantStatus>,
    /// Becomes a deadline when the host shuts down.
    pub deadline: watch::Receiver<Option<Instant>>,
    /// Where it is counted how long quotes take; `None` in a replay.
    pub latencies: Option<Arc<Latencies>>,
    /// Plugins that take the place of those at work.
    pub chain_changes: mpsc::UnboundedReceiver<ChainChange>,
}

/// Symbols whose newest quote did not reach the sink before the deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unflushed {
    /// Not sent.
    pub dirty: usize,
    /// Sent, no outcome yet.
    pub in_flight: usize,
}

/// A tenant's task.
pub struct Tenant {
    plan: TenantPlan,
    links: Links,
    share: Share,
    table: LatestTable,
    symbols: Vec<Symbol>,
    batch: Batch,
    shaping: Shaping,
    attempts: Attempts,
    /// Documents that wait for a token of their own: those beyond the first of their quote.
    ready: VecDeque<Outgoing>,
    /// There since the tenant had a map: until then no two symbols write the same document.
    keys: Option<Keys>,
    watched: Watched,
    answers: mpsc::UnboundedReceiver<Answer>,
    /// Cloned into every write. Unbounded, because what is in flight is bounded already.
    answer_to: mpsc::UnboundedSender<Answer>,
    /// The sink takes nothing more for the moment.
    blocked: bool,
    rng: Rng,
}

impl Tenant {
    /// A tenant that has seen nothing yet. With a chain it must run on a thread that plugins may hold.
    pub fn new(plan: TenantPlan, chain: Option<PluginChain>, links: Links) -> Self {
        let share = links.budget.share(plan.rate, links.doorbell.clone());
        let table = LatestTable::new(plan.per_symbol_min_interval, plan.retry.clone());
        let (answer_to, answers) = mpsc::unbounded_channel();
        let shaping = Shaping::new(chain);
        let keys = shaping.maps().then(|| Keys::new(Keys::MOST));
        Self {
            plan,
            links,
            share,
            table,
            symbols: Vec::new(),
            batch: Batch::default(),
            shaping,
            attempts: Attempts::default(),
            ready: VecDeque::new(),
            keys,
            watched: Watched::default(),
            answers,
            answer_to,
            blocked: false,
            rng: Rng::new(),
        }
    }

    /// Runs until the inbox is closed and everything is written, or until the deadline.
    pub async fn run(mut self) -> Unflushed {
        let unflushed = self.run_to_the_end().await;
        self.publish(true);
        self.links.status.set_ended();
        unflushed
    }

    async fn run_to_the_end(&mut self) -> Unflushed {
        loop {
            self.change_chain();
            self.take_quotes();
            self.take_answers();
            self.write_what_is_allowed();
            self.publish(false);
            let unflushed = Unflushed { dirty: self.table.dirty(), in_flight: self.table.in_flight() };
            if self.links.inbox.is_finished() && self.is_settled() {
                return unflushed;
            }
            let deadline = *self.links.deadline.borrow_and_update();
            if deadline.is_some_and(|deadline| deadline <= now()) {
                return unflushed;
            }
            self.wait(deadline).await;
        }
    }

    async fn wait(&mut self, deadline: Option<Instant>) {
        let next_due = self.table.next_due_at().filter(|_| !self.blocked && self.shaping.stopped().is_none());
        let numbers_at = self.shaping.numbers_at();
        let (mut came, mut has_room, mut looked_at) = (None, false, false);
        tokio::select! {
            () = self.links.doorbell.notified() => {}
            answer = self.answers.recv() => came = answer,
            // The permit is let go at once: a token may be long in coming, and others can use the place.
            _ = self.links.writes.reserve(), if self.blocked => has_room = true,
            () = self.links.status.board().asked() => looked_at = true,
            () = sleep_until(next_due) => {}
            () = sleep_until(numbers_at), if numbers_at.is_some() => {}
            () = sleep_until(deadline) => {}
            _ = self.links.deadline.changed(), if deadline.is_none() => {}
        }
        self.blocked &= !has_room;
        if looked_at {
            self.watched.publish(self.links.status.board(), &self.table, &self.symbols, now());
        }
        if let Some(answer) = came {
            self.take_answer(answer);
        }
    }

    fn take_quotes(&mut self) {
        if !self.links.inbox.take(&mut self.batch) {
            return;
        }
        let now = now();
        self.symbols.append(&mut self.batch.new_symbols);
        let quotes = &mut self.batch.quotes;
        let mut arrived = Arrived {
            quotes: quotes.len() as u64 + self.batch.conflated,
            conflated: self.batch.conflated,
            last: quotes.symbol.last().map(|slot| self.symbols[*slot as usize].clone()),
            received_time: quotes.received_time.last().copied().unwrap_or_default(),
            ..Arrived::default()
        };
        let sifted = self.shaping.filter(now, quotes, &self.symbols);
        (arrived.filtered, arrived.lost) = (sifted.refused as u64, sifted.lost as u64);
        for (row, slot) in quotes.symbol.iter().enumerate() {
            match self.table.accept(*slot, &quotes.quote(row), now) {
                Accepted::Dirty => {}
                Accepted::Conflated => arrived.conflated += 1,
                Accepted::Older => arrived.older += 1,
            }
        }
        self.watched.note(&quotes.symbol, now);
        self.links.status.quotes_arrived(arrived);
    }

    fn change_chain(&mut self) {
        while let Ok(change) = self.links.chain_changes.try_recv() {
            self.shaping.change(change.chain);
            if self.shaping.maps() && self.keys.is_none() {
                self.keys = Some(Keys::new(Keys::MOST));
            }
            // Nobody may be waiting for it any more.
            let _ = change.taken.send(());
        }
    }

    fn take_answers(&mut self) {
        while let Ok(answer) = self.answers.try_recv() {
            self.take_answer(answer);
        }
    }

    fn take_answer(&mut self, answer: Answer) {
        self.links.status.write_answered(&answer.outcome);
        let slot = answer.ticket;
        if let (Some(latencies), Some(received)) = (&self.links.latencies, self.attempts.received_time(slot))
            && answer.outcome == Outcome::Written
        {
            latencies.to_commit.record(received, unix_now());
        }
        if let Some(waited) = self.keys.as_mut().and_then(|keys| keys.answered(&answer.document.key)) {
            self.ready.push_back(waited);
        }
        let resolution = self.attempts.answer(slot, answer.document, &answer.outcome);
        self.resolve(slot, resolution);
    }

    fn resolve(&mut self, slot: u32, resolution: Option<Resolution>) {
        if let Some(resolution) = resolution {
            self.table.resolve(slot, resolution, now(), &mut self.rng);
        }
    }

    fn write_what_is_allowed(&mut self) {
        let due = if self.shaping.stopped().is_some() { 0 } else { self.table.due(now()) };
        let wanted = if self.blocked { 0 } else { due + self.ready.len() };
        self.share.want(wanted);
        while self.share.take() {
            let Ok(permit) = self.links.writes.clone().try_reserve_owned() else {
                self.blocked = true;
                self.share.refund();
                continue;
            };
            let Some(Outgoing { slot, document, .. }) = self.next_document() else {
                self.share.refund();
                continue;
            };
            permit.send(DocumentWrite {
                target: TenantDocument { tenant: self.plan.id.clone(), document },
                ticket: slot,
                answer_to: self.answer_to.clone(),
            });
            self.links.status.write_attempted();
            if let (Some(latencies), Some(received)) = (&self.links.latencies, self.attempts.received_time(slot)) {
                latencies.to_sink.record(received, unix_now());
            }
        }
    }

    /// The document that waits longest for a token; makes those of the quotes that have been due longest if none does.
    fn next_document(&mut self) -> Option<Outgoing> {
        loop {
            while let Some(outgoing) = self.ready.pop_front() {
                let Some(keys) = &mut self.keys else { return Some(outgoing) };
                match keys.offer(outgoing) {
                    Turn::Now(outgoing) => return Some(outgoing),
                    Turn::Waits => {}
                    Turn::Superseded(Outgoing { slot, .. }) => {
                        let resolution = self.attempts.superseded(slot);
                        self.resolve(slot, resolution);
                    }
                }
            }
            if !self.make_documents() {
                return None;
            }
        }
    }

    /// Makes documents of as many due quotes as there are tokens for. False when none is due.
    fn make_documents(&mut self) -> bool {
        let now = now();
        let (mut slots, mut quotes) = (Vec::new(), Vec::new());
        let mut any = false;
        // One token is in the hand of the caller.
        for _ in 0..=self.share.held() {
            if self.shaping.stopped().is_some() {
                break;
            }
            let Some((slot, quote)) = self.table.take_due(now) else { break };
            any = true;
            match self.attempts.again(slot, &quote) {
                Some(documents) => self.send_soon(slot, &quote, documents),
                None => {
                    slots.push(slot);
                    quotes.push((self.symbols[slot as usize].clone(), quote));
                }
            }
        }
        let shapes = self.shaping.shape(now, &quotes, &self.plan);
        for ((slot, (_, quote)), shape) in slots.into_iter().zip(quotes).zip(shapes) {
            let documents = match shape {
                Shape::Documents(documents) => documents,
                Shape::Lost => {
                    self.links.status.lost_one();
                    Vec::new()
                }
            };
            let documents = self.attempts.with_older(slot, quote.event_time, documents);
            self.send_soon(slot, &quote, documents);
        }
        any
    }

    fn send_soon(&mut self, slot: u32, quote: &Quote, documents: Vec<(Document, UnixNanos)>) {
        if documents.is_empty() {
            return self.resolve(slot, Some(Resolution::Settled));
        }
        self.attempts.start(slot, quote, &documents);
        let outgoing = documents.into_iter().map(|(document, event_time)| Outgoing { slot, document, event_time });
        self.ready.extend(outgoing);
    }

    /// True when there is nothing more to write, or nothing more that may be written.
    fn is_settled(&self) -> bool {
        let stands_still = self.shaping.stopped().is_some() && self.table.in_flight() == 0;
        (stands_still || self.table.is_settled()) && self.ready.is_empty()
    }

    fn publish(&mut self, at_once: bool) {
        let now = now();
        let due = self.table.due(now);
        self.links.status.set_backlog(self.table.dirty(), due, self.table.in_flight());
        if let Some(plugins) = self.shaping.numbers(now, at_once) {
            self.links.status.set_plugins(plugins, self.shaping.stopped());
        }
    }
}
