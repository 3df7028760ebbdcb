//! The same quotes without a relay: decoded and routed to one tenant per worker, each of which takes them from its inbox.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quotegate_document::TenantId;
use quotegate_market::QuoteReceiver;
use quotegate_pipeline::inbox::{Batch, Inbox};
use quotegate_pipeline::router::{Router, Wanted};
use tokio::sync::Notify;

use crate::frames::Frames;
use crate::histogram::Histogram;
use crate::report::InProcess;

pub(crate) fn run(arguments: &[String]) {
    let (rate, seconds): (f64, f64) = (arguments[0].parse().unwrap(), arguments[1].parse().unwrap());
    let workers: usize = arguments[2].parse().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut router = Router::default();
    let tenants: Vec<_> = (0..workers)
        .map(|number| {
            let wake = Arc::new(Notify::new());
            let inbox = Arc::new(Inbox::new(Inbox::CAPACITY, wake.clone()));
            router.add(TenantId::new(&format!("t{number}")).unwrap(), Wanted::All, inbox.clone());
            runtime.spawn(take(inbox, wake))
        })
        .collect();
    let (began, used) = (Instant::now(), crate::processor_time());
    let mut quotes = 0;
    let _ = Frames::new().decode(rate, Duration::from_secs_f64(seconds), |decoder| {
        quotes += decoder.quotes().len() as u64;
        router.receive(decoder.quotes(), decoder.symbols());
    });
    let processor = crate::processor_time() - used;
    let seconds = began.elapsed().as_secs_f64();
    drop(router);
    let mut latencies = Histogram::default();
    for tenant in tenants {
        latencies.add(&runtime.block_on(tenant).unwrap());
    }
    crate::print_json(&InProcess { quotes, seconds, processor, latencies });
}

/// As a tenant does that has nothing else to do.
async fn take(inbox: Arc<Inbox>, wake: Arc<Notify>) -> Histogram {
    let (mut batch, mut latencies) = (Batch::default(), Histogram::default());
    while !inbox.is_finished() {
        if inbox.take(&mut batch) {
            let now = crate::now();
            for row in (0..batch.quotes.len()).step_by(64) {
                latencies.record(now - batch.quotes.received_time[row]);
            }
        }
        if inbox.rest(None, std::iter::empty()) {
            wake.notified().await;
        }
    }
    latencies
}
