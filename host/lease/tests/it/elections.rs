use std::sync::Arc;
use std::time::Duration;

use quotegate_lease::{Holder, Lease, LeaseSettings, LeaseStore};
use tokio::time::{Instant, sleep, timeout};

use crate::memory::{MemoryStore, tokio_clock};

const TTL: Duration = Duration::from_secs(3);
const CONTENDERS: usize = 8;
const ELECTIONS: u64 = 100;

fn contender(name: usize, clock: &quotegate_lease::Clock, store: &Arc<dyn LeaseStore>) -> Lease {
    let holder = Holder::new(format!("host-{name}"), None, "1".into());
    Lease::start(LeaseSettings { holder, ttl: TTL, clock: clock.clone() }, store.clone())
}

fn owners(contenders: &[Lease]) -> Vec<usize> {
    (0..contenders.len()).filter(|at| contenders[*at].handle().is_held()).collect()
}

/// Half of the owners release the lease, half of them just end.
#[tokio::test(start_paused = true)]
async fn each_of_many_elections_has_one_winner_and_the_next_epoch() {
    let clock = tokio_clock();
    let store: Arc<dyn LeaseStore> = Arc::new(MemoryStore::new());
    let mut contenders: Vec<Lease> = (0..CONTENDERS).map(|name| contender(name, &clock, &store)).collect();
    let mut was_released = false;
    for epoch in 1..=ELECTIONS {
        let began = Instant::now();
        let winner = loop {
            let owners = owners(&contenders);
            assert!(owners.len() <= 1, "two owners in epoch {epoch}");
            match owners.first() {
                Some(winner) => break *winner,
                None => sleep(Duration::from_millis(1)).await,
            }
        };
        let snapshot = contenders[winner].handle().snapshot();
        assert_eq!((snapshot.epoch, snapshot.taken), (epoch, 1));
        let limit = if was_released { Duration::from_millis(300) } else { Duration::from_millis(4500) };
        assert!(began.elapsed() < limit, "epoch {epoch} began after {:?}", began.elapsed());
        // Everyone else agrees, once it has heard.
        sleep(Duration::from_secs(2)).await;
        for other in &contenders {
            assert_eq!(other.handle().snapshot().owner, snapshot.owner);
        }
        let owner = contenders.swap_remove(winner);
        was_released = epoch % 2 == 0;
        if was_released {
            assert!(owner.handle().release(TTL).await && !owner.handle().is_held());
        }
        owner.end().await;
        contenders.push(contender(CONTENDERS + epoch as usize, &clock, &store));
    }
}

#[tokio::test(start_paused = true)]
async fn an_owner_keeps_the_lease_for_as_long_as_it_lives() {
    let (memory, clock) = (MemoryStore::new(), tokio_clock());
    let store: Arc<dyn LeaseStore> = Arc::new(memory.clone());
    let contenders: Vec<Lease> = (0..3).map(|name| contender(name, &clock, &store)).collect();
    let mut held = contenders[0].handle().held();
    let others: Vec<_> = contenders.iter().map(Lease::handle).collect();
    let _ = timeout(Duration::from_secs(6), held.wait_for(|held| *held)).await;
    let owner = owners(&contenders)[0];
    for _ in 0..36_000 {
        sleep(Duration::from_millis(100)).await;
        assert!(others[owner].is_held());
    }
    let record = memory.document().unwrap().record;
    assert_eq!(record.epoch, 1);
    assert!((3500..3700).contains(&record.renewals), "one renewal per second: {}", record.renewals);
}
