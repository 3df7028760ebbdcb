use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

/// Decides which of many members runs next, so that each gets its share of processor time.
///
/// Each member has a virtual time: the processor time that it has used, divided by its weight. The next to run is the one
/// with the least (start-time fair queuing, which is also the idea of Linux' scheduler). A member that used less than its
/// share is therefore the next to run, and waits only for turns that are already running. One that did not want to run for
/// a while does not collect claims: it continues at the virtual time of those that run.
///
/// Members with short turns and those with long ones are kept apart, so that the caller can leave processors to the former.
///
/// `T` is what it takes to run a member once.
#[derive(Debug)]
pub struct FairQueue<T> {
    members: HashMap<MemberId, Member<T>>,
    short: BTreeSet<Turn>,
    long: BTreeSet<Turn>,
    /// Those that run, with their virtual times at the start. As few as there are processors.
    running: Vec<(u64, MemberId)>,
    /// The highest virtual time at which a member has started.
    floor: u64,
    /// Counts members and turns.
    count: u64,
}

/// The first is the next to run: by virtual time, then those that did not want to run before, then in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    virtual_time: u64,
    continues: bool,
    order: u64,
    id: MemberId,
}

/// How long a member's last turn was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnLength {
    /// Shorter than [`TurnLength::LIMIT`], or it has not run yet.
    Short,
    /// Not short.
    Long,
}

impl TurnLength {
    /// In processor time.
    pub const LIMIT: Duration = Duration::from_millis(2);
}

/// A member of a [`FairQueue`]. No two ever have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(u64);

#[derive(Debug)]
struct Member<T> {
    /// In nanoseconds at the default weight.
    virtual_time: u64,
    /// Its place in one of the two queues, if it is there.
    turn: Option<Turn>,
    length: TurnLength,
    running: bool,
    /// For its next turn.
    work: Option<T>,
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self {
            members: HashMap::new(),
            short: BTreeSet::new(),
            long: BTreeSet::new(),
            running: Vec::new(),
            floor: 0,
            count: 0,
        }
    }
}

/// The weight of a member that gets one share.
pub const DEFAULT_WEIGHT: u32 = 100;

impl<T> FairQueue<T> {
    /// Adds a member that does not want to run yet.
    pub fn add(&mut self) -> MemberId {
        self.count += 1;
        let id = MemberId(self.count);
        self.members.insert(
            id,
            Member { virtual_time: self.floor, turn: None, length: TurnLength::Short, running: false, work: None },
        );
        id
    }

    /// Removes a member, whatever it does. Returns the work that it will not do.
    pub fn remove(&mut self, id: MemberId) -> Option<T> {
        let member = self.members.remove(&id)?;
        if let Some(turn) = member.turn {
            self.queue(member.length).remove(&turn);
        }
        member.work
    }

    /// The member wants to run. If it runs already, it wants to run once more. One that is removed never runs again.
    pub fn wake(&mut self, id: MemberId, work: T) {
        // The least that any member has which wants to run.
        let ready = [&self.short, &self.long].into_iter().filter_map(|queue| queue.first());
        let ready = ready.map(|turn| turn.virtual_time);
        let running = self.running.iter().map(|(virtual_time, _)| *virtual_time);
        let floor = running.chain(ready).min().unwrap_or(self.floor);
        let Some(member) = self.members.get_mut(&id) else { return };
        member.work = Some(work);
        if !member.running && member.turn.is_none() {
            member.virtual_time = member.virtual_time.max(floor);
            self.enqueue(id, false);
        }
    }

    /// Takes the member that runs next, and its work, among those whose turns have a length that `may_start`.
    pub fn start(&mut self, may_start: impl Fn(TurnLength) -> bool) -> Option<(MemberId, TurnLength, T)> {
        loop {
            let first = |length, queue: &BTreeSet<Turn>| {
                queue.first().copied().filter(|_| may_start(length)).map(|turn| (turn, length))
            };
            let (short, long) = (first(TurnLength::Short, &self.short), first(TurnLength::Long, &self.long));
            let (turn, length) = short.into_iter().chain(long).min_by_key(|(turn, _)| *turn)?;
            self.queue(length).remove(&turn);
            let Turn { virtual_time, id, .. } = turn;
            self.floor = self.floor.max(virtual_time);
            let Some(member) = self.members.get_mut(&id) else { continue };
            (member.turn, member.running) = (None, true);
            self.running.push((virtual_time, id));
            if let Some(work) = member.work.take() {
                return Some((id, length, work));
            }
        }
    }

    /// The turn of this member takes so long that the others no longer wait for it: they go on without it.
    pub fn leave_behind(&mut self, id: MemberId) {
        self.running.retain(|(_, running)| *running != id);
    }

    /// The member has run, and used so much processor time. Its `weight` is relative to [`DEFAULT_WEIGHT`].
    pub fn finish(&mut self, id: MemberId, used: Duration, weight: u32) {
        self.leave_behind(id);
        let Some(member) = self.members.get_mut(&id) else { return };
        member.length = if used < TurnLength::LIMIT { TurnLength::Short } else { TurnLength::Long };
        let used = used.as_nanos() * u128::from(DEFAULT_WEIGHT) / u128::from(weight.max(1));
        member.virtual_time = member.virtual_time.saturating_add(u64::try_from(used).unwrap_or(u64::MAX));
        member.running = false;
        if member.work.is_some() {
            self.enqueue(id, true);
        }
    }

    /// True if a member with turns of this length waits to run.
    pub fn has_ready(&self, length: TurnLength) -> bool {
        match length {
            TurnLength::Short => !self.short.is_empty(),
            TurnLength::Long => !self.long.is_empty(),
        }
    }

