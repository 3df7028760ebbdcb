use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use quotegate_ops::{HostState, TenantState};
use quotegate_runtime::liveness::{Liveness, LivenessReport};
use quotegate_runtime::status::RelayState;
use quotegate_runtime::text::{counted, short_duration};

use super::output::{out, outln};
use super::remote::{RemoteArgs, printable};
use super::{Failure, hosts};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quotegate status                                check the host on this machine
  quotegate status 10.0.0.5:8700
  gcloud run services proxy quotegate --port 8700 & quotegate status
  quotegate status --all                          also the other hosts that share its feed
  QUOTEGATE_OPS__TOKEN=… quotegate status --json | jq '.tenants[] | {id, status, reason}'

Exit codes: 0 if the host is LIVE or QUIET and every tenant is running, or if it is a STANDBY that could take over; 1 if \
something is wrong, which is printed, or if the host does not answer; 2 for usage errors. A host is QUIET if all is well \
but the exchange is closed. It is STALE if its \
feed is not connected, after 30 s without a quote, or after two intervals (at least 30 s) without a heartbeat.")]
pub(super) struct StatusArgs {
    #[command(flatten)]
    remote: RemoteArgs,
    /// Also print the other hosts that share the feed: the reader or owner, the workers and the standbys
    #[arg(long, conflicts_with = "json")]
    all: bool,
    /// Print the complete state as JSON, the other hosts included
    #[arg(long)]
    json: bool,
}

