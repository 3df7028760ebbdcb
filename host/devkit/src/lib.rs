//! The tools for plugin authors: creates projects, builds components in three languages, runs fixtures under the host's
//! limits, and measures.
//!
//! Knows nothing of running tenants, the websocket or Firestore. Prints nothing; `host/cli/src/plugin` does.
//!
//! | step | where |
//! |---|---|
//! | a folder with a plugin's source | [`Project`], read from its `plugin.toml` |
//! | a plugin's configuration and limits during development | [`Setup`] |
//! | what a plugin costs | [`bench`] with a [`Workload`]; [`Budget`] sets limits |
//! | a new project | [`create`] |
//! | from a project to a component | [`build()`] |
//! | which files have changed | [`Sources`] |

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
    BenchReport, Budget, BudgetError, Compile, Cost, Documents, Fuel, Kept, Measure, Start, Workload, bench,
};
pub use build::{Built, OnProgress, Progress, build, setup_command};
pub use create::{CreateError, create};
pub use fixture::{Fixture, time_text};
pub use fixture_runner::{FixtureReport, junit, run_fixture};
pub use inspect::{Accepted, Inspection, Started, inspect};
pub use project::{Kind, Language, Project};
pub use setup::Setup;
pub use target::Target;
pub use toml::FileError;
pub use watch::Sources;
