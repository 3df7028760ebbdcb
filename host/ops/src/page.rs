//! The page. Its files are compiled into the program, and it loads nothing from other servers. It contains no secrets, so
//! it needs no token. What it shows comes from `/api/events`, which does.

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;

const SCRIPT: &str = "text/javascript; charset=utf-8";

pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", file("text/html; charset=utf-8", include_str!("page/index.html")))
        .route("/favicon.svg", file("image/svg+xml", include_str!("page/favicon.svg")))
        .route("/page.css", file("text/css; charset=utf-8", include_str!("page/page.css")))
        .route("/page.js", file(SCRIPT, include_str!("page/page.js")))
        .route("/quotes.js", file(SCRIPT, include_str!("page/quotes.js")))
        .route("/rates.js", file(SCRIPT, include_str!("page/rates.js")))
        .route("/stream.js", file(SCRIPT, include_str!("page/stream.js")))
        .route("/view.js", file(SCRIPT, include_str!("page/view.js")))
}

fn file<S: Clone + Send + Sync + 'static>(kind: &'static str, text: &'static str) -> axum::routing::MethodRouter<S> {
    get(async move || ([(header::CONTENT_TYPE, kind)], text).into_response())
}
