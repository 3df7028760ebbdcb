//! The image's files, run as Cloud Run would: another user, a read-only tree, little memory, one processor.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::{Finished, Running, Sim, eventually, free_port, get};
use quotegate_market::Quote;
use quotegate_test_support::{Emulator, emulator_or_skip, skip};
use serde_json::Value;
use tempfile::TempDir;

const PROJECT: &str = "demo-container";
/// From worker-pool.yaml and service.yaml.
const MEMORY: u64 = 512 << 20;
/// Cloud Run kills a container this long after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(10);

const SETTINGS: &str = r#"
[tenants.acme]
symbols = ["SPY"]
[[tenants.acme.plugins]]
standard = "quote-filter"
config = { max_spread_bps = 50 }
[[tenants.acme.plugins]]
standard = "field-map"
config = { standard = true }
"#;

/// A container: its own copy of the image from `tests/container/build`.
struct Container {
    tree: TempDir,
    image: Value,
    /// The environment from the YAML file.
    environment: BTreeMap<String, String>,
    port: u16,
    group: Option<Group>,
}

impl Container {
    /// `None` if there is no image or chroot is not permitted: reported as skipped, a failure in CI.
    fn or_skip() -> Option<Self> {
        let Some(folder) = std::env::var_os("QUOTEGATE_TEST_IMAGE").map(PathBuf::from) else {
            skip("the image: tests/container/build FOLDER, then QUOTEGATE_TEST_IMAGE=FOLDER");
            return None;
        };
        if run(Command::new("unshare").args(["--mount", "true"])).is_err() {
            skip("the image: only root can change the root of a program");
            return None;
        }
        let image = serde_json::from_slice(&std::fs::read(folder.join("image.json")).unwrap()).unwrap();
        let tree = tempfile::tempdir().unwrap();
        let root = tree.path().join("root");
        run(Command::new("cp").arg("-a").arg(folder.join("root")).arg(&root)).unwrap();
        // Added by container engines.
        std::fs::create_dir_all(root.join("etc/quotegate")).unwrap();
        std::fs::create_dir(root.join("dev")).unwrap();
        std::fs::write(root.join("etc/hosts"), "127.0.0.1 localhost\n").unwrap();
        std::fs::write(root.join("etc/quotegate/quotegate.toml"), SETTINGS).unwrap();
        let (environment, port) = (environment_of("worker-pool"), free_port());
        Some(Self { tree, image, environment, port, group: Group::new() })
    }

    fn root(&self) -> PathBuf {
        self.tree.path().join("root")
    }

    /// The image's command.
    fn command(&self, sim: &Sim, firestore: &str) -> Command {
        let mut command = Command::new("unshare");
        let line = ["entrypoint", "cmd"].map(|part| self.image[part].as_array().unwrap().clone()).concat();
        let line: Vec<_> = line.iter().map(|word| word.as_str().unwrap()).collect();
        // The tree is read-only, including its settings.
        let script = r#"mount --bind "$1" "$1" && mount --bind /dev "$1/dev" && mount -o remount,bind,ro "$1"
            [ -z "$2" ] || echo $$ >"$2/cgroup.procs"
            root=$1 user=$3; shift 3
            exec taskset --cpu-list 0 setpriv --no-new-privs chroot --userspec="$user" --groups= "$root" "$@""#;
        command.args(["--mount", "sh", "-euc", script, "sh"]).arg(self.root());
        command.arg(self.group.as_ref().map_or(Path::new(""), |group| &group.folder));
        command.arg(self.image["user"].as_str().unwrap()).args(line);
        command.env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
        let of_image = self.image["environment"].as_object().unwrap();
        command.envs(of_image.iter().map(|(name, value)| (name, value.as_str().unwrap())));
        command.envs(&self.environment);
        command
            .env("ALPACA_KEY_ID", "key")
            .env("ALPACA_SECRET_KEY", "secret")
            .env("QUOTEGATE_FEED__URL", sim.url().replace("127.0.0.1", "localhost"))
            .env("QUOTEGATE_OPS__PORT", self.port.to_string())
            .env("FIRESTORE_EMULATOR_HOST", firestore);
        command
    }

    /// Sends the YAML file's probe.
    fn probe(&self) -> Option<u16> {
        get(self.port, "/healthz").map(|answer| answer.status)
    }
}

