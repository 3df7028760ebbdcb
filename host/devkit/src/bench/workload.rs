use std::collections::VecDeque;

use anyhow::Result;
use quotegate_market::{Quote, QuoteColumns, Symbol};
use quotegate_plugin::{PluginInstance, PreparedPlugin};

use super::failed_call;

/// Quotes that are repeated as often as necessary. Each lap shifts the times by the length of a lap, so that time always
/// moves forward.
#[derive(Debug, Clone)]
pub struct Workload {
    quotes: QuoteColumns,
    names: Vec<Symbol>,
    /// The length of a lap, in nanoseconds.
    lap: i64,
}

impl Workload {
    /// The column `symbol` holds indexes into `names`.
    pub fn new(quotes: QuoteColumns, names: Vec<Symbol>) -> Self {
        let times = || quotes.event_time.iter().chain(&quotes.received_time);
        let span = times().max().zip(times().min()).map_or(0, |(last, first)| last.saturating_sub(*first));
        Self { lap: span.saturating_add(1_000_000), quotes, names }
    }

    pub(super) fn quotes(&self) -> &QuoteColumns {
        &self.quotes
    }

    pub(super) fn names(&self) -> &[Symbol] {
        &self.names
    }

    /// A quote with the times of the lap.
    fn quote(&self, row: usize, lap: i64) -> Quote {
        let mut quote = self.quotes.quote(row);
        let later = self.lap.saturating_mul(lap);
        quote.event_time = quote.event_time.saturating_add(later);
        quote.received_time = quote.received_time.saturating_add(later);
        quote
    }

    /// Starts at the first quote.
    pub(super) fn cursor(&self) -> Cursor<'_> {
        Cursor { workload: self, row: 0, lap: 0 }
    }
}

/// A position in the workload.
pub(super) struct Cursor<'a> {
    workload: &'a Workload,
    row: usize,
    lap: i64,
}

impl Cursor<'_> {
    /// Completed laps.
    pub(super) fn laps(&self) -> i64 {
        self.lap
    }

    fn step(&mut self) -> (usize, i64) {
        let here = (self.row, self.lap);
        self.row += 1;
        if self.row == self.workload.quotes.len() {
            (self.row, self.lap) = (0, self.lap + 1);
        }
        here
    }

    /// The next quotes.
    pub(super) fn batch(&mut self, rows: usize) -> QuoteColumns {
        let mut batch = QuoteColumns::with_capacity(rows);
        for _ in 0..rows {
            let (row, lap) = self.step();
            batch.push(self.workload.quotes.symbol[row], &self.workload.quote(row, lap));
        }
        batch
    }
}

/// The quotes that reach a plugin's map: all of them, or those that its filter keeps.
pub(super) struct MapQuotes<'a> {
    cursor: Cursor<'a>,
    waiting: VecDeque<(Symbol, Quote)>,
    filters: bool,
}

/// Quotes per call of that filter.
const FILTER_BATCH: usize = 64;

impl<'a> MapQuotes<'a> {
    pub(super) fn new(workload: &'a Workload, plugin: &PreparedPlugin) -> Self {
        Self { cursor: workload.cursor(), waiting: VecDeque::new(), filters: plugin.filters() }
    }

    /// The next quotes; `None` if the filter refuses everything for two laps.
    pub(super) fn batch(&mut self, instance: &mut PluginInstance, rows: usize) -> Result<Option<Vec<(Symbol, Quote)>>> {
        let mut give_up_at = self.cursor.laps() + 2;
        while self.waiting.len() < rows {
            if self.cursor.laps() >= give_up_at {
                return Ok(None);
            }
            let batch = self.cursor.batch(FILTER_BATCH);
            let verdicts = match self.filters {
                true => instance
                    .filter(&batch, self.cursor.workload.names())
                    .map_err(failed_call("filter", FILTER_BATCH))?,
                false => vec![0; FILTER_BATCH],
            };
            for (row, _) in verdicts.iter().enumerate().filter(|(_, verdict)| **verdict == 0) {
                let symbol = self.cursor.workload.names()[batch.symbol[row] as usize].clone();
                self.waiting.push_back((symbol, batch.quote(row)));
                give_up_at = self.cursor.laps() + 2;
            }
        }
        Ok(Some(self.waiting.drain(..rows).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_repeats_and_its_time_moves_forward() {
        let mut quotes = QuoteColumns::default();
        for (symbol, time) in [(0, 10), (1, 30), (0, 20)] {
            quotes.push(symbol, &Quote { event_time: time, received_time: time + 5, ..Quote::default() });
        }
        let names = ["SPY", "QQQ"].map(|name| Symbol::new(name).unwrap());
        let workload = Workload::new(quotes, names.into());
        let mut cursor = workload.cursor();
        let (first, second) = (cursor.batch(2), cursor.batch(4));
        assert_eq!((first.symbol, second.symbol), (vec![0, 1], vec![0, 0, 1, 0]));
        // A lap ends one millisecond after the last time.
        let lap = 1_000_025;
        assert_eq!(first.event_time, [10, 30]);
        assert_eq!(second.event_time, [20, lap + 10, lap + 30, lap + 20]);
        assert_eq!(second.received_time[1] - second.event_time[1], 5);
        assert_eq!(cursor.laps(), 2);
    }
}
