//! Turns frames into columns: passes each frame to the tap, decodes and counts it, and delivers quotes to the receiver.

use std::sync::Arc;

use quotegate_market::{QuoteReceiver, SymbolTable, UnixNanos};

use crate::control_message::ControlMessage;
use crate::decode::{Decoder, LatestQuotes};
use crate::frame::{FrameTap, Payload};
use crate::status::FeedStatus;

/// Deliver once this many quotes are waiting, even if more frames are ready: the batch stays in the CPU cache, and a
/// burst of frames cannot delay delivery.
pub(crate) const BATCH_ROWS: usize = 1024;

pub(crate) struct FrameReader {
    decoder: Decoder,
    tap: Option<Box<dyn FrameTap>>,
    status: Arc<FeedStatus>,
}

impl FrameReader {
    pub(crate) fn new(symbol_capacity: usize, tap: Option<Box<dyn FrameTap>>, status: Arc<FeedStatus>) -> Self {
        Self { decoder: Decoder::new(SymbolTable::with_capacity(symbol_capacity)), tap, status }
    }

    pub(crate) fn take(&mut self, payload: Payload<'_>, received_time: UnixNanos) {
        if let Some(tap) = &mut self.tap {
            tap.frame(received_time, payload);
        }
        let before = self.decoder.quotes().len();
        self.decoder.decode(payload, received_time);
        let skipped = self.decoder.take_skipped();
        self.status.count_frame(payload.len(), self.decoder.quotes(), before, skipped);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.decoder.quotes().len() >= BATCH_ROWS
    }

    pub(crate) fn take_control_messages(&mut self) -> Vec<ControlMessage> {
        self.decoder.take_control_messages()
    }

    /// Drops quotes and control messages left over from a failed handshake. They belong to no session.
    pub(crate) fn discard(&mut self) {
        self.decoder.clear_quotes();
        self.decoder.take_control_messages();
    }

    /// The symbols that have quoted.
    pub(crate) fn symbols(&self) -> &SymbolTable {
        self.decoder.symbols()
    }

    /// Delivers quotes that REST has answered. They are counted apart: they are no sign that the feed is alive.
    pub(crate) fn deliver_latest(&mut self, mut latest: LatestQuotes, receiver: &mut dyn QuoteReceiver) {
        let mut added = 0;
        for (symbol, quote) in &latest.quotes {
            match self.decoder.add_quote(symbol, quote) {
                true => added += 1,
                false => latest.skipped.refused_symbol += 1,
            }
        }
        self.status.count_snapshot(|counts| {
            counts.quotes += added;
            counts.skipped += latest.skipped.total();
        });
        self.deliver(receiver);
    }

    /// Delivers the decoded quotes. Returns false if there were none.
    pub(crate) fn deliver(&mut self, receiver: &mut dyn QuoteReceiver) -> bool {
        if self.decoder.quotes().is_empty() {
            return false;
        }
        receiver.receive(self.decoder.quotes(), self.decoder.symbols());
        self.decoder.clear_quotes();
        true
    }
}
