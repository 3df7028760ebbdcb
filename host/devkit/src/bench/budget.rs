use std::fmt;
use std::str::FromStr;

use super::{BUDGET_BATCH, BenchReport, Cost};

/// What can have a budget: whatever is the same on every machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Fuel per quote of the filter in calls of 64, or of the map if there is no filter.
    Fuel,
    /// Fuel per quote of the map in calls of 64.
    MapFuel,
    /// Fuel of the start.
    StartFuel,
    /// The most memory used, in bytes.
    Memory,
    /// The size of the component, in bytes.
    Size,
}

const NAMED: [(&str, Measure); 5] = [
    ("fuel", Measure::Fuel),
    ("map-fuel", Measure::MapFuel),
    ("start-fuel", Measure::StartFuel),
    ("memory", Measure::Memory),
    ("size", Measure::Size),
];

/// The upper limit of a measure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    measure: Measure,
    most: f64,
}

/// An invalid budget.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BudgetError {
    /// Not `name=number`.
    #[error("{0:?} is not a budget: write NAME=NUMBER, such as fuel=300 or memory=2MiB")]
    Shape(String),
    /// No such measure.
    #[error(
        "unknown budget {0:?}: use one of {known}; there are none for times, which depend on the machine",
        known = NAMED.map(|(name, _)| name).join(", ")
    )]
    Unknown(String),
    /// The plugin has no such part.
    #[error("the budget {0} is for plugins with a {1}, and this one has none")]
    NoSuchPart(Measure, &'static str),
}

impl FromStr for Budget {
    type Err = BudgetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shape = || BudgetError::Shape(text.to_owned());
        let (name, number) = text.split_once('=').ok_or_else(shape)?;
        let named = NAMED.iter().find(|(known, _)| *known == name.trim());
        let (_, measure) = *named.ok_or_else(|| BudgetError::Unknown(name.trim().to_owned()))?;
        let most = match measure {
            Measure::Memory | Measure::Size => bytes(number.trim()),
            _ => number.trim().parse().ok(),
        };
        let most = most.filter(|most: &f64| most.is_finite() && *most >= 0.0).ok_or_else(shape)?;
        Ok(Self { measure, most })
    }
}

impl Budget {
    /// The message if the report is over the budget.
    pub fn check(&self, report: &BenchReport) -> Result<Option<String>, BudgetError> {
        let Self { measure, most } = *self;
        let missing = |part| BudgetError::NoSuchPart(measure, part);
        Ok(match measure {
            Measure::Fuel if report.kept.is_some() => self.fuel("filter", &report.filter).ok_or(missing("filter"))?,
            Measure::Fuel | Measure::MapFuel => {
                self.fuel("map", &report.map).ok_or(missing("map that gets a quote"))?
            }
            Measure::StartFuel => (report.start.fuel as f64 > most)
                .then(|| format!("The start uses {} fuel, over the budget of {most}.", report.start.fuel)),
            Measure::Memory => over_bytes("It uses", "of memory", report.memory_bytes, most),
            Measure::Size => over_bytes("The component has", "in total", report.size_bytes, most),
        })
    }

    /// `None` if there is no such part, `Some(None)` if it is within the budget.
    fn fuel(&self, part: &str, costs: &[Cost]) -> Option<Option<String>> {
        let cost = costs.iter().find(|cost| cost.quotes_per_call == BUDGET_BATCH)?;
        let each = cost.fuel_per_quote;
        Some((each > self.most).then(|| {
            format!(
                "The {part} uses {each:.2} fuel per quote in calls of {BUDGET_BATCH}, over the budget of {}.",
                self.most
            )
        }))
    }
}

fn over_bytes(subject: &str, what: &str, found: usize, most: f64) -> Option<String> {
    (found as f64 > most).then(|| format!("{subject} {found} bytes {what}, over the budget of {most}."))
}

fn bytes(text: &str) -> Option<f64> {
    let (number, unit) = match (text.strip_suffix("KiB"), text.strip_suffix("MiB")) {
        (Some(number), _) => (number, 1024.0),
        (_, Some(number)) => (number, 1024.0 * 1024.0),
        _ => (text, 1.0),
    };
    number.trim().parse::<f64>().ok().map(|number| number * unit)
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAMED.iter().find(|(_, measure)| measure == self).map_or("", |(name, _)| name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_a_name_and_a_number_and_bytes_may_have_a_unit() {
        let most = |text: &str| text.parse::<Budget>().map(|budget| (budget.measure, budget.most));
        assert_eq!(most("fuel=92.1"), Ok((Measure::Fuel, 92.1)));
        assert_eq!(most(" memory = 1.5 MiB "), Ok((Measure::Memory, 1_572_864.0)));
        assert_eq!(most("size=2KiB"), Ok((Measure::Size, 2048.0)));
        assert_eq!(most("start-fuel=7"), Ok((Measure::StartFuel, 7.0)));
        for bad in ["", "fuel", "fuel=", "fuel=-1", "fuel=NaN", "fuel=inf", "fuel=1KiB", "size=1 GB"] {
            assert_eq!(most(bad), Err(BudgetError::Shape(bad.to_owned())), "{bad:?}");
        }
        let error = most("time=5").unwrap_err().to_string();
        assert!(error.contains("fuel, map-fuel, start-fuel, memory, size"), "{error}");
    }
}
