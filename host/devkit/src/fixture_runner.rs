use std::fmt::Write;
use std::path::PathBuf;

use quotegate_market::{QuoteColumns, Symbol};
use quotegate_plugin::{PluginFailure, PluginInstance, PreparedPlugin};

use crate::fixture::{Answer, Case, Fixture, KEPT, shown};

/// The result of one fixture. The same plugin and fixture always give the same report, byte for byte.
#[derive(Debug, Clone, PartialEq)]
pub struct FixtureReport {
    /// The file name without its extension.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// Quotes in it.
    pub quotes: usize,
    /// The average fuel per quote, if the engine meters.
    pub fuel_per_quote: Option<u64>,
    /// Differences from the expected results, a few lines each; empty if it passed.
    pub problems: Vec<String>,
    /// The file was rewritten.
    pub updated: bool,
}

impl FixtureReport {
    /// Whether everything was as expected.
    pub fn passed(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Runs a fixture under the limits of its setup: once with all quotes in one call, and once with one call per quote, because
/// results must not depend on batches. With `update`, writes the actual results into the file.
///
/// Blocks while the plugin runs.
pub fn run_fixture(plugin: &PreparedPlugin, fixture: &mut Fixture, update: bool) -> FixtureReport {
    let mut report = FixtureReport {
        name: fixture.name(),
        path: fixture.path().to_owned(),
        quotes: fixture.cases.len(),
        fuel_per_quote: None,
        problems: Vec::new(),
        updated: false,
    };
    if let Some(text) = &fixture.refuses {
        report.problems.extend(not_refused(plugin, fixture, text));
        return report;
    }
    match answers(plugin, fixture) {
        Err(error) => report.problems.push(error),
        Ok((answers, fuel)) => {
            report.fuel_per_quote = fuel;
            if update {
                match fixture.update(&answers) {
                    Ok(updated) => report.updated = updated,
                    Err(reason) => report.problems.push(format!("The file cannot be written: {reason}.")),
                }
            }
            let expected: Vec<Answer> = fixture.cases.iter().map(|case| case.expected.clone()).collect();
            report.problems.extend(differences(&fixture.cases, &expected, &answers));
        }
    }
    report
}

fn start(plugin: &PreparedPlugin, fixture: &Fixture) -> Result<PluginInstance, PluginFailure> {
    let setup = &fixture.setup;
    PluginInstance::start(plugin, &setup.tenant, &setup.config, &setup.limits)
}

fn not_refused(plugin: &PreparedPlugin, fixture: &Fixture, text: &str) -> Option<String> {
    match start(plugin, fixture) {
        Err(PluginFailure::Configuration(sentence)) if sentence.contains(text) => None,
        Err(failure) => Some(format!("- the setup is refused with {text:?}\n+ {failure}")),
        Ok(_) => Some(format!("- the setup is refused with {text:?}\n+ the setup is accepted")),
    }
}

/// The answers and the fuel per quote.
fn answers(plugin: &PreparedPlugin, fixture: &Fixture) -> Result<(Vec<Answer>, Option<u64>), String> {
    let run = |quotes_per_call: usize| {
        let mut instance = start(plugin, fixture).map_err(|failure| format!("The plugin did not start: {failure}."))?;
        let before = instance.fuel_used();
        let answers = Run { plugin, fixture, instance: &mut instance, quotes_per_call }.answers()?;
        let fuel = before.zip(instance.fuel_used()).map(|(before, after)| after - before);
        Ok::<_, String>((answers, fuel.map(|fuel| fuel / fixture.cases.len().max(1) as u64)))
    };
    // One call per quote first: if the plugin fails, the error names the quote.
    let (single, _) = run(1)?;
    let (whole, fuel) = run(fixture.cases.len())?;
    let found = differences(&fixture.cases, &single, &whole);
    if found.is_empty() {
        return Ok((whole, fuel));
    }
    let head = "The results depend on how quotes are split into batches, but the host splits them in any way. \
                With one call per quote (-) and all quotes in one call (+):";
    Err(format!("{head}\n{}", found.join("\n")))
}

fn differences(cases: &[Case], left: &[Answer], right: &[Answer]) -> Vec<String> {
    let mut texts = Vec::new();
    for (at, ((case, left), right)) in cases.iter().zip(left).zip(right).enumerate() {
        let lines = left.difference(right);
        if !lines.is_empty() {
            texts.push(format!("{}:\n{}", place(at, &case.symbol), lines.join("\n")));
        }
    }
    texts
}

fn place(at: usize, symbol: &Symbol) -> String {
    format!("quote {} ({symbol})", at + 1)
}

struct Run<'a> {
    plugin: &'a PreparedPlugin,
    fixture: &'a Fixture,
    instance: &'a mut PluginInstance,
    quotes_per_call: usize,
}

/// Quotes per map call, as in the host.
const MAP_BATCH: usize = 64;

impl Run<'_> {
    fn answers(mut self) -> Result<Vec<Answer>, String> {
        let verdicts = self.verdicts()?;
        let kept = |verdict: &Option<String>| verdict.as_deref().is_none_or(|verdict| verdict == KEPT);
        let rows: Vec<usize> = (0..verdicts.len()).filter(|row| kept(&verdicts[*row])).collect();
        let mut answers: Vec<Answer> =
            verdicts.into_iter().map(|verdict| Answer { verdict, ..Answer::default() }).collect();
        if self.plugin.maps() {
            for rows in rows.chunks(self.quotes_per_call.min(MAP_BATCH)) {
                self.map(rows, &mut answers)?;
            }
        }
        Ok(answers)
    }

