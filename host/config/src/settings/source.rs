use std::fs::{self, File};
use std::path::PathBuf;

use quotegate_market::Symbol;

use super::credentials::MaybeCredentials;
use super::{Credentials, FeedSettings, SinkKind, SinkSettings};
use crate::form::{Choice, CountOrSymbols, Number, OrMax, PathText, Whole};
use crate::key::{KeyPath, key};
use crate::reader::Reader;
use crate::{Origin, Problem};

/// Where quotes come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// Alpaca's websocket, or what [`FeedSettings::url`] names.
    Alpaca(Credentials),
    /// The simulator inside this program.
    Sim(SimSettings),
    /// A recording.
    Replay(ReplaySettings),
}

/// The simulator, `[feed.sim]`.
#[derive(Debug, Clone, PartialEq)]
pub struct SimSettings {
    /// What it quotes.
    pub symbols: SimSymbols,
    /// How fast.
    pub rate: SimRate,
    /// The same seed gives the same quotes.
    pub seed: u64,
}

/// What the simulator quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SimSymbols {
    /// So many made-up names.
    Count(u32),
    /// These.
    List(Vec<Symbol>),
}

/// How fast the simulator quotes, over all symbols.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SimRate {
    /// Quotes a second, above 0.
    PerSecond(f64),
    /// As fast as it goes.
    Max,
}

/// A recording to play, `[feed.replay]`.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplaySettings {
    /// The recording; could be opened when the settings were checked.
    pub file: PathBuf,
    /// How fast it plays.
    pub speed: Speed,
}

/// How fast a recording plays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// So many times its own pace, above 0; 1 is its own pace.
    Times(f64),
    /// As fast as it goes.
    Max,
}

impl SimSettings {
    pub(super) fn read(from: &mut Reader<'_>) -> Self {
        from.section(["feed", "sim"]);
        let symbols = key(
            "symbols",
            "What the simulator quotes: a number of made-up symbols, or a list of names.",
            CountOrSymbols(Whole { min: 1, max: 20_000 }),
        );
        let rate = key(
            "rate",
            "Quotes a second over all symbols, or \"max\" for as fast as it goes.",
            OrMax(Number { min: 0.001, max: 100_000_000.0 }),
        );
        let seed = key("seed", "The same seed gives the same quotes.", Whole { min: 0, max: u64::from(u32::MAX) });
        Self {
            symbols: match from.read(symbols, Ok(10)) {
                Ok(count) => SimSymbols::Count(count),
                Err(symbols) => SimSymbols::List(symbols),
            },
            rate: from.read(rate, Some(100.0)).map_or(SimRate::Max, SimRate::PerSecond),
            seed: from.read(seed, 1),
        }
    }
}

/// A recording that may not have a file.
pub(super) struct ReplayValues {
    file: Option<PathBuf>,
    speed: Speed,
}

impl ReplayValues {
    pub(super) fn read(from: &mut Reader<'_>) -> Self {
        from.section(["feed", "replay"]);
        let file = key("file", "The recording that feed.source = \"replay\" plays.", PathText);
        let speed = key(
            "speed",
            "So many times the recording's own pace, or \"max\" for as fast as it goes.",
            OrMax(Number { min: 0.001, max: 1_000_000.0 }),
        );
        Self {
            file: from.read_optional(file, "\"recordings/monday.jsonl.zst\""),
            speed: from.read(speed, Some(1.0)).map_or(Speed::Max, Speed::Times),
        }
    }

    fn settle(self, from: &mut Reader<'_>) -> Option<ReplaySettings> {
        let path = ["feed", "replay", "file"];
        let Some(file) = self.file else {
            if from.is_doubtful(&["feed.replay.file"]) {
                return None;
            }
            from.problem(
                &path,
                "feed.source is \"replay\", and no recording is named.",
                "Set feed.replay.file to a file that `quotegate record` has written.",
            );
            return None;
        };
        check_readable(&file, &path, from).then_some(ReplaySettings { file, speed: self.speed })
    }
}

