use std::collections::VecDeque;
use std::io::{IsTerminal, Write, stdout};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use quotegate_ops::{HostState, TenantState};
use quotegate_pipeline::tenant::TenantCounters;
use quotegate_plugin::{PluginSnapshot, PluginState};
use quotegate_runtime::liveness::Liveness;
use quotegate_runtime::status::IngestStatus;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::remote::{Remote, RemoteArgs, printable};
use super::terminal::{Screen, Style};
use super::{Failure, signals, status};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quotegate top                                   watch the host on this machine; q or Ctrl-C quits
  quotegate top 10.0.0.5:8700 --interval 5
  quotegate top --once                            print once, for a script or a report
  quotegate top | tee day.txt                     print once per interval, as plain text

Exit codes: 0 if it was quit, or printed with --once; 1 if the host does not answer with --once; 2 for usage errors.")]
pub(super) struct TopArgs {
    #[command(flatten)]
    remote: RemoteArgs,
    /// Seconds between updates
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    interval: Duration,
    /// Measure for one interval, print once, and exit
    #[arg(long)]
    once: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let range = 0.1..=3600.0;
    match text.parse::<f64>() {
        Ok(seconds) if range.contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("must be a number of seconds from 0.1 to 3600".to_owned()),
    }
}

/// The states of the last seconds, for rates. Newest last.
type Past = VecDeque<HostState>;
/// Rates cover this many nanoseconds, or one interval if that is longer.
const WINDOW: i64 = 5_000_000_000;

type Lines = Vec<(Style, String)>;

