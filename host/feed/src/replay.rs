//! The `replay` source: plays a recording as if it arrived now.

use std::sync::Arc;
use std::time::Duration;

use quotegate_market::{QuoteReceiver, SymbolTable, UnixNanos};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::frame::RecordedFrame;
use crate::reader::FrameReader;
use crate::status::{ConnectionState, FeedStatus};

/// How fast a recording is played.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ReplaySpeed {
    /// This many times the recorded speed; must be above zero.
    Times(f64),
    /// As fast as possible.
    Unpaced,
}

/// The `replay` source and everything it uses.
pub struct Replay {
    /// How fast to play.
    pub speed: ReplaySpeed,
    /// Written here, read by others.
    pub status: Arc<FeedStatus>,
    /// Ends the replay early.
    pub stop: CancellationToken,
}

impl Replay {
    /// Plays `frames` to the end, or until `stop`. Quotes keep their recorded arrival times, so the same recording always
    /// gives the same documents. If a frame cannot be read, the frames before it are delivered and its error is returned.
    pub async fn run<F: RecordedFrame, E>(
        self,
        frames: impl IntoIterator<Item = Result<F, E>>,
        receiver: &mut dyn QuoteReceiver,
    ) -> Result<(), E> {
        let mut reader = FrameReader::new(SymbolTable::DEFAULT_CAPACITY, None, Arc::clone(&self.status));
        let mut first = None;
        let mut last = 0;
        let mut outcome = Ok(());
        for frame in frames {
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            };
            last = frame.received_time();
            let &mut (start, recorded_start) = first.get_or_insert_with(|| {
                self.status.enter(ConnectionState::Replaying, last);
                (Instant::now(), last)
            });
            if !self.wait(&mut reader, receiver, due(self.speed, start, recorded_start, last)).await {
                break;
            }
            reader.take(frame.payload(), last);
            // Control messages were meant for the recorded connection.
            drop(reader.take_control_messages());
            if reader.is_full() {
                reader.deliver(receiver);
                tokio::task::coop::consume_budget().await;
            }
        }
        reader.deliver(receiver);
        self.status.enter(ConnectionState::Stopped, last);
        outcome
    }

    /// If the next frame is not due yet, delivers and waits. Returns false when told to stop.
    async fn wait(&self, reader: &mut FrameReader, receiver: &mut dyn QuoteReceiver, due: Option<Instant>) -> bool {
        if let Some(due) = due.filter(|due| *due > Instant::now()) {
            reader.deliver(receiver);
            tokio::select! {
                biased;
                () = self.stop.cancelled() => {}
                () = sleep_until(due) => {}
            }
        }
        !self.stop.is_cancelled()
    }
}

fn due(speed: ReplaySpeed, start: Instant, recorded_start: UnixNanos, recorded: UnixNanos) -> Option<Instant> {
    let ReplaySpeed::Times(times) = speed else { return None };
    // Do not wait if the delay is too long for a `Duration`.
    let wait = |since: Duration| Duration::try_from_secs_f64(since.as_secs_f64() / times).ok();
    // The clock may have been set back during the recording; that must not stop the replay.
    let since = Duration::from_nanos(u64::try_from(recorded.saturating_sub(recorded_start)).unwrap_or(0));
    start.checked_add(wait(since)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Payload;
    use quotegate_market::QuoteColumns;

    const SECOND: i64 = 1_000_000_000;

    /// What arrived, and how long after the start.
    struct Arrivals(Instant, Vec<(Duration, Vec<i64>)>);

    impl QuoteReceiver for Arrivals {
        fn receive(&mut self, quotes: &QuoteColumns, _: &SymbolTable) {
            self.1.push((self.0.elapsed(), quotes.received_time.clone()));
        }
    }

    impl RecordedFrame for (UnixNanos, String) {
        fn received_time(&self) -> UnixNanos {
            self.0
        }

        fn payload(&self) -> Payload<'_> {
            Payload::Text(&self.1)
        }
    }

    fn frame(second: i64) -> Result<(i64, String), String> {
        Ok((second * SECOND, r#"[{"T":"q","S":"SPY","bp":1,"ap":2,"t":"1970-01-01T00:00:00Z"}]"#.to_owned()))
    }

    async fn play(speed: ReplaySpeed, frames: Vec<Result<(i64, String), String>>) -> (Result<(), String>, Arrivals) {
        let replay = Replay { speed, status: Arc::default(), stop: CancellationToken::new() };
        let mut arrivals = Arrivals(Instant::now(), Vec::new());
        let outcome = replay.run(frames, &mut arrivals).await;
        (outcome, arrivals)
    }

    #[tokio::test(start_paused = true)]
    async fn gaps_between_frames_are_divided_by_the_speed() {
        for (speed, seconds) in [(ReplaySpeed::Times(1.0), 10), (ReplaySpeed::Times(10.0), 1)] {
            let (outcome, arrivals) = play(speed, vec![frame(100), frame(110)]).await;
            let whole: Vec<_> = arrivals.1.into_iter().map(|(after, times)| (after.as_secs(), times)).collect();
            assert_eq!((outcome, whole), (Ok(()), vec![(0, vec![100 * SECOND]), (seconds, vec![110 * SECOND])]));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_unpaced_replay_takes_no_time_and_keeps_the_recorded_times() {
        let (_, arrivals) = play(ReplaySpeed::Unpaced, vec![frame(100), frame(9000), frame(50)]).await;
        assert_eq!(arrivals.1, [(Duration::ZERO, vec![100 * SECOND, 9000 * SECOND, 50 * SECOND])]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_broken_recording_delivers_the_frames_before_the_error() {
        let (outcome, arrivals) = play(ReplaySpeed::Unpaced, vec![frame(1), Err("cut".to_owned()), frame(2)]).await;
        assert_eq!((outcome, arrivals.1.len()), (Err("cut".to_owned()), 1));
    }

    #[tokio::test(start_paused = true)]
    async fn stop_ends_a_wait_between_two_frames() {
        let stop = CancellationToken::new();
        let status = Arc::new(FeedStatus::default());
        let replay = Replay { speed: ReplaySpeed::Times(1.0), status: Arc::clone(&status), stop: stop.clone() };
        let mut arrivals = Arrivals(Instant::now(), Vec::new());
        let player = replay.run(vec![frame(0), frame(1_000_000)], &mut arrivals);
        let (outcome, ()) = tokio::join!(player, async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            stop.cancel();
        });
        assert_eq!((outcome, arrivals.1.len(), status.state()), (Ok(()), 1, ConnectionState::Stopped));
    }
}
