//! The relay between the reader and the workers, and the shards of the tenants. Without samples if there is none.

use quotegate_lease::ShardsSnapshot;
use quotegate_runtime::status::{RelayState, Snapshot};

use super::seconds;
use crate::prometheus::PrometheusWriter;

pub(super) fn relay(snapshot: &Snapshot, out: &mut PrometheusWriter) {
    connection(snapshot.relay.as_ref(), out);
    worker(snapshot.relay.as_ref().filter(|relay| relay.works()), out);
    reader(snapshot.relay.as_ref().filter(|relay| relay.reads), out);
    shards(snapshot.shards.as_ref().filter(|_| snapshot.is_worker()), out);
}

fn connection(relay: Option<&RelayState>, out: &mut PrometheusWriter) {
    let counters = relay.map(|relay| &relay.counters);
    out.gauge("quotegate_relay_connected", "1 while there is a connection to the broker.");
    out.samples(counters.map(|of| u8::from(of.connection.connected)));
    out.counter("quotegate_relay_connections_total", "How often a connection to the broker was made.");
    out.samples(counters.map(|of| of.connection.connections));
}

fn worker(relay: Option<&RelayState>, out: &mut PrometheusWriter) {
    let of = relay.map(|relay| &relay.counters.subscriber);
    out.counter("quotegate_relay_received_quotes_total", "Quotes received over the relay.");
    out.samples(of.map(|of| of.quotes + of.snapshot_quotes));
    out.counter("quotegate_relay_received_bytes_total", "Bytes of the messages with these quotes.");
    out.samples(of.map(|of| of.bytes));
    out.counter("quotegate_relay_gaps_total", "How often batches of a bucket of symbols were missing.");
    out.samples(of.map(|of| of.gaps));
    out.counter(
        "quotegate_relay_snapshots_total",
        "Snapshots of a bucket received: after a gap, a new reader, or the start.",
    );
    out.samples(of.map(|of| of.snapshots));
    out.counter("quotegate_relay_dropped_quotes_total", "Quotes received over the relay and not used, by reason.");
    if let Some(of) = of {
        out.sample(&[("reason", "old")], of.old).sample(&[("reason", "unnamed")], of.unnamed);
        out.sample(&[("reason", "no_room")], of.no_room);
    }
    out.counter("quotegate_relay_invalid_messages_total", "Messages of the relay that could not be read.");
    out.samples(of.map(|of| of.invalid));
    out.gauge(
        "quotegate_relay_lag_seconds",
        "The longest time of the last ten seconds from publishing to arrival, by the clocks of two machines.",
    );
    out.samples(of.and_then(|of| of.max_lag).map(seconds));
    out.gauge("quotegate_relay_reader_age_seconds", "Time since the reader said something.");
    out.samples(relay.and_then(|relay| relay.reader.as_ref()).map(|reader| reader.age_seconds));
}

fn reader(relay: Option<&RelayState>, out: &mut PrometheusWriter) {
    let of = relay.map(|relay| &relay.counters.publisher);
    out.counter("quotegate_relay_published_quotes_total", "Quotes published to the relay.");
    out.samples(of.map(|of| of.quotes));
    out.counter("quotegate_relay_published_bytes_total", "Bytes of the messages with these quotes.");
    out.samples(of.map(|of| of.bytes));
    out.counter(
        "quotegate_relay_conflated_quotes_total",
        "Quotes that newer ones replaced before the broker took them.",
    );
    out.samples(of.map(|of| of.conflated));
    out.gauge("quotegate_relay_waiting_quotes", "Quotes that wait for the broker.");
    out.samples(of.map(|of| of.waiting));
}

fn shards(shards: Option<&ShardsSnapshot>, out: &mut PrometheusWriter) {
    out.gauge("quotegate_shards_held", "Shards of the tenants that this worker has.");
    out.samples(shards.map(|shards| shards.holds.len()));
    out.gauge("quotegate_shards_unassigned", "Shards that no worker has, as far as this one knows.");
    out.samples(shards.map(|shards| shards.unassigned));
    out.gauge(
        "quotegate_shards_withdrawn",
        "Shards that a worker has to give up and has not given up yet, as far as this one knows.",
    );
    let withdrawn = |shards: &ShardsSnapshot| shards.workers.iter().map(|worker| worker.gives_up.len()).sum::<usize>();
    out.samples(shards.map(withdrawn));
    out.counter("quotegate_shards_moved_total", "Shards that this worker got, and that it gave up or lost.");
    if let Some(shards) = shards {
        out.sample(&[("direction", "gained")], shards.gained).sample(&[("direction", "given_up")], shards.given_up);
    }
    out.counter("quotegate_shards_lost_total", "How often this worker could not renew its own lease in time.");
    out.samples(shards.map(|shards| shards.lost));
}
