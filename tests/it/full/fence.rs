//! Invariant 3 with the whole program: hosts that wake with a write in flight, and a database that applies requests late.
//!
//! `QUOTEGATE_TEST_ROUNDS=10` is the full size: ten freezes of 10 s; five seeds of 30 s each.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::harness::{Cluster, HostSetup, Member, Proxy, Running, Sim, eventually, get, rounds};
use fastrand::Rng;
use quotegate_market::Quote;
use quotegate_sim::{Rate, SimSettings};
use quotegate_test_support::{Act, Arrival, Emulator, FakeFirestore, Ledger};
use serde_json::Value;

const SECOND: i64 = 1_000_000_000;

fn quote(event_time: i64) -> Quote {
    Quote { bid_price: 1.0, ask_price: 2.0, event_time, ..Quote::default() }
}

/// Three hosts, each behind a proxy of its own, and quotes that the test sends.
struct Frozen<'a> {
    cluster: Cluster<'a>,
    proxies: Vec<Proxy>,
    members: Vec<Member>,
    /// That of the last quote, in seconds.
    time: Cell<i64>,
}

impl<'a> Frozen<'a> {
    fn start(cluster: Cluster<'a>, fence: bool) -> Self {
        let proxies: Vec<Proxy> = (0..3).map(|_| Proxy::before(&cluster.emulator.host())).collect();
        let start = |(number, proxy): (usize, &Proxy)| {
            cluster.start_with(&format!("host-{number}"), |command| {
                command
                    .env("FIRESTORE_EMULATOR_HOST", proxy.address())
                    .env("MONITORED_SYMBOLS", "SPY")
                    .env("PER_SYMBOL_MIN_INTERVAL_MS", "0")
                    .env("QUOTEGATE_FEED__CALENDAR", "always")
                    .env("QUOTEGATE_SINK__FENCE", fence.to_string())
                    // More than a freeze lasts, so that the write is still in flight when the host wakes.
                    .env("QUOTEGATE_SINK__REQUEST_TIMEOUT_S", "300")
            })
        };
        let members = proxies.iter().enumerate().map(start).collect();
        Self { cluster, proxies, members, time: Cell::new(0) }
    }

    /// The time of the quote in the document.
    fn stored(&self) -> Option<i64> {
        stored(self.cluster.emulator, self.cluster.project)
    }

    /// Sends the next quote. Returns its time.
    fn send(&self) -> i64 {
        self.time.set(self.time.get() + 1);
        self.cluster.sim.send("SPY", &quote(self.time.get() * SECOND));
        self.time.get()
    }

    /// Sends quotes until one is in the document: who is the owner may not have subscribed yet. Returns its time.
    fn write(&self) -> i64 {
        let first = self.send();
        eventually("a write", || {
            let stored = self.stored().filter(|stored| *stored >= first);
            if stored.is_none() {
                self.send();
            }
            stored
        });
        eventually("the last of them", || self.stored().filter(|stored| *stored == self.time.get()))
    }

    /// Freezes the owner while its write is held on the way to Firestore.
    fn freeze_the_owner(&self) -> FrozenOwner {
        loop {
            let place = self.cluster.wait_for_owner(&self.members);
            let (member, proxy) = (&self.members[place], &self.proxies[place]);
            self.write();
            let given_up = eventually("its counters", || member.counter("writes_older"));
            proxy.cut();
            let held = self.send();
            let has_sent = eventually("the write that is held", || {
                let is_owner = member.state()?["lease"]["held"] == true;
                proxy.holds("live_quotes/SPY").then_some(true).or((!is_owner).then_some(false))
            });
            if has_sent {
                member.running.signal("STOP");
                return FrozenOwner { place, held, given_up };
            }
            // On a busy machine the lease may end first.
            proxy.heal();
        }
    }
}

struct FrozenOwner {
    place: usize,
    /// The time of the quote in the write that is held.
    held: i64,
    /// How many writes it had given up before.
    given_up: u64,
}

