use super::*;

/// A tenant with one quote, which is due at once.
fn start(number: usize, budget: &Arc<Budget>, writes: &mpsc::Sender<DocumentWrite>) -> watch::Sender<Option<Instant>> {
    let wake = Arc::new(Notify::new());
    let inbox = Arc::new(Inbox::new(Inbox::CAPACITY, wake.clone()));
    let (deadline, deadline_seen) = watch::channel(None);
    let (_, updates) = mpsc::unbounded_channel();
    let io = TenantIo {
        inbox: inbox.clone(),
        pause: Arc::new(PauseFlag::new(wake.clone())),
        wake,
        budget: budget.clone(),
        writes: writes.clone(),
        status: Arc::default(),
        deadline: deadline_seen,
        latencies: None,
        updates,
    };
    let spec = TenantSpec { id: TenantId::new(&format!("tenant-{number}")).unwrap(), ..spec() };
    tokio::spawn(TenantTask::new(spec, None, io).run());
    let quote = Quote { event_time: 1, bid_price: 1.0, ask_price: 2.0, ..Quote::default() };
    inbox.add_slot(Symbol::new("S").unwrap());
    inbox.deliver(std::iter::once((0, quote)));
    deadline
}

/// Each of them waits for room and for a token, and there is enough of both.
#[tokio::test]
async fn more_tenants_than_there_is_room_for_in_the_sink_are_all_written() {
    const TENANTS: usize = 20;
    let budget = Budget::new(plenty());
    let (writes, mut received) = mpsc::channel(2);
    let deadlines: Vec<_> = (0..TENANTS).map(|number| start(number, &budget, &writes)).collect();
    let run = budget.clone();
    tokio::spawn(async move { run.run(CancellationToken::new()).await });
    // Until all wait. In real time, because paused time stands still while tenants keep waking each other.
    tokio::time::sleep(SECOND / 5).await;
    let mut written = std::collections::HashSet::new();
    let all = async {
        while written.len() < TENANTS {
            let write = received.recv().await.unwrap();
            written.insert(write.target.tenant.clone());
            write.answer(Outcome::Written);
        }
    };
    let in_time = tokio::time::timeout(60 * SECOND, all).await.is_ok();
    drop(deadlines);
    assert!(in_time, "only {} of {TENANTS}", written.len());
}
