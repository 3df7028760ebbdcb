//! An adversary that decides what happens when.

use proptest::prelude::*;

use super::world::HOSTS;

/// A step of the adversary. Its numbers choose among what there is.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Time passes, and all processes stand still.
    Pass(u64),
    /// A worker looks at the clock and sends what it wants to send.
    Work(usize),
    /// Some process believes that it is the coordinator: several may at once.
    Coordinate(usize),
    /// A request reaches the database. It may arrive again later.
    Arrive { request: usize, again: bool },
    /// An answer reaches its process.
    Answer(usize),
    /// A process gives up on its requests, which may still arrive.
    GiveUp(usize),
    /// A process hears of the assignment: the newest, or an older one that was delayed.
    HearAssignment { host: usize, age: usize },
    /// A process hears of all workers as they are, or as they were.
    HearWorkers { host: usize, age: usize },
    /// A process notices that it has missed something.
    Miss(usize),
    /// What runs the tenants reads the assigned shards, and starts tenants.
    Start(usize),
    /// It has ended the tenants of all others, and confirms.
    Confirm(usize),
    /// A process writes as many documents as it may.
    Write(usize),
    /// A new process takes the place of another. What the old one sent may still arrive.
    Crash(usize),
    /// A worker wants to stop.
    Leave(usize),
    /// Somebody deletes the document of a worker's lease.
    Delete(usize),
    /// Everything works for a while, but some processes stand still, do not renew their leases, hear
    /// nothing, or do not get their tenants to start and end.
    Rounds { count: u64, without: Without },
}

/// Processes to which something does not happen, one bit each.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Without {
    pub(crate) steps: u8,
    pub(crate) renewals: u8,
    pub(crate) news: u8,
    pub(crate) tenants: u8,
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let host = 0..HOSTS;
    let heard = || (0..HOSTS, prop_oneof![3 => Just(0_usize), 1 => 0_usize..6]);
    prop_oneof![
        6 => (0_u64..2500).prop_map(Step::Pass),
        12 => host.clone().prop_map(Step::Work),
        8 => host.clone().prop_map(Step::Coordinate),
        14 => (any::<usize>(), prop::bool::weighted(0.2)).prop_map(|(request, again)| Step::Arrive { request, again }),
        12 => any::<usize>().prop_map(Step::Answer),
        3 => host.clone().prop_map(Step::GiveUp),
        8 => heard().prop_map(|(host, age)| Step::HearAssignment { host, age }),
        8 => heard().prop_map(|(host, age)| Step::HearWorkers { host, age }),
        1 => host.clone().prop_map(Step::Miss),
        8 => host.clone().prop_map(Step::Start),
        8 => host.clone().prop_map(Step::Confirm),
        8 => host.clone().prop_map(Step::Write),
        1 => host.clone().prop_map(Step::Crash),
        1 => host.clone().prop_map(Step::Leave),
        1 => host.prop_map(Step::Delete),
        3 => (1_u64..40, without()).prop_map(|(count, without)| Step::Rounds { count, without }),
    ]
}

fn without() -> impl Strategy<Value = Without> {
    let some = || prop_oneof![2 => Just(0_u8), 1 => any::<u8>()];
    let all = (some(), some(), some(), some());
    all.prop_map(|(steps, renewals, news, tenants)| Without { steps, renewals, news, tenants })
}
