use quotegate_market::UnixNanos;
use serde::{Deserialize, Serialize};

use crate::status::RetryCause;

/// A time without quotes because there was no connection. Nothing is delivered later for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// When the last quote before it arrived.
    pub from: UnixNanos,
    /// When all symbols were subscribed again; `None` while it lasts.
    pub to: Option<UnixNanos>,
    /// Why the connection ended.
    pub cause: RetryCause,
}
