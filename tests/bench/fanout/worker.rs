use std::io::Read;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use quotegate_market::{FeedName, QuoteColumns, QuoteReceiver, Subscription, Symbol, SymbolTable};
use quotegate_relay::{Relay, RelaySettings};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::report::Window;

/// Prints a line per tenth of a second until its standard input ends.
pub(crate) fn run(url: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        stopped.cancel();
    });
    runtime.block_on(async {
        let relay = Relay::connect(RelaySettings::new(url.to_owned(), FeedName::Sip)).await.unwrap();
        let (_wanted, wanted) = watch::channel(Arc::new(Subscription::All));
        let mut measured =
            Measured { relay: relay.clone(), window: Window::begin(), symbols: Vec::new(), newest: Vec::new() };
        relay.subscriber(wanted).run(&mut measured, stop).await;
        measured.window.digest = crate::digest(&measured.symbols, &measured.newest);
        measured.print();
    });
}

struct Measured {
    relay: Relay,
    window: Window,
    symbols: Vec<Symbol>,
    /// The newest time of each.
    newest: Vec<i64>,
}

impl QuoteReceiver for Measured {
    fn receive(&mut self, quotes: &QuoteColumns, symbols: &SymbolTable) {
        let now = crate::now();
        if self.symbols.len() < symbols.len() {
            self.symbols.extend_from_slice(&symbols.symbols()[self.symbols.len()..]);
            self.newest.resize(symbols.len(), i64::MIN);
        }
        for row in 0..quotes.len() {
            let newest = &mut self.newest[quotes.symbol[row] as usize];
            self.window.backwards += u64::from(quotes.event_time[row] < *newest);
            *newest = quotes.event_time[row].max(*newest);
        }
        for row in (0..quotes.len()).step_by(16) {
            self.window.latencies.record(now - quotes.received_time[row]);
        }
        if now - self.window.began > Duration::from_millis(100).as_nanos() as i64 {
            self.print();
        }
    }
}

impl Measured {
    fn print(&mut self) {
        let mut window = mem::replace(&mut self.window, Window::begin());
        window.ended = crate::now();
        window.processor = crate::processor_time();
        window.counts = self.relay.status().subscriber;
        crate::print_json(&window);
    }
}
