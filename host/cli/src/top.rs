use std::collections::VecDeque;
use std::io::{IsTerminal, Write, stdout};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio::time::{MissedTickBehavior, interval};

use super::remote::{PluginState, Remote, RemoteArgs, RemoteState, TenantState, printable};
use super::terminal::{Screen, Style};
use super::{Failure, signals, status};
use quotegate_runtime::liveness::Liveness;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quotegate top                                   the host on this machine; q or Ctrl-C ends it
  quotegate top http://10.0.0.5:8700 --interval 5
  quotegate top --once                            one look, for a script or a report
  quotegate top | tee day.txt                     one look each interval, as plain text

Exit codes: 0 ended by you, or the look succeeded; 1 with --once, nobody answers; 2 bad usage.")]
pub(super) struct TopArgs {
    #[command(flatten)]
    remote: RemoteArgs,
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    interval: Duration,
    /// Look twice, an interval apart, print once, and end
    #[arg(long)]
    once: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let range = 0.1..=3600.0;
    match text.parse::<f64>() {
        Ok(seconds) if range.contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("give a number of seconds from 0.1 to 3600".to_owned()),
    }
}

/// States of the last seconds, for rates; the newest last.
type Past = VecDeque<RemoteState>;
/// Rates are those of so long, or of one interval if that is longer.
const WINDOW: i64 = 5_000_000_000;

type Lines = Vec<(Style, String)>;