pub(super) async fn status(args: StatusArgs) -> Result<ExitCode, Failure> {
    let remote = args.remote.remote()?;
    let (text, state) = remote.state().await?;
    match args.json {
        true => outln!("{text}"),
        false => out!("{}", printable(&summary(&state, args.all))),
    }
    Ok(if state.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn summary(state: &HostState, all_hosts: bool) -> String {
    let mut text = format!("{}  {}\n", state.liveness.state.as_str(), identity(state));
    if let Some(role) = state.role() {
        let _ = writeln!(text, "lease    {role}");
    }
    text.push_str(&shared_work(state));
    if all_hosts {
        text.push_str(&hosts::lines(state));
    }
    let _ = writeln!(text, "feed     {}", feed(state));
    if let Some(gap) = feed_gap(state) {
        let _ = writeln!(text, "gap      {gap}");
    }
    if state.feed.unquoted.count > 0 {
        let _ = writeln!(text, "symbols  wanted, but never quoted: {}", state.feed.unquoted);
    }
    let sink = &state.sink;
    let health = if sink.failing { "failing" } else { "working" };
    let _ = writeln!(
        text,
        "sink     {health}: {} written, {} retried, {} refused",
        sink.written, sink.retried, sink.refused
    );
    let limit = &state.write_limit;
    let _ = writeln!(
        text,
        "writes   at most {}/s, {} of {} tokens left; {} dirty, {} due",
        limit.per_second,
        state.tokens,
        limit.burst,
        state.sum(|tenant| tenant.dirty),
        state.sum(|tenant| tenant.due),
    );
    let (half, most) = (state.confirmed_within(0.5, None), state.confirmed_within(0.99, None));
    let _ = writeln!(text, "latency  half of the writes confirmed in {half}, 99% in {most}, since the start");
    for tenant in &state.tenants {
        text.push_str(&tenant_lines(state, tenant));
    }
    if !state.problems.is_empty() {
        text.push_str("\nproblems:\n");
        for problem in &state.problems {
            let _ = writeln!(text, "  {problem}");
        }
    }
    if !state.recent_errors.is_empty() {
        text.push_str("\nlatest warnings and errors:\n");
        for error in state.recent_errors.iter().take(5) {
            let _ = writeln!(text, "  {} ago  {} {}", state.age(error.time), error.message, error.details);
        }
    }
    text
}

/// The relay and this host's part of the tenants, if there is one.
pub(super) fn shared_work(state: &HostState) -> String {
    let Some(relay) = &state.relay else { return String::new() };
    let url = &relay.counters.connection.url;
    let mut text = match &relay.problem {
        Some(problem) => format!("relay    {problem}\n"),
        None => format!("relay    connected to {url}{}\n", heard(relay)),
    };
    if let Some(shards) = state.shards.as_ref().filter(|_| relay.works()) {
        let (held, all, unassigned) = (shards.holds.len(), shards.shards, shards.unassigned);
        let _ = writeln!(text, "shards   {held} of {all} here, {unassigned} without a worker");
    }
    text
}

/// Whose quotes a worker gets, and how soon.
fn heard(relay: &RelayState) -> String {
    let Some(reader) = &relay.reader else { return String::new() };
    let of = &relay.counters.subscriber;
    let lag = of.max_lag.map_or_else(String::new, |lag| format!(", lag {:.1} ms", lag as f64 / 1e6));
    let (gaps, dropped) = (counted(of.gaps, "gap"), of.old + of.unnamed);
    format!("; the reader is {} (epoch {}){lag}, {gaps}, {dropped} dropped as old", reader.instance, reader.epoch)
}

/// The host's name, version and uptime.
pub(super) fn identity(state: &HostState) -> String {
    let dry_run = if state.dry_run { " · dry run" } else { "" };
    format!("{} · quotegate {} · up {}{dry_run}", state.instance, state.version, state.age(state.started))
}

fn feed(state: &HostState) -> String {
    let feed = &state.feed;
    let last =
        feed.last_received_time.map_or("none yet".to_owned(), |last| format!("the last one {} ago", state.age(last)));
    let reconnects: u64 = feed.retries.values().sum();
    let quiet = match &state.liveness {
        LivenessReport { state: Liveness::Quiet, reason: Some(reason) } => format!("; {reason}"),
        _ => String::new(),
    };
    format!(
        "{} for {}; {}, {last}; {}{quiet}",
        state.connection,
        state.age(feed.since),
        counted(feed.quotes, "quote"),
        counted(reconnects, "reconnect")
    )
}

/// The last time without a connection.
fn feed_gap(state: &HostState) -> Option<String> {
    let gap = state.feed.gap?;
    let cause = gap.cause.as_str();
    Some(match gap.to {
        None => format!("no quotes for {} ({cause}), and it lasts", state.age(gap.from)),
        Some(to) => {
            let lasted = Duration::from_nanos(to.saturating_sub(gap.from).max(0).unsigned_abs());
            format!("no quotes for {} ({cause}), until {} ago", short_duration(lasted), state.age(to))
        }
    })
}

fn tenant_lines(state: &HostState, tenant: &TenantState) -> String {
    let (status, snapshot) = (tenant.status.as_str(), &tenant.snapshot);
    let counters = &snapshot.counters;
    let last = match (&snapshot.last_symbol, snapshot.last_quote_time) {
        (Some(symbol), Some(time)) => format!("; last {symbol} {} ago", state.age(time)),
        _ => String::new(),
    };
    let mut text = format!(
        "tenant {}: {}, {status}; {}, {} written, {} dirty, {} lost{last}\n",
        tenant.id,
        tenant.liveness.state.as_str(),
        counted(counters.quotes, "quote"),
        counters.written,
        counters.dirty,
        counters.lost,
    );
    for plugin in &snapshot.plugins {
        let each = plugin.seconds * 1e6 / plugin.quotes_seen.max(1) as f64;
        let problem = plugin.last_problem.as_ref().map_or_else(String::new, |problem| format!("; {problem}"));
        let _ = writeln!(
            text,
            "  plugin {}: {}; {}, {each:.1} µs each, {}{problem}",
            plugin.name,
            plugin.state.as_str(),
            counted(plugin.quotes_seen, "quote"),
            counted(plugin.failures.values().sum::<u64>(), "failure"),
        );
    }
    text
}
