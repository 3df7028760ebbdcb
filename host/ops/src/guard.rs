//! Who may look, how many at a time, and what browsers are told to refuse.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret;
use tokio::sync::Semaphore;

use super::Ops;

/// Requests that are answered at one time; others are turned away, so that visitors cannot slow the host.
const PLACES: usize = 32;
/// No answer takes longer.
const LONGEST: Duration = Duration::from_secs(10);

/// Places for requests.
#[derive(Clone)]
pub(super) struct Places(Arc<Semaphore>);

impl Places {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(PLACES)))
    }
}

/// Turns away what changes things (nothing here does), what comes on top of enough others, and what takes too long.
pub(super) async fn limits(State(places): State<Places>, request: Request, next: Next) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return (StatusCode::METHOD_NOT_ALLOWED, "nothing can be changed here\n").into_response();
    }
    let Ok(_place) = places.0.try_acquire() else {
        return (StatusCode::TOO_MANY_REQUESTS, "too many requests at one time\n").into_response();
    };
    match tokio::time::timeout(LONGEST, next.run(request)).await {
        Ok(response) => response,
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the host is too busy to answer\n").into_response(),
    }
}

/// Headers that keep a page from doing anything but show itself.
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

/// Asks for `Authorization: Bearer …` where the settings have a token.
pub(super) async fn token(State(ops): State<Arc<Ops>>, request: Request, next: Next) -> Response {
    let Some(wanted) = &ops.token else { return next.run(request).await };
    let given = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    let given = given.and_then(|value| value.strip_prefix(b"Bearer "));
    if given.is_some_and(|given| same(given, wanted.expose_secret().as_bytes())) {
        return next.run(request).await;
    }
    let ask = [(header::WWW_AUTHENTICATE, "Bearer")];
    (StatusCode::UNAUTHORIZED, ask, "give the token: Authorization: Bearer …\n").into_response()
}

/// Takes as long for a wrong token as for a right one.
fn same(given: &[u8], wanted: &[u8]) -> bool {
    let difference = given.iter().zip(wanted).fold(0, |difference, (given, wanted)| difference | (given ^ wanted));
    given.len() == wanted.len() && std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::same;

    #[test]
    fn only_the_very_token_is_the_same() {
        assert!(same(b"hush", b"hush"));
        for wrong in ["", "hus", "hushh", "husx"] {
            assert!(!same(wrong.as_bytes(), b"hush"), "{wrong}");
        }
    }
}
