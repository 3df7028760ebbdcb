//! A server that speaks Alpaca's stream protocol with made-up quotes.
//!
//! | part | does |
//! |---|---|
//! | [`Simulator`] | listens, and ends every connection when told to stop |
//! | `connection` | one client: handshake, subscriptions, quotes |
//! | `market` | prices that walk, by seed |
//! | [`Scenario`] | a story with its own stocks and times, by seed: served, or written to a file |
//! | `wire` | JSON and MessagePack, as Alpaca writes them |
//! | [`Fault`] | what to do wrong |
//!
//! The protocol as documented by Alpaca (streaming-market-data, August 2026); where the documents are silent, as its own
//! clients expect it. Knows nothing of the host.

mod connection;
mod fault;
mod handle;
mod listing;
mod market;
mod opening_bell;
mod protocol;
mod scenario;
mod server;
mod settings;
mod stock;
mod story;
mod wire;

pub use fault::{Fault, UnknownFault};
pub use handle::SimHandle;
pub use scenario::{Scenario, ScenarioFrame, ScenarioFrames, UnknownScenario};
pub use server::Simulator;
pub use settings::{Rate, SimSettings, Universe, UniverseError, UnknownRate};
