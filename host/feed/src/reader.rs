//! Frames in, columns out: decodes, counts, shows each frame to the tap, delivers to the receiver.

use std::sync::Arc;

use quotegate_market::{QuoteReceiver, SymbolTable, UnixNanos};

use crate::control::Control;
use crate::decode::Decoder;
use crate::frame::{FrameTap, Payload};
use crate::status::FeedStatus;

/// Once this many quotes wait, they are delivered though more frames are ready: a batch stays in the cache, and a
/// flood cannot put delivery off.
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

    pub(crate) fn take_controls(&mut self) -> Vec<Control> {
        self.decoder.take_controls()
    }

    /// Forgets quotes and control messages that a failed handshake left: data that proves nothing about a session.
    pub(crate) fn discard(&mut self) {
        self.decoder.clear_quotes();
        self.decoder.take_controls();
    }

    /// Hands over what is there; false when there was nothing.
    pub(crate) fn deliver(&mut self, receiver: &mut dyn QuoteReceiver) -> bool {
        if self.decoder.quotes().is_empty() {
            return false;
        }
        receiver.receive(self.decoder.quotes(), self.decoder.symbols());
        self.decoder.clear_quotes();
        true
    }
}
