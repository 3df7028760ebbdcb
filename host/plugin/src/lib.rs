//! Compiles, caches, instantiates and limits the WebAssembly components with which tenants filter and map their quotes,
//! and decides what happens to quotes when one fails.
//!
//! Knows nothing of where quotes come from or where documents go.
//!
//! | step | type |
//! |---|---|
//! | the process's engine, its clock and its allocator | [`PluginEngine`] |
//! | from bytes to validated and compiled code | [`PreparedPlugin`]; for images, [`Precompiler`] |
//! | a tenant's instance of a plugin | [`PluginInstance`], within its [`PluginLimits`] |
//! | a tenant's plugins in order, with failure policies and counters | [`PluginChain`] |
//! | the threads that guests run on | [`PluginThreads`] |

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking"))]

mod allocator;
mod bindings;
mod cache;
mod call_clock;
mod chain;
mod component_file;
mod component_limits;
mod degraded;
mod documents;
mod engine;
mod escape;
mod failure;
mod hash;
mod health;
mod heap;
mod instance;
mod limits;
mod precompile;
mod prepare;
mod snapshot;
mod stage;
mod state;
mod threads;
mod ticker;
mod time_share;
mod validate;

pub use allocator::AllocatorChoice;
pub use chain::{FilterOutcome, MapOutcome, Mapped, PluginChain, StartError, StopTenant, Verdict, Verdicts};
pub use component_file::{ComponentFileError, read_component};
pub use component_limits::ComponentLimits;
pub use documents::{Collections, DocumentError};
pub use engine::{EngineError, EngineSettings, PluginEngine};
pub use failure::{FailureKind, PluginFailure};
pub use hash::Sha256Hash;
pub use instance::PluginInstance;
pub use limits::PluginLimits;
pub use precompile::{PrecompileError, Precompiler};
pub use prepare::PreparedPlugin;
pub use quotegate_document::OnError;
pub use snapshot::{PluginSnapshot, PluginState};
pub use stage::PluginSpec;
pub use threads::{PluginThreads, Weight};
pub use validate::PluginError;
