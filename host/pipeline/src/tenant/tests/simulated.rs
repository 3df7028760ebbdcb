//! The running task and the simulation write the same documents in the same order.

use super::*;
use crate::router::{Router, Wanted};
use crate::simulation::{Observer, SimTenantSpec, Simulation, WouldWrite};
use quotegate_market::{QuoteReceiver, SymbolTable};

/// Each write: when, in milliseconds after the first frame, which document, and the exchange time of its quote.
type Writes = Vec<(i64, String, i64)>;

/// A frame: the pause before it, and the symbol of each quote, the age of its exchange time, and whether its spread is
/// wide. All times are in milliseconds.
type Frame = (u64, Vec<(u32, i64, bool)>);

struct Scenario {
    frames: Vec<Frame>,
    plugins: bool,
    interval: Duration,
    rate: Rate,
}

const MILLISECOND: i64 = 1_000_000;
/// 2026-01-14T14:30:00Z.
const BELL: i64 = 1_768_401_000_000 * MILLISECOND;

impl Scenario {
    fn chain(&self) -> Option<PluginChain> {
        self.plugins.then(filter_and_map)
    }

    /// The frames, each with the time since the first.
    fn columns(&self) -> Vec<(u64, QuoteColumns)> {
        let mut at = 0;
        let columns = self.frames.iter().enumerate().map(|(number, (pause, quotes))| {
            at += if number == 0 { 0 } else { *pause };
            let mut columns = QuoteColumns::default();
            for (symbol, back, wide) in quotes {
                let received_time = BELL + at as i64 * MILLISECOND;
                let event_time = received_time - back * MILLISECOND;
                columns.push(*symbol, &Quote { received_time, event_time, ..quote(*symbol, *wide) });
            }
            (at, columns)
        });
        columns.collect()
    }

    fn by_task(&self) -> Writes {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let script: Script = Box::new(|_| (Duration::ZERO, Outcome::Written));
            let harness = Harness::open_with(self.chain(), self.interval, self.rate, script);
            let mut router = Router::default();
            router.add(harness.spec.id.clone(), Wanted::All, harness.inbox.clone());
            let began = tokio::time::Instant::now();
            for (at, columns) in self.columns() {
                tokio::time::sleep_until(began + Duration::from_millis(at)).await;
                // What is due at this moment is written before the quotes of this moment arrive.
                settle().await;
                router.receive(&columns, &symbols());
            }
            settle().await;
            let (unflushed, attempts, _) = harness.close(3600 * SECOND).await;
            assert_eq!(unflushed, Unflushed::default());
            let write = |attempt: Attempt| {
                let at = (attempt.at - began.into_std()).as_millis() as i64;
                (at, attempt.symbol, attempt.event_time)
            };
            attempts.into_iter().map(write).collect()
        })
    }

    fn by_simulation(&self) -> Writes {
        let mut writes = Recorder::default();
        let spec = TenantSpec { per_symbol_min_interval: self.interval, ..spec() };
        let tenant = SimTenantSpec { spec, wanted: Wanted::All, chain: self.chain() };
        let mut simulation = Simulation::new(vec![tenant], self.rate, &mut writes);
        let mut last = BELL;
        for (at, columns) in self.columns() {
            last = BELL + at as i64 * MILLISECOND;
            simulation.receive(&columns, &symbols());
        }
        simulation.finish(last).unwrap();
        writes.0
    }
}

#[derive(Default)]
struct Recorder(Writes);

impl Observer for Recorder {
    fn would_write(&mut self, write: &WouldWrite<'_>) -> anyhow::Result<()> {
        let at = (write.at - BELL) / MILLISECOND;
        self.0.push((at, write.document.key.id().to_owned(), event_time(write.document)));
        Ok(())
    }
}

fn symbols() -> SymbolTable {
    let mut symbols = SymbolTable::default();
    for number in 0..8 {
        symbols.intern(format!("S{number}").as_bytes()).unwrap();
    }
    symbols
}

/// Lets all tasks do what they can without advancing the time.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn of_two_symbols_with_one_document_only_the_newer_is_written() {
    let quotes = vec![(0, 0, false), (3, 5, false), (1, 5, false)];
    assert_eq!((tape(0), tape(3)), (tape(0), tape(0)));
    let rate = Rate::new(100.0, 5).unwrap();
    let scenario = Scenario { frames: vec![(0, quotes)], plugins: true, interval: SECOND, rate };
    let expected = vec![(0, tape(0).to_string(), BELL), (0, tape(1).to_string(), BELL - 5 * MILLISECOND)];
    assert_eq!(scenario.by_task(), expected);
    assert_eq!(scenario.by_simulation(), expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn task_and_simulation_write_the_same_documents_in_the_same_order(
        frames in prop::collection::vec(
            (0_u64..200, prop::collection::vec((0_u32..8, 0_i64..30, prop::bool::weighted(0.2)), 1..6)),
            1..40,
        ),
        plugins: bool,
        interval_ms in 0_u64..500,
        // Rates whose tokens come at whole milliseconds, as tokio's timer does.
        per_second in prop::sample::select(vec![2.0, 5.0, 10.0, 20.0, 50.0, 100.0]),
        burst in 1_u32..10,
    ) {
        let interval = Duration::from_millis(interval_ms);
        let scenario = Scenario { frames, plugins, interval, rate: Rate::new(per_second, burst).unwrap() };
        prop_assert_eq!(scenario.by_task(), scenario.by_simulation());
    }
}
