//! The switches of the job that quotegate replaces. They stop all writes but heartbeats.
//!
//! | variable | stops writing |
//! |---|---|
//! | `EXECUTION_HALTED`, `EXEC_KILL_SWITCH` (deprecated) | if it is 1, true, yes or on |
//! | `EXECUTION_HALTED_FILE`, or else `EXEC_KILL_SWITCH_FILE` (deprecated) | if the first line of that file is one of these |
//! | `INGEST_ENABLED` | if it is 0, false, no, off, n or f |
//! | `INGEST_ENABLED_FILE` | if `INGEST_ENABLED` says neither yes nor no, and the first line of that file is one of these |
//!
//! They are not settings: spellings and precedence are those of the old job, where a text that makes no sense and a file
//! that cannot be read stop nothing. Such a variable is reported, because somebody set it for a reason.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::error::quoted;

const HALTED: &str = "EXECUTION_HALTED";
const HALTED_DEPRECATED: &str = "EXEC_KILL_SWITCH";
const HALTED_FILE: &str = "EXECUTION_HALTED_FILE";
const HALTED_FILE_DEPRECATED: &str = "EXEC_KILL_SWITCH_FILE";
const INGEST: &str = "INGEST_ENABLED";
const INGEST_FILE: &str = "INGEST_ENABLED_FILE";

/// The switches that the environment sets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Switches {
    set: Vec<(&'static str, String)>,
}

/// What all switches say at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SwitchState {
    /// One for each variable that is set.
    pub readings: Vec<SwitchReading>,
}

/// What one variable says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwitchReading {
    /// The variable, and its value or the content of its file.
    pub source: String,
    /// What follows from it.
    pub effect: SwitchEffect,
}

/// What follows from a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SwitchEffect {
    /// Nothing but heartbeats may be written.
    Stop,
    /// This switch stops nothing.
    Allow,
    /// Another variable is used instead.
    Unused(&'static str),
    /// It stops nothing, although it may have been meant to. Why.
    NotUnderstood(String),
}

/// The words that stop writing, and those that allow it. The old job counts any other text as unset.
struct Words {
    stop: &'static [&'static str],
    allow: &'static [&'static str],
}

const HALTED_WORDS: Words = Words { stop: &["1", "true", "yes", "on"], allow: &["0", "false", "no", "off", "n", "f"] };
const INGEST_WORDS: Words =
    Words { stop: &["0", "false", "no", "off", "n", "f"], allow: &["1", "true", "yes", "on", "y", "t"] };

impl Words {
    fn effect(&self, text: &str) -> SwitchEffect {
        let text = text.trim().to_lowercase();
        match text.as_str() {
            "" => SwitchEffect::Allow,
            word if self.stop.contains(&word) => SwitchEffect::Stop,
            word if self.allow.contains(&word) => SwitchEffect::Allow,
            _ => SwitchEffect::NotUnderstood(format!("this is none of {}", self.stop.join(", "))),
        }
    }
}

impl Switches {
    /// Takes the switches from an environment. Empty variables count as unset.
    pub(crate) fn from_environment(environment: &[(OsString, OsString)]) -> Self {
        let value = |name: &str| environment.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value);
        let text = |name| Some((name, value(name)?.to_string_lossy().into_owned()));
        let names = [HALTED, HALTED_DEPRECATED, HALTED_FILE, HALTED_FILE_DEPRECATED, INGEST, INGEST_FILE];
        Self { set: names.into_iter().filter_map(text).filter(|(_, text)| !text.trim().is_empty()).collect() }
    }

    /// True if a file can change what they say.
    pub fn has_files(&self) -> bool {
        self.set.iter().any(|(name, _)| [HALTED_FILE, HALTED_FILE_DEPRECATED, INGEST_FILE].contains(name))
    }

    /// Reads the files, and says what follows from everything. Files are opened anew each time, because a mounted
    /// configuration changes by exchanging symbolic links.
    pub fn state(&self) -> SwitchState {
        self.state_with(first_line)
    }

    fn state_with(&self, read: impl Fn(&Path) -> io::Result<String>) -> SwitchState {
        let variable = |name: &'static str, words: &Words| {
            let text = self.get(name)?;
            Some(SwitchReading { source: assignment(name, text), effect: words.effect(text) })
        };
        let mut readings: Vec<_> =
            [HALTED, HALTED_DEPRECATED].into_iter().filter_map(|name| variable(name, &HALTED_WORDS)).collect();
        let halted_file = self.get(HALTED_FILE).map(|path| file_reading(HALTED_FILE, path, &HALTED_WORDS, &read));
        if let Some(path) = self.get(HALTED_FILE_DEPRECATED) {
            readings.push(match halted_file {
                Some(_) => unused(HALTED_FILE_DEPRECATED, path, HALTED_FILE),
                None => file_reading(HALTED_FILE_DEPRECATED, path, &HALTED_WORDS, &read),
            });
        }
        readings.extend(halted_file);
        let ingest = variable(INGEST, &INGEST_WORDS);
        if let Some(path) = self.get(INGEST_FILE) {
            readings.push(match &ingest {
                Some(reading) if reading.is_understood() => unused(INGEST_FILE, path, INGEST),
                _ => file_reading(INGEST_FILE, path, &INGEST_WORDS, &read),
            });
        }
        readings.extend(ingest);
        SwitchState { readings }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.set.iter().find(|(set, _)| *set == name).map(|(_, text)| text.as_str())
    }
}

