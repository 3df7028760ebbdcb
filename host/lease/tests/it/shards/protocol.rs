//! Invariants 1 and 8, for the protocol of shards alone: requests and answers that are lost, late, repeated or out of order,
//! processes that stop for any time at any step or crash, several coordinators, and clocks that run at different speeds.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use quotegate_pace::Rate;

use super::adversary::{Without, step};
use super::world::{HOSTS, SHARDS, TTL, World};

fn speeds() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(0.9_f64..1.1, HOSTS)
}

fn served(world: &World) -> Vec<BTreeSet<u16>> {
    (0..HOSTS).map(|host| world.served(host)).collect()
}

fn is_even(parts: &[BTreeSet<u16>]) -> bool {
    let count = parts.len();
    let (least, most) = (usize::from(SHARDS) / count, usize::from(SHARDS).div_ceil(count));
    parts.iter().all(|part| (least..=most).contains(&part.len()))
        && parts.iter().map(BTreeSet::len).sum::<usize>() == usize::from(SHARDS)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn a_shard_has_one_writer_and_all_writers_stay_within_the_limit(
        speeds in speeds(),
        burst in 4_u32..60,
        steps in prop::collection::vec(step(), 1..400),
    ) {
        let mut world = World::new(&speeds, Rate::new(20.0, burst).unwrap());
        steps.iter().for_each(|step| world.take(step));
        world.check_written();
    }

    /// Otherwise a protocol that never assigns anything would pass.
    #[test]
    fn whatever_has_happened_all_shards_are_served_soon_and_evenly_and_stay(
        speeds in speeds(),
        steps in prop::collection::vec(step(), 1..150),
    ) {
        let mut world = World::new(&speeds, Rate::new(20.0, 60).unwrap());
        steps.iter().for_each(|step| world.take(step));
        // What is silent is taken, and what is given up moves.
        world.calm(2 * TTL);
        let parts = served(&world);
        prop_assert!(is_even(&parts), "{:?}", parts);
        let revision = world.assignment().unwrap().revision;
        let (began, written) = (world.now, world.total_written());
        world.calm(3 * TTL);
        prop_assert_eq!(served(&world), parts);
        prop_assert_eq!(world.assignment().unwrap().revision, revision);
        // All of the limit is used.
        let rate = f64::from(world.total_written() - written) / (world.now - began).as_secs_f64();
        prop_assert!((19.0..=25.0).contains(&rate), "{} writes per second", rate);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, ..ProptestConfig::default() })]

    /// Its shards go to those who remain within the bound, and nothing else moves; when it is back, it gets its part.
    #[test]
    fn the_shards_of_a_dead_worker_move_within_four_seconds_and_no_others_do(speeds in speeds(), dead in 1..HOSTS) {
        let mut world = World::new(&speeds, Rate::new(20.0, 60).unwrap());
        world.calm(2 * TTL);
        let before = served(&world);
        prop_assert!(is_even(&before));
        // The last ones stand still.
        let steps = u8::MAX << dead;
        world.run(Duration::from_secs(4), Without { steps, ..Without::default() });
        let after: Vec<_> = (0..dead).map(|host| world.served(host)).collect();
        prop_assert!(is_even(&after), "{:?}", after);
        for (before, after) in before.iter().zip(&after) {
            prop_assert!(before.is_subset(after));
        }
        world.calm(2 * TTL);
        let back = served(&world);
        prop_assert!(is_even(&back), "{:?}", back);
        for (back, after) in back.iter().zip(&after) {
            prop_assert!(back.is_subset(after));
        }
    }
}
