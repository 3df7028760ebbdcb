use std::time::Duration;

/// What one plugin of one tenant may use. A guest that exceeds `time_per_call`, `time_to_start` or `host_bytes_per_call`,
/// or that traps after it exceeds `memory_bytes` or `table_elements`, loses its instance. One that returns too much for a
/// quote loses that quote's documents. For the other limits, only the excess is lost.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginLimits {
    /// The longest call of filter or map. Time during which a busy machine does not schedule it counts little, up to ten
    /// times the limit; a call that runs continuously is stopped within a few milliseconds of the limit.
    pub time_per_call: Duration,
    /// The longest start: instantiation and `configure`. A language runtime may need longer for it than for a call.
    pub time_to_start: Duration,
    /// Bytes in all memories of the instance together.
    pub memory_bytes: usize,
    /// Elements in all tables of the instance together.
    pub table_elements: usize,
    /// The most core instances, and the most memories and tables.
    pub instances: usize,
    /// Bytes that the host may allocate for what the guest returns from one call.
    pub host_bytes_per_call: usize,
    /// Documents that a map may make from one quote.
    pub documents_per_quote: usize,
    /// Bytes of all documents made from one quote, counted as Firestore does.
    pub document_bytes_per_quote: usize,
    /// Log lines per second, and the burst.
    pub log_lines_per_second: u32,
    /// The share of one processor, 0 to 1, that calls may use in the long run, and that of 0.4 seconds at once. Above it,
    /// calls are skipped for a while, and `on_error` decides what happens to their quotes.
    pub share_of_time: f64,
    /// Calls after which a fresh instance replaces this one; `None` for never.
    pub calls_per_instance: Option<u64>,
}

impl Default for PluginLimits {
    fn default() -> Self {
        Self {
            time_per_call: Duration::from_millis(50),
            time_to_start: Duration::from_secs(1),
            memory_bytes: 64 << 20,
            // A JavaScript or Python runtime has about 10,000.
            table_elements: 100_000,
            instances: 64,
            // Far more than the documents of a full map call need, and far less than would harm the host.
            host_bytes_per_call: 4 << 20,
            documents_per_quote: 8,
            document_bytes_per_quote: 1 << 20,
            log_lines_per_second: 10,
            share_of_time: 0.25,
            calls_per_instance: None,
        }
    }
}
