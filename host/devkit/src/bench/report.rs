use quotegate_document::Document;
use quotegate_plugin::DocumentError;
use serde::Serialize;

/// What a plugin costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BenchReport {
    /// The plugin's name.
    pub plugin: String,
    /// The hash of the component.
    pub sha256: String,
    /// The size of the component.
    pub size_bytes: usize,
    /// The version of `quotegate:plugin` that it is built for.
    pub interface: &'static str,
    /// Quotes in the workload.
    pub quotes: usize,
    /// Symbols in the workload.
    pub symbols: usize,
    /// The filter's cost for each batch size; empty without a filter.
    pub filter: Vec<Cost>,
    /// The map's cost; empty without a map, or if the plugin's filter keeps nothing.
    pub map: Vec<Cost>,
    /// What its filter kept.
    pub kept: Option<Kept>,
    /// What its map made.
    pub documents: Option<Documents>,
    /// Instantiate and configure.
    pub start: Start,
    /// Compiling.
    pub compile: Compile,
    /// The most memory used; the same in every run.
    pub memory_bytes: usize,
}

/// The cost per quote, in calls of one size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Cost {
    /// Quotes per call.
    pub quotes_per_call: usize,
    /// The median, which depends on the machine.
    pub nanoseconds_per_quote: f64,
    /// The same on every machine.
    #[serde(flatten)]
    pub fuel: Fuel,
    /// Fuel divided by quotes.
    pub fuel_per_quote: f64,
}

/// The exact fuel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Fuel {
    /// In total.
    pub fuel: u64,
    /// For this many quotes.
    #[serde(rename = "fuel_quotes")]
    pub quotes: usize,
}

/// What a filter kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Quotes kept.
    pub kept: usize,
    /// Of this many.
    pub of: usize,
}

/// What a map made.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Documents {
    /// Quotes mapped.
    pub quotes: usize,
    /// Documents that the host accepts.
    pub documents: usize,
    /// Quotes whose documents the host refuses.
    pub refused: usize,
    /// Why it refused the first.
    pub problem: Option<String>,
}

impl Documents {
    pub(super) fn add(&mut self, answer: Result<&Vec<Document>, &DocumentError>) {
        self.quotes += 1;
        match answer {
            Ok(documents) => self.documents += documents.len(),
            Err(error) => {
                self.refused += 1;
                self.problem.get_or_insert_with(|| error.to_string());
            }
        }
    }
}

/// The cost of starting an instance.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Start {
    /// The median, which depends on the machine.
    pub nanoseconds: f64,
    /// The same on every machine.
    pub fuel: u64,
}

/// How long compiling takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Compile {
    /// The first time.
    pub cold_nanoseconds: u128,
    /// From the cache.
    pub cached_nanoseconds: Option<u128>,
}

/// Combines batch sizes, times and fuel.
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