/// The plain variables of a YAML file, as `config/cloudrun/deploy` fills them in.
fn environment_of(kind: &str) -> BTreeMap<String, String> {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/cloudrun/deploy");
    let yaml =
        run(Command::new(deploy).args(["--print", kind]).env("PROJECT", PROJECT).env("REGION", "us-east4")).unwrap();
    let (mut name, mut found) = (None, BTreeMap::new());
    for line in yaml.lines().map(str::trim) {
        if let Some(value) = line.strip_prefix("value: ") {
            found.insert(name.take().unwrap(), value.trim_matches('\'').to_owned());
        }
        name = line.strip_prefix("- name: ").map(str::to_owned);
    }
    assert_eq!(found["FIRESTORE_PROJECT_ID"], PROJECT);
    found
}

/// A control group that kills its processes when they exceed its memory. `None` if the system offers none.
struct Group {
    folder: PathBuf,
}

impl Group {
    fn new() -> Option<Self> {
        let name = format!("quotegate-test-{}-{:08x}", std::process::id(), fastrand::u32(..));
        let (one, two) = ("/sys/fs/cgroup/memory", "/sys/fs/cgroup");
        let kinds = [(one, "memory.limit_in_bytes"), (two, "memory.max")];
        kinds.into_iter().find_map(|(place, limit)| {
            let folder = Path::new(place).join(&name);
            std::fs::create_dir(&folder).ok()?;
            let group = Self { folder };
            // The file must exist; in an ordinary folder this would create it.
            let mut file = std::fs::OpenOptions::new().write(true).open(group.folder.join(limit)).ok()?;
            std::io::Write::write_all(&mut file, MEMORY.to_string().as_bytes()).ok()?;
            Some(group)
        })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.folder);
    }
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(said(&output.stdout)) } else { Err(said(&output.stderr)) }
}

fn status_line(process: u32, name: &str) -> Vec<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
    line.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

fn heartbeat(emulator: &Emulator) -> Option<Value> {
    emulator.document(PROJECT, "tenants/acme/ops/market_ingest")
}

fn end(host: Running) -> Finished {
    host.signal("TERM");
    let told = Instant::now();
    let ended = host.wait();
    assert!(told.elapsed() < PATIENCE, "it took {:?} to end", told.elapsed());
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    ended
}

fn quote(event_time: i64) -> Quote {
    Quote { bid_price: 100.0, bid_size: 1.0, ask_price: 100.01, ask_size: 1.0, event_time, ..Quote::default() }
}

#[test]
fn base_images_are_named_by_their_digests_and_dependencies_are_a_layer_of_their_own() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/cloudrun/Dockerfile");
    let text = std::fs::read_to_string(file).unwrap();
    let mut stages = Vec::new();
    for from in text.lines().filter_map(|line| line.strip_prefix("FROM ")) {
        let (base, stage) = from.split_once(" AS ").unwrap_or((from, ""));
        let digest = base.split_once("@sha256:").map(|(_, digest)| digest);
        let is_digest = |digest: &str| digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(stages.contains(&base) || digest.is_some_and(is_digest), "{from}");
        stages.push(stage);
    }
    // Sources come after the dependencies are compiled, so that a change of sources compiles none again.
    let build = text.split("\nFROM ").find(|stage| stage.contains(" AS build\n")).unwrap();
    let steps: Vec<&str> = build
        .lines()
        .filter_map(|line| {
            ["COPY --from=manifests", "RUN cargo build", "COPY . ."].into_iter().find(|step| line.starts_with(step))
        })
        .collect();
    assert_eq!(steps, ["COPY --from=manifests", "RUN cargo build", "COPY . .", "RUN cargo build"]);
}

