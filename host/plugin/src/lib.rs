//! The plugin room: compiles, caches, instantiates and limits the WebAssembly components with which tenants filter and
//! map their quotes, and decides what becomes of quotes when one fails.
//!
//! Knows nothing of where quotes come from, and nothing of where documents go.
//!
//! | step | type |
//! |---|---|
//! | one engine a process, its clock, its allocator | [`PluginEngine`] |
//! | bytes to checked and compiled code | [`PreparedPlugin`]; when an image is built, [`Precompiler`] |
//! | a warm instance of a tenant | [`PluginInstance`], within its [`PluginLimits`] |
//! | a tenant's plugins in order, with failure policy and counters | [`PluginChain`] |
//! | threads that a guest may hold | [`PluginThreads`] |

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking"))]

mod accept;
mod address_space;
mod bindings;
mod cache;
mod call_clock;
mod chain;
mod counters;
mod documents;
mod engine;
mod failure;
mod health;
mod instance;
mod limits;
mod link;
mod log_rate;
mod precompile;
mod prepare;
mod share;
mod state;
mod threads;
mod ticker;
mod trouble;

pub use accept::PluginError;
pub use address_space::AllocatorChoice;
pub use chain::{FilterOutcome, MapOutcome, Mapped, PluginChain, StartError, StopTenant, Verdict, Verdicts};
pub use counters::{PluginSnapshot, PluginState};
pub use documents::{Collections, DocumentError};
pub use engine::{EngineError, EngineSettings, PluginEngine};
pub use failure::{FailureKind, PluginFailure};
pub use health::Health;
pub use instance::PluginInstance;
pub use limits::PluginLimits;
pub use link::PluginSpec;
pub use precompile::{PrecompileError, Precompiler};
pub use prepare::{PreparedPlugin, Sha256Hash};
pub use quotegate_document::OnError;
pub use threads::PluginThreads;
