//! The quotes of a recording, all at once and without their time: for an author's desk.

use std::sync::Arc;

use quotegate_feed::{FeedStatus, Replay, ReplaySpeed};
use quotegate_market::{QuoteColumns, QuoteReceiver, Symbol, SymbolTable};
use quotegate_recording::{Recording, RecordingError};
use tokio_util::sync::CancellationToken;

use crate::host::source::Played;

/// Quotes in the order in which they arrived, and the symbols that they number.
#[derive(Debug, Default)]
pub struct Recorded {
    /// All quotes.
    pub quotes: QuoteColumns,
    /// By the number in the symbol column.
    pub names: Vec<Symbol>,
}

/// Decodes a recording as a replay does, and stops after so many quotes.
pub async fn quotes(recording: Recording, most: usize) -> Result<Recorded, RecordingError> {
    let stop = CancellationToken::new();
    let mut until_full = UntilFull { recorded: Recorded::default(), most, stop: stop.clone() };
    let replay = Replay { speed: ReplaySpeed::Unpaced, status: Arc::new(FeedStatus::default()), stop };
    replay.run(recording.map(|frame| frame.map(Played)), &mut until_full).await?;
    until_full.recorded.quotes.truncate(most);
    Ok(until_full.recorded)
}

struct UntilFull {
    recorded: Recorded,
    most: usize,
    stop: CancellationToken,
}

impl QuoteReceiver for UntilFull {
    fn receive(&mut self, quotes: &QuoteColumns, symbols: &SymbolTable) {
        let Recorded { quotes: all, names } = &mut self.recorded;
        all.append(quotes);
        names.extend_from_slice(symbols.symbols().get(names.len()..).unwrap_or_default());
        if all.len() >= self.most {
            self.stop.cancel();
        }
    }
}
