//! Refuses quotes below one dollar and quotes whose spread is over fifty basis points.

use extism_pdk::{FnResult, Json, plugin_fn};
use serde::{Deserialize, Serialize};

/// The fields that the rule reads; serde skips the rest.
#[derive(Deserialize)]
struct Quote {
    bid_price: f64,
    ask_price: f64,
}

#[derive(Serialize)]
struct Verdict {
    keep: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

// Constants, because an Extism plugin would read and parse its configuration on every call.
const MIN_PRICE: f64 = 1.0;
const MAX_SPREAD_BPS: f64 = 50.0;

#[plugin_fn]
pub fn filter(Json(quote): Json<Quote>) -> FnResult<Json<Verdict>> {
    Ok(Json(evaluate(&quote)))
}

fn evaluate(quote: &Quote) -> Verdict {
    let Quote { bid_price: bid, ask_price: ask } = *quote;
    let refused = |reason| Verdict { keep: false, reason: Some(reason) };
    let is_cheap = |price: f64| price > 0.0 && price < MIN_PRICE;
    if is_cheap(bid) || is_cheap(ask) {
        return refused("price");
    }
    if bid > 0.0 && ask > 0.0 && (ask - bid) / bid.midpoint(ask) * 10_000.0 > MAX_SPREAD_BPS {
        return refused("spread");
    }
    Verdict { keep: true, reason: None }
}
