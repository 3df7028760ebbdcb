use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Instant;

use crate::{Rate, TokenBucket};

/// A tenant's place in the [`Pacer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane(usize);

impl Lane {
    /// Lanes count from 0 in the order in which they were added.
    pub fn index(self) -> usize {
        self.0
    }
}

/// Shares one write budget among tenants: each token goes to the next tenant in turn that wants one and whose own bucket
/// allows it, so no tenant starves.
#[derive(Debug)]
pub struct Pacer {
    global: TokenBucket,
    lanes: Vec<LaneState>,
    /// Lanes that want a token, in order of their turns; each at most once.
    turns: VecDeque<Lane>,
    /// Lanes that want a token but must wait for their own bucket; each at most once, and never also in `turns`.
    held_back: BinaryHeap<Reverse<(Instant, Lane)>>,
}

#[derive(Debug)]
struct LaneState {
    bucket: Option<TokenBucket>,
    wanted: u32,
    /// In `turns` or in `held_back`.
    queued: bool,
}

impl Pacer {
    /// A pacer without lanes and with a full bucket.
    pub fn new(global: Rate, now: Instant) -> Self {
        Self {
            global: TokenBucket::new(global, now),
            lanes: Vec::new(),
            turns: VecDeque::new(),
            held_back: BinaryHeap::new(),
        }
    }

    /// Adds a tenant, with its own limit or only the global one.
    pub fn add_lane(&mut self, own: Option<Rate>, now: Instant) -> Lane {
        self.lanes.push(LaneState { bucket: own.map(|rate| TokenBucket::new(rate, now)), wanted: 0, queued: false });
        Lane(self.lanes.len() - 1)
    }

    /// Changes the lane's own limit. A lane without one starts with a full bucket.
    pub fn set_rate(&mut self, lane: Lane, own: Option<Rate>, now: Instant) {
        let state = &mut self.lanes[lane.0];
        match (&mut state.bucket, own) {
            (Some(bucket), Some(rate)) => bucket.set_rate(rate, now),
            (bucket, own) => *bucket = own.map(|rate| TokenBucket::new(rate, now)),
        }
        // The lane may now be allowed earlier.
        let held = self.held_back.len();
        self.held_back.retain(|Reverse((_, held))| *held != lane);
        if self.held_back.len() < held {
            self.turns.push_back(lane);
        }
    }

    /// Changes the global limit.
    pub fn set_global(&mut self, global: Rate, now: Instant) {
        self.global.set_rate(global, now);
    }

    /// Empties the global bucket.
    pub fn drain(&mut self, now: Instant) {
        self.global.drain(now);
    }

    /// Sets how many tokens the lane wants in total; each grant subtracts one.
    pub fn want(&mut self, lane: Lane, tokens: u32) {
        let state = &mut self.lanes[lane.0];
        state.wanted = tokens;
        if tokens > 0 && !state.queued {
            state.queued = true;
            self.turns.push_back(lane);
        }
    }

    /// Grants one token to the next lane in turn. `None` if no lane wants one, or none is available before
    /// [`Pacer::next_grant_at`].
    pub fn grant(&mut self, now: Instant) -> Option<Lane> {
        self.release(now);
        // While the global bucket is empty nothing changes, so no lane loses its turn.
        if self.global.tokens(now) == 0 {
            return None;
        }
        while let Some(lane) = self.turns.pop_front() {
            let state = &mut self.lanes[lane.0];
            if state.wanted == 0 {
                state.queued = false;
                continue;
            }
            if let Some(bucket) = &mut state.bucket
                && !bucket.take(now)
            {
                self.held_back.push(Reverse((bucket.ready_at(now), lane)));
                continue;
            }
            self.global.take(now);
            state.wanted -= 1;
            state.queued = state.wanted > 0;
            if state.queued {
                self.turns.push_back(lane);
            }
            return Some(lane);
        }
        None
    }

    /// When to call [`Pacer::grant`] again, unless a lane changes what it wants first.
    pub fn next_grant_at(&self, now: Instant) -> Option<Instant> {
        let global = self.global.ready_at(now);
        if !self.turns.is_empty() {
            return Some(global);
        }
        self.held_back.peek().map(|Reverse((at, _))| (*at).max(global))
    }

    /// Takes back an unused token from `lane`.
    pub fn refund(&mut self, lane: Lane) {
        self.global.refund();
        if let Some(bucket) = &mut self.lanes[lane.0].bucket {
            bucket.refund();
        }
    }

