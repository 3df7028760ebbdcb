//! Filters that keep nothing.

use super::*;

#[tokio::test(start_paused = true)]
async fn quotes_that_the_filter_refuses_are_filtered_together_and_the_next_one_kept_is_written_at_once() {
    const REFUSED: i64 = 1000;
    let written: Script = Box::new(|_| (Duration::ZERO, Outcome::Written));
    let mut harness = Harness::open_with(Some(filter_and_map()), SECOND, plenty(), written);
    for time in 0..REFUSED {
        harness.quote(0, time);
        tokio::time::sleep(SECOND / 1000).await;
    }
    tokio::time::sleep(SECOND).await;
    let kept_at = now();
    harness.inbox.deliver(std::iter::once((0, Quote { event_time: REFUSED, ..quote(0, false) })));
    tokio::time::sleep(SECOND).await;
    let (unflushed, attempts, status) = harness.close(SECOND).await;
    assert_eq!(unflushed, Unflushed::default());
    assert_eq!(
        attempts.iter().map(|attempt| (attempt.at, attempt.event_time)).collect::<Vec<_>>(),
        [(kept_at, REFUSED)]
    );
    let TenantSnapshot { counters, plugins, .. } = status.snapshot();
    assert_eq!((counters.quotes, counters.filtered, counters.written), (1001, 1000, 1));
    assert!(plugins[0].calls < 300, "{} calls", plugins[0].calls);
}
