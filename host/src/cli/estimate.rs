use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::anyhow;
use clap::Args;
use quotegate_recording::Recording;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::Failure;
use super::settings::{SettingsArgs, setting};
use crate::estimate::{Estimate, LimitedBy, SHORTEST, TenantEstimate, Writes, estimate};
use crate::simulate::{simulate, simulated_tenants};
use crate::simulation::NullObserver;

/// What 100,000 document writes cost in a single US region, in dollars, and when that was looked up. Firestore's
/// standard edition; multi-region locations were twice that.
const PRICE: f64 = 0.09;
const PRICE_OF: &str = "2026-11-23";

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quotegate estimate --config config/quotegate.toml
  quotegate estimate --config config/quotegate.toml --recording monday.jsonl.zst --json
  TENANT_ID=acme quotegate estimate --set pace.writes_per_second=5 --price-per-100k 0.18

The highest number is what intervals and rates allow in the long run. The likely one needs a recording (quotegate
record): it is played through the tenants' own filters, maps, intervals and limits in its own time, as if Firestore
answered at once and nobody were paused, and scaled to a day. Writes nothing and connects nowhere.")]
pub(super) struct EstimateArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Frames of `quotegate record`, from which the likely number comes
    #[arg(long, value_name = "FILE")]
    recording: Option<PathBuf>,
    /// What 100,000 document writes cost where the database is, in dollars
    #[arg(long, value_name = "DOLLARS", default_value_t = PRICE, value_parser = price)]
    price_per_100k: f64,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

fn price(text: &str) -> Result<f64, String> {
    let price: f64 = text.parse().map_err(|_| "a number of dollars such as 0.18 is wanted".to_owned())?;
    if price.is_finite() && price >= 0.0 { Ok(price) } else { Err("a price is 0 or more".to_owned()) }
}

pub(super) async fn run(args: EstimateArgs) -> Result<ExitCode, Failure> {
    // No credentials are needed to count.
    let loaded = args.settings.load_with(vec![setting("sink.kind", "dry-run", "estimate")])?;
    let settings = &loaded.settings;
    let report = match &args.recording {
        Some(path) => {
            let recording = Recording::open(path).map_err(anyhow::Error::from)?;
            let (tenants, limit) = simulated_tenants(settings).await?;
            let report = simulate(tenants, limit, recording, &mut NullObserver, CancellationToken::new()).await?;
            let (path, seconds) = (path.display(), report.seconds);
            if seconds < SHORTEST {
                let problem = "which says nothing about a day; record at least some minutes";
                return Err(anyhow!("{path} covers {seconds:.3} s, {problem}").into());
            }
            Some(report)
        }
        None => None,
    };
    let estimate = estimate(settings, report.as_ref());
    if args.json {
        println!("{}", as_json(&estimate, args.price_per_100k));
    } else {
        print!("{}", as_text(&estimate, args.price_per_100k));
    }
    Ok(ExitCode::SUCCESS)
}

/// Where the price comes from.
fn price_source(price: f64) -> String {
    if price.to_bits() == PRICE.to_bits() {
        format!("the price of a single US region as of {PRICE_OF}; --price-per-100k sets another")
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
    let mut text = format!("{:<58}{:>16}{:>16}\n", "document writes a day", "in 6.5 h", "in 24 h");
    let mut row = |name: String, [session, day]: [String; 2]| {
        let _ = writeln!(text, "{name:<58}{session:>16}{day:>16}");
    };
    for tenant in &estimate.tenants {
        row(format!("{}: at most ({})", tenant.id, reason(tenant)), numbers(tenant.highest));
        if let Some(likely) = tenant.likely {
            row(format!("{}: likely", tenant.id), numbers(likely));
        }
    }
    let limit = format!("all tenants: at most (limit {} a second)", estimate.global_writes_per_second);
    row(limit, numbers(estimate.highest_quotes));
    row("heartbeats, day and night".to_owned(), [grouped(estimate.heartbeats), grouped(estimate.heartbeats)]);
    row("together: at most".to_owned(), numbers(estimate.highest));
    row("cost: at most".to_owned(), dollars(estimate.highest, price));
    if let Some(likely) = estimate.likely {
        row("together: likely".to_owned(), numbers(likely));
        row("cost: likely".to_owned(), dollars(likely, price));
    }
    let _ =
        writeln!(text, "\n6.5 h: quotes in the regular session of the US stock exchanges only; 24 h: day and night.");
    let _ = writeln!(text, "${price} for 100,000 writes: {}.", price_source(price));
    let _ = writeln!(text, "Of one database 20,000 writes a day are free, which is not taken off here.");
    if estimate.control_reads > 0 {
        let _ = writeln!(
            text,
            "ops/ingest_control is read {} times a day, which is priced apart.",
            grouped(estimate.control_reads)
        );
    }
    let _ = match estimate.recorded_seconds {
        Some(seconds) => writeln!(text, "Likely: as in the {seconds:.1} s of the recording, all day."),
        None => writeln!(
            text,
            "The likely number is not known without a recording: make one with `quotegate record`, pass --recording."
        ),
    };
    text
}

fn reason(tenant: &TenantEstimate) -> String {
    match tenant.limited_by {
        LimitedBy::GlobalRate => "the limit of all tenants".to_owned(),
        LimitedBy::OwnRate => "its own limit".to_owned(),
        LimitedBy::Symbols => {
            let (symbols, seconds) = (tenant.symbols.unwrap_or_default(), tenant.interval_seconds);
            let plural = if symbols == 1 { "" } else { "s" };
            let documents = match tenant.documents_per_quote {
                1 => String::new(),
                many => format!(", {many} documents a quote"),
            };
            format!("{symbols} symbol{plural}, each {seconds} s{documents}")
        }
    }
}

fn numbers(writes: Writes) -> [String; 2] {
    [grouped(writes.session), grouped(writes.day)]
}

fn dollars(writes: Writes, price: f64) -> [String; 2] {
    writes.cost(price).map(|cost| format!("${cost:.2}"))
}

/// With commas between the thousands.
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
    fn thousands_are_set_apart() {
        assert_eq!([0, 999, 1000, 172_800, 1_234_567].map(grouped), ["0", "999", "1,000", "172,800", "1,234,567"]);
    }

    #[test]
    fn a_price_is_a_number_that_can_be_paid() {
        assert_eq!(price("0.18"), Ok(0.18));
        for bad in ["-1", "inf", "NaN", "cheap"] {
            assert!(price(bad).is_err(), "{bad}");
        }
    }
}
