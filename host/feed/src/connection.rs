//! One websocket: open, read, send and close. Opening, sending and closing are bounded by timeouts.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use quotegate_io::connect_problem;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::Error as SocketError;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};

use crate::AuthBy;
use crate::error::FeedError;
use crate::frame::Payload;
use crate::reader::FrameReader;
use crate::settings::{Clock, FeedSettings};
use crate::status::RetryCause;
use crate::tls::is_untrusted;

/// A burst of frames without quotes must not delay the timers.
const FRAMES_PER_READ: usize = 1024;

/// Fits about two thousand quotes per system call. tungstenite fills it with zeros before each read, which is 3% of the host's
/// time with frames of one quote; but with half of it, a reader that never rests takes 6% longer for frames of 64.
const READ_BUFFER: usize = 256 << 10;

/// Why a websocket session ended.
#[derive(Debug)]
pub(crate) enum SessionEnd {
    /// The feed was told to stop.
    Stopped,
    /// Retrying is pointless.
    Fatal(FeedError),
    /// Reconnect after a delay.
    Retry {
        cause: RetryCause,
        /// For the log.
        reason: String,
    },
}

impl SessionEnd {
    pub(crate) fn retry(cause: RetryCause, reason: impl Into<String>) -> Self {
        Self::Retry { cause, reason: reason.into() }
    }
}

pub(crate) struct Connection {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    clock: Clock,
    address: String,
    send_timeout: Duration,
    /// Why the stream ended. Reported after the frames that arrived before it.
    ended: Option<SessionEnd>,
}

impl Connection {
    pub(crate) async fn open(settings: &FeedSettings, clock: Clock) -> Result<Self, SessionEnd> {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .max_message_size(Some(settings.max_message_size))
            .max_frame_size(Some(settings.max_message_size));
        let request = upgrade(settings).map_err(SessionEnd::Fatal)?;
        // Used for `wss` URLs only.
        let connector = Connector::Rustls(settings.root_certs.config());
        let opening = connect_async_tls_with_config(request, Some(config), true, Some(connector));
        let (stream, _) = timeout(settings.step_timeout, opening)
            .await
            .map_err(|_| {
                SessionEnd::retry(RetryCause::Connect, format!("no answer from {} in time", address(settings)))
            })?
            .map_err(|error| connect_error(&error, settings))?;
        let address = address(settings).to_owned();
        Ok(Self { stream, clock, address, send_timeout: settings.step_timeout, ended: None })
    }

    /// Waits for a frame, then reads all frames that are ready, up to one batch. Returns how many of them carried data
    /// (pings and pongs do not). Cancel safe: dropping the future loses no frame.
    pub(crate) async fn read(&mut self, reader: &mut FrameReader) -> Result<usize, SessionEnd> {
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
        // Read once: for small frames, the clock would cost as much as decoding them.
        let mut received_time = None;
        // Read at least one frame even if the reader is full: returning ready with nothing read would spin.
        while frames == 0 || (frames < FRAMES_PER_READ && !reader.is_full()) {
            let message = match self.stream.poll_next_unpin(context) {
                Poll::Ready(Some(Ok(message))) => message,
                Poll::Ready(Some(Err(error))) => {
                    self.ended = Some(self.closed(&error));
                    break;
                }
                Poll::Ready(None) => {
                    self.ended =
                        Some(SessionEnd::retry(RetryCause::Closed, format!("{} closed the connection", self.address)));
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
            let received_time = *received_time.get_or_insert_with(|| (self.clock)());
            reader.take(payload, received_time);
        }
        Poll::Ready((frames, data_frames))
    }

    /// Sends and flushes a message.
    pub(crate) async fn send(&mut self, message: Message) -> Result<(), SessionEnd> {
        let sent = timeout(self.send_timeout, self.stream.send(message)).await;
        sent.map_err(|_| SessionEnd::retry(RetryCause::Silent, format!("sending to {} timed out", self.address)))?
            .map_err(|error| self.closed(&error))
    }

    fn closed(&self, error: &SocketError) -> SessionEnd {
        SessionEnd::retry(RetryCause::Closed, connect_problem(error, &self.address))
    }

    /// Closes the websocket and waits up to `limit` for the server's close frame. Without a proper close, Alpaca counts
    /// the connection as open until it notices (406).
    pub(crate) async fn close(mut self, limit: Duration) {
        let closing = async {
            if self.stream.close(None).await.is_ok() {
                while let Some(Ok(_)) = self.stream.next().await {}
            }
        };
        // On timeout the socket is simply dropped.
        let _ = timeout(limit, closing).await;
    }
}

fn upgrade(settings: &FeedSettings) -> Result<Request, FeedError> {
    let invalid = |reason: &dyn ToString| FeedError::Address(settings.url.clone(), reason.to_string());
    let mut request = settings.url.as_str().into_client_request().map_err(|error| invalid(&error))?;
    if !matches!(request.uri().scheme_str(), Some("ws" | "wss")) {
        return Err(invalid(&"it is not a ws(s) URL"));
    }
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(settings.encoding.content_type()));
    if settings.credentials.by == AuthBy::Headers {
        headers.extend(settings.credentials.headers().ok_or(FeedError::CredentialCharacters)?);
    }
    Ok(request)
}

/// The host and the port, if it is not the usual one.
fn address(settings: &FeedSettings) -> &str {
    let rest = settings.url.split_once("://").map_or(settings.url.as_str(), |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or(rest)
}

fn connect_error(error: &SocketError, settings: &FeedSettings) -> SessionEnd {
    let address = address(settings);
    match error {
        SocketError::Http(response) => match response.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => SessionEnd::Fatal(FeedError::AuthenticationFailed),
            StatusCode::TOO_MANY_REQUESTS => {
                SessionEnd::retry(RetryCause::RateLimited, format!("{address} answered HTTP 429 to the upgrade"))
            }
            status => {
                SessionEnd::retry(RetryCause::Connect, format!("{address} answered HTTP {status} to the upgrade"))
            }
        },
        SocketError::Url(error) => SessionEnd::Fatal(FeedError::Address(settings.url.clone(), error.to_string())),
        SocketError::Io(error) if is_untrusted(error) => SessionEnd::retry(
            RetryCause::Connect,
            format!("{address}: {error}; if a proxy intercepts TLS on purpose, set feed.ca_file to its CA certificate"),
        ),
        other => SessionEnd::retry(RetryCause::Connect, connect_problem(other, address)),
    }
}
