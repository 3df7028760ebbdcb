use quotegate_market_hours::session_at;

use crate::config::Session;

const MINUTE: i64 = 60_000_000_000;

/// Which sessions may pass, and the answer for the minute of the last quote: sessions begin and end on whole minutes,
/// and a batch seldom spans two.
#[derive(Debug)]
pub(crate) struct Sessions {
    wanted: Vec<Session>,
    minute: i64,
    pass: bool,
}

impl Sessions {
    /// None when the list is empty.
    pub(crate) fn new(wanted: &[Session]) -> Option<Self> {
        (!wanted.is_empty()).then(|| Self { wanted: wanted.into(), minute: i64::MIN, pass: false })
    }

    pub(crate) fn pass(&mut self, event_time: i64) -> bool {
        let minute = event_time.div_euclid(MINUTE);
        if minute != self.minute {
            let session = match session_at(event_time) {
                quotegate_market_hours::Session::Closed => Session::Closed,
                quotegate_market_hours::Session::Pre => Session::Pre,
                quotegate_market_hours::Session::Regular => Session::Regular,
                quotegate_market_hours::Session::Post => Session::Post,
            };
            (self.minute, self.pass) = (minute, self.wanted.contains(&session));
        }
        self.pass
    }
}
