use serde::Deserialize;

/// The `config` table of the tenant's settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// A spread above this shuts the symbol, in basis points of the midpoint.
    close_above_bps: f64,
    /// Spreads below this open it again,
    open_below_bps: f64,
    /// once this many come in a row.
    #[serde(default = "one")]
    open_after: u32,
}

fn one() -> u32 {
    1
}

/// Settings that make sense.
#[derive(Debug)]
pub(crate) struct Limits {
    pub(crate) close_above_bps: f64,
    pub(crate) open_below_bps: f64,
    pub(crate) open_after: u32,
}

impl Config {
    /// Each error names the bad setting and how to fix it.
    pub(crate) fn check(self) -> Result<Limits, String> {
        let Self { close_above_bps, open_below_bps, open_after } = self;
        if open_below_bps <= 0.0 {
            return Err(format!("open_below_bps = {open_below_bps}: Nothing could open again. Give more than 0."));
        }
        if close_above_bps < open_below_bps {
            return Err(format!(
                "close_above_bps = {close_above_bps}: This is below open_below_bps = {open_below_bps}. Give at least that."
            ));
        }
        if open_after == 0 {
            return Err("open_after = 0: Give 1 or more quotes in a row.".to_owned());
        }
        Ok(Limits { close_above_bps, open_below_bps, open_after })
    }
}
