use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::anyhow;
use clap::Args;
use quotegate_pipeline::simulation::NullObserver;
use quotegate_recording::Recording;
use quotegate_runtime::estimate::{
    Estimate, LimitedBy, MIN_SECONDS, RelayEstimate, TenantEstimate, WireRate, Writes, estimate, relay_traffic,
};
use quotegate_runtime::simulation::{simulate, simulated_tenants};
use quotegate_runtime::text::counted;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::Failure;
use super::output::{out, outln};
use super::settings::{SettingsArgs, offline};

/// The price of 100,000 document writes in dollars, in a single US region and Firestore's standard edition, and its date.
/// Multi-region locations cost twice as much.
const PRICE: f64 = 0.09;
const PRICE_DATE: &str = "2026-11-23";

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quotegate estimate --config config/quotegate.toml
  quotegate estimate --config config/quotegate.toml --recording monday.jsonl.zst --json
  quotegate estimate --config config/quotegate.toml --recording monday.jsonl.zst --workers 3
  TENANT_ID=acme quotegate estimate --set pace.writes_per_second=5 --price-per-100k 0.18

The highest number is what intervals and rates allow in the long run. The likely number needs a recording (see quotegate \
record). It is simulated with the tenants' filters, maps, intervals and limits, as if Firestore answered at once and no \
tenant were paused, and scaled to a day. It writes nothing and does not connect to anything.")]
pub(super) struct EstimateArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// A file of `quotegate record`, for the likely number
    #[arg(long, value_name = "FILE")]
    recording: Option<PathBuf>,
    /// The price of 100,000 document writes in the database's location, in dollars
    #[arg(long, value_name = "DOLLARS", default_value_t = PRICE, value_parser = price)]
    price_per_100k: f64,
    /// Share the tenants among this many workers over a relay (relay.url): what that writes, and with a recording, what it sends
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

fn price(text: &str) -> Result<f64, String> {
    let price: f64 = text.parse().map_err(|_| "must be a number of dollars, such as 0.18".to_owned())?;
    if price.is_finite() && price >= 0.0 { Ok(price) } else { Err("must be 0 or more".to_owned()) }
}

pub(super) async fn run(args: EstimateArgs) -> Result<ExitCode, Failure> {
    let loaded = args.settings.load_with(offline("estimate"))?;
    let settings = &loaded.settings;
    let report = match &args.recording {
        Some(path) => {
            let recording = Recording::open(path).map_err(anyhow::Error::from)?;
            let (tenants, limit) = simulated_tenants(settings).await?;
            let report = simulate(tenants, limit, recording, &mut NullObserver, CancellationToken::new()).await?;
            let (path, seconds) = (path.display(), report.seconds);
            if seconds < MIN_SECONDS {
                let problem = "too little to estimate a day; record at least some minutes";
                return Err(anyhow!("{path} covers {seconds:.3} s, {problem}").into());
            }
            Some(report)
        }
        None => None,
    };
    let mut estimate = estimate(settings, report.as_ref(), args.workers);
    if let (Some(workers), Some(path), Some(report)) = (args.workers, &args.recording, &report) {
        let recording = Recording::open(path).map_err(anyhow::Error::from)?;
        estimate.relay = Some(relay_traffic(settings, workers, recording, report.seconds).await?);
    }
    if args.json {
        outln!("{}", as_json(&estimate, args.price_per_100k));
    } else {
        out!("{}", as_text(&estimate, args.price_per_100k));
    }
    Ok(ExitCode::SUCCESS)
}

/// Where the price comes from.
fn price_source(price: f64) -> String {
    if price.to_bits() == PRICE.to_bits() {
        format!("the price in a single US region as of {PRICE_DATE}; --price-per-100k changes it")
    } else {
        "the price given with --price-per-100k".to_owned()
    }
}

fn as_json(estimate: &Estimate, price: f64) -> serde_json::Value {
    let cost = |writes: Writes| {
        let [session, day] = writes.cost(price);
        json!({"session": session, "day": day})
    };
    json!({
        "estimate": estimate,
        "price_per_100k": price,
        "price_source": price_source(price),
        "highest_cost": cost(estimate.highest),
        "likely_cost": estimate.likely.map(cost),
    })
}

