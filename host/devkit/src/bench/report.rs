use std::time::Duration;

use quotegate_document::Document;
use quotegate_plugin::DocumentError;
use serde::{Serialize, Serializer};

/// What a plugin costs, for people to print and programs to read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BenchReport {
    /// What people call it.
    pub plugin: String,
    /// Of the component.
    pub sha256: String,
    /// Of the component.
    pub size_bytes: usize,
    /// The version of `quotegate:plugin` that it was built for.
    pub interface: &'static str,
    /// Quotes that it was measured with.
    pub quotes: usize,
    /// And their symbols.
    pub symbols: usize,
    /// The filter by the number of quotes in a call; empty without one.
    pub filter: Vec<Cost>,
    /// The map likewise; empty without one, or where the plugin's own filter keeps nothing for it.
    pub map: Vec<Cost>,
    /// What its filter let pass.
    pub kept: Option<Kept>,
    /// What its map made.
    pub documents: Option<Documents>,
    /// Instantiate and configure, of a plugin that is compiled.
    pub start: Start,
    /// From bytes to code.
    pub compile: Compile,
    /// The most memory that it had, the same in every run.
    pub memory_bytes: usize,
}

/// The cost of a quote, in calls of one size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Cost {
    /// Quotes in a call.
    pub quotes_per_call: usize,
    /// A median; depends on the machine.
    pub nanoseconds_per_quote: f64,
    /// The same on every machine.
    #[serde(flatten)]
    pub fuel: Fuel,
    /// The quotient of the two.
    pub fuel_per_quote: f64,
}

/// Fuel counted to the unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Fuel {
    /// In all.
    pub fuel: u64,
    /// For so many quotes.
    #[serde(rename = "fuel_quotes")]
    pub quotes: usize,
}

/// What a filter let pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Quotes kept.
    pub kept: usize,
    /// Of so many.
    pub of: usize,
}

/// What a map made.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Documents {
    /// Of so many quotes.
    pub quotes: usize,
    /// Documents that the host takes.
    pub documents: usize,
    /// Quotes whose documents the host refuses.
    pub refused: usize,
    /// Why it refuses the first.
    pub problem: Option<String>,
}

impl Documents {
    pub(super) fn add(&mut self, answer: Result<&Vec<Document>, &DocumentError>) {
        self.quotes += 1;
        match answer {
            Ok(documents) => self.documents += documents.len(),
            Err(problem) => {
                self.refused += 1;
                self.problem.get_or_insert_with(|| problem.to_string());
            }
        }
    }
}

/// What the start of an instance costs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Start {
    /// A median; depends on the machine.
    pub nanoseconds: f64,
    /// The same on every machine.
    pub fuel: u64,
}

/// How long the plugin takes to be ready to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Compile {
    /// The first time; the code is kept for the next.
    #[serde(rename = "cold_nanoseconds", serialize_with = "nanoseconds")]
    pub cold: Duration,
    /// With code that was kept.
    #[serde(rename = "cached_nanoseconds", serialize_with = "maybe_nanoseconds")]
    pub cached: Option<Duration>,
}

fn nanoseconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).serialize(serializer)
}

fn maybe_nanoseconds<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)).serialize(serializer)
}

/// Sizes of calls, times and fuel side by side.
pub(super) fn costs(sizes: &[usize], times: Vec<f64>, fuel: Vec<Fuel>) -> Vec<Cost> {
    let together = sizes.iter().zip(times).zip(fuel);
    together
        .map(|((&quotes_per_call, nanoseconds_per_quote), fuel)| Cost {
            quotes_per_call,
            nanoseconds_per_quote,
            fuel,
            fuel_per_quote: fuel.fuel as f64 / fuel.quotes.max(1) as f64,
        })
        .collect()
}
