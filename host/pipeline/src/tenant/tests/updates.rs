//! Pauses, new limits and removals.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_paused_tenant_takes_no_token_and_writes_the_newest_quote_when_resumed() {
    let written: Script = Box::new(|_| (Duration::ZERO, Outcome::Written));
    let mut harness = Harness::open(SECOND, Rate::new(1.0, 3).unwrap(), written);
    harness.pause();
    for time in 1..10 {
        harness.quote(0, time);
        harness.quote(1, time);
        tokio::time::sleep(SECOND).await;
    }
    assert_eq!((harness.budget.tokens(), harness.status.snapshot().counters.attempted), (3, 0));
    assert_eq!(
        (harness.status.snapshot().counters.dirty, harness.status.snapshot().paused.as_deref()),
        (2, Some("a test"))
    );
    harness.pause.set(None);
    let (unflushed, attempts, status) = harness.close(10 * SECOND).await;
    assert_eq!(unflushed, Unflushed::default());
    assert_eq!(attempts.iter().map(|attempt| attempt.event_time).collect::<Vec<_>>(), [9, 9]);
    assert_eq!((status.snapshot().paused, status.snapshot().counters.conflated), (None, 16));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_while_paused_writes_nothing_and_does_not_wait() {
    let mut harness = Harness::open(SECOND, plenty(), Box::new(|_| (SECOND, Outcome::Written)));
    harness.quote(0, 1);
    tokio::time::sleep(SECOND / 10).await;
    harness.pause();
    harness.quote(1, 1);
    tokio::time::sleep(SECOND / 10).await;
    let began = now();
    let (unflushed, attempts, _) = harness.close(60 * SECOND).await;
    assert_eq!((unflushed, attempts.len()), (Unflushed { dirty: 1, in_flight: 0 }, 1));
    assert!(now() - began <= SECOND, "it waited longer than for the write that was under way");
}

#[tokio::test(start_paused = true)]
async fn new_limits_apply_at_once_and_add_no_tokens() {
    let mut harness = Harness::open(60 * SECOND, plenty(), Box::new(|_| (Duration::ZERO, Outcome::Written)));
    harness.quote(0, 1);
    tokio::time::sleep(SECOND).await;
    harness.quote(0, 2);
    let began = now();
    let spec = TenantSpec {
        per_symbol_min_interval: 3 * SECOND,
        rate: Some(Rate::new(0.5, 1).unwrap()),
        destinations: vec![destination("board", None)],
        ..harness.spec.clone()
    };
    harness.send(spec, None, None);
    for slot in 1..4 {
        harness.quote(slot, 2);
    }
    let (unflushed, attempts, _) = harness.close(60 * SECOND).await;
    assert_eq!(unflushed, Unflushed::default());
    let after: Vec<_> = attempts[1..].iter().map(|attempt| (attempt.at - began).as_secs()).collect();
    // One at once, the others as the new bucket fills. Symbol 0 is due two seconds after the change.
    assert_eq!(after, [0, 2, 4, 6]);
}

#[tokio::test(start_paused = true)]
async fn a_removed_tenant_writes_what_it_may_and_ends_while_the_host_runs_on() {
    for (grace, expected) in [(10 * SECOND, Unflushed::default()), (SECOND, Unflushed { dirty: 3, in_flight: 0 })] {
        let script: Script = Box::new(|_| (Duration::ZERO, Outcome::Written));
        let mut harness = Harness::open(SECOND, Rate::new(1.0, 1).unwrap(), script);
        for slot in 0..5 {
            harness.quote(slot, 1);
        }
        tokio::time::sleep(SECOND / 2).await;
        harness.send(harness.spec.clone(), None, Some(now() + grace));
        harness.inbox.close();
        assert_eq!(harness.task.await.unwrap(), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Between pauses the limits hold, during them nothing is written, and after the last one the newest quotes are.
    #[test]
    fn pauses_lose_nothing_and_let_nothing_through(
        steps in prop::collection::vec((0_u32..10, 0_u64..400, prop::bool::weighted(0.15)), 1..150),
        per_second in 1.0_f64..60.0,
        burst in 1_u32..10,
        seed: u64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut sink_rng = fastrand::Rng::with_seed(seed);
            let script: Script = Box::new(move |_| {
                let failed = sink_rng.u8(0..100) < 20;
                (Duration::from_millis(sink_rng.u64(0..300)), if failed { retry() } else { Outcome::Written })
            });
            let mut harness = Harness::open(SECOND / 4, Rate::new(per_second, burst).unwrap(), script);
            let (mut newest, mut paused_at, mut pauses) = (HashMap::new(), None, Vec::new());
            for (at, (slot, pause, flip)) in steps.iter().enumerate() {
                if *flip {
                    match paused_at.take() {
                        None => {
                            harness.pause();
                            paused_at = Some(now());
                        }
                        Some(from) => {
                            harness.pause.set(None);
                            pauses.push((from, now()));
                        }
                    }
                }
                harness.quote(*slot, at as i64);
                newest.insert(format!("S{slot}"), at as i64);
                tokio::time::sleep(Duration::from_millis(*pause)).await;
            }
            harness.pause.set(None);
            pauses.extend(paused_at.map(|from| (from, now())));
            let (unflushed, attempts, _) = harness.close(600 * SECOND).await;
            assert_eq!(unflushed, Unflushed::default());
            for (from, until) in pauses {
                // What was passed on at the moment of the pause may still be written.
                assert!(attempts.iter().all(|attempt| attempt.at <= from || attempt.at >= until));
            }
            let mut last = HashMap::new();
            for attempt in &attempts {
                let before = last.insert(attempt.symbol.clone(), attempt.event_time);
                assert!(before.is_none_or(|before| before <= attempt.event_time));
            }
            assert_eq!(last, newest);
            for (first, from) in attempts.iter().enumerate() {
                for (at, to) in attempts.iter().enumerate().skip(first) {
                    let allowed = f64::from(burst) + per_second * (to.at - from.at).as_secs_f64();
                    assert!((at - first + 1) as f64 <= allowed + 1e-6);
                }
            }
        });
    }
}