fn stored(emulator: &Emulator, project: &str) -> Option<i64> {
    let document = emulator.document(project, "tenants/acme/live_quotes/SPY")?;
    let time: jiff::Timestamp = document["fields"]["ts"]["timestampValue"].as_str()?.parse().ok()?;
    Some(time.as_second())
}

/// Counts how often the document goes back in time, from now on.
fn count_backwards(cluster: &Cluster<'_>) -> Arc<AtomicU64> {
    let (emulator, project, backwards) = (cluster.emulator, cluster.project, Arc::<AtomicU64>::default());
    let count = backwards.clone();
    thread::spawn(move || {
        let mut newest = None;
        loop {
            let now = stored(emulator, project);
            count.fetch_add(u64::from(now < newest), Relaxed);
            newest = now.max(newest);
            thread::sleep(Duration::from_millis(10));
        }
    });
    backwards
}

fn quiet_sim() -> Sim {
    // The connection of a frozen host stays open.
    Sim::with(SimSettings { rate: Rate::PerSecond(0.0), connection_limit: 4, ..SimSettings::default() })
}

#[test]
fn an_owner_that_wakes_with_a_write_in_flight_moves_no_document_back() {
    let sim = quiet_sim();
    let Some(cluster) = Cluster::or_skip("demo-zombie", &sim) else { return };
    let hosts = Frozen::start(cluster, true);
    let backwards = count_backwards(&hosts.cluster);
    for _ in 0..rounds() {
        let FrozenOwner { place, given_up, .. } = hosts.freeze_the_owner();
        let (frozen, since) = (&hosts.members[place], Instant::now());
        // Only a new owner can write this.
        let newest = hosts.write();
        if rounds() >= 10 {
            thread::sleep(Duration::from_secs(10).saturating_sub(since.elapsed()));
        }
        hosts.proxies[place].heal();
        frozen.running.signal("CONT");
        eventually("the write in flight is given up", || {
            (frozen.counter("writes_older")? > given_up && frozen.counter("in_flight")? == 0).then_some(())
        });
        assert_eq!(hosts.stored(), Some(newest));
        assert_ne!(hosts.cluster.wait_for_owner(&hosts.members), place);
    }
    let backwards = backwards.load(Relaxed);
    eprintln!("{} owners frozen with a write in flight: {backwards} documents went backwards", rounds());
    assert_eq!(backwards, 0);
}

/// The same test can fail: the lease alone does not hold back what is already on its way.
#[test]
fn without_the_fence_an_owner_that_wakes_moves_a_document_back() {
    let sim = quiet_sim();
    let Some(cluster) = Cluster::or_skip("demo-zombie-unfenced", &sim) else { return };
    let hosts = Frozen::start(cluster, false);
    let FrozenOwner { place, held, .. } = hosts.freeze_the_owner();
    hosts.write();
    hosts.proxies[place].heal();
    eventually("the older quote", || (hosts.stored() == Some(held)).then_some(()));
}

