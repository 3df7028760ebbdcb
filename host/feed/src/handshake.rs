//! From an open socket to an authenticated session. Facts: docs.alpaca.markets/docs/streaming-market-data.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::AuthBy;
use crate::connection::{Connection, End};
use crate::control::{Control, Verdict};
use crate::reader::FrameReader;
use crate::request;
use crate::settings::FeedSettings;
use crate::status::{FeedStatus, RetryCause};

/// Waits for the welcome, gives the key, waits for the answer; each within the step's time.
pub(crate) async fn authenticate(
    connection: &mut Connection,
    reader: &mut FrameReader,
    settings: &FeedSettings,
    status: &FeedStatus,
) -> Result<(), End> {
    let mut steps = Steps { connection, reader, status, limit: settings.step_timeout };
    match settings.credentials.by {
        AuthBy::Message => {
            steps.expect(&[&[Control::Connected]]).await?;
            steps.connection.send(request::auth(&settings.credentials, settings.encoding)).await?;
            steps.expect(&[&[Control::Authenticated]]).await?;
        }
        // Whether both frames come, and how far apart, is not documented for this way: any timing will do.
        AuthBy::Headers => {
            let both = &[Control::Connected, Control::Authenticated][..];
            let seen = steps.expect(&[&[Control::Connected], both, &[Control::Authenticated]]).await?;
            if seen == 0 {
                steps.expect(&[&[Control::Authenticated]]).await?;
            }
        }
    }
    Ok(())
}

struct Steps<'a> {
    connection: &'a mut Connection,
    reader: &'a mut FrameReader,
    status: &'a FeedStatus,
    limit: Duration,
}

impl Steps<'_> {
    /// Waits for one of `accepted`, exactly; answers which.
    async fn expect(&mut self, accepted: &[&[Control]]) -> Result<usize, End> {
        let deadline = Instant::now() + self.limit;
        loop {
            let controls = timeout_at(deadline, self.controls())
                .await
                .map_err(|_| End::retry(RetryCause::Handshake, format!("no {:?} in time", accepted[0])))??;
            let Some(answer) = self.without_harmless(controls)? else { continue };
            return match accepted.iter().position(|expected| **expected == *answer) {
                Some(found) => Ok(found),
                None => Err(End::retry(RetryCause::Handshake, format!("{answer:?} instead of {:?}", accepted[0]))),
            };
        }
    }

    /// The control messages of the next data frames; none when they carried something else.
    async fn controls(&mut self) -> Result<Vec<Control>, End> {
        while self.connection.read(self.reader).await? == 0 {}
        Ok(self.reader.take_controls())
    }

    /// What is left without errors that change nothing: 403 says that we are authenticated already. `None` when there
    /// was nothing else.
    fn without_harmless(&self, controls: Vec<Control>) -> Result<Option<Vec<Control>>, End> {
        let mut left = Vec::new();
        let nothing_else = !controls.is_empty();
        for control in controls {
            let Control::Error { code, message } = &control else {
                left.push(control);
                continue;
            };
            self.status.count_error(*code);
            match Verdict::of(*code) {
                Verdict::Fatal(error) => return Err(End::Fatal(error)),
                Verdict::HeldElsewhere => return Err(End::retry(RetryCause::HeldElsewhere, message.as_str())),
                Verdict::Reconnect => return Err(End::retry(RetryCause::ServerError, format!("{code} {message}"))),
                Verdict::Ignore if *code == 403 => {}
                _ => left.push(control),
            }
        }
        Ok((!left.is_empty() || !nothing_else).then_some(left))
    }
}
