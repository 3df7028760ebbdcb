//! One task per tenant: its latest quotes, what of them is due, and their way to the sink.
//!
//! ```text
//! inbox ─▶ filter ─▶ latest ─▶ due ─▶ token ─▶ map ─▶ sink
//!                      ▲                               │
//!                      └───────── outcome ─────────────┘
//! ```
//!
//! Knows nothing of the websocket or of other tenants.

mod attempts;
mod document;
mod status;
#[cfg(test)]
mod tests;

pub use status::{TenantSnapshot, TenantStatus};

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use quotegate_pace::{Accepted, Backoff, LatestTable, Rate, Resolution};
use quotegate_quote::{Document, Symbol, TenantId};
use quotegate_sink::{Answer, DocumentWrite, TenantDocument};
use tokio::sync::{Notify, mpsc, watch};

use crate::budget::{Budget, Share, now, sleep_until};
use crate::inbox::{Batch, Inbox};
use attempts::Attempts;

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
    attempts: Attempts,
    /// Documents beyond the first of their quote: each waits for a token of its own.
    ready: VecDeque<(u32, Document)>,
    answers: mpsc::UnboundedReceiver<Answer>,
    /// Cloned into every write. Unbounded, because what is in flight is bounded already.
    answer_to: mpsc::UnboundedSender<Answer>,
    /// The sink takes nothing more for the moment.
    blocked: bool,
    rng: Rng,
}

impl Tenant {
    /// A tenant that has seen nothing yet.
    pub fn new(plan: TenantPlan, links: Links) -> Self {
        let share = links.budget.share(plan.rate, links.doorbell.clone());
        let table = LatestTable::new(plan.per_symbol_min_interval, plan.retry.clone());
        let (answer_to, answers) = mpsc::unbounded_channel();
        Self {
            plan,
            links,
            share,
            table,
            symbols: Vec::new(),
            batch: Batch::default(),
            attempts: Attempts::default(),
            ready: VecDeque::new(),
            answers,
            answer_to,
            blocked: false,
            rng: Rng::new(),
        }
    }

    /// Runs until the inbox is closed and everything is written, or until the deadline.
    pub async fn run(mut self) -> Unflushed {
        let unflushed = self.run_to_the_end().await;
        self.publish();
        self.links.status.set_ended();
        unflushed
    }

    async fn run_to_the_end(&mut self) -> Unflushed {
        loop {
            self.take_quotes();
            self.take_answers();
            self.write_what_is_allowed();
            self.publish();
            if self.links.inbox.is_finished() && self.is_settled() {
                return Unflushed::default();
            }
            let deadline = *self.links.deadline.borrow_and_update();
            if deadline.is_some_and(|deadline| deadline <= now()) {
                return Unflushed { dirty: self.table.dirty(), in_flight: self.table.in_flight() };
            }
            self.wait(deadline).await;
        }
    }

    async fn wait(&mut self, deadline: Option<Instant>) {
        let next_due = self.table.next_due_at();
        let (mut came, mut has_room) = (None, false);
        tokio::select! {
            () = self.links.doorbell.notified() => {}
            answer = self.answers.recv() => came = answer,
            // The permit is let go at once: a token may be long in coming, and others can use the place.
            _ = self.links.writes.reserve(), if self.blocked => has_room = true,
            () = sleep_until(next_due), if !self.blocked => {}
            () = sleep_until(deadline) => {}
            _ = self.links.deadline.changed(), if deadline.is_none() => {}
        }
        self.blocked &= !has_room;
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
        let (mut conflated, mut older) = (self.batch.conflated, 0);
        let quotes = &self.batch.quotes;
        for (row, slot) in quotes.symbol.iter().enumerate() {
            match self.table.accept(*slot, &quotes.quote(row), now) {
                Accepted::Dirty => {}
                Accepted::Conflated => conflated += 1,
                Accepted::Older => older += 1,
            }
        }
        let last = quotes.symbol.last().map(|slot| &self.symbols[*slot as usize]);
        let received_time = quotes.received_time.last().copied().unwrap_or_default();
        let arrived = quotes.len() as u64 + self.batch.conflated;
        self.links.status.quotes_arrived(arrived, conflated, older, last, received_time);
    }

    fn take_answers(&mut self) {
        while let Ok(answer) = self.answers.try_recv() {
            self.take_answer(answer);
        }
    }

    fn take_answer(&mut self, answer: Answer) {
        self.links.status.write_answered(&answer.outcome);
        let slot = answer.ticket;
        if let Some(resolution) = self.attempts.answer(slot, answer.document, &answer.outcome) {
            self.table.resolve(slot, resolution, now(), &mut self.rng);
        }
    }

    fn write_what_is_allowed(&mut self) {
        let wanted = if self.blocked { 0 } else { self.table.due(now()) + self.ready.len() };
        self.share.want(wanted);
        while self.share.take() {
            let Ok(permit) = self.links.writes.clone().try_reserve_owned() else {
                self.blocked = true;
                self.share.refund();
                continue;
            };
            let Some((slot, document)) = self.next_document() else {
                self.share.refund();
                continue;
            };
            permit.send(DocumentWrite {
                target: TenantDocument { tenant: self.plan.id.clone(), document },
                ticket: slot,
                answer_to: self.answer_to.clone(),
            });
            self.links.status.write_attempted();
        }
    }

    /// The document that waits longest for a token; makes those of the quote that has been due longest if none does.
    fn next_document(&mut self) -> Option<(u32, Document)> {
        if self.ready.is_empty() {
            let (slot, quote) = self.table.take_due(now())?;
            let symbol = &self.symbols[slot as usize];
            let make =
                || document::default_document(self.plan.collection.clone(), symbol, &quote).into_iter().collect();
            let documents: Vec<_> = self.attempts.documents(slot, &quote, make);
            if documents.is_empty() {
                self.table.resolve(slot, Resolution::Settled, now(), &mut self.rng);
            } else {
                self.attempts.start(slot, &quote, documents.len());
            }
            self.ready.extend(documents.into_iter().map(|document| (slot, document)));
        }
        self.ready.pop_front()
    }

    fn is_settled(&self) -> bool {
        self.table.is_settled() && self.ready.is_empty()
    }

    fn publish(&self) {
        self.links.status.set_backlog(self.table.dirty(), self.table.in_flight());
    }
}
