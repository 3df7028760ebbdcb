//! A server that speaks Alpaca's stream protocol with made-up quotes, and serves the latest of them over REST.
//!
//! | part | does |
//! |---|---|
//! | [`Simulator`] | listens, and ends every connection when told to stop |
//! | `connection` | one client: handshake, subscriptions, quotes |
//! | `rest` | Alpaca's REST for latest quotes, on the same port |
//! | `market` | random walks of prices, by seed, and the latest quote of each symbol |
//! | [`Scenario`] | a scripted market with its own stocks and times, by seed: served, or written to a file |
//! | `wire` | JSON and MessagePack, as Alpaca writes them |
//! | [`Fault`] | faults to inject |
//!
//! Follows Alpaca's documentation (streaming-market-data, August 2026); where that says nothing, what Alpaca's own
//! clients expect. Knows nothing of the host.

mod clock;
mod connection;
mod fault;
mod handle;
mod http;
mod listing;
mod market;
mod opening_bell;
mod playback;
mod protocol;
mod rest;
mod scenario;
mod server;
mod settings;
mod stock;
mod wire;

pub use fault::{Fault, ParseFaultError};
pub use handle::SimHandle;
pub use scenario::{ParseScenarioError, Scenario, ScenarioFrame, ScenarioFrames};
pub use server::Simulator;
pub use settings::{ParseRateError, ParseUniverseError, Rate, SimSettings, Universe};