    /// The number of whole tokens in the global bucket.
    pub fn tokens(&self, now: Instant) -> u32 {
        self.global.tokens(now)
    }

    fn release(&mut self, now: Instant) {
        while let Some(Reverse((at, lane))) = self.held_back.peek().copied() {
            if at > now {
                break;
            }
            self.held_back.pop();
            self.turns.push_back(lane);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn rate(per_second: f64, burst: u32) -> Rate {
        Rate::new(per_second, burst).unwrap()
    }

    fn grants(pacer: &mut Pacer, now: Instant) -> Vec<usize> {
        std::iter::from_fn(|| pacer.grant(now)).map(|lane| lane.0).collect()
    }

    #[test]
    fn tokens_go_to_the_tenants_in_turn() {
        let now = Instant::now();
        let mut pacer = Pacer::new(rate(1.0, 6), now);
        let [greedy, modest, idle] = [0, 1, 2].map(|_| pacer.add_lane(None, now));
        pacer.want(greedy, 100);
        pacer.want(modest, 2);
        pacer.want(idle, 0);
        assert_eq!(grants(&mut pacer, now), [0, 1, 0, 1, 0, 0]);
        assert_eq!(pacer.next_grant_at(now), Some(now + Duration::from_secs(1)));
    }

    #[test]
    fn a_tenant_at_its_own_limit_does_not_hold_up_the_others() {
        let now = Instant::now();
        let mut pacer = Pacer::new(rate(1.0, 10), now);
        let slow = pacer.add_lane(Some(rate(1.0, 1)), now);
        let fast = pacer.add_lane(None, now);
        pacer.want(slow, 5);
        pacer.want(fast, 3);
        assert_eq!(grants(&mut pacer, now), [0, 1, 1, 1]);
        assert_eq!(pacer.next_grant_at(now), Some(now + Duration::from_secs(1)));
        assert_eq!(grants(&mut pacer, now + Duration::from_secs(1)), [0]);
    }

    #[test]
    fn a_lane_that_waits_for_its_own_bucket_notices_that_the_bucket_grows_faster() {
        let now = Instant::now();
        let mut pacer = Pacer::new(rate(100.0, 10), now);
        let lane = pacer.add_lane(Some(rate(0.001, 1)), now);
        pacer.want(lane, 3);
        assert_eq!(grants(&mut pacer, now), [0]);
        pacer.set_rate(lane, Some(rate(1.0, 5)), now);
        // The change itself brings nothing.
        assert_eq!(grants(&mut pacer, now), Vec::<usize>::new());
        assert_eq!(pacer.next_grant_at(now), Some(now + Duration::from_secs(1)));
        assert_eq!(grants(&mut pacer, now + Duration::from_secs(1)), [0]);
        pacer.set_rate(lane, None, now + Duration::from_secs(1));
        assert_eq!(grants(&mut pacer, now + Duration::from_secs(1)), [0]);
    }

    #[test]
    fn a_refund_can_be_granted_to_another() {
        let now = Instant::now();
        let mut pacer = Pacer::new(rate(1.0, 1), now);
        let [a, b] = [0, 1].map(|_| pacer.add_lane(None, now));
        pacer.want(a, 1);
        pacer.want(b, 1);
        assert_eq!(pacer.grant(now), Some(a));
        assert_eq!(pacer.grant(now), None);
        pacer.refund(a);
        assert_eq!(pacer.grant(now), Some(b));
    }

    proptest! {
        /// Invariant 2 for tenants: a lane that wants a token waits for at most one round of the others.
        #[test]
        fn no_lane_is_skipped_twice(wants in prop::collection::vec(1_u32..20, 2..12), burst in 1_u32..200) {
            let now = Instant::now();
            let mut pacer = Pacer::new(rate(1.0, burst), now);
            let lanes: Vec<_> = wants.iter().map(|_| pacer.add_lane(None, now)).collect();
            for (lane, want) in lanes.iter().zip(&wants) {
                pacer.want(*lane, *want);
            }
            let mut got = vec![0; wants.len()];
            for lane in grants(&mut pacer, now) {
                got[lane] += 1;
            }
            let total: u32 = got.iter().sum();
            prop_assert_eq!(total, burst.min(wants.iter().sum()));
            let most = got.iter().max().copied().unwrap_or(0);
            for (got, want) in got.iter().zip(&wants) {
                prop_assert!(*got == *want || got + 1 >= most, "{} of {} while another got {}", got, want, most);
            }
        }
    }
}
