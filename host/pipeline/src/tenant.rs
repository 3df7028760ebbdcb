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
mod links;
mod shaping;
mod status;
#[cfg(test)]
mod tests;

pub use board::{Board, BoardChanges, BoardRow};
pub(crate) use document::default_document;
pub use links::{Links, TenantChange, TenantPlan, Unflushed};
pub use status::{TenantSnapshot, TenantStatus};

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use fastrand::Rng;
use quotegate_document::Document;
use quotegate_market::{Quote, Symbol, UnixNanos};
use quotegate_pace::{Accepted, LatestTable, Resolution};
use quotegate_plugin::PluginChain;
use quotegate_sink::{Answer, DocumentWrite, Outcome, TenantDocument};
use tokio::sync::mpsc;

use crate::budget::{Share, now, sleep_until};
use crate::clock::unix_now;
use crate::inbox::Batch;
use attempts::{Attempts, End};
use board::Watched;
use keys::{Keys, Outgoing, Turn};
use shaping::{Shape, Shaping};
use status::{Arrived, QuoteEnd};

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
    /// Why nothing may be written, and the brake's version that says so.
    paused: Option<Arc<str>>,
    brake_version: u64,
    /// The tenant is to end by then, whatever the host does.
    leave_by: Option<Instant>,
    /// Documents that the sink has and has not answered.
    unanswered: usize,
    rng: Rng,
}

impl Tenant {
    /// A tenant that has seen nothing yet. With a chain it must run on a thread that plugins may hold.
    pub fn new(plan: TenantPlan, chain: Option<PluginChain>, links: Links) -> Self {
        let share = links.budget.share(&plan.id, plan.rate, links.doorbell.clone());
        let table = LatestTable::new(plan.per_symbol_min_interval, plan.retry.clone());
        let (answer_to, answers) = mpsc::unbounded_channel();
        let shaping = Shaping::new(chain);
        let keys = shaping.maps().then(|| Keys::new(Keys::MOST));
        let mut tenant = Self {
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
            paused: None,
            brake_version: 0,
            leave_by: None,
            unanswered: 0,
            rng: Rng::new(),
        };
        // Before anybody looks at the status.
        tenant.heed_brake();
        tenant
    }

    /// Writes nothing before `at`: for a tenant that comes back, whose symbols may have been written a moment ago.
    pub fn hold_until(mut self, at: Instant) -> Self {
        self.table.hold_until(at);
        self
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
            self.heed_brake();
            self.take_changes();
            self.take_quotes();
            self.take_answers();
            self.write_what_is_allowed();
            self.publish(false);
            let unflushed = Unflushed { dirty: self.table.dirty(), in_flight: self.table.in_flight() };
            if self.links.inbox.is_finished() && self.is_settled() {
                return unflushed;
            }
            let of_host = *self.links.deadline.borrow_and_update();
            let deadline = [of_host, self.leave_by].into_iter().flatten().min();
            let gives_up = self.paused.is_some() && self.unanswered == 0 && self.links.inbox.is_finished();
            if deadline.is_some_and(|deadline| deadline <= now() || gives_up) {
                return unflushed;
            }
            self.wait(deadline, of_host.is_none()).await;
        }
    }

    async fn wait(&mut self, deadline: Option<Instant>, host_may_end: bool) {
        let next_due = self.table.next_due_at().filter(|_| !self.blocked && !self.stands_still());
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
            _ = self.links.deadline.changed(), if host_may_end => {}
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

    fn heed_brake(&mut self) {
        let version = self.links.brake.version();
        if version != self.brake_version {
            self.brake_version = version;
            self.paused = self.links.brake.reason();
            self.links.status.set_paused(self.paused.clone());
        }
    }

    /// True while no new documents are made.
    fn stands_still(&self) -> bool {
        self.paused.is_some() || self.shaping.stopped().is_some()
    }

    fn take_changes(&mut self) {
        while let Ok(change) = self.links.changes.try_recv() {
            let TenantChange { plan, chain, leave_by, taken } = change;
            if plan.per_symbol_min_interval != self.plan.per_symbol_min_interval {
                self.table.set_interval(plan.per_symbol_min_interval, now());
            }
            if plan.rate != self.plan.rate {
                self.share.set_rate(plan.rate);
            }
            self.plan = plan;
            if let Some(chain) = chain {
                self.shaping.change(chain);
                if self.shaping.maps() && self.keys.is_none() {
                    self.keys = Some(Keys::new(Keys::MOST));
                }
            }
            self.leave_by = leave_by.or(self.leave_by);
            // Nobody may be waiting for it any more.
            let _ = taken.send(());
        }
    }

    fn take_answers(&mut self) {
        while let Ok(answer) = self.answers.try_recv() {
            self.take_answer(answer);
        }
    }

    fn take_answer(&mut self, answer: Answer) {
        self.unanswered = self.unanswered.saturating_sub(1);
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
        let end = self.attempts.answer(slot, answer.document, &answer.outcome);
        self.end_attempt(slot, end);
    }

    fn end_attempt(&mut self, slot: u32, end: Option<End>) {
        let Some(End { resolution, counts }) = end else { return };
        let conflated = self.table.resolve(slot, resolution, now(), &mut self.rng);
        if counts && conflated {
            self.links.status.quote_ended(QuoteEnd::Conflated);
        } else if counts && resolution == Resolution::Settled {
            self.links.status.quote_ended(QuoteEnd::Settled);
        }
    }

    fn write_what_is_allowed(&mut self) {
        let due = if self.stands_still() { 0 } else { self.table.due(now()) };
        let held_back = self.blocked || self.paused.is_some();
        self.share.want(if held_back { 0 } else { due + self.ready.len() });
        if self.paused.is_some() {
            // Tokens of before the pause are for those who may write.
            while self.share.take() {
                self.share.refund();
            }
            return;
        }
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
            self.unanswered += 1;
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
                        let end = self.attempts.superseded(slot);
                        self.end_attempt(slot, end);
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
                Some((documents, counts)) => self.send_soon(slot, &quote, documents, counts),
                None => {
                    slots.push(slot);
                    quotes.push((self.symbols[slot as usize].clone(), quote));
                }
            }
        }
        let shapes = self.shaping.shape(now, &quotes, &self.plan);
        for ((slot, (_, quote)), shape) in slots.into_iter().zip(quotes).zip(shapes) {
            let (documents, nothing) = match shape {
                Shape::Documents(documents) => (documents, QuoteEnd::Unmapped),
                Shape::Lost => (Vec::new(), QuoteEnd::Lost),
            };
            let counts = !documents.is_empty();
            if !counts {
                self.links.status.quote_ended(nothing);
            }
            let documents = self.attempts.with_older(slot, quote.event_time, documents);
            self.send_soon(slot, &quote, documents, counts);
        }
        any
    }

    fn send_soon(&mut self, slot: u32, quote: &Quote, documents: Vec<(Document, UnixNanos)>, counts: bool) {
        if documents.is_empty() {
            return self.end_attempt(slot, Some(End { resolution: Resolution::Settled, counts }));
        }
        self.attempts.start(slot, quote, &documents, counts);
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