#[test]
fn the_image_runs_unprivileged_on_a_read_only_tree_within_its_memory() {
    let Some(container) = Container::or_skip() else { return };
    let Some(emulator) = emulator_or_skip() else { return };
    let sim = Sim::quiet();
    let mut host = Running::start(&mut container.command(&sim, &emulator.host()));
    eventually("the start-up probe", || container.probe().filter(|status| *status == 200));
    sim.wait_for_symbols(&["SPY"]);
    sim.send("SPY", &quote(1_000));
    eventually("the quote's document", || emulator.document(PROJECT, "tenants/acme/live_quotes/SPY"));
    eventually("a heartbeat that runs", || {
        (heartbeat(&emulator)?["fields"]["status"]["stringValue"] == "running").then_some(())
    });
    // Both plugins were compiled when the image was built.
    host.wait_for("the plugins", |line| line["event_type"] == "plugin_prepared");
    let prepared: Vec<_> = host.lines().into_iter().filter(|line| line["event_type"] == "plugin_prepared").collect();
    assert_eq!(prepared.len(), 2, "{prepared:?}");
    assert!(prepared.iter().all(|line| line["from_cache"] == true), "{prepared:?}");
    // The host accepts the folder without a warning.
    let said = ["plugin_compile", "plugin_cache_broken", "plugin_cache_write", "plugin_cache_off"];
    assert_eq!(said.map(|event| host.events(event)), [0; 4]);

    let nobody = vec![65532; 4];
    assert_eq!((status_line(host.id(), "Uid:"), status_line(host.id(), "Gid:")), (nobody.clone(), nobody));
    assert_eq!(status_line(host.id(), "Groups:"), Vec::<u64>::new());
    assert_eq!(status_line(host.id(), "NoNewPrivs:"), [1]);
    let most = status_line(host.id(), "VmHWM:")[0] << 10;
    eprintln!("at most {} MB were resident; {} MB are allowed", most / 1_000_000, MEMORY / 1_000_000);
    assert!(most < MEMORY / 2, "{most} bytes");
    let ended = end(host);
    assert_eq!(heartbeat(&emulator).unwrap()["fields"]["status"]["stringValue"], "stopped", "{}", ended.stderr);
}

#[test]
fn a_cold_start_needs_no_compiler() {
    let Some(container) = Container::or_skip() else { return };
    let Some(emulator) = emulator_or_skip() else { return };
    let sim = Sim::quiet();
    let mut times = BTreeMap::new();
    for _ in 0..3 {
        for (with, cache) in [("compiled plugins", "true"), ("a compiler at the start", "false")] {
            let before = heartbeat(&emulator).map(|document| document["fields"]["started_at"].clone());
            let began = Instant::now();
            let host = Running::start(container.command(&sim, &emulator.host()).env("QUOTEGATE_PLUGINS__CACHE", cache));
            eventually("the first heartbeat", || {
                let started = heartbeat(&emulator)?["fields"]["started_at"].clone();
                (Some(started) != before).then_some(())
            });
            times.entry(with).or_insert_with(Vec::new).push(began.elapsed());
            let compiled = host.events("plugin_compile");
            assert_eq!(compiled, if cache == "true" { 0 } else { 2 });
            end(host);
        }
    }
    for (with, mut times) in times {
        times.sort_unstable();
        eprintln!("from start to first heartbeat on one processor, with {with}: {times:?}");
    }
}

#[test]
fn host_names_are_resolved_without_shared_libraries() {
    let Some(container) = Container::or_skip() else { return };
    // All of 127/8 is loopback on Linux, so this disturbs no other name server.
    let Ok(server) = UdpSocket::bind("127.0.53.53:53") else {
        eprintln!("SKIPPED: port 53 is not ours to take");
        return;
    };
    std::fs::write(container.root().join("etc/resolv.conf"), "nameserver 127.0.53.53\n").unwrap();
    let (sim, port) = (Sim::quiet(), free_port());
    std::thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((length, from)) = server.recv_from(&mut question) {
            let _ = server.send_to(&loopback(&question[..length]), from);
        }
    });
    let url = sim.url().replace("127.0.0.1", "stream.alpaca.test");
    let host = Running::start(
        container.command(&sim, &format!("127.0.0.1:{port}")).env("QUOTEGATE_FEED__URL", url).env("DRY_RUN", "1"),
    );
    sim.wait_for_symbols(&["SPY"]);
    end(host);
}

/// Answers a query for an A record with 127.0.0.1, and any other with no records.
fn loopback(question: &[u8]) -> Vec<u8> {
    // After the twelve-byte header come the name, which ends with a zero, the type and the class.
    let name = question[12..].iter().position(|byte| *byte == 0).unwrap() + 13;
    let is_a = question[name..name + 2] == [0, 1];
    let mut answer = question[..2].to_vec();
    answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
    answer.extend(&question[12..name + 4]);
    if is_a {
        answer.extend([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    answer
}
