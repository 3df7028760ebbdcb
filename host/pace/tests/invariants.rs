//! Invariants 1 to 3 of ARCHITECTURE.md under simulated time: random quotes, several tenants, one budget, and a
//! sink that is slow, fails, and refuses at random.

#![allow(clippy::unwrap_used, clippy::expect_used)] // in a test, a panic is the message

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use fastrand::Rng;
use proptest::prelude::*;
use quotegate_market::Quote;
use quotegate_pace::{Accepted, Backoff, Lane, LatestTable, Pacer, Rate, Resolution};

#[derive(Debug, Clone)]
struct Scenario {
    seed: u64,
    tenants: Vec<TenantPlan>,
    per_second: f64,
    burst: u32,
    /// Delay before the quote (ms), tenant, symbol, and the age of its exchange time (ms).
    quotes: Vec<(u64, usize, u32, i64)>,
    failure_percent: u8,
}

#[derive(Debug, Clone)]
struct TenantPlan {
    interval_ms: u64,
    own: Option<(f64, u32)>,
}

fn scenario() -> impl Strategy<Value = Scenario> {
    let tenant = (1_u64..3000, prop::option::of((0.5_f64..50.0, 1_u32..10)));
    let quote = (
        prop_oneof![4 => 0_u64..20, 1 => 0_u64..3000],
        0_usize..4,
        0_u32..6,
        prop_oneof![9 => Just(0_i64), 1 => 1_i64..50],
    );
    (
        any::<u64>(),
        prop::collection::vec(tenant, 1..4),
        1.0_f64..100.0,
        1_u32..20,
        prop::collection::vec(quote, 1..300),
        0_u8..60,
    )
        .prop_map(|(seed, tenants, per_second, burst, quotes, failure_percent)| Scenario {
            seed,
            tenants: tenants.into_iter().map(|(interval_ms, own)| TenantPlan { interval_ms, own }).collect(),
            per_second,
            burst,
            quotes,
            failure_percent,
        })
}

/// A write that the sink has not answered yet.
struct Flight {
    tenant: usize,
    symbol: u32,
    event_time: i64,
}

struct Setup {
    now: Instant,
    rng: Rng,
    pacer: Pacer,
    lanes: Vec<Lane>,
    tables: Vec<LatestTable>,
    /// Future answers, by time and a unique number.
    flights: BTreeMap<(Instant, u64), Flight>,
    attempts: Vec<(Instant, usize, u32)>,
    /// Those that were too early and so no writes, by their place. Their tokens are gone: back in the bucket, they could add
    /// up with those that came since.
    too_early: HashSet<usize>,
    /// The event time in each document.
    documents: HashMap<(usize, u32), i64>,
    newest_accepted: HashMap<(usize, u32), i64>,
    failure_percent: u8,
}

impl Setup {
    fn new(scenario: &Scenario) -> Self {
        let now = Instant::now();
        let mut pacer = Pacer::new(Rate::new(scenario.per_second, scenario.burst).unwrap(), now);
        let retry = Backoff::new(Duration::from_millis(100), Duration::from_secs(5)).unwrap();
        let own = |plan: &TenantPlan| plan.own.map(|(per_second, burst)| Rate::new(per_second, burst).unwrap());
        let lanes = scenario.tenants.iter().map(|plan| pacer.add_lane(own(plan), now)).collect();
        let table = |plan: &TenantPlan| LatestTable::new(Duration::from_millis(plan.interval_ms), retry.clone());
        Self {
            now,
            rng: Rng::with_seed(scenario.seed),
            pacer,
            lanes,
            tables: scenario.tenants.iter().map(table).collect(),
            flights: BTreeMap::new(),
            attempts: Vec::new(),
            too_early: HashSet::new(),
            documents: HashMap::new(),
            newest_accepted: HashMap::new(),
            failure_percent: scenario.failure_percent,
        }
    }

    fn quote(&mut self, tenant: usize, symbol: u32, event_time: i64) {
        let quote = Quote { event_time, ..Quote::default() };
        if self.tables[tenant].accept(symbol, &quote, self.now) != Accepted::Older {
            self.newest_accepted.insert((tenant, symbol), event_time);
        }
    }

    /// Advances time to `until`, answering and making writes when they are due.
    fn run(&mut self, until: Instant) {
        loop {
            self.write_what_is_allowed();
            let answer = self.flights.keys().next().map(|(at, _)| *at);
            let due = self.tables.iter().filter_map(LatestTable::next_due_at).min();
            let grant = self.pacer.next_grant_at(self.now);
            let next = [answer, due, grant].into_iter().flatten().min();
            match next {
                Some(at) if at <= until => self.now = at.max(self.now),
                _ => break,
            }
            self.answer_flights();
        }
        self.now = until.max(self.now);
    }

