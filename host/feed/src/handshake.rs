//! Authenticates an open websocket. Protocol: docs.alpaca.markets/docs/streaming-market-data.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::AuthBy;
use crate::connection::{Connection, SessionEnd};
use crate::control_message::ControlMessage::{self, Authenticated, Connected};
use crate::control_message::ErrorAction;
use crate::reader::FrameReader;
use crate::request;
use crate::settings::FeedSettings;
use crate::status::{FeedStatus, RetryCause};

/// Waits for the welcome, sends the key, and waits for the reply, each within the step timeout.
pub(crate) async fn authenticate(
    connection: &mut Connection,
    reader: &mut FrameReader,
    settings: &FeedSettings,
    status: &FeedStatus,
) -> Result<(), SessionEnd> {
    let mut handshake = Handshake { connection, reader, status, limit: settings.step_timeout };
    match settings.credentials.by {
        AuthBy::Message => {
            handshake.expect(&[&[Connected]]).await?;
            handshake.connection.send(request::auth(&settings.credentials, settings.encoding)).await?;
            handshake.expect(&[&[Authenticated]]).await?;
        }
        // With header authentication it is undocumented whether both messages arrive, and in how many frames.
        AuthBy::Headers => {
            let both = &[Connected, Authenticated][..];
            let seen = handshake.expect(&[&[Connected], both, &[Authenticated]]).await?;
            if seen == 0 {
                handshake.expect(&[&[Authenticated]]).await?;
            }
        }
    }
    Ok(())
}

struct Handshake<'a> {
    connection: &'a mut Connection,
    reader: &'a mut FrameReader,
    status: &'a FeedStatus,
    limit: Duration,
}

impl Handshake<'_> {
    /// Waits for exactly one of the sequences in `accepted` and returns its index.
    async fn expect(&mut self, accepted: &[&[ControlMessage]]) -> Result<usize, SessionEnd> {
        let deadline = Instant::now() + self.limit;
        loop {
            let messages = timeout_at(deadline, self.control_messages()).await.map_err(|_| {
                SessionEnd::retry(RetryCause::Handshake, format!("timed out waiting for {:?}", accepted[0]))
            })??;
            let Some(answer) = self.without_harmless(messages)? else { continue };
            return match accepted.iter().position(|expected| **expected == *answer) {
                Some(found) => Ok(found),
                None => Err(SessionEnd::retry(
                    RetryCause::Handshake,
                    format!("got {answer:?} instead of {:?}", accepted[0]),
                )),
            };
        }
    }

    /// Reads until a data frame arrives and returns its control messages, if any.
    async fn control_messages(&mut self) -> Result<Vec<ControlMessage>, SessionEnd> {
        while self.connection.read(self.reader).await? == 0 {}
        Ok(self.reader.take_control_messages())
    }

    /// Removes error 403, which only says that we are already authenticated. `None` if there was nothing else.
    fn without_harmless(&self, messages: Vec<ControlMessage>) -> Result<Option<Vec<ControlMessage>>, SessionEnd> {
        let mut left = Vec::new();
        let nothing_else = !messages.is_empty();
        for message in messages {
            let ControlMessage::Error { code, message: text } = &message else {
                left.push(message);
                continue;
            };
            self.status.count_error(*code);
            match ErrorAction::of(*code, text) {
                ErrorAction::End(end) => return Err(end),
                ErrorAction::Ignore if *code == 403 => {}
                _ => left.push(message),
            }
        }
        Ok((!left.is_empty() || !nothing_else).then_some(left))
    }
}
