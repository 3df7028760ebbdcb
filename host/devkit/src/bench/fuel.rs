use anyhow::Result;
use quotegate_plugin::PluginInstance;

use super::report::{Documents, Fuel, Kept};
use super::workload::MapQuotes;
use super::{FILTER_BATCHES, MAP_BATCHES, Subject, failed_call};

/// The number of quotes to measure. Constant, so that results can be compared.
const FILTERED: usize = 8192;
const MAPPED: usize = 1024;

/// Results that are the same in every run.
pub(super) struct Counted {
    pub(super) start: u64,
    pub(super) filter: Vec<Fuel>,
    pub(super) map: Vec<Fuel>,
    pub(super) kept: Option<Kept>,
    pub(super) documents: Option<Documents>,
    pub(super) memory_bytes: usize,
}

pub(super) fn count(subject: &Subject<'_>) -> Result<Counted> {
    let fresh = subject.start()?;
    let mut counted = Counted {
        start: used(&fresh),
        filter: Vec::new(),
        map: Vec::new(),
        kept: None,
        documents: None,
        memory_bytes: fresh.memory_peak(),
    };
    if subject.plugin.filters() {
        FILTER_BATCHES.iter().try_for_each(|quotes| filter(subject, *quotes, &mut counted))?;
    }
    if subject.plugin.maps() {
        MAP_BATCHES.iter().try_for_each(|quotes| map(subject, *quotes, &mut counted))?;
    }
    Ok(counted)
}

/// At most one lap; the last call may be smaller.
fn filter(subject: &Subject<'_>, quotes: usize, counted: &mut Counted) -> Result<()> {
    let mut instance = subject.start()?;
    let before = used(&instance);
    let mut cursor = subject.workload.cursor();
    let all = subject.workload.quotes().len().min(FILTERED);
    let (mut left, mut kept) = (all, 0);
    while left > 0 {
        let batch = cursor.batch(left.min(quotes));
        let verdicts = instance.filter(&batch, subject.workload.names()).map_err(failed_call("filter", batch.len()))?;
        kept += verdicts.iter().filter(|verdict| **verdict == 0).count();
        left -= batch.len();
    }
    counted.filter.push(Fuel { fuel: used(&instance) - before, quotes: all });
    counted.kept = Some(Kept { kept, of: all });
    counted.memory_bytes = counted.memory_bytes.max(instance.memory_peak());
    Ok(())
}

fn map(subject: &Subject<'_>, quotes: usize, counted: &mut Counted) -> Result<()> {
    let mut instance = subject.start()?;
    let mut kept = MapQuotes::new(subject.workload, subject.plugin);
    let (mut fuel, mut mapped) = (0, 0);
    let mut documents = Documents::default();
    while mapped < MAPPED {
        let Some(batch) = kept.batch(&mut instance, quotes)? else { return Ok(()) };
        let before = used(&instance);
        let answers = instance.documents(&batch, &subject.setup.collections).map_err(failed_call("map", quotes))?;
        fuel += used(&instance) - before;
        mapped += batch.len();
        answers.iter().for_each(|answer| documents.add(answer.as_ref()));
    }
    counted.map.push(Fuel { fuel, quotes: mapped });
    counted.documents = Some(documents);
    counted.memory_bytes = counted.memory_bytes.max(instance.memory_peak());
    Ok(())
}

fn used(instance: &PluginInstance) -> u64 {
    instance.fuel_used().unwrap_or(0)
}