    fn write_what_is_allowed(&mut self) {
        for (table, lane) in self.tables.iter_mut().zip(&self.lanes) {
            self.pacer.want(*lane, table.due(self.now) as u32);
        }
        while let Some(lane) = self.pacer.grant(self.now) {
            let tenant = self.lanes.iter().position(|held| *held == lane).unwrap();
            let (symbol, quote) = self.tables[tenant].take_due(self.now).expect("a grant without anything due");
            let busy = self.flights.values().any(|flight| (flight.tenant, flight.symbol) == (tenant, symbol));
            assert!(!busy, "two writes of one document in flight");
            self.attempts.push((self.now, tenant, symbol));
            let answered_at = self.now + Duration::from_millis(self.rng.u64(0..800));
            let flight = Flight { tenant, symbol, event_time: quote.event_time };
            self.flights.insert((answered_at, self.attempts.len() as u64), flight);
        }
    }

    fn answer_flights(&mut self) {
        while let Some(entry) = self.flights.first_entry() {
            if entry.key().0 > self.now {
                return;
            }
            let ((_, number), flight) = entry.remove_entry();
            if self.rng.u8(0..20) == 0 {
                self.too_early.insert(number as usize - 1);
                let wait = Duration::from_millis(self.rng.u64(1..3000));
                let resolution = Resolution::TooEarly { wait, attempted: false };
                self.tables[flight.tenant].resolve(flight.symbol, resolution, self.now, &mut self.rng);
                continue;
            }
            let failed = self.rng.u8(0..100) < self.failure_percent;
            // A failed write may still have been applied, if its answer was lost.
            if !failed || self.rng.bool() {
                let document = self.documents.entry((flight.tenant, flight.symbol)).or_insert(i64::MIN);
                assert!(*document <= flight.event_time, "a document went backwards");
                *document = flight.event_time;
            }
            let resolution =
                if failed { Resolution::Retry { longest_delay: self.rng.bool() } } else { Resolution::Settled };
            self.tables[flight.tenant].resolve(flight.symbol, resolution, self.now, &mut self.rng);
        }
    }

    /// When and which symbols of a tenant were written.
    fn writes_of(&self, tenant: usize) -> impl Iterator<Item = (Instant, u32)> {
        let attempts = self.attempts.iter().enumerate().filter(|(place, _)| !self.too_early.contains(place));
        attempts.filter(move |(_, attempt)| attempt.1 == tenant).map(|(_, (at, _, symbol))| (*at, *symbol))
    }
}

