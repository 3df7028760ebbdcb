//! Whether quotes come: this host's role, the connection to Alpaca, and the relay.

use quotegate_feed::{ConnectionState, RetryCause};

use super::{RelayState, Snapshot};

impl Snapshot {
    /// Who owns the feed instead of this host, for people; `None` if this host does its work itself. A worker always has work.
    pub fn standby(&self) -> Option<String> {
        let lease = self.lease.as_ref().filter(|lease| !lease.held && !self.stopping && !self.is_worker())?;
        Some(match &lease.owner {
            Some(owner) => format!("{} owns the feed (epoch {})", owner.instance, lease.epoch),
            None => "no host owns the feed yet".to_owned(),
        })
    }

    /// Why a standby could not take over now.
    pub fn standby_problem(&self) -> Option<&str> {
        self.lease.as_ref().filter(|lease| !lease.held)?.problem.as_deref()
    }

    /// True if a relay brings this host's quotes.
    pub fn is_worker(&self) -> bool {
        self.relay.as_ref().is_some_and(RelayState::works)
    }

    /// True if the feed's numbers are those of a connection that this host makes.
    pub fn reads(&self) -> bool {
        self.relay.as_ref().is_none_or(|relay| relay.reads || !relay.works())
    }

    /// Why quotes do not come through the relay, or why this host has no part of the tenants.
    pub fn relay_problem(&self) -> Option<String> {
        let relay = self.relay.as_ref().filter(|_| self.standby().is_none())?;
        relay.problem.clone().or_else(|| self.shards_problem())
    }

    fn shards_problem(&self) -> Option<String> {
        let shards = self.shards.as_ref()?;
        if shards.problem.is_some() || !self.is_worker() {
            return shards.problem.clone();
        }
        match shards.assigned.is_empty() && shards.unassigned > 0 {
            true => Some("this worker has no shards yet: no reader has assigned them".to_owned()),
            false => None,
        }
    }

    /// Whether quotes can arrive.
    pub fn is_connected(&self) -> bool {
        matches!(self.feed.connection, ConnectionState::Streaming | ConnectionState::Replaying)
    }

    /// Why no tenant gets quotes. `None` if they flow, or if the first connection is still being made.
    pub fn feed_problem(&self) -> Option<String> {
        if self.standby().is_some() {
            return None;
        }
        self.relay_problem().or_else(|| self.connection_problem().map(str::to_owned))
    }

    /// What is wrong with the connection to Alpaca: this host's or the reader's.
    fn connection_problem(&self) -> Option<&'static str> {
        match self.feed.connection {
            // The connection was replaced because no quotes arrived, and still none arrive.
            ConnectionState::Streaming if self.feed.silent => Some(retry_reason(RetryCause::Stale)),
            ConnectionState::Streaming | ConnectionState::Replaying => None,
            ConnectionState::HeldElsewhere if self.lease.is_some() || self.relay.is_some() => Some(
                "Alpaca still counts the connection of the last owner (error 406), for up to 90 s after a crash; retrying \
                 every second",
            ),
            ConnectionState::HeldElsewhere => Some(retry_reason(RetryCause::HeldElsewhere)),
            ConnectionState::Waiting(cause) => Some(retry_reason(cause)),
            ConnectionState::Stopped => Some("the feed has stopped"),
            ConnectionState::Idle | ConnectionState::Connecting | ConnectionState::Authenticating => {
                (!self.feed.retries.is_empty()).then_some("reconnecting")
            }
        }
    }

    /// The same as a fault of the host.
    pub fn feed_outage(&self) -> Option<String> {
        if let Some(problem) = self.relay_problem() {
            return Some(problem);
        }
        let problem = self.feed_problem();
        if self.standby().is_some() || self.is_connected() || self.feed.connection == ConnectionState::Stopped {
            return problem;
        }
        Some(format!("the feed is not connected: {}", problem.as_deref().unwrap_or(self.connection())))
    }

    /// The state of the connection, as one word for UIs.
    pub fn connection(&self) -> &'static str {
        if self.standby().is_some() {
            return "standby";
        }
        match &self.relay {
            Some(relay) if !relay.counters.connection.connected => return "no_broker",
            Some(relay) if relay.problem.is_some() => return "no_reader",
            _ => {}
        }
        match self.feed.connection {
            ConnectionState::Idle => "idle",
            ConnectionState::Connecting => "connecting",
            ConnectionState::Authenticating => "authenticating",
            ConnectionState::Streaming => "streaming",
            ConnectionState::Replaying => "replaying",
            ConnectionState::Waiting(_) => "waiting",
            ConnectionState::HeldElsewhere => "held_elsewhere",
            ConnectionState::Stopped => "stopped",
        }
    }
}

fn retry_reason(cause: RetryCause) -> &'static str {
    match cause {
        RetryCause::Connect => "Alpaca cannot be reached",
        RetryCause::RateLimited => "Alpaca is rate-limiting connections (HTTP 429)",
        RetryCause::HeldElsewhere => "another host holds the only connection that Alpaca allows (error 406)",
        RetryCause::Handshake => "the handshake with Alpaca failed",
        RetryCause::ServerError => "Alpaca ended the session with an error",
        RetryCause::Closed => "the connection to Alpaca was closed",
        RetryCause::Unacknowledged => "Alpaca did not acknowledge the subscription",
        RetryCause::Silent => "Alpaca did not answer pings",
        RetryCause::Stale => "no quote arrived although the exchange is open",
    }
}