impl SwitchState {
    /// The switch that stops writing, if one does.
    pub fn stopped_by(&self) -> Option<&str> {
        let stop = self.readings.iter().find(|reading| reading.effect == SwitchEffect::Stop)?;
        Some(&stop.source)
    }
}

impl SwitchReading {
    /// True if somebody should look at it.
    pub fn is_warning(&self) -> bool {
        self.effect == SwitchEffect::Stop || !self.is_understood()
    }

    fn is_understood(&self) -> bool {
        !matches!(self.effect, SwitchEffect::NotUnderstood(_))
    }
}

impl fmt::Display for SwitchReading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = &self.source;
        match &self.effect {
            SwitchEffect::Stop => write!(f, "{source}: nothing but heartbeats is written"),
            SwitchEffect::Allow => write!(f, "{source}: quotes are written"),
            SwitchEffect::Unused(other) => write!(f, "{source}: not used, because {other} is set"),
            SwitchEffect::NotUnderstood(why) => write!(f, "{source}: {why}, so this switch does NOT stop writing"),
        }
    }
}

fn assignment(name: &str, text: &str) -> String {
    let replacement = match name {
        HALTED_DEPRECATED => " (deprecated: use EXECUTION_HALTED)",
        HALTED_FILE_DEPRECATED => " (deprecated: use EXECUTION_HALTED_FILE)",
        _ => "",
    };
    format!("{name}={}{replacement}", quoted(text.trim()))
}

fn unused(name: &str, path: &str, other: &'static str) -> SwitchReading {
    SwitchReading { source: assignment(name, path), effect: SwitchEffect::Unused(other) }
}

fn file_reading(name: &str, path: &str, words: &Words, read: &impl Fn(&Path) -> io::Result<String>) -> SwitchReading {
    let source = assignment(name, path);
    match read(Path::new(path.trim())) {
        Ok(line) => SwitchReading {
            source: format!("{source} (first line {})", quoted(line.trim())),
            effect: words.effect(&line),
        },
        Err(error) => {
            SwitchReading { source, effect: SwitchEffect::NotUnderstood(format!("the file cannot be read ({error})")) }
        }
    }
}

