//! quotegate keeps one Alpaca market-data websocket and writes each tenant's latest quotes to Firestore.
//!
//! ```text
//! feed ──frames──▶ router ──batches──▶ tenant ──due quotes──▶ sink
//! websocket        symbol → tenants    filter → latest → pace → map    Firestore | dry run
//!                                          ▲                              │
//!                                          └──── outcome: done / retry ───┘
//! ```
//!
//! | room | where | owns |
//! |---|---|---|
//! | feed | `quotegate-feed` | connection, handshake, decode, reconnect, watchdogs |
//! | router | [`router`] | which tenant wants which symbol |
//! | inbox | [`inbox`] | quotes that wait for a tenant; the reader's side never waits |
//! | tenant | [`tenant`] | latest quotes, what is due, plugins, documents |
//! | pace | `quotegate-pace`, [`budget`] | when a quote may be written |
//! | plugin | `quotegate-plugin`, [`plugins`], `precompile` | components: compiled, limited, started, called |
//! | sink | `quotegate-sink` | batches, in-flight limit, outcomes |
//! | pause | [`pause`] | the kill switch: who may not write, and who says so |
//! | heartbeat | [`heartbeat`] | `tenants/{id}/ops/market_ingest` |
//! | ops | `ops`, [`latency`], [`liveness`] | health, metrics, state and the page over HTTP |
//! | estimate | `estimate` | writes a day and their cost, from settings and a recording |
//! | simulation | [`simulation`], `simulate` | a recording played through the tenants in its own time |
//! | recorded | `recorded` | the quotes of a recording at once, without their time |
//! | kit | `quotegate-kit` | an author's desk: projects, builds, fixtures, measures |
//! | config | `quotegate-config` | settings and where each came from |
//! | cli | [`cli`] | verbs; the only place that prints for people |
//!
//! [`host`] puts them together and takes them apart again, in order.

pub mod budget;
pub mod cli;
mod estimate;
pub mod heartbeat;
pub mod host;
pub mod inbox;
pub mod latency;
pub mod liveness;
pub mod log;
mod ops;
pub mod pause;
pub mod plugins;
mod precompile;
mod recorded;
pub mod router;
mod simulate;
pub mod simulation;
pub mod status;
pub mod tenant;
