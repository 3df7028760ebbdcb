use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use quotegate_sim::{Fault, Rate, SimSettings, Simulator, Universe};

use super::{Failure, signals};
use crate::log;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quotegate sim --listen 127.0.0.1:8181
  quotegate sim --symbols 5000 --rate max
  quotegate sim --symbols SPY,AAPL --rate 10 --fault silent

Then point a client at ws://127.0.0.1:8181/v2/iex: any key is accepted.")]
pub(super) struct SimArgs {
    /// Where to listen; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8181")]
    listen: SocketAddr,
    /// How many symbols there are, or their names
    #[arg(long, value_name = "N|LIST", default_value = "100")]
    symbols: Universe,
    /// Quotes a second over all subscribed symbols, or `max`
    #[arg(long, value_name = "Q/S|max", default_value = "1000")]
    rate: Rate,
    /// What to do wrong
    #[arg(long, value_name = "NAME")]
    fault: Option<Fault>,
    /// The same seed gives the same prices
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(super) async fn sim(args: SimArgs) -> Result<ExitCode, Failure> {
    let _log = log::start(log::LogFormat::Auto, "info").map_err(Failure::Usage)?;
    let stop = signals::stop_on_signal()?;
    let settings = SimSettings {
        universe: args.symbols,
        rate: args.rate,
        fault: args.fault,
        seed: args.seed,
        ..SimSettings::default()
    };
    let simulator = Simulator::bind(args.listen, settings)
        .await
        .with_context(|| format!("cannot listen on {}; choose another with --listen", args.listen))?;
    println!("serving ws://{}/v2/iex", simulator.local_addr());
    simulator.run(stop).await;
    Ok(ExitCode::SUCCESS)
}
