//! One websocket: opens, reads what is ready, sends and closes, each within a bounded time.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use secrecy::ExposeSecret;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::Error as SocketError;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue, StatusCode, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};

use crate::AuthBy;
use crate::error::FeedError;
use crate::frame::Payload;
use crate::reader::FrameReader;
use crate::settings::{Clock, FeedSettings};
use crate::status::RetryCause;
use crate::tls::is_untrusted;

/// A flood of frames without a quote must not keep the timers waiting.
const FRAMES_PER_READ: usize = 1024;

/// Room for about two thousand quotes a system call.
const READ_BUFFER: usize = 256 << 10;

/// How a session ended.
#[derive(Debug)]
pub(crate) enum End {
    /// As we were told.
    Stopped,
    /// For good.
    Fatal(FeedError),
    /// For now.
    Retry {
        cause: RetryCause,
        /// For the log.
        reason: String,
    },
}

impl End {
    pub(crate) fn retry(cause: RetryCause, reason: impl Into<String>) -> Self {
        Self::Retry { cause, reason: reason.into() }
    }
}

pub(crate) struct Connection {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    clock: Clock,
    send_timeout: Duration,
    /// What ended the stream after frames that were to be used first.
    ended: Option<End>,
}

impl Connection {
    pub(crate) async fn open(settings: &FeedSettings, clock: Clock) -> Result<Self, End> {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .max_message_size(Some(settings.max_message_size))
            .max_frame_size(Some(settings.max_message_size));
        let request = upgrade(settings).map_err(End::Fatal)?;
        // Whether TLS is spoken at all the address says.
        let connector = Connector::Rustls(settings.trust.config());
        let opening = connect_async_tls_with_config(request, Some(config), true, Some(connector));
        let (stream, _) = timeout(settings.step_timeout, opening)
            .await
            .map_err(|_| End::retry(RetryCause::Connect, "no connection in time"))?
            .map_err(|error| refused(&error, settings))?;
        Ok(Self { stream, clock, send_timeout: settings.step_timeout, ended: None })
    }

    /// Waits until something is ready, then reads all that is ready, but no more than a batch. Answers how many of the
    /// frames carried data; pings and pongs carry none. Losing the future loses no frame.
    pub(crate) async fn read(&mut self, reader: &mut FrameReader) -> Result<usize, End> {
        if let Some(end) = self.ended.take() {
            return Err(end);
        }
        let (frames, data_frames) = poll_fn(|context| self.poll_frames(context, reader)).await;
        match self.ended.take() {
            Some(end) if frames == 0 => Err(end),
            end => {
                self.ended = end;
                Ok(data_frames)
            }
        }
    }

    fn poll_frames(&mut self, context: &mut Context<'_>, reader: &mut FrameReader) -> Poll<(usize, usize)> {
        let (mut frames, mut data_frames) = (0, 0);
        // One frame at least, however full the reader is: nothing read and not pending would be a loop without a rest.
        while frames == 0 || (frames < FRAMES_PER_READ && !reader.is_full()) {
            let message = match self.stream.poll_next_unpin(context) {
                Poll::Ready(Some(Ok(message))) => message,
                Poll::Ready(Some(Err(error))) => {
                    self.ended = Some(End::retry(RetryCause::Closed, error.to_string()));
                    break;
                }
                Poll::Ready(None) => {
                    self.ended = Some(End::retry(RetryCause::Closed, "the server closed the connection"));
                    break;
                }
                Poll::Pending if frames == 0 => return Poll::Pending,
                Poll::Pending => break,
            };
            frames += 1;
            let payload = match &message {
                Message::Text(text) => Payload::Text(text.as_str()),
                Message::Binary(bytes) => Payload::Binary(bytes),
                // Pongs are answered inside tungstenite; a close frame is followed by the end of the stream.
                Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => continue,
            };
            data_frames += 1;
            reader.take(payload, (self.clock)());
        }
        Poll::Ready((frames, data_frames))
    }

    /// Sends at once.
    pub(crate) async fn send(&mut self, message: Message) -> Result<(), End> {
        timeout(self.send_timeout, self.stream.send(message))
            .await
            .map_err(|_| End::retry(RetryCause::Silent, "the server does not take what we send"))?
            .map_err(|error| End::retry(RetryCause::Closed, error.to_string()))
    }

    /// Says goodbye and waits for the answer, but no longer than `limit`: then the socket is dropped. The slot of a
    /// session that went without a goodbye stays taken until Alpaca notices (406).
    pub(crate) async fn close(mut self, limit: Duration) {
        let goodbye = async {
            if self.stream.close(None).await.is_ok() {
                while let Some(Ok(_)) = self.stream.next().await {}
            }
        };
        // Past the limit there is nothing better to do than to drop the socket, which happens next.
        let _ = timeout(limit, goodbye).await;
    }
}

fn upgrade(settings: &FeedSettings) -> Result<Request, FeedError> {
    let problem =
        |problem: &dyn ToString| FeedError::Address { url: settings.url.clone(), problem: problem.to_string() };
    let mut request = settings.url.as_str().into_client_request().map_err(|error| problem(&error))?;
    if !matches!(request.uri().scheme_str(), Some("ws" | "wss")) {
        return Err(problem(&"it is no websocket address"));
    }
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(settings.encoding.content_type()));
    if settings.credentials.by == AuthBy::Headers {
        let value = |text: &str| HeaderValue::from_str(text).map_err(|_| FeedError::CredentialCharacters);
        let mut secret = value(settings.credentials.secret_key.expose_secret())?;
        secret.set_sensitive(true);
        headers.insert(HeaderName::from_static("apca-api-key-id"), value(&settings.credentials.key_id)?);
        headers.insert(HeaderName::from_static("apca-api-secret-key"), secret);
    }
    Ok(request)
}

fn refused(error: &SocketError, settings: &FeedSettings) -> End {
    match error {
        SocketError::Http(response) => match response.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => End::Fatal(FeedError::AuthenticationFailed),
            StatusCode::TOO_MANY_REQUESTS => End::retry(RetryCause::RateLimited, "HTTP 429 at the upgrade"),
            status => End::retry(RetryCause::Connect, format!("HTTP {status} at the upgrade")),
        },
        SocketError::Url(problem) => {
            End::Fatal(FeedError::Address { url: settings.url.clone(), problem: problem.to_string() })
        }
        SocketError::Io(error) if is_untrusted(error) => End::retry(
            RetryCause::Connect,
            format!("{error}; if a proxy opens TLS here on purpose, feed.ca_file can name its authority"),
        ),
        other => End::retry(RetryCause::Connect, other.to_string()),
    }
}