/// One request in twenty is applied 1 to 4 s after this time, when the host has given it up.
const TIMEOUT: Duration = Duration::from_millis(500);
const SETTINGS: &str = "\
[sink]
request_timeout_s = 0.5
retry_max_s = 2
[pace]
writes_per_second = 40
[heartbeat]
interval_s = 3600
[tenants.acme]
symbols = [\"S0\", \"S1\", \"S2\", \"S3\", \"S4\", \"S5\", \"S6\", \"S7\", \"S8\", \"S9\"]
per_symbol_min_interval_ms = 250
";
const SYMBOLS: usize = 10;

/// The program with a Firestore that applies requests late.
struct Late {
    setup: HostSetup,
    sim: Sim,
    host: Running,
    ledger: Arc<Ledger>,
    late: Arc<AtomicU64>,
    _firestore: FakeFirestore,
    _runtime: tokio::runtime::Runtime,
}

impl Late {
    fn start(seed: u64, fence: bool) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (ledger, late) = (Arc::<Ledger>::default(), Arc::<AtomicU64>::default());
        let counted = late.clone();
        let script = move |arrival: &Arrival| {
            // The same for all documents of a request.
            let mut rng = Rng::with_seed((seed << 32) + arrival.request as u64);
            if rng.u8(0..20) > 0 {
                return Act::Delay(Duration::from_millis(rng.u64(0..20)), Box::new(Act::Write));
            }
            counted.fetch_add(1, Relaxed);
            Act::Delay(TIMEOUT + Duration::from_millis(rng.u64(1000..4000)), Box::new(Act::Write))
        };
        let anywhere = ([127, 0, 0, 1], 0).into();
        let firestore = runtime.block_on(FakeFirestore::start_on(anywhere, ledger.clone(), script));
        let (setup, sim) = (HostSetup::new(SETTINGS), Sim::quiet());
        let mut command = setup.command(&sim);
        command
            .env_remove("HEARTBEAT_INTERVAL_S")
            .env("FIRESTORE_PROJECT_ID", "demo-late")
            .env("FIRESTORE_EMULATOR_HOST", firestore.host())
            .env("QUOTEGATE_SINK__FENCE", fence.to_string());
        let host = Running::start(&mut command);
        eventually("the subscription", || (sim.handle().subscribed().len() == SYMBOLS).then_some(()));
        Self { setup, sim, host, ledger, late, _firestore: firestore, _runtime: runtime }
    }

    /// Sends quotes of all symbols as long as `more` says, and returns the time of the last quote of each.
    fn send_quotes(&self, rng: &mut Rng, mut more: impl FnMut() -> bool) -> HashMap<String, i64> {
        let mut time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as i64;
        let mut last = HashMap::new();
        while more() {
            // Exchanges repeat times within a burst.
            time += rng.i64(0..3);
            let symbol = format!("S{}", rng.usize(0..SYMBOLS));
            self.sim.send(&symbol, &quote(1000 * time));
            last.insert(symbol, 1000 * time);
            thread::sleep(Duration::from_millis(5));
        }
        last
    }

    fn tenant(&self) -> Option<Value> {
        let state: Value = serde_json::from_str(&get(self.setup.port, "/api/state")?.body).ok()?;
        Some(state["tenants"][0].clone())
    }
}

#[test]
fn requests_that_are_applied_late_neither_move_a_document_back_nor_hide_the_last_word() {
    let (seeds, length) = (1..=(rounds() / 2) as u64, Duration::from_secs(3 * rounds() as u64));
    let run = |seed: u64| {
        let program = Late::start(seed, true);
        let began = Instant::now();
        let last = program.send_quotes(&mut Rng::with_seed(seed), || began.elapsed() < length);
        assert_eq!(last.len(), SYMBOLS);
        eventually("everything is written", || {
            let tenant = program.tenant()?;
            (tenant["dirty"] == 0 && tenant["in_flight"] == 0).then_some(())
        });
        // Until the last late request is applied.
        thread::sleep(TIMEOUT + Duration::from_secs(5));
        let time = |symbol: &String| program.ledger.time(&format!("tenants/acme/live_quotes/{symbol}"));
        let lost = last.iter().filter(|(symbol, time_sent)| time(symbol) != Some(**time_sent)).count();
        let (late, reversed) = (program.late.load(Relaxed), program.ledger.reversed());
        let tenant = program.tenant().unwrap();
        eprintln!(
            "seed {seed}: {late} requests applied late, {} conflicts, {} writes in {length:?}; {reversed} backwards, {lost} last \
             words missing",
            tenant["conflicts"], tenant["written"]
        );
        assert!(late > 0 && reversed == 0 && lost == 0);
        program.host.signal("TERM");
        assert_eq!(program.host.wait().code, 0);
    };
    // Each has a simulator, a Firestore and a program of its own.
    thread::scope(|scope| seeds.for_each(|seed| drop(scope.spawn(move || run(seed)))));
}

/// The same test can fail.
#[test]
fn without_the_fence_a_request_that_is_applied_late_moves_a_document_back() {
    let program = Late::start(1, false);
    let deadline = Instant::now() + crate::harness::LIMIT;
    program.send_quotes(&mut Rng::with_seed(1), || {
        assert!(
            Instant::now() < deadline,
            "{} late requests, none of which went backwards",
            program.late.load(Relaxed)
        );
        program.ledger.reversed() == 0
    });
}