pub(super) async fn top(args: TopArgs) -> Result<ExitCode, Failure> {
    let remote = args.remote.remote()?;
    let stop = signals::stop_on_signal()?;
    let mut past = Past::new();
    if args.once {
        poll(&remote, &mut past).await?;
        tokio::time::sleep(args.interval).await;
        poll(&remote, &mut past).await?;
        print(&view(&past));
        return Ok(ExitCode::SUCCESS);
    }
    let screen = stdout().is_terminal().then(|| Screen::take(stop.clone()));
    let mut answered = Instant::now();
    let mut ticks = interval(args.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let polled = tokio::select! {
            () = stop.cancelled() => break,
            polled = async { ticks.tick().await; poll_soon(&remote, &mut past).await } => polled,
        };
        let lines = match polled {
            Ok(()) => {
                answered = Instant::now();
                view(&past)
            }
            Err(error) => offline_view(&past, answered.elapsed(), &error),
        };
        match &screen {
            Some(screen) => screen.show(&lines),
            // The pipe's reader is gone.
            None if !print(&lines) => break,
            None => {}
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The same as [`poll`], but a host that hangs must not look alive until the request times out.
async fn poll_soon(remote: &Remote, past: &mut Past) -> anyhow::Result<()> {
    const PATIENCE: Duration = Duration::from_secs(3);
    let hangs = |_| Err(anyhow::anyhow!("no answer for {} s", PATIENCE.as_secs()));
    timeout(PATIENCE, poll(remote, past)).await.unwrap_or_else(hangs)
}

async fn poll(remote: &Remote, past: &mut Past) -> anyhow::Result<()> {
    let (_, state) = remote.state().await?;
    // After a restart, counters begin again.
    if past.back().is_some_and(|last| last.started != state.started) {
        past.clear();
    }
    while past.len() > 1 && past[1].time <= state.time - WINDOW {
        past.pop_front();
    }
    past.push_back(state);
    Ok(())
}

/// False if nobody reads the output any more.
fn print(lines: &Lines) -> bool {
    let text: String = lines.iter().map(|(_, line)| format!("{}\n", line.trim_end())).collect();
    let mut out = stdout().lock();
    out.write_all(format!("{text}\n").as_bytes()).and_then(|()| out.flush()).is_ok()
}

/// What is known of a host that does not answer, `silence` after its last answer.
fn offline_view(past: &Past, silence: Duration, error: &anyhow::Error) -> Lines {
    let mut lines = vec![(Style::Bad, format!("OFFLINE  {}", printable(&format!("{error:#}"))))];
    if let Some(last) = past.back() {
        lines.push((Style::Plain, "last known state:".to_owned()));
        // Without earlier states, so without rates.
        let last = Past::from([gone(last.clone(), silence)]);
        lines.extend(view(&last).into_iter().map(|(_, line)| (Style::Plain, line)));
    }
    lines
}

/// The last state of a host, without what is certainly no longer true.
fn gone(mut last: HostState, silence: Duration) -> HostState {
    last.time += i64::try_from(silence.as_nanos()).unwrap_or(0);
    last.connection = "unknown".into();
    last.liveness.state = Liveness::Offline;
    for tenant in &mut last.tenants {
        tenant.liveness.state = Liveness::Offline;
    }
    last
}

fn view(past: &Past) -> Lines {
    let (Some(old), Some(now)) = (past.front(), past.back()) else { return Vec::new() };
    let rates = Rates { old, now };
    let style = match now.liveness.state {
        Liveness::Live | Liveness::Standby => Style::Good,
        Liveness::Quiet => Style::Plain,
        Liveness::Stale => Style::Warning,
        Liveness::Offline => Style::Bad,
    };
    let mut lines: Lines = vec![(style, format!("{}  {}", now.liveness.state.as_str(), status::identity(now)))];
    lines.extend(now.role().map(|role| (Style::Plain, format!("lease {role}"))));
    let single_spaced = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    lines.extend(status::shared_work(now).lines().map(|line| (Style::Plain, single_spaced(line))));
    lines.extend(overview(&rates).map(|line| (Style::Plain, line)));
    lines.push((Style::Plain, String::new()));
    lines.push((
        Style::Heading,
        tenant_row(["TENANT", "", "STATUS", "QUOTES/S", "WRITES/S", "DIRTY", "DUE", "LOST", "LAST"]),
    ));
    lines.extend(now.tenants.iter().map(|tenant| tenant_line(&rates, tenant)));
    if now.tenants.iter().any(|tenant| !tenant.snapshot.plugins.is_empty()) {
        lines.push((Style::Plain, String::new()));
        lines.push((
            Style::Heading,
            plugin_row(["PLUGIN", "STATE", "QUOTES/S", "PER QUOTE", "CPU", "MEMORY", "FAILURES"]),
        ));
        for tenant in &now.tenants {
            lines.extend(tenant.snapshot.plugins.iter().map(|plugin| plugin_line(&rates, tenant, plugin)));
        }
    }
    if !now.problems.is_empty() {
        lines.push((Style::Plain, String::new()));
        lines.extend(now.problems.iter().map(|problem| (Style::Warning, problem.clone())));
    }
    if !now.recent_errors.is_empty() {
        lines.push((Style::Plain, String::new()));
        lines.push((Style::Heading, "LATEST WARNINGS AND ERRORS".to_owned()));
        lines.extend(now.recent_errors.iter().map(|error| {
            let times = if error.count > 1 { format!(" ({} times)", error.count) } else { String::new() };
            let when = format!("{} ago", now.age(error.time));
            (Style::Plain, format!("{when:<11} {:<8} {} {}{times}", error.severity, error.message, error.details))
        }));
    }
    lines.into_iter().map(|(style, line)| (style, printable(&line).replace('\n', " "))).collect()
}

fn overview(rates: &Rates<'_>) -> [String; 2] {
    let now = rates.now;
    let since = Some(&rates.old.tick_to_commit);
    let feed = format!(
        "feed {} {} quotes/s   writes {}/s of {}/s   {} dirty, {} due",
        now.connection,
        rates.text(|state| Some(state.feed.quotes as f64)),
        rates.text(|state| Some(state.sum(|counters| counters.written) as f64)),
        now.write_limit.per_second,
        now.sum(|counters| counters.dirty),
        now.sum(|counters| counters.due),
    );
    let sink = format!(
        "sink {}   half of the writes confirmed in {}, 99% in {}",
        if now.sink.failing { "failing" } else { "working" },
        now.confirmed_within(0.5, since),
        now.confirmed_within(0.99, since),
    );
    [feed, sink]
}

fn tenant_line(rates: &Rates<'_>, tenant: &TenantState) -> (Style, String) {
    let TenantState { snapshot, liveness, .. } = tenant;
    let counters = &snapshot.counters;
    let rate = |of: fn(&TenantCounters) -> u64| {
        rates.text(|state| find_tenant(state, &tenant.id).map(|found| of(&found.snapshot.counters) as f64))
    };
    let last = match (&snapshot.last_symbol, snapshot.last_quote_time) {
        (Some(symbol), Some(time)) => format!("{symbol} {} ago", rates.now.age(time)),
        _ => "-".to_owned(),
    };
    let well = liveness.state.is_well() && matches!(tenant.status, IngestStatus::Running | IngestStatus::Standby);
    let cells = [
        &tenant.id,
        liveness.state.as_str(),
        tenant.status.as_str(),
        &rate(|counters| counters.quotes),
        &rate(|counters| counters.written),
        &counters.dirty.to_string(),
        &counters.due.to_string(),
        &counters.lost.to_string(),
        &last,
    ];
    (if well { Style::Plain } else { Style::Warning }, tenant_row(cells))
}

fn tenant_row(cells: [&str; 9]) -> String {
    let [id, live, status, quotes, writes, dirty, due, lost, last] = cells;
    format!("{id:<20} {live:<7} {status:<9} {quotes:>8} {writes:>8} {dirty:>6} {due:>6} {lost:>6}  {last}")
}

fn plugin_line(rates: &Rates<'_>, tenant: &TenantState, plugin: &PluginSnapshot) -> (Style, String) {
    let find = |state: &HostState, of: fn(&PluginSnapshot) -> f64| find_plugin(state, &tenant.id, &plugin.name).map(of);
    let quotes = rates.text(|state| find(state, |plugin| plugin.quotes_seen as f64));
    let cpu = rates.rate(|state| find(state, |plugin| plugin.seconds));
    let cells = [
        &format!("{}/{}", tenant.id, plugin.name),
        plugin.state.as_str(),
        &quotes,
        &format!("{:.1} µs", plugin.seconds * 1e6 / plugin.quotes_seen.max(1) as f64),
        &cpu.map_or("-".to_owned(), |cpu| format!("{:.1}%", cpu * 100.0)),
        &format!("{:.1} MiB", plugin.memory_bytes as f64 / 1_048_576.0),
        &plugin.failures.values().sum::<u64>().to_string(),
    ];
    (if plugin.state == PluginState::Ready { Style::Plain } else { Style::Warning }, plugin_row(cells))
}

fn plugin_row(cells: [&str; 7]) -> String {
    let [name, state, quotes, each, cpu, memory, failures] = cells;
    format!("{name:<28} {state:<11} {quotes:>8} {each:>10} {cpu:>9} {memory:>10} {failures:>8}")
}

fn find_tenant<'a>(state: &'a HostState, id: &str) -> Option<&'a TenantState> {
    state.tenants.iter().find(|tenant| tenant.id == id)
}

fn find_plugin<'a>(state: &'a HostState, tenant: &str, name: &str) -> Option<&'a PluginSnapshot> {
    find_tenant(state, tenant)?.snapshot.plugins.iter().find(|plugin| plugin.name == name)
}

struct Rates<'a> {
    old: &'a HostState,
    now: &'a HostState,
}

impl Rates<'_> {
    /// How much a counter grew per second. `None` if that is not known yet.
    fn rate(&self, counter: impl Fn(&HostState) -> Option<f64>) -> Option<f64> {
        let seconds = (self.now.time - self.old.time) as f64 / 1e9;
        let grown = counter(self.now)? - counter(self.old)?;
        (seconds > 0.0).then(|| grown.max(0.0) / seconds)
    }

    fn text(&self, counter: impl Fn(&HostState) -> Option<f64>) -> String {
        match self.rate(counter) {
            None => "-".to_owned(),
            Some(rate) if rate < 10.0 => format!("{rate:.1}"),
            Some(rate) => format!("{rate:.0}"),
        }
    }
}
