use std::collections::{BTreeMap, VecDeque};
use std::io::Write;

use anyhow::Result;
use quotegate_market::UnixNanos;
use quotegate_pipeline::simulation::{Observer, SimulationReport, WouldWrite};
use quotegate_pipeline::tenant::FilteredQuote;
use quotegate_plugin::Verdict;
use quotegate_sink::{document_json, time_text};
use serde_json::{Value, json};

use super::Paint;
use super::lines::{quote_json, summary};
use super::tally::{quote_text, verdict_text};

/// What the old version did, to compare with the new one.
#[derive(Default)]
pub(super) struct Baseline {
    /// One per quote, as an index into `texts`.
    verdicts: VecDeque<u16>,
    texts: Vec<String>,
    writes: Writes,
}

/// Documents by the time and path of the write.
type Writes = BTreeMap<(UnixNanos, String), Value>;

impl Baseline {
    fn index(&mut self, verdict: &Verdict<'_>) -> u16 {
        let text = verdict_text(verdict);
        let known = self.texts.iter().position(|word| *word == text).unwrap_or_else(|| {
            self.texts.push(text);
            self.texts.len() - 1
        });
        // There are at most 255 reasons.
        u16::try_from(known).unwrap_or(u16::MAX)
    }
}

impl Observer for Baseline {
    fn wants_verdicts(&self) -> bool {
        true
    }

    fn filtered(&mut self, filtered: &FilteredQuote<'_>) -> Result<()> {
        let index = self.index(&filtered.verdict);
        self.verdicts.push_back(index);
        Ok(())
    }

    fn would_write(&mut self, write: &WouldWrite<'_>) -> Result<()> {
        self.writes.insert((write.at, write.path()), document_json(write.document));
        Ok(())
    }
}

/// Prints where the new version differs from the old one.
pub(super) struct Comparison<W> {
    baseline: Baseline,
    out: W,
    json: bool,
    paint: Paint,
    quotes: u64,
    verdicts: u64,
    documents: u64,
}

impl<W: Write> Comparison<W> {
    pub(super) fn new(baseline: Baseline, out: W, json: bool, paint: Paint) -> Self {
        Self { baseline, out, json, paint, quotes: 0, verdicts: 0, documents: 0 }
    }

    /// Prints the documents that only the old version wrote, and the totals.
    pub(super) fn end(mut self, was: &SimulationReport, is: &SimulationReport) -> Result<()> {
        self.only_in_baseline(None)?;
        if self.json {
            let differ = json!({ "verdicts": self.verdicts, "documents": self.documents });
            writeln!(self.out, "{}", json!({ "differ": differ, "old": summary(was), "new": summary(is) }))?;
        } else {
            writeln!(
                self.out,
                "{} of {} quotes have different verdicts, {} documents differ. -: the old version, +: the new one.",
                self.verdicts, self.quotes, self.documents
            )?;
        }
        Ok(self.out.flush()?)
    }

    /// Prints the documents before `at` that only the old version wrote.
    fn only_in_baseline(&mut self, at: Option<UnixNanos>) -> Result<()> {
        while let Some(first) = self.baseline.writes.first_entry()
            && at.is_none_or(|at| first.key().0 < at)
        {
            let ((at, path), fields) = first.remove_entry();
            self.document(at, &path, Some(&fields), None)?;
        }
        Ok(())
    }

    fn document(&mut self, at: UnixNanos, path: &str, old: Option<&Value>, new: Option<&Value>) -> Result<()> {
        self.documents += 1;
        let at = time_text(at);
        if self.json {
            writeln!(self.out, "{}", json!({ "would_write": path, "at": at, "old": old, "new": new }))?;
            return Ok(());
        }
        writeln!(self.out, "{path} at {at}")?;
        for (mark, side, other) in [('-', old, new), ('+', new, old)] {
            for (name, value) in side.and_then(Value::as_object).into_iter().flatten() {
                if other.and_then(|other| other.get(name)) != Some(value) {
                    writeln!(self.out, "{}", self.paint.difference(&format!("{mark} {name} = {value}")))?;
                }
            }
        }
        Ok(())
    }
}

impl<W: Write> Observer for Comparison<W> {
    fn wants_verdicts(&self) -> bool {
        true
    }

    fn filtered(&mut self, filtered: &FilteredQuote<'_>) -> Result<()> {
        self.quotes += 1;
        let now = verdict_text(&filtered.verdict);
        let old = self.baseline.verdicts.pop_front().and_then(|index| self.baseline.texts.get(usize::from(index)));
        let old = old.map_or("", String::as_str);
        if old == now {
            return Ok(());
        }
        self.verdicts += 1;
        if self.json {
            let quote = quote_json(filtered.symbol, filtered.quote);
            writeln!(self.out, "{}", json!({ "quote": quote, "old": old, "new": now }))?;
        } else {
            writeln!(self.out, "quote {}: {}", self.quotes, quote_text(filtered.symbol, filtered.quote))?;
            writeln!(self.out, "{}", self.paint.difference(&format!("- {old}")))?;
            writeln!(self.out, "{}", self.paint.difference(&format!("+ {now}")))?;
        }
        Ok(())
    }

    fn would_write(&mut self, write: &WouldWrite<'_>) -> Result<()> {
        self.only_in_baseline(Some(write.at))?;
        let (path, new) = (write.path(), document_json(write.document));
        let old = self.baseline.writes.remove(&(write.at, path.clone()));
        if old.as_ref() != Some(&new) {
            self.document(write.at, &path, old.as_ref(), Some(&new))?;
        }
        Ok(())
    }
}