    /// Takes all work that waits.
    pub fn drain(&mut self) -> Vec<T> {
        self.short.clear();
        self.long.clear();
        self.members.values_mut().filter_map(|member| member.work.take()).collect()
    }

    fn enqueue(&mut self, id: MemberId, continues: bool) {
        self.count += 1;
        let order = self.count;
        let Some(member) = self.members.get_mut(&id) else { return };
        let turn = Turn { virtual_time: member.virtual_time, continues, order, id };
        member.turn = Some(turn);
        let length = member.length;
        self.queue(length).insert(turn);
    }

    fn queue(&mut self, length: TurnLength) -> &mut BTreeSet<Turn> {
        match length {
            TurnLength::Short => &mut self.short,
            TurnLength::Long => &mut self.long,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    fn start(queue: &mut FairQueue<()>) -> Option<MemberId> {
        queue.start(|_| true).map(|(id, ..)| id)
    }

    #[test]
    fn members_with_short_turns_can_start_while_those_with_long_ones_must_wait() {
        let mut queue = FairQueue::default();
        let [long, short] = [(); 2].map(|()| queue.add());
        queue.wake(long, ());
        assert_eq!(queue.start(|_| true), Some((long, TurnLength::Short, ())), "not known yet");
        queue.finish(long, 10 * MS, 100);
        queue.wake(long, ());
        queue.wake(short, ());
        let only_short = |length| length == TurnLength::Short;
        assert_eq!(queue.start(only_short), Some((short, TurnLength::Short, ())));
        assert_eq!(queue.start(only_short), None);
        assert_eq!(queue.start(|_| true), Some((long, TurnLength::Long, ())));
    }

    #[test]
    fn a_member_that_slept_runs_next_but_has_no_claim_to_the_past() {
        let mut queue = FairQueue::default();
        let [hog, sleeper] = [(); 2].map(|()| queue.add());
        queue.wake(hog, ());
        for _ in 0..100 {
            assert_eq!(start(&mut queue), Some(hog));
            queue.wake(hog, ());
            queue.finish(hog, 10 * MS, 100);
        }
        queue.wake(sleeper, ());
        let mut turns = Vec::new();
        for _ in 0..6 {
            let next = start(&mut queue).unwrap();
            turns.push(next);
            queue.wake(next, ());
            queue.finish(next, 10 * MS, 100);
        }
        assert_eq!(turns, [sleeper, hog, sleeper, hog, sleeper, hog]);
    }

    #[test]
    fn a_removed_member_never_runs_again() {
        let mut queue = FairQueue::default();
        let [gone, stays] = [(); 2].map(|()| queue.add());
        queue.wake(gone, ());
        queue.wake(stays, ());
        queue.remove(gone);
        assert_eq!((start(&mut queue), start(&mut queue)), (Some(stays), None));
        // It may be removed during its turn.
        queue.wake(stays, ());
        queue.remove(stays);
        queue.finish(stays, MS, 100);
        queue.wake(stays, ());
        assert_eq!(start(&mut queue), None);
    }

    proptest! {
        /// Shares within one quantum: between two members that always want to run, the times used, divided by the
        /// weights, never differ by more than one turn of each. So nobody starves either.
        #[test]
        fn shares_differ_by_at_most_one_turn(
            members in prop::collection::vec((1_u32..1000, 1_u64..50_000), 2..10),
            turns in 1_usize..600,
            seed: u64,
        ) {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut queue = FairQueue::default();
            let ids: Vec<_> = members.iter().map(|_| queue.add()).collect();
            ids.iter().for_each(|id| queue.wake(*id, ()));
            let mut used = vec![0_u64; members.len()];
            for _ in 0..turns {
                let id = start(&mut queue).unwrap();
                let at = ids.iter().position(|other| *other == id).unwrap();
                let (weight, longest) = members[at];
                let took = rng.u64(1..=longest);
                used[at] += took;
                queue.wake(id, ());
                queue.finish(id, Duration::from_micros(took), weight);
            }
            let share = |at: usize, time: u64| time as f64 / f64::from(members[at].0);
            for (left, right) in (0..members.len()).flat_map(|left| (0..left).map(move |right| (left, right))) {
                let difference = (share(left, used[left]) - share(right, used[right])).abs();
                let quantum = share(left, members[left].1) + share(right, members[right].1);
                prop_assert!(difference <= quantum + 1e-6, "{} over {}", difference, quantum);
            }
        }

        /// On several processors, whatever the others do.
        #[test]
        fn a_member_within_its_share_waits_only_for_turns_that_run(
            hogs in 2_usize..50,
            processors in 1_usize..8,
            turns in prop::collection::vec((1_u64..50_000, any::<bool>()), 1..400),
        ) {
            let mut queue = FairQueue::default();
            let modest = queue.add();
            for _ in 0..hogs {
                let hog = queue.add();
                queue.wake(hog, ());
            }
            // Each has run once, so they have used more than the modest one.
            for _ in 0..hogs {
                let hog = start(&mut queue).unwrap();
                queue.wake(hog, ());
                queue.finish(hog, MS, 100);
            }
            let mut running: Vec<MemberId> = (0..processors).filter_map(|_| start(&mut queue)).collect();
            for (took, wakes) in turns {
                if wakes {
                    queue.wake(modest, ());
                }
                // Any of the running ones ends.
                let ended = running.swap_remove(took as usize % running.len());
                queue.wake(ended, ());
                queue.finish(ended, Duration::from_micros(took), 100);
                let mut next = start(&mut queue).unwrap();
                prop_assert_eq!(next == modest, wakes, "it runs as soon as a processor is free");
                if wakes {
                    queue.finish(modest, Duration::ZERO, 100);
                    next = start(&mut queue).unwrap();
                }
                running.push(next);
            }
        }
    }
}
