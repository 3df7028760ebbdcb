/// The smallest move that counts, and each symbol's last quote that passed.
#[derive(Debug)]
pub(crate) struct Movement {
    /// As a fraction of the price.
    relative: f64,
    /// In USD.
    absolute: f64,
    /// By symbol number: bid and ask.
    last: Vec<Option<(f64, f64)>>,
}

impl Movement {
    /// None when neither limit is set.
    pub(crate) fn new(bps: Option<f64>, absolute: Option<f64>) -> Option<Self> {
        if bps.is_none() && absolute.is_none() {
            return None;
        }
        let relative = bps.unwrap_or(0.0) / 10_000.0;
        Some(Self { relative, absolute: absolute.unwrap_or(0.0), last: Vec::new() })
    }

    pub(crate) fn learn_symbol(&mut self) {
        self.last.push(None);
    }

    /// Whether the quote moved enough; it is then the one that the next is held against.
    pub(crate) fn accept(&mut self, symbol: u32, bid: f64, ask: f64) -> bool {
        let Some(last) = self.last.get(symbol as usize).copied() else { return false };
        let moved = last.is_none_or(|last| self.moved(last.0, bid) || self.moved(last.1, ask));
        if moved {
            self.last[symbol as usize] = Some((bid, ask));
        }
        moved
    }

    /// A side that appears or goes away is a move, however small the limit.
    fn moved(&self, from: f64, to: f64) -> bool {
        if from == 0.0 || to == 0.0 {
            return from != to;
        }
        let by = (to - from).abs();
        by >= self.absolute && by >= self.relative * from
    }
}
