use std::time::Duration;

/// What one plugin of one tenant may use. A guest that goes past `time_per_call`, `time_to_start`, `memory_bytes` or
/// `table_elements` (and then traps), or `host_bytes_per_call` loses its instance. One that makes too much of a quote
/// loses the documents of that quote; past the others only the surplus is lost.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginLimits {
    /// The longest call of filter or map. Time in which a busy machine does not let it run counts little, up to ten times
    /// the limit; a call that runs all the time is stopped within a few milliseconds of it.
    pub time_per_call: Duration,
    /// The longest start, which is instantiation and `configure` together; a language runtime may need more than a call.
    pub time_to_start: Duration,
    /// Bytes over all memories of the instance together.
    pub memory_bytes: usize,
    /// Elements over all tables of the instance together.
    pub table_elements: usize,
    /// Core instances, memories and tables, each.
    pub instances: usize,
    /// Bytes that one call may make the host allocate for what the guest hands over.
    pub host_bytes_per_call: usize,
    /// Documents that a map may make of one quote.
    pub documents_per_quote: usize,
    /// Bytes of all documents made of one quote, counted as Firestore counts them.
    pub document_bytes_per_quote: usize,
    /// Log lines a second; as many may come at once.
    pub log_lines_per_second: u32,
    /// The share of wall time, 0 to 1, that calls may take, measured over the last ten seconds. Past it calls
    /// are left out (and `on_error` says what becomes of their quotes) until the share has fallen.
    pub share_of_time: f64,
    /// Calls after which an instance is replaced by a new one, whose memory starts afresh; `None`: never.
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
            // Far above the documents of a full map call, far below what would hurt the host.
            host_bytes_per_call: 4 << 20,
            documents_per_quote: 8,
            document_bytes_per_quote: 1 << 20,
            log_lines_per_second: 10,
            share_of_time: 0.25,
            calls_per_instance: None,
        }
    }
}
