use std::process::ExitCode;

use anyhow::anyhow;
use clap::Args;
use quotegate_config::{Row, Settings, SettingsError, render};
use quotegate_runtime::host::{start_problems, wiring};
use quotegate_runtime::text::counted;
use serde_json::{Value, json};

use super::Failure;
use super::output::{out, outln};
use super::settings::SettingsArgs;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quotegate check --config config/quotegate.toml
  quotegate check --config config/quotegate.toml --changed     only what differs from the defaults
  quotegate check --json | jq '.settings[] | select(.changed) | {key, value, origin}'
  TENANT_ID=acme quotegate check --set sink.kind=dry-run

Finds everything that keeps `run` from starting and that can be known without connecting: credentials, the project, \
certificates, recordings. Plugins are compiled and started, to check that they accept their configuration. Where nothing \
else names the Google Cloud project, it asks the metadata server, as `run` does. All problems are printed, not only the \
first one.

--json prints one object: {valid, tenants, settings: [{key, value, origin, changed}], switches: [text], \
problems: [{key, value, origin, problem, remedy}]}. Secrets are \"set\" or null.

Exit codes: 0 if the settings are valid, 2 if they are not.")]
pub(super) struct CheckArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Print only the settings that differ from their defaults
    #[arg(long)]
    changed: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn check(args: &CheckArgs) -> Result<ExitCode, Failure> {
    let loaded = match Settings::load(&args.settings.sources(Vec::new())?) {
        Ok(loaded) => loaded,
        Err(errors) if args.json => {
            outln!("{:#}", report(None, &[], &[], &setting_problems(&errors)));
            return Ok(ExitCode::from(2));
        }
        Err(errors) => return Err(Failure::Usage(errors.into())),
    };
    let rows: Vec<&Row> = loaded.rows.iter().filter(|row| row.changed || !args.changed).collect();
    let tenants = loaded.settings.tenants.len();
    let switches: Vec<String> = loaded.settings.switches.state().readings.iter().map(ToString::to_string).collect();
    let problems = start_problems(&loaded.settings).await;
    let is_valid = problems.is_empty();
    if args.json {
        let problems: Vec<_> = problems.iter().map(|problem| json!({ "problem": problem })).collect();
        outln!("{:#}", report(Some(tenants), &rows, &switches, &problems));
        return Ok(if is_valid { ExitCode::SUCCESS } else { ExitCode::from(2) });
    }
    out!("{}", render(rows));
    if !switches.is_empty() {
        outln!("\nswitches:\n  {}", switches.join("\n  "));
    }
    if !is_valid {
        let count = counted(problems.len(), "problem");
        return Err(Failure::Usage(anyhow!("{}\n\n{count}", problems.join("\n"))));
    }
    outln!("\nthe settings are valid: {}", counted(tenants, "tenant"));
    if !loaded.settings.sink.fence {
        outln!("{}", wiring::WITHOUT_FENCE);
    }
    Ok(ExitCode::SUCCESS)
}

fn report(tenants: Option<usize>, rows: &[&Row], switches: &[String], problems: &[Value]) -> Value {
    let setting = |row: &&Row| {
        json!({
            "key": row.key,
            "value": row.json_value(),
            "origin": row.origin.to_string(),
            "changed": row.changed,
        })
    };
    json!({
        "valid": problems.is_empty(),
        "tenants": tenants,
        "settings": rows.iter().map(setting).collect::<Vec<_>>(),
        "switches": switches,
        "problems": problems,
    })
}

fn setting_problems(errors: &SettingsError) -> Vec<Value> {
    let problem = |error: &quotegate_config::SettingError| {
        json!({
            "key": error.key,
            "value": error.value,
            "origin": error.origin.to_string(),
            "problem": error.sentence,
            "remedy": error.remedy,
        })
    };
    errors.iter().map(problem).collect()
}
