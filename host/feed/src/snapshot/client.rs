//! One request at a time, and what its answer means.

use std::time::Duration;

use quotegate_market::UnixNanos;
use reqwest::header::{HeaderMap, HeaderName, RETRY_AFTER};
use reqwest::{Response, StatusCode, Url};

use super::{SnapshotFailure, SnapshotSettings};
use crate::decode::{LatestQuotes, latest_quotes};
use crate::endpoint::{LatestQuotesEndpoint, latest_quotes_endpoint};
use crate::error::FeedSettingsError;
use crate::settings::Clock;
use crate::subscription::Name;

/// A thousand quotes are about 150 kB.
const MAX_ANSWER: usize = 16 << 20;

/// Alpaca counts requests per minute, so a longer pause means that something is wrong with the header or the clocks.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);

pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
    endpoint: LatestQuotesEndpoint,
    clock: Clock,
}

/// Why a request brought no quotes.
#[derive(Debug)]
pub(super) enum Failure {
    Retry {
        cause: SnapshotFailure,
        reason: String,
        /// The server said when to come back.
        after: Option<Duration>,
    },
    /// One of the symbols is invalid.
    BadRequest(String),
    /// It will not work later either.
    Pointless(String),
}

impl Failure {
    pub(super) fn cause(&self) -> SnapshotFailure {
        match self {
            Self::Retry { cause, .. } => *cause,
            Self::BadRequest(_) | Self::Pointless(_) => SnapshotFailure::Refused,
        }
    }

    fn retry(cause: SnapshotFailure, reason: String) -> Self {
        Self::Retry { cause, reason, after: None }
    }
}

impl Client {
    /// `None` if REST does not serve the feed.
    pub(super) fn new(settings: &SnapshotSettings, clock: Clock) -> Result<Option<Self>, FeedSettingsError> {
        let Some(endpoint) = latest_quotes_endpoint(settings.feed) else { return Ok(None) };
        let invalid = |reason: String| FeedSettingsError::RestUrl(settings.url.clone(), reason);
        let base = format!("{}{}", settings.url.trim_end_matches('/'), endpoint.path);
        let base = Url::parse(&base).map_err(|error| invalid(error.to_string()))?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(settings.root_certs.config().as_ref().clone())
            .default_headers(settings.credentials.headers().ok_or(FeedSettingsError::CredentialCharacters)?)
            .user_agent(concat!("quotegate/", env!("CARGO_PKG_VERSION")))
            .timeout(settings.request_timeout)
            // The keys must not follow a redirect to another host.
            .redirect(reqwest::redirect::Policy::none())
            // As the websocket.
            .no_proxy()
            .build()
            .map_err(|error| FeedSettingsError::Tls(error.to_string()))?;
        Ok(Some(Self { http, base, endpoint, clock }))
    }

    pub(super) fn max_symbols(&self) -> usize {
        self.endpoint.max_symbols
    }

    pub(super) async fn latest_quotes(&self, names: &[Name]) -> Result<LatestQuotes, Failure> {
        let mut url = self.base.clone();
        // All characters of symbols are allowed in a query as they are.
        let feed = self.endpoint.feed.map_or(String::new(), |feed| format!("&feed={feed}"));
        url.set_query(Some(&format!("symbols={}{feed}", names.join(","))));
        let answer = self.http.get(url).send().await.map_err(|error| self.unreachable(&error))?;
        if answer.status() != StatusCode::OK {
            return Err(self.refused(&answer));
        }
        let text = self.text(answer).await?;
        let received = (self.clock)();
        latest_quotes(&text, received).ok_or_else(|| {
            let reason = format!("the answer of {} is not as documented", self.base);
            Failure::retry(SnapshotFailure::ServerError, reason)
        })
    }

    async fn text(&self, mut answer: Response) -> Result<String, Failure> {
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.unreachable(&error))? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > MAX_ANSWER {
                let reason = format!("the answer of {} is longer than {MAX_ANSWER} bytes", self.base);
                return Err(Failure::retry(SnapshotFailure::ServerError, reason));
            }
        }
        // Invalid UTF-8 is no JSON, which is noticed later.
        Ok(String::from_utf8(bytes).unwrap_or_default())
    }

    /// The URL of a request lists every symbol, so the error is told without it.
    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let reason = if error.is_timeout() {
            format!("{} did not answer in time", self.base)
        } else {
            format!("could not reach {}: {}", self.base, innermost(error))
        };
        Failure::retry(SnapshotFailure::Unreachable, reason)
    }

    /// The text of an answer is never shown: it may repeat what was sent.
    fn refused(&self, answer: &Response) -> Failure {
        let (url, status) = (&self.base, answer.status());
        let pointless =
            |why| Failure::Pointless(format!("{url} answered HTTP {status}: {why}, or set feed.snapshot = false"));
        let retry = |cause| Failure::Retry {
            cause,
            reason: format!("{url} answered HTTP {status}"),
            after: pause(answer.headers(), (self.clock)()),
        };
        match status {
            StatusCode::BAD_REQUEST => Failure::BadRequest(format!("{url} answered HTTP {status}")),
            StatusCode::TOO_MANY_REQUESTS => retry(SnapshotFailure::RateLimited),
            status if status.is_server_error() => retry(SnapshotFailure::ServerError),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                pointless("check the credentials, and that the plan includes this feed")
            }
            _ => pointless("check feed.rest_url"),
        }
    }
}

/// When the server wants the next request: `Retry-After` in seconds, or Alpaca's `X-RateLimit-Reset`, a time in seconds
/// since 1970.
fn pause(headers: &HeaderMap, now: UnixNanos) -> Option<Duration> {
    let number = |name: &HeaderName| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    let reset = HeaderName::from_static("x-ratelimit-reset");
    let seconds = number(&RETRY_AFTER).or_else(|| {
        let now = u64::try_from(now / 1_000_000_000).ok()?;
        Some(number(&reset)?.saturating_sub(now))
    })?;
    Some(Duration::from_secs(seconds).min(LONGEST_PAUSE))
}

fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn the_server_says_when_to_come_back() {
        let of = |name: &'static str, value: &'static str| {
            let headers = HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))]);
            pause(&headers, 1_000_500_000_000).map(|pause| pause.as_secs())
        };
        assert_eq!(of("retry-after", "7"), Some(7));
        assert_eq!(of("retry-after", "99999"), Some(120));
        assert_eq!(of("retry-after", "soon"), None);
        assert_eq!(of("x-ratelimit-reset", "1030"), Some(30));
        assert_eq!(of("x-ratelimit-reset", "900"), Some(0));
    }
}