fn assert_never_more_than(attempts: &[Instant], per_second: f64, burst: u32) {
    for (first, from) in attempts.iter().enumerate() {
        for (last, to) in attempts.iter().enumerate().skip(first) {
            let allowed = f64::from(burst) + per_second * (*to - *from).as_secs_f64();
            assert!((last - first + 1) as f64 <= allowed + 1e-6, "more writes than allowed in a window");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_limits_hold_the_newest_quote_is_written_and_documents_never_go_backwards(scenario in scenario()) {
        let mut setup = Setup::new(&scenario);
        let mut wall_clock = 0;
        for &(pause, tenant, symbol, back) in &scenario.quotes {
            setup.run(setup.now + Duration::from_millis(pause));
            wall_clock += pause as i64;
            setup.quote(tenant % scenario.tenants.len(), symbol, wall_clock - back);
        }

        // Quotes stop and the sink recovers: every newest accepted quote is written within a bounded time.
        setup.failure_percent = 0;
        setup.run(setup.now + Duration::from_secs(3600));
        prop_assert!(setup.tables.iter().all(LatestTable::is_settled));
        prop_assert_eq!(&setup.documents, &setup.newest_accepted);

        let all: Vec<_> = setup.attempts.iter().map(|(at, ..)| *at).collect();
        assert_never_more_than(&all, scenario.per_second, scenario.burst);
        for (tenant, plan) in scenario.tenants.iter().enumerate() {
            let of_tenant = setup.attempts.iter().filter(|attempt| attempt.1 == tenant);
            if let Some((per_second, burst)) = plan.own {
                assert_never_more_than(&of_tenant.clone().map(|attempt| attempt.0).collect::<Vec<_>>(), per_second, burst);
            }
            let mut last: HashMap<u32, Instant> = HashMap::new();
            for (at, symbol) in setup.writes_of(tenant) {
                if let Some(before) = last.insert(symbol, at) {
                    prop_assert!(at - before >= Duration::from_millis(plan.interval_ms), "two writes too close");
                }
            }
        }
    }
    /// The same while limits and intervals change, as in a reload.
    #[test]
    fn changing_limits_breaks_no_invariant(
        scenario in scenario(),
        changes in prop::collection::vec((0_usize..300, 0_usize..4, 1.0_f64..100.0, 1_u32..20, 1_u64..3000), 0..20),
    ) {
        let mut setup = Setup::new(&scenario);
        let tenants = scenario.tenants.len();
        let start = setup.now;
        let mut global = vec![(start, scenario.per_second, scenario.burst)];
        let mut own: Vec<_> = scenario.tenants.iter().map(|plan| vec![(start, plan.own)]).collect();
        let mut intervals: Vec<_> = scenario.tenants.iter().map(|plan| vec![(start, plan.interval_ms)]).collect();
        let mut wall_clock = 0;
        for (at, &(pause, tenant, symbol, back)) in scenario.quotes.iter().enumerate() {
            setup.run(setup.now + Duration::from_millis(pause));
            for &(_, whose, per_second, burst, interval_ms) in changes.iter().filter(|change| change.0 == at) {
                let now = setup.now;
                if whose >= tenants {
                    setup.pacer.set_global(Rate::new(per_second, burst).unwrap(), now);
                    global.push((now, per_second, burst));
                    continue;
                }
                let rate = (burst % 4 > 0).then_some((per_second, burst));
                let limit = rate.map(|(per_second, burst)| Rate::new(per_second, burst).unwrap());
                setup.pacer.set_rate(setup.lanes[whose], limit, now);
                setup.tables[whose].set_interval(Duration::from_millis(interval_ms), now);
                own[whose].push((now, rate));
                intervals[whose].push((now, interval_ms));
            }
            wall_clock += pause as i64;
            setup.quote(tenant % tenants, symbol, wall_clock - back);
        }
        setup.failure_percent = 0;
        setup.run(setup.now + Duration::from_secs(3600));
        prop_assert!(setup.tables.iter().all(LatestTable::is_settled));
        prop_assert_eq!(&setup.documents, &setup.newest_accepted);

        let all: Vec<_> = setup.attempts.iter().map(|(at, ..)| *at).collect();
        assert_kept(&all, &global);
        for (tenant, (own, intervals)) in own.iter().zip(&intervals).enumerate() {
            let of_tenant: Vec<_> = setup.attempts.iter().filter(|attempt| attempt.1 == tenant).collect();
            // If the tenant had no limit for a while, checking starts over with the next limit.
            for spans in own.split(|(_, rate)| rate.is_none()) {
                let history: Vec<_> = spans.iter().filter_map(|(at, rate)| Some((*at, rate.as_ref()?.0, rate.as_ref()?.1))).collect();
                let Some(first) = history.first().map(|change| change.0) else { continue };
                let until = own.iter().find(|(at, rate)| *at > first && rate.is_none()).map(|(at, _)| *at);
                let within = |at: &Instant| *at > first && until.is_none_or(|until| *at < until);
                let attempts: Vec<_> = of_tenant.iter().map(|attempt| attempt.0).filter(within).collect();
                assert_kept(&attempts, &history);
            }
            let mut last: HashMap<u32, Instant> = HashMap::new();
            for (at, symbol) in setup.writes_of(tenant) {
                let Some(before) = last.insert(symbol, at) else { continue };
                // The interval at that time; at the instant of a change, either one.
                let earlier = intervals.iter().rfind(|(since, _)| *since < at);
                let same = intervals.iter().filter(|(since, _)| *since == at);
                let interval = same.chain(earlier).map(|(_, interval_ms)| *interval_ms).min().unwrap();
                prop_assert!(at - before >= Duration::from_millis(interval), "two writes too close");
            }
        }
    }
}

/// Asserts that every window has at most its largest burst plus the tokens that each rate added.
fn assert_kept(attempts: &[Instant], history: &[(Instant, f64, u32)]) {
    for (first, from) in attempts.iter().enumerate() {
        for (last, to) in attempts.iter().enumerate().skip(first) {
            let ends = history.iter().skip(1).map(|change| change.0).chain([*to]);
            let (mut grown, mut most) = (0.0, 0);
            for ((begins, per_second, burst), ends) in history.iter().zip(ends) {
                let (begins, ends) = ((*begins).max(*from), ends.min(*to));
                if ends >= begins {
                    grown += per_second * (ends - begins).as_secs_f64();
                    most = most.max(*burst);
                }
            }
            assert!(
                (last - first + 1) as f64 <= f64::from(most) + grown + 1e-6,
                "more writes than allowed in a window"
            );
        }
    }
}