/// Notes a problem unless `file` can be opened: better now than when the host has half started.
pub(super) fn check_readable(file: &std::path::Path, path: &[&str], from: &mut Reader<'_>) -> bool {
    // Opening a pipe would wait for whoever writes it.
    let opened =
        fs::metadata(file).and_then(|found| if found.is_file() { File::open(file)?.metadata() } else { Ok(found) });
    let reason = match opened {
        Ok(found) if found.is_dir() => "it is a folder".to_owned(),
        Ok(_) => return true,
        Err(error) => error.to_string(),
    };
    from.problem(path, format!("The file cannot be read: {reason}."), "Check the path and its permissions.");
    false
}

#[derive(Clone, Copy, PartialEq)]
enum SourceKind {
    Alpaca,
    Sim,
    Replay,
}

/// The choice of a source before it is known whether it can be had.
pub(super) struct SourceValues {
    kind: SourceKind,
    is_chosen: bool,
    credentials: MaybeCredentials,
}

impl SourceValues {
    pub(super) fn read(from: &mut Reader<'_>) -> Self {
        const KINDS: &[(&str, SourceKind)] =
            &[("alpaca", SourceKind::Alpaca), ("sim", SourceKind::Sim), ("replay", SourceKind::Replay)];
        let source = key(
            "source",
            "Where quotes come from: Alpaca, the simulator inside, or a recording. Without credentials a dry run \
             simulates, unless this is set.",
            Choice(KINDS),
        );
        let kind = from.read(source, SourceKind::Alpaca);
        let is_chosen = from.is_set("source");
        Self { kind, is_chosen, credentials: MaybeCredentials::read(from) }
    }

    /// Decides. A dry run without credentials simulates, so that a first try needs no account; but not when somebody
    /// asked for Alpaca, named a URL, or gave half of the credentials, which is a mistake to hear of.
    pub(super) fn settle(
        self,
        sim: SimSettings,
        replay: ReplayValues,
        feed: &FeedSettings,
        sink: &SinkSettings,
        from: &mut Reader<'_>,
    ) -> Option<Source> {
        let may_simulate = !self.is_chosen && feed.url.is_none() && self.credentials.are_missing();
        match self.kind {
            SourceKind::Sim => Some(Source::Sim(sim)),
            SourceKind::Replay => replay.settle(from).map(Source::Replay),
            SourceKind::Alpaca if may_simulate && sink.kind == SinkKind::DryRun => {
                let reason = Origin::DefaultBecause("no credentials and a dry run");
                from.amend(&KeyPath::new(["feed", "source"]), "\"sim\"", reason);
                Some(Source::Sim(sim))
            }
            SourceKind::Alpaca => self.credentials.settle(from).map(Source::Alpaca),
        }
    }
}

impl MaybeCredentials {
    fn settle(self, from: &mut Reader<'_>) -> Option<Credentials> {
        // Whether credentials are needed at all, or were given and could not be used.
        let decisive =
            ["feed.source", "sink.kind", "feed.key_id", "feed.key_id_file", "feed.secret_key", "feed.secret_key_file"];
        let (name, complaint) = match (self.key_id, self.secret_key) {
            (Some(key_id), Some(secret_key)) => return Some(Credentials { key_id, secret_key }),
            _ if from.is_doubtful(&decisive) => return None,
            (None, Some(_)) => ("key_id", "The id of the Alpaca API key is missing; its secret is there."),
            (Some(_), None) => ("secret_key", "The secret of the Alpaca API key is missing; its id is there."),
            (None, None) => ("key_id", "There are no credentials for Alpaca."),
        };
        let remedy = "Set ALPACA_KEY_ID and ALPACA_SECRET_KEY (or ALPACA_KEY_ID_FILE and ALPACA_SECRET_KEY_FILE). \
                      Without an account, feed.source = \"sim\" simulates quotes.";
        from.problem_without_place(Problem::new(Origin::Default, complaint, remedy).of(&KeyPath::new(["feed", name])));
        None
    }
}