pub(super) async fn top(args: TopArgs) -> Result<ExitCode, Failure> {
    let remote = args.remote.remote()?;
    let stop = signals::stop_on_signal()?;
    let mut past = Past::new();
    if args.once {
        look(&remote, &mut past).await?;
        tokio::time::sleep(args.interval).await;
        look(&remote, &mut past).await?;
        print(&view(&past));
        return Ok(ExitCode::SUCCESS);
    }
    let screen = stdout().is_terminal().then(|| Screen::take(stop.clone()));
    let mut ticks = interval(args.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let looked = tokio::select! {
            () = stop.cancelled() => break,
            looked = async { ticks.tick().await; look(&remote, &mut past).await } => looked,
        };
        let lines = match looked {
            Ok(()) => view(&past),
            Err(error) => gone(&past, &error),
        };
        match &screen {
            Some(screen) => screen.show(&lines),
            // Whoever reads has left.
            None if !print(&lines) => break,
            None => {}
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn look(remote: &Remote, past: &mut Past) -> anyhow::Result<()> {
    let (_, state) = remote.state().await?;
    // Another host has other counters.
    if past.back().is_some_and(|last| last.started != state.started) {
        past.clear();
    }
    while past.len() > 1 && past[1].time <= state.time - WINDOW {
        past.pop_front();
    }
    past.push_back(state);
    Ok(())
}

/// False if nobody reads any more.
fn print(lines: &Lines) -> bool {
    let text: String = lines.iter().map(|(_, line)| format!("{}\n", line.trim_end())).collect();
    let mut out = stdout().lock();
    out.write_all(format!("{text}\n").as_bytes()).and_then(|()| out.flush()).is_ok()
}

fn gone(past: &Past, error: &anyhow::Error) -> Lines {
    let mut lines = vec![(Style::Bad, format!("OFFLINE  {}", printable(&format!("{error:#}"))))];
    if !past.is_empty() {
        lines.push((Style::Plain, "what was last known:".to_owned()));
        lines.extend(view(past).into_iter().map(|(_, line)| (Style::Plain, line)));
    }
    lines
}

fn view(past: &Past) -> Lines {
    let (Some(old), Some(now)) = (past.front(), past.back()) else { return Vec::new() };
    let rates = Rates { old, now };
    let style = match now.liveness.state {
        Liveness::Live => Style::Good,
        Liveness::Stale => Style::Poor,
        Liveness::Offline => Style::Bad,
    };
    let mut lines: Lines = vec![(style, format!("{}  {}", now.liveness.state.as_str(), status::identity(now)))];
    lines.extend(overview(&rates).map(|line| (Style::Plain, line)));
    lines.push((Style::Plain, String::new()));
    lines.push((
        Style::Head,
        tenant_row(["TENANT", "", "STATUS", "QUOTES/S", "WRITES/S", "DIRTY", "DUE", "LOST", "LAST"]),
    ));
    lines.extend(now.tenants.iter().map(|tenant| tenant_line(&rates, tenant)));
    if now.tenants.iter().any(|tenant| !tenant.plugins.is_empty()) {
        lines.push((Style::Plain, String::new()));
        lines.push((
            Style::Head,
            plugin_row(["PLUGIN", "STATE", "QUOTES/S", "A QUOTE", "OF A CORE", "MEMORY", "FAILURES"]),
        ));
        for tenant in &now.tenants {
            lines.extend(tenant.plugins.iter().map(|plugin| plugin_line(&rates, tenant, plugin)));
        }
    }
    let problems = now.problems();
    if !problems.is_empty() {
        lines.push((Style::Plain, String::new()));
        lines.extend(problems.into_iter().map(|problem| (Style::Poor, problem)));
    }
    if !now.recent_errors.is_empty() {
        lines.push((Style::Plain, String::new()));
        lines.push((Style::Head, "LAST WARNINGS AND ERRORS".to_owned()));
        lines.extend(now.recent_errors.iter().map(|error| {
            let times = if error.count > 1 { format!(" ({} times)", error.count) } else { String::new() };
            let when = format!("{} ago", now.ago(error.time));
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
        rates.text(|state| Some(state.sum(|tenant| tenant.written) as f64)),
        now.write_limit.per_second,
        now.sum(|tenant| tenant.dirty),
        now.sum(|tenant| tenant.due),
    );
    let sink = format!(
        "sink {}   half of the writes confirmed in {}, 99 % in {}",
        if now.sink.failing { "failing" } else { "works" },
        now.confirmed_within(0.5, since),
        now.confirmed_within(0.99, since),
    );
    [feed, sink]
}

fn tenant_line(rates: &Rates<'_>, tenant: &TenantState) -> (Style, String) {
    let of = |of: fn(&TenantState) -> u64| rates.text(|state| tenant_of(state, &tenant.id).map(|it| of(it) as f64));
    let last = match (&tenant.last_symbol, tenant.last_quote_time) {
        (Some(symbol), Some(time)) => format!("{symbol} {} ago", rates.now.ago(time)),
        _ => "-".to_owned(),
    };
    let well = tenant.liveness.state == Liveness::Live && tenant.status == "running";
    let cells = [
        &tenant.id,
        tenant.liveness.state.as_str(),
        &tenant.status,
        &of(|tenant| tenant.quotes),
        &of(|tenant| tenant.written),
        &tenant.dirty.to_string(),
        &tenant.due.to_string(),
        &tenant.lost.to_string(),
        &last,
    ];
    (if well { Style::Plain } else { Style::Poor }, tenant_row(cells))
}

fn tenant_row(cells: [&str; 9]) -> String {
    let [id, live, status, quotes, writes, dirty, due, lost, last] = cells;
    format!("{id:<20} {live:<7} {status:<9} {quotes:>8} {writes:>8} {dirty:>6} {due:>6} {lost:>6}  {last}")
}

fn plugin_line(rates: &Rates<'_>, tenant: &TenantState, plugin: &PluginState) -> (Style, String) {
    let of = |state: &RemoteState, of: fn(&PluginState) -> f64| plugin_of(state, &tenant.id, &plugin.name).map(of);
    let quotes = rates.text(|state| of(state, |plugin| plugin.quotes_seen as f64));
    let core = rates.rate(|state| of(state, |plugin| plugin.seconds));
    let cells = [
        &format!("{}/{}", tenant.id, plugin.name),
        &plugin.state,
        &quotes,
        &format!("{:.1} µs", plugin.seconds * 1e6 / plugin.quotes_seen.max(1) as f64),
        &core.map_or("-".to_owned(), |core| format!("{:.1} %", core * 100.0)),
        &format!("{:.1} MiB", plugin.memory_bytes as f64 / 1_048_576.0),
        &plugin.failed().to_string(),
    ];
    (if plugin.state == "ready" { Style::Plain } else { Style::Poor }, plugin_row(cells.map(String::as_str)))
}

fn plugin_row(cells: [&str; 7]) -> String {
    let [name, state, quotes, each, core, memory, failures] = cells;
    format!("{name:<28} {state:<11} {quotes:>8} {each:>10} {core:>9} {memory:>10} {failures:>8}")
}

fn tenant_of<'a>(state: &'a RemoteState, id: &str) -> Option<&'a TenantState> {
    state.tenants.iter().find(|tenant| tenant.id == id)
}

fn plugin_of<'a>(state: &'a RemoteState, tenant: &str, name: &str) -> Option<&'a PluginState> {
    tenant_of(state, tenant)?.plugins.iter().find(|plugin| plugin.name == name)
}

struct Rates<'a> {
    old: &'a RemoteState,
    now: &'a RemoteState,
}

impl Rates<'_> {
    /// How much a counter grew in a second; `None` if that is not known yet.
    fn rate(&self, counter: impl Fn(&RemoteState) -> Option<f64>) -> Option<f64> {
        let seconds = (self.now.time - self.old.time) as f64 / 1e9;
        let grown = counter(self.now)? - counter(self.old)?;
        (seconds > 0.0).then(|| grown.max(0.0) / seconds)
    }

    fn text(&self, counter: impl Fn(&RemoteState) -> Option<f64>) -> String {
        match self.rate(counter) {
            None => "-".to_owned(),
            Some(rate) if rate < 10.0 => format!("{rate:.1}"),
            Some(rate) => format!("{rate:.0}"),
        }
    }
}
