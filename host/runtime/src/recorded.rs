//! The quotes of a recording as a list, for a plugin author's tools.

use std::sync::Arc;

use quotegate_feed::{FeedStatus, Replay, ReplaySpeed};
use quotegate_market::{QuoteColumns, QuoteReceiver, Symbol, SymbolTable};
use quotegate_recording::{Recording, RecordingError};
use tokio_util::sync::CancellationToken;

use crate::host::source::ReplayFrame;

/// Quotes in order of arrival, and their symbols.
#[derive(Debug, Default)]
pub struct Recorded {
    /// All quotes.
    pub quotes: QuoteColumns,
    /// Indexed by the numbers in the symbol column.
    pub names: Vec<Symbol>,
}

/// Decodes a recording as a replay does, and stops after `limit` quotes.
pub async fn quotes(recording: Recording, limit: usize) -> Result<Recorded, RecordingError> {
    let stop = CancellationToken::new();
    let mut until_full = UntilFull { recorded: Recorded::default(), limit, stop: stop.clone() };
    let replay = Replay { speed: ReplaySpeed::Unpaced, status: Arc::new(FeedStatus::default()), stop };
    replay.run(recording.map(|frame| frame.map(ReplayFrame)), &mut until_full).await?;
    until_full.recorded.quotes.truncate(limit);
    Ok(until_full.recorded)
}

struct UntilFull {
    recorded: Recorded,
    limit: usize,
    stop: CancellationToken,
}

impl QuoteReceiver for UntilFull {
    fn receive(&mut self, quotes: &QuoteColumns, symbols: &SymbolTable) {
        let Recorded { quotes: all, names } = &mut self.recorded;
        all.append(quotes);
        names.extend_from_slice(symbols.symbols().get(names.len()..).unwrap_or_default());
        if all.len() >= self.limit {
            self.stop.cancel();
        }
    }
}
