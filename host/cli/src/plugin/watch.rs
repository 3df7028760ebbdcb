use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use quotegate_devkit::{Project, Sources, Target};
use quotegate_runtime::text::counted;

use super::dry_run::{self, Play};
use super::{build, common, test};
use crate::output::{self, errln, outln};
use crate::{Failure, signals};

/// Too short to notice. Checking a few dozen files takes less than a millisecond.
const POLL_INTERVAL: Duration = Duration::from_millis(300);

/// The number of the dry run's documents to show.
const SHOWN: usize = 3;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quotegate plugin watch                                 the project in this folder
  quotegate plugin watch my-filter --quotes monday.jsonl.zst   with a dry run on recorded quotes

Errors are printed, and the next save tries again. Stop with Ctrl-C.")]
pub(super) struct WatchArgs {
    /// The project's folder
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// A recording made by `quotegate record`, for a dry run after each build
    #[arg(long, value_name = "FILE")]
    quotes: Option<PathBuf>,
}

pub(super) async fn run(args: WatchArgs) -> Result<ExitCode, Failure> {
    let project = Project::open(&args.folder).map_err(|error| Failure::Usage(error.into()))?;
    let stop = signals::stop_on_signal()?;
    let _log = common::start_log()?;
    tokio::select! {
        () = stop.cancelled() => {}
        () = watch(project, args.quotes.as_deref()) => {}
    }
    Ok(ExitCode::SUCCESS)
}

async fn watch(mut project: Project, quotes: Option<&Path>) {
    loop {
        // Taken before the build, so that a save during the build triggers another one.
        let seen = Sources::of(&project);
        if let Err(Failure::Running(error) | Failure::Usage(error)) = build_and_test(&project, quotes).await {
            errln!("{error:#}");
        }
        outln!("watching {}; stop with Ctrl-C", counted(seen.count(), "file"));
        if output::is_closed() {
            return;
        }
        project = next_save(project, seen).await;
    }
}

/// Waits until the sources have changed and then stay the same for one interval: a save may take several steps or files.
async fn next_save(project: Project, mut seen: Sources) -> Project {
    loop {
        tokio::time::sleep(POLL_INTERVAL).await;
        let mut now = Sources::of(&project);
        let Some(first) = now.changed_since(&seen).first().map(|path| path.to_path_buf()) else { continue };
        loop {
            tokio::time::sleep(POLL_INTERVAL).await;
            let later = Sources::of(&project);
            if later == now {
                break;
            }
            now = later;
        }
        let more = match now.changed_since(&seen).len() {
            0 | 1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        outln!("\nchanged: {}{more}", first.strip_prefix(".").unwrap_or(&first).display());
        match Project::open(&project.folder) {
            Ok(project) => return project,
            Err(error) => errln!("{error}"),
        }
        seen = now;
    }
}

async fn build_and_test(project: &Project, quotes: Option<&Path>) -> Result<(), Failure> {
    build::print(&build::component(project).await?);
    let target = Target { component: project.component(), name: project.name.clone(), project: Some(project.clone()) };
    test::print(&test::reports(&target, &target.fixtures(), false).await?, false);
    if let Some(quotes) = quotes {
        let play = Play::of(&target, quotes);
        let plugin = common::prepare(&common::engine(play.setup.limits.memory_bytes)?, &target).await?;
        dry_run::table(&play, &target, &plugin, SHOWN).await?;
    }
    Ok(())
}
