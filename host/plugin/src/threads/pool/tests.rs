use super::*;
use std::num::NonZeroUsize;
use std::sync::mpsc;

fn one_thread() -> PluginThreads {
    PluginThreads::start(NonZeroUsize::MIN, &Handle::current()).unwrap()
}

#[tokio::test]
async fn another_thread_takes_over_from_a_task_that_blocks() {
    let threads = one_thread();
    let mut blocked = Vec::new();
    let mut senders = Vec::new();
    for _ in 0..5 {
        let (sender, receiver) = mpsc::channel();
        senders.push(sender);
        blocked.push(threads.spawn(async move { receiver.recv().unwrap() }));
    }
    // Runs although five tasks block a thread each, and all of them came first.
    threads.spawn(async move { senders.iter().for_each(|sender| sender.send(()).unwrap()) }).await;
    for task in blocked {
        task.await;
    }
}

#[tokio::test]
async fn tasks_that_wait_are_woken_and_cancelled_ones_are_dropped() {
    let threads = one_thread();
    let (sender, receiver) = tokio::sync::oneshot::channel::<u32>();
    let waits = threads.spawn(receiver);
    let (held, dropped) = tokio::sync::oneshot::channel::<()>();
    let cancelled = threads.spawn(async move {
        let _held = held;
        std::future::pending::<()>().await;
    });
    sender.send(7).unwrap();
    assert_eq!(waits.await, Ok(7));
    drop(cancelled);
    assert!(dropped.await.is_err());
    assert!(!threads.pool.state.lock().can_start(usize::MAX));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn long_turns_have_a_lower_priority_and_short_ones_never_do() {
    fn priority() -> i32 {
        rustix::process::getpriority_process(None).unwrap()
    }
    fn burn() {
        let began = thread_time();
        while thread_time() - began < 2 * TurnLength::LIMIT {}
    }
    let (threads, usual) = (one_thread(), priority());
    let lower = (usual + 10).min(19);
    // With this, no thread is idle when the long turn begins, so another one is started.
    let (unblock, blocked) = mpsc::channel::<()>();
    let blocks = threads.spawn(async move { blocked.recv() });
    let long = threads.spawn(async move {
        burn();
        for _ in 0..3 {
            tokio::task::yield_now().await;
            assert_eq!(priority(), lower);
            burn();
        }
    });
    for _ in 0..20 {
        threads.spawn(async move { assert_eq!(priority(), usual) }).await;
    }
    long.await;
    unblock.send(()).unwrap();
    assert_eq!(blocks.await, Ok(()));
    threads.spawn(async move { assert_eq!(priority(), usual) }).await;
}

#[test]
fn a_long_turn_is_over_its_slice_by_processor_time_or_after_waiting_ten_times_as_long() {
    let (since, slice) = (Instant::now(), slice(TurnLength::Long));
    let mut state = State::default();
    let id = state.queue.add();
    let thread = Arc::new(OsThread::current());
    let turn = |length, used_before| Turn { id, length, since, thread: thread.clone(), used_before, over_slice: false };
    let idle = turn(TurnLength::Long, thread_time());
    let later = |slices: u32| since + slices * slice;
    assert_eq!([1, 9, 10].map(|slices| idle.is_over_slice(later(slices))), [false, false, true]);
    assert!(turn(TurnLength::Short, Duration::ZERO).is_over_slice(later(1)));
}

#[test]
fn a_turn_that_waits_for_a_processor_has_not_used_what_the_turns_before_it_used() {
    let mut cpu = CpuTime::now();
    let before = thread_time();
    while thread_time() - before < 10 * TurnLength::LIMIT {
        let turn = cpu.begin();
        cpu.end(turn);
    }
    let turn = cpu.begin();
    std::thread::sleep(10 * TurnLength::LIMIT);
    assert!(cpu.end(turn) < TurnLength::LIMIT);
}
