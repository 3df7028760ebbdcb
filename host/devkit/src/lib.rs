//! The kit room: what a plugin's author does at a desk. Makes projects, builds components in three languages, runs
//! fixtures under the real limits, and measures.
//!
//! Knows nothing of tenants at work, the websocket or Firestore, and prints nothing: `host/cli/src/plugin` does.
//!
//! | step | where |
//! |---|---|
//! | a folder with a plugin's source | [`Project`], read from its `plugin.toml` |
//! | what a plugin is told and may use there | [`Setup`] |
//! | what it costs | [`bench`], with the quotes of a [`Workload`]; [`Budget`] for a limit to it |
//! | nothing to a project | [`create`] |
//! | a project to a component | [`build()`] |
//! | what was saved since | [`Sources`] |

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking"))]

mod bench;
mod build;
mod create;
mod fixture;
mod fixture_runner;
mod inspect;
mod project;
mod setup;
mod target;
mod toml;
mod watch;

pub use bench::{
    BenchError, BenchReport, Budget, BudgetError, Compile, Cost, Documents, Fuel, Kept, Measure, Start, Workload, bench,
};
pub use build::{BuildError, Built, OnProgress, Progress, build, setup_command};
pub use create::{CreateError, create};
pub use fixture::{Fixture, FixtureError, time_text};
pub use fixture_runner::{FixtureReport, junit, run_fixture};
pub use inspect::{Accepted, Inspection, Started, inspect};
pub use project::{Kind, Language, Project, ProjectError, is_name};
pub use setup::{Setup, SetupError};
pub use target::Target;
pub use watch::Sources;
