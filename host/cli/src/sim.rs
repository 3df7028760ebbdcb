use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::anyhow;
use clap::Args;
use quotegate_io::listen_problem;
use quotegate_recording::{Header, Payload, RecordedFrame, RecordingWriter};
use quotegate_runtime::log;
use quotegate_runtime::text::counted;
use quotegate_sim::{Fault, Rate, Scenario, SimSettings, Simulator, Universe};

use super::output::outln;
use super::overwrite::Overwrite;
use super::{Failure, signals};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quotegate sim --listen 127.0.0.1:8181
  quotegate sim --symbols 5000 --rate max
  quotegate sim --symbols SPY,AAPL --rate 10 --fault silent
  quotegate sim --scenario opening-bell
  quotegate sim --scenario opening-bell --out bell.jsonl.zst

Point a client at ws://127.0.0.1:8181/v2/iex. Any key is accepted. The latest quotes and snapshots of Alpaca's REST are \
served at http://127.0.0.1:8181. A scenario starts from the beginning for each client, \
with current times. In a file, it has the times of its own day, and the same seed gives the same frames.")]
pub(super) struct SimArgs {
    /// The address to listen on; port 0 picks a free port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8181")]
    listen: SocketAddr,
    /// The number of symbols, or their names
    #[arg(long, value_name = "N|LIST", default_value = "100")]
    symbols: Universe,
    /// Quotes per second over all subscribed symbols, above 0, or `max`
    #[arg(long, value_name = "Q/S|max", default_value = "1000", allow_negative_numbers = true)]
    rate: Rate,
    /// Play a scenario with its own symbols and times: opening-bell
    #[arg(long, value_name = "NAME", conflicts_with_all = ["symbols", "rate"])]
    scenario: Option<Scenario>,
    /// Write the scenario to a file, as `record` does, instead of serving it; compressed if its name ends in .zst
    #[arg(long, value_name = "FILE", requires = "scenario", conflicts_with_all = ["listen", "fault"])]
    out: Option<PathBuf>,
    #[command(flatten)]
    overwrite: Overwrite,
    /// Inject a fault
    #[arg(long, value_name = "NAME")]
    fault: Option<Fault>,
    /// The same seed gives the same prices
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(super) async fn sim(args: SimArgs) -> Result<ExitCode, Failure> {
    if let (Some(scenario), Some(out)) = (args.scenario, &args.out) {
        args.overwrite.check(out)?;
        let (frames, quotes) = write(scenario, args.seed, out)?;
        outln!("{} in {} in {}", counted(quotes, "quote"), counted(frames, "frame"), out.display());
        return Ok(ExitCode::SUCCESS);
    }
    if args.scenario.is_some() && args.fault == Some(Fault::HugeFrame) {
        return Err(Failure::Usage(anyhow!("quotegate: a scenario has no huge frames; omit --fault or --scenario")));
    }
    let _log = log::start(quotegate_config::LogFormat::Auto, "info").map_err(Failure::Usage)?;
    let stop = signals::stop_and_say("clients are disconnected")?;
    let settings = SimSettings {
        universe: args.symbols,
        rate: args.rate,
        scenario: args.scenario,
        fault: args.fault,
        seed: args.seed,
        ..SimSettings::default()
    };
    let simulator = Simulator::bind(args.listen, settings)
        .await
        .map_err(|error| anyhow!("--listen: could not listen on {}: {}", args.listen, listen_problem(&error)))?;
    outln!("serving ws://{}/v2/iex", simulator.local_addr());
    simulator.run(stop).await;
    Ok(ExitCode::SUCCESS)
}

/// Writes what a client that subscribed to everything would have recorded. Returns the numbers of frames and quotes.
fn write(scenario: Scenario, seed: u64, out: &Path) -> anyhow::Result<(usize, usize)> {
    let began = scenario.begins();
    let mut writer = RecordingWriter::create(out, &Header::started_at("sim", "json", began))?;
    let names: Vec<String> = scenario.symbols().iter().map(|symbol| format!("\"{symbol}\"")).collect();
    let controls = [
        r#"[{"T":"success","msg":"connected"}]"#.to_owned(),
        r#"[{"T":"success","msg":"authenticated"}]"#.to_owned(),
        format!(r#"[{{"T":"subscription","quotes":[{}]}}]"#, names.join(",")),
    ];
    let controls = (0..).zip(controls).map(|(at, text)| (began + at, text));
    let (mut frames, mut quotes) = (0, 0);
    let played = scenario.frames(seed).map(|frame| {
        frames += 1;
        quotes += frame.quotes.len();
        (frame.received_time, frame.json())
    });
    for (received_time, text) in controls.chain(played) {
        writer.write(&RecordedFrame { received_time, payload: Payload::Text(text) })?;
    }
    writer.finish()?;
    Ok((frames, quotes))
}