    /// One per quote; `None` without a filter.
    fn verdicts(&mut self) -> Result<Vec<Option<String>>, String> {
        let cases = &self.fixture.cases;
        if !self.plugin.filters() {
            return Ok(vec![None; cases.len()]);
        }
        let mut names: Vec<Symbol> = Vec::new();
        let mut verdicts = Vec::with_capacity(cases.len());
        for (at, part) in cases.chunks(self.quotes_per_call).enumerate() {
            let mut columns = QuoteColumns::with_capacity(part.len());
            for case in part {
                let number = names.iter().position(|name| *name == case.symbol).unwrap_or_else(|| {
                    names.push(case.symbol.clone());
                    names.len() - 1
                });
                columns.push(u32::try_from(number).unwrap_or(u32::MAX), &case.quote);
            }
            let codes = self.instance.filter(&columns, &names);
            let codes =
                codes.map_err(|failure| self.failed(at * self.quotes_per_call, part.len(), &failure.to_string()))?;
            verdicts.extend(codes.into_iter().map(|code| Some(self.verdict(code))));
        }
        Ok(verdicts)
    }

    fn verdict(&self, code: u8) -> String {
        match (code, self.instance.reason(code)) {
            (0, _) => KEPT.to_owned(),
            (_, Some(reason)) => Answer::refused(reason),
            (_, None) => Answer::refused(&code.to_string()),
        }
    }

    fn map(&mut self, rows: &[usize], answers: &mut [Answer]) -> Result<(), String> {
        let quotes: Vec<_> = rows
            .iter()
            .map(|row| {
                let case = &self.fixture.cases[*row];
                (case.symbol.clone(), case.quote)
            })
            .collect();
        let setup = &self.fixture.setup;
        let lists = self.instance.documents(&quotes, &setup.collections);
        let lists = lists.map_err(|failure| self.failed(rows[0], rows.len(), &failure.to_string()))?;
        for ((row, list), (symbol, _)) in rows.iter().zip(lists).zip(&quotes) {
            let documents =
                list.map_err(|error| format!("{}: The host refused the document: {error}.", place(*row, symbol)))?;
            answers[*row].documents =
                documents.iter().map(|document| shown(document, symbol, setup.collection.as_str())).collect();
        }
        Ok(())
    }

    fn failed(&self, first: usize, quotes: usize, failure: &str) -> String {
        match quotes {
            1 => format!("{}: The plugin failed: {failure}.", place(first, &self.fixture.cases[first].symbol)),
            _ => format!("quotes {} to {}: The plugin failed: {failure}.", first + 1, first + quotes),
        }
    }
}

/// The reports as JUnit XML, without times, so that it is the same in every run.
pub fn junit(plugin: &str, reports: &[FixtureReport]) -> String {
    let failures = reports.iter().filter(|report| !report.passed()).count();
    let (plugin, tests) = (escape(plugin), reports.len());
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to a string cannot fail.
    let _ = writeln!(text, "<testsuites tests=\"{tests}\" failures=\"{failures}\">");
    let _ = writeln!(text, "  <testsuite name=\"{plugin}\" tests=\"{tests}\" failures=\"{failures}\">");
    for report in reports {
        let (name, file) = (escape(&report.name), escape(&report.path.display().to_string()));
        let _ = write!(text, "    <testcase classname=\"{plugin}\" name=\"{name}\" file=\"{file}\"");
        if report.passed() {
            text.push_str("/>\n");
        } else {
            let words = escape(&report.problems.join("\n"));
            let first = escape(report.problems[0].lines().next().unwrap_or_default());
            let _ = writeln!(text, ">\n      <failure message=\"{first}\">{words}</failure>\n    </testcase>");
        }
    }
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            // XML cannot represent these.
            control if control.is_control() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}
