//! Authentication, limits of requests, and security headers.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

/// More requests than this at the same time are refused, so that clients cannot slow down the host.
const MAX_REQUESTS: usize = 32;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Limits the requests at the same time.
#[derive(Clone)]
pub(super) struct RequestPermits(Arc<Semaphore>);

impl RequestPermits {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(MAX_REQUESTS)))
    }
}

/// Refuses requests that are not reads, that exceed the limit, or that take too long.
pub(super) async fn limits(State(permits): State<RequestPermits>, request: Request, next: Next) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return (StatusCode::METHOD_NOT_ALLOWED, "this server is read-only\n").into_response();
    }
    let Ok(_permit) = permits.0.try_acquire() else {
        return (StatusCode::TOO_MANY_REQUESTS, "too many requests at the same time\n").into_response();
    };
    match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the host is too busy to answer\n").into_response(),
    }
}

/// Headers that allow the page only what it needs.
pub(super) async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Requires `Authorization: Bearer …` if the settings have a token.
pub(super) async fn token(State(expected): State<Option<SecretString>>, request: Request, next: Next) -> Response {
    let Some(expected) = expected else { return next.run(request).await };
    let given = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    let given = given.and_then(|value| value.strip_prefix(b"Bearer "));
    if given.is_some_and(|given| given.ct_eq(expected.expose_secret().as_bytes()).into()) {
        return next.run(request).await;
    }
    let ask = [(header::WWW_AUTHENTICATE, "Bearer")];
    (StatusCode::UNAUTHORIZED, ask, "a token is required: Authorization: Bearer …\n").into_response()
}