fn as_text(estimate: &Estimate, price: f64) -> String {
    let mut text = format!("{:<58}{:>16}{:>16}\n", "document writes per day", "in 6.5 h", "in 24 h");
    let mut row = |name: String, [session, day]: [String; 2]| {
        let _ = writeln!(text, "{name:<58}{session:>16}{day:>16}");
    };
    for tenant in &estimate.tenants {
        row(format!("{}: at most ({})", tenant.id, reason(tenant)), numbers(tenant.highest));
        if let Some(likely) = tenant.likely {
            row(format!("{}: likely", tenant.id), numbers(likely));
        }
    }
    let limit = format!("all tenants: at most (limit {} per second)", estimate.global_writes_per_second);
    row(limit, numbers(estimate.highest_quotes));
    row("heartbeats, day and night".to_owned(), [grouped(estimate.heartbeats), grouped(estimate.heartbeats)]);
    if estimate.lease_renewals > 0 {
        let renewals = grouped(estimate.lease_renewals);
        row("renewals of the lease, day and night".to_owned(), [renewals.clone(), renewals]);
    }
    if estimate.worker_renewals > 0 {
        let renewals = grouped(estimate.worker_renewals);
        row("renewals of the workers' leases, day and night".to_owned(), [renewals.clone(), renewals]);
    }
    row("total: at most".to_owned(), numbers(estimate.highest));
    row("cost: at most".to_owned(), dollars(estimate.highest, price));
    if let Some(likely) = estimate.likely {
        row("total: likely".to_owned(), numbers(likely));
        row("cost: likely".to_owned(), dollars(likely, price));
    }
    let _ = writeln!(
        text,
        "\n6.5 h: quotes only in the regular session of the US stock exchanges. 24 h: quotes day and night."
    );
    let _ = writeln!(text, "${price} per 100,000 writes: {}.", price_source(price));
    let _ = writeln!(text, "The free quota of 20,000 writes per day in one database is not subtracted.");
    if estimate.control_reads > 0 {
        let _ = writeln!(
            text,
            "ops/ingest_control is also read {} times per day. Reads have their own price.",
            grouped(estimate.control_reads)
        );
    }
    if estimate.reports_per_host > 0 {
        let reports = grouped(estimate.reports_per_host);
        let _ = writeln!(text, "Each host that shares the lease also writes a report {reports} times per day.");
    }
    if estimate.worker_renewals > 0 {
        let renewals = grouped(estimate.worker_renewals);
        let _ = writeln!(
            text,
            "Each host that can own the feed also reads the workers' renewals, {renewals} times per day."
        );
    }
    if let Some(relay) = &estimate.relay {
        text.push_str(&relay_lines(relay));
    }
    let _ = text.write_str(&fence_reads(estimate));
    let _ = match estimate.recorded_seconds {
        Some(seconds) => writeln!(text, "Likely: the rate of the {seconds:.1} s in the recording, for the whole day."),
        None => writeln!(
            text,
            "The likely number is not known without a recording: make one with `quotegate record`, and pass it with --recording."
        ),
    };
    text
}

/// What a relay carries.
fn relay_lines(relay: &RelayEstimate) -> String {
    let rate = |rate: WireRate| format!("{} ({} with zstd)", bytes(rate.raw), bytes(rate.zstd));
    format!(
        "Relay: for {:.0} quotes per second, the reader sends {} to the broker,\n\
         and the broker {} to {}, at most {} to one. relay.compression chooses.\n",
        relay.quotes_per_second,
        rate(relay.published),
        rate(relay.delivered),
        counted(relay.workers, "worker"),
        rate(relay.busiest_worker),
    )
}

fn bytes(per_second: f64) -> String {
    match per_second {
        small if small < 1e5 => format!("{:.1} kB/s", small / 1e3),
        large => format!("{:.1} MB/s", large / 1e6),
    }
}

/// What the fence reads.
fn fence_reads(estimate: &Estimate) -> String {
    let unknown = estimate.tenants.iter().any(|tenant| tenant.start_reads.is_none());
    let more = if unknown { ", and each document of the tenants with every symbol" } else { "" };
    match estimate.start_reads {
        0 if !unknown => String::new(),
        reads => format!(
            "The fence (sink.fence) reads {}{more} once after each start, and a document again when someone else has changed \
             it.\n",
            counted(reads, "document")
        ),
    }
}

fn reason(tenant: &TenantEstimate) -> String {
    match tenant.limited_by {
        LimitedBy::GlobalRate => "the limit of all tenants".to_owned(),
        LimitedBy::OwnRate => "its own limit".to_owned(),
        LimitedBy::Symbols => {
            let (symbols, seconds) = (tenant.symbols.unwrap_or_default(), tenant.interval_seconds);
            let documents = match tenant.documents_per_quote {
                1 => String::new(),
                many => format!(", {many} documents per quote"),
            };
            format!("{}, once every {seconds} s{documents}", counted(symbols, "symbol"))
        }
    }
}

fn numbers(writes: Writes) -> [String; 2] {
    [grouped(writes.session), grouped(writes.day)]
}

fn dollars(writes: Writes, price: f64) -> [String; 2] {
    writes.cost(price).map(|cost| format!("${cost:.2}"))
}

/// With thousands separators.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated_by_commas() {
        assert_eq!([0, 999, 1000, 172_800, 1_234_567].map(grouped), ["0", "999", "1,000", "172,800", "1,234,567"]);
    }

    #[test]
    fn a_price_is_a_finite_number_of_at_least_0() {
        assert_eq!(price("0.18"), Ok(0.18));
        for bad in ["-1", "inf", "NaN", "cheap"] {
            assert!(price(bad).is_err(), "{bad}");
        }
    }
}
