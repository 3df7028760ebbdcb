use std::time::Duration;

use crate::declare::settings;
use crate::kind::{Bool, Text, TimeSpan, rule};
use crate::reader::Reader;

const ADDRESS: Text = Text { expects: "one word such as \"10.0.0.5:8700\"", rule: rule::ONE_WORD };

settings! {
    /// Several hosts, one owner, `[lease]`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct LeaseSettings from Reader {
        /// Start any number of hosts with the same settings: one of them, the owner of the lease, reads the feed and
        /// writes. The others are standbys, and one of them takes over when the owner stops or falls silent. The lease is
        /// the Firestore document ops/ingest_lease_FEED. Without a live feed or in a dry run there is no lease.
        enabled: bool = "enabled", Bool, default false;
        /// A standby takes over when it has seen no sign of the owner for this long. The owner renews the lease three times
        /// in this time, which is one Firestore write each, and stops when it could not for two thirds of it.
        ttl: Duration = "ttl_s", TimeSpan::seconds(1.0, 60.0), default Duration::from_secs(3);
        /// Where others can reach this host's page, for the pages of the other hosts. Unless this is set, it is ops.address
        /// and ops.port, if that is an address of this machine alone.
        address: Option<String> = "address", ADDRESS, example "\"10.0.0.5:8700\"";
    }
}
