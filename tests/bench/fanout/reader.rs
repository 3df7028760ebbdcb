use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use quotegate_market::{FeedName, QuoteReceiver};
use quotegate_relay::{Compression, Relay, RelaySettings};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::frames::Frames;
use crate::report::Reader;

/// Between its start and the first quote.
pub(crate) const BEFORE: Duration = Duration::from_secs(2);

pub(crate) fn run(arguments: &[String]) {
    let [url, rate, seconds, compression] = arguments else { panic!("{arguments:?}") };
    let (rate, seconds): (f64, f64) = (rate.parse().unwrap(), seconds.parse().unwrap());
    let compression = if compression == "zstd" { Compression::Zstd } else { Compression::None };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let settings = RelaySettings { compression, ..RelaySettings::new(url.clone(), FeedName::Sip) };
    let relay = runtime.block_on(Relay::connect(settings)).unwrap();
    let (mut publisher, task) = relay.publisher();
    let (_epoch, epoch) = watch::channel(Some(1));
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let task = runtime.spawn(async move { Timed::new(pin!(task.run(epoch, Vec::new, stopped))).await });
    let mut frames = Frames::new();
    std::thread::sleep(BEFORE);
    assert!(relay.status().connection.connected);

    let (began, used) = (Instant::now(), crate::processor_time());
    let (mut longest_receive, mut newest) = (Duration::ZERO, Vec::new());
    let decoder = frames.decode(rate, Duration::from_secs_f64(seconds), |decoder| {
        let before = Instant::now();
        publisher.receive(decoder.quotes(), decoder.symbols());
        longest_receive = longest_receive.max(before.elapsed());
        newest.resize(decoder.symbols().len(), 0);
        for (id, time) in decoder.quotes().symbol.iter().zip(&decoder.quotes().event_time) {
            newest[*id as usize] = *time;
        }
    });
    let (seconds, processor) = (began.elapsed().as_secs_f64(), crate::processor_time() - used);
    // What still waits is published, and what workers missed at the end is asked for.
    std::thread::sleep(Duration::from_secs(3));
    let counts = relay.status().publisher;
    stop.cancel();
    let longest_turn = runtime.block_on(task).unwrap();
    let digest = crate::digest(decoder.symbols().symbols(), &newest);
    crate::print_json(&Reader { counts, seconds, processor, longest_receive, longest_turn, digest });
}

/// Measures how long a task holds its thread.
struct Timed<F> {
    future: F,
    longest: Duration,
}

impl<F> Timed<F> {
    fn new(future: F) -> Self {
        Self { future, longest: Duration::ZERO }
    }
}

impl<F: Future<Output = ()> + Unpin> Future for Timed<F> {
    type Output = Duration;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Duration> {
        let began = Instant::now();
        let polled = Pin::new(&mut self.future).poll(cx);
        self.longest = self.longest.max(began.elapsed());
        polled.map(|()| self.longest)
    }
}
