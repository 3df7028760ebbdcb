use super::*;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Far longer than the test takes, if the tenant lets it run.
const FLOOD: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_tenant_lets_others_run_although_quotes_come_faster_than_its_filter_is() {
    let written: Script = Box::new(|_| (Duration::ZERO, Outcome::Written));
    let mut harness = Harness::open_with(Some(filter_and_map()), SECOND, plenty(), written);
    harness.quote(0, 1);
    let (ended, inbox) = (Arc::new(AtomicBool::new(false)), harness.inbox.clone());
    let flood = std::thread::spawn({
        let (ended, began) = (ended.clone(), Instant::now());
        move || {
            // The filter refuses them, so each is as urgent as the first.
            while !ended.load(Relaxed) && began.elapsed() < FLOOD {
                inbox.deliver((1..1000).map(|event_time| (0, Quote { event_time, ..quote(0, true) })));
            }
            ended.swap(true, Relaxed)
        }
    });
    while harness.status.snapshot().counters.filtered < 10_000 {
        tokio::task::yield_now().await;
    }
    ended.store(true, Relaxed);
    assert!(flood.join().unwrap(), "nothing else ran until no more quotes came");
    harness.close(SECOND).await;
}
