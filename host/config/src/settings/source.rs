use std::fs::{self, File};
use std::path::PathBuf;

use quotegate_market::Symbol;
use secrecy::SecretString;

use super::{FeedSettings, SinkKind, SinkSettings};
use crate::declare::settings;
use crate::key::KeyPath;
use crate::kind::{Choice, CountOrSymbols, FilePath, Integer, Number, OrMax, Secret};
use crate::reader::Reader;
use crate::{Origin, SettingError};

/// Where quotes come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// Alpaca's websocket, or what [`FeedSettings::url`] names.
    Alpaca(Credentials),
    /// The simulator inside this program.
    Sim(SimSettings),
    /// A recording.
    Replay(ReplaySettings),
    /// The reader's, over the relay: for a worker, which needs no credentials.
    Relay {
        /// The reader simulates.
        simulated: bool,
    },
}

/// An Alpaca API key. Neither half can be printed.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The key's id.
    pub key_id: SecretString,
    /// The key's secret.
    pub secret_key: SecretString,
}

settings! {
    /// The simulator, `[feed.sim]`.
    #[derive(Debug, Clone, PartialEq)]
    pub struct SimSettings from Reader {
        /// The symbols that a tenant with all symbols (`*`) gets: a number of made-up symbols, or a list. Symbols that
        /// tenants list are always simulated.
        symbols: SimSymbols = "symbols", CountOrSymbols(Integer { min: 1, max: 20_000 }), default SimSymbols::Count(10);
        /// Quotes per second over all symbols. "max" is as fast as possible.
        rate: Option<f64> = "rate", OrMax(Number { min: 0.001, max: 100_000_000.0 }), default Some(100.0);
        /// The seed of the random numbers. The same seed gives the same quotes.
        seed: u64 = "seed", Integer { min: 0, max: u64::from(u32::MAX) }, default 1;
    }
}

/// What the simulator quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SimSymbols {
    /// This many made-up symbols.
    Count(u32),
    /// These symbols.
    List(Vec<Symbol>),
}

/// A recording to play, `[feed.replay]`.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplaySettings {
    /// The recording; could be opened when the settings were checked.
    pub file: PathBuf,
    /// How many times faster than it was recorded, above 0; `None`: as fast as possible.
    pub speed: Option<f64>,
}

settings! {
    /// A recording that may not have a file.
    pub(super) struct ReplayValues from Reader {
        /// The recording, a file that `quotegate record` has written.
        file: Option<PathBuf> = "file", FilePath, example "\"recordings/monday.jsonl.zst\"";
        /// The speed of the replay, as a multiple of the recording's own. "max" is as fast as possible.
        speed: Option<f64> = "speed", OrMax(Number { min: 0.001, max: 1_000_000.0 }), default Some(1.0);
    }
}

impl ReplayValues {
    fn resolve(self, from: &mut Reader<'_>) -> Option<ReplaySettings> {
        let path = ["feed", "replay", "file"];
        let Some(file) = self.file else {
            if from.has_error(&["feed.replay.file"]) {
                return None;
            }
            from.error_at(
                &path,
                "feed.source is \"replay\", but no recording is set.",
                "Set feed.replay.file to a file that `quotegate record` has written.",
            );
            return None;
        };
        check_readable(&file, &path, from).then_some(ReplaySettings { file, speed: self.speed })
    }
}

/// Reports an error unless `file` can be opened: better now than when half of the host has started.
pub(super) fn check_readable(file: &std::path::Path, path: &[&str], from: &mut Reader<'_>) -> bool {
    // Opening a pipe would wait for its writer.
    let opened =
        fs::metadata(file).and_then(|found| if found.is_file() { File::open(file)?.metadata() } else { Ok(found) });
    let reason = match opened {
        Ok(found) if found.is_dir() => "it is a folder".to_owned(),
        Ok(_) => return true,
        Err(error) => error.to_string(),
    };
    from.error_at(path, format!("The file cannot be read: {reason}."), "Check the path and its permissions.");
    false
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum SourceKind {
    Alpaca,
    Sim,
    Replay,
}

const KINDS: &[(&str, SourceKind)] =
    &[("alpaca", SourceKind::Alpaca), ("sim", SourceKind::Sim), ("replay", SourceKind::Replay)];

settings! {
    /// The source as it is written, before it is known whether it can be used.
    pub(super) struct SourceValues from Reader {
        /// Where quotes come from: Alpaca, the built-in simulator, or a recording. Unless this is set, a dry run without
        /// credentials simulates quotes.
        kind: SourceKind = "source", Choice(KINDS), default SourceKind::Alpaca;
        /// The ID of the Alpaca API key.
        key_id: Option<SecretString> = "key_id" ["ALPACA_KEY_ID", "ALPACA_API_KEY", "APCA_API_KEY_ID"], Secret, secret;
        /// The secret of the Alpaca API key. Better kept out of this file.
        secret_key: Option<SecretString> = "secret_key" ["ALPACA_SECRET_KEY", "APCA_API_SECRET_KEY"], Secret, secret;
    }
}

impl SourceValues {
    /// As it was chosen.
    pub(super) fn kind(&self) -> SourceKind {
        self.kind
    }

    /// Decides. A dry run without credentials simulates, so that a first try needs no account. It does not if somebody asked
    /// for Alpaca, set a URL, or gave half of the credentials, which is a mistake to report.
    pub(super) fn resolve(
        self,
        sim: SimSettings,
        replay: ReplayValues,
        feed: &FeedSettings,
        sink: &SinkSettings,
        from: &mut Reader<'_>,
    ) -> Option<Source> {
        let has_no_credentials = self.key_id.is_none() && self.secret_key.is_none();
        let is_chosen = from.is_set_at(&KeyPath::new(["feed", "source"]));
        let may_simulate = !is_chosen && feed.url.is_none() && has_no_credentials;
        match self.kind {
            SourceKind::Sim => Some(Source::Sim(sim)),
            SourceKind::Replay => replay.resolve(from).map(Source::Replay),
            SourceKind::Alpaca if may_simulate && sink.kind == SinkKind::DryRun => {
                let reason = Origin::DefaultBecause("dry run without credentials");
                from.replace_row(&KeyPath::new(["feed", "source"]), "\"sim\"", reason);
                Some(Source::Sim(sim))
            }
            SourceKind::Alpaca => self.credentials(from).map(Source::Alpaca),
        }
    }

    fn credentials(self, from: &mut Reader<'_>) -> Option<Credentials> {
        // The keys that decide whether credentials are needed, and those that could not be used.
        let decisive =
            ["feed.source", "sink.kind", "feed.key_id", "feed.key_id_file", "feed.secret_key", "feed.secret_key_file"];
        let (name, sentence) = match (self.key_id, self.secret_key) {
            (Some(key_id), Some(secret_key)) => return Some(Credentials { key_id, secret_key }),
            _ if from.has_error(&decisive) => return None,
            (None, Some(_)) => ("key_id", "The secret of the Alpaca API key is set, but not its ID."),
            (Some(_), None) => ("secret_key", "The ID of the Alpaca API key is set, but not its secret."),
            (None, None) => ("key_id", "There are no credentials for Alpaca."),
        };
        let remedy = "Set ALPACA_KEY_ID and ALPACA_SECRET_KEY (or ALPACA_KEY_ID_FILE and ALPACA_SECRET_KEY_FILE). \
                      Without an account, use feed.source = \"sim\" to simulate quotes.";
        from.error(SettingError::new(Origin::Default, sentence, remedy).of(&KeyPath::new(["feed", name])));
        None
    }
}