/// The first line of a file, of which no more than a few kilobytes are read.
fn first_line(path: &Path) -> io::Result<String> {
    const LIMIT: u64 = 4096;
    // Opening a pipe would wait for its writer.
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(LIMIT).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn switches(set: &[(&str, &str)]) -> Switches {
        let set: Vec<_> = set.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect();
        Switches::from_environment(&set)
    }

    /// The state with these files; others do not exist.
    fn state(set: &[(&str, &str)], files: &[(&str, &str)]) -> SwitchState {
        switches(set).state_with(|path| {
            let found = files.iter().find(|(name, _)| Path::new(name) == path);
            found.map(|(_, line)| (*line).to_owned()).ok_or_else(|| io::ErrorKind::NotFound.into())
        })
    }

    fn stops(set: &[(&str, &str)], files: &[(&str, &str)]) -> bool {
        state(set, files).stopped_by().is_some()
    }

    fn warnings(set: &[(&str, &str)], files: &[(&str, &str)]) -> Vec<String> {
        let state = state(set, files);
        let doubtful = |reading: &&SwitchReading| matches!(reading.effect, SwitchEffect::NotUnderstood(_));
        state.readings.iter().filter(doubtful).map(ToString::to_string).collect()
    }

    #[test]
    fn the_words_of_each_switch_are_those_of_the_old_job() {
        for (text, halts, disables) in [
            ("1", true, false),
            ("true", true, false),
            (" YES ", true, false),
            ("on", true, false),
            ("y", false, false),
            ("t", false, false),
            ("0", false, true),
            ("False", false, true),
            ("no", false, true),
            ("off", false, true),
            ("n", false, true),
            ("f", false, true),
            ("", false, false),
            ("maybe", false, false),
        ] {
            let line = &[("/file", text)];
            assert_eq!(stops(&[("EXECUTION_HALTED", text)], &[]), halts, "{text:?}");
            assert_eq!(stops(&[("EXEC_KILL_SWITCH", text)], &[]), halts, "{text:?}");
            assert_eq!(stops(&[("EXECUTION_HALTED_FILE", "/file")], line), halts, "{text:?}");
            assert_eq!(stops(&[("EXEC_KILL_SWITCH_FILE", " /file ")], line), halts, "{text:?}");
            assert_eq!(stops(&[("INGEST_ENABLED", text)], &[]), disables, "{text:?}");
            assert_eq!(stops(&[("INGEST_ENABLED_FILE", "/file")], line), disables, "{text:?}");
        }
    }

    #[test]
    fn one_halting_variable_or_file_is_enough_whatever_the_others_say() {
        let (on, off) = ("1", "0");
        assert!(stops(&[("EXECUTION_HALTED", off), ("EXEC_KILL_SWITCH", on)], &[]));
        assert!(stops(&[("EXECUTION_HALTED", off), ("EXECUTION_HALTED_FILE", "/a")], &[("/a", on)]));
        assert!(stops(&[("EXECUTION_HALTED", on), ("EXECUTION_HALTED_FILE", "/a")], &[("/a", off)]));
        assert!(stops(&[("INGEST_ENABLED", on), ("EXECUTION_HALTED", on)], &[]));
    }

    #[test]
    fn the_preferred_file_variable_hides_the_deprecated_one() {
        let both = [("EXECUTION_HALTED_FILE", "/a"), ("EXEC_KILL_SWITCH_FILE", "/b")];
        assert!(!stops(&both, &[("/a", "0"), ("/b", "1")]));
        let said = state(&both, &[("/a", "0"), ("/b", "1")]).readings[0].to_string();
        assert!(
            said.contains("EXEC_KILL_SWITCH_FILE") && said.contains("because EXECUTION_HALTED_FILE is set"),
            "{said}"
        );
        assert!(stops(&[("EXECUTION_HALTED_FILE", " "), ("EXEC_KILL_SWITCH_FILE", "/b")], &[("/b", "1")]));
    }

    #[test]
    fn a_variable_that_says_yes_or_no_decides_before_the_file() {
        let with = |text| [("INGEST_ENABLED", text), ("INGEST_ENABLED_FILE", "/a")];
        assert!(!stops(&with("1"), &[("/a", "0")]));
        assert!(stops(&with("0"), &[("/a", "1")]));
        assert!(stops(&with("perhaps"), &[("/a", "0")]));
    }

    #[test]
    fn a_file_that_cannot_be_read_stops_nothing_and_is_reported() {
        for (variable, file) in [("EXECUTION_HALTED_FILE", "/gone"), ("INGEST_ENABLED_FILE", "/gone")] {
            assert!(!stops(&[(variable, file)], &[]));
            let said = warnings(&[(variable, file)], &[]).join("\n");
            assert!(said.contains(variable) && said.contains("cannot be read") && said.contains("does NOT"), "{said}");
        }
    }

    #[test]
    fn a_text_that_counts_as_unset_is_reported_with_the_words_that_work() {
        let said = warnings(&[("EXECUTION_HALTED", "y"), ("INGEST_ENABLED", "nope")], &[]);
        assert!(said[0].starts_with("EXECUTION_HALTED=\"y\": this is none of 1, true, yes, on, so"), "{said:?}");
        assert!(
            said[1].starts_with("INGEST_ENABLED=\"nope\": this is none of 0, false, no, off, n, f, so"),
            "{said:?}"
        );
        assert_eq!(warnings(&[("EXECUTION_HALTED", "off"), ("INGEST_ENABLED", "t")], &[]), [] as [String; 0]);
        assert_eq!(switches(&[("EXECUTION_HALTED", ""), ("INGEST_ENABLED", " ")]), Switches::default());
    }

    #[test]
    fn only_the_first_line_of_a_real_file_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("switch");
        let set = switches(&[("EXECUTION_HALTED_FILE", path.to_str().unwrap())]);
        for (content, halts) in
            [("1\n0\n", true), ("0\n1\n", false), ("\n1", false), ("", false), ("on\r\n", true), ("\u{fffd}", false)]
        {
            std::fs::write(&path, content).unwrap();
            assert_eq!(set.state().stopped_by().is_some(), halts, "{content:?}");
        }
        let folder = switches(&[("EXECUTION_HALTED_FILE", folder.path().to_str().unwrap())]).state();
        assert!(folder.readings[0].to_string().contains("it is not a file"), "{folder:?}");
    }
}
