use std::fmt;
use std::path::Path;

use crate::key::KeyPath;
use crate::kind::ValueError;
use crate::{LogFormat, Origin};

/// One thing that is wrong, where, and what to do about it. Never holds the value of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingError {
    /// The key, dotted as in the file; `None` if a whole file or folder is wrong.
    pub key: Option<String>,
    /// The value as it was written, shortened; `None` for secrets and where there is none.
    pub value: Option<String>,
    /// Where it is.
    pub origin: Origin,
    /// What is wrong.
    pub sentence: String,
    /// What to do about it.
    pub remedy: String,
}

/// Everything that is wrong with the settings, in the order of the layers; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError {
    errors: Vec<SettingError>,
    log_format: LogFormat,
}

impl SettingError {
    pub(crate) fn new(origin: Origin, sentence: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { key: None, value: None, origin, sentence: sentence.into(), remedy: remedy.into() }
    }

    /// A value that is not valid.
    pub(crate) fn invalid(path: &KeyPath, origin: Origin, error: ValueError) -> Self {
        let sentence = error.sentence_with_key();
        // The value of a key inside a table is in the sentence.
        let value = error.shown.filter(|_| error.key.is_empty());
        Self { value, ..Self::new(origin, sentence, error.remedy).of(path) }
    }

    pub(crate) fn of(self, path: &KeyPath) -> Self {
        Self { key: Some(path.to_string()), ..self }
    }

    pub(crate) fn with_value(self, shown: impl Into<String>) -> Self {
        Self { value: Some(shown.into()), ..self }
    }

    /// The file or folder that could not be used at all, if that is the error.
    pub(crate) fn unusable_path(&self) -> Option<&Path> {
        match &self.origin {
            Origin::File { path, .. } | Origin::Path(path) if self.key.is_none() => Some(path),
            _ => None,
        }
    }

    /// Everything on one line, for a log.
    pub fn one_line(&self) -> String {
        format!("{}: {} {}", self.place(), self.sentence, self.remedy)
    }

    fn place(&self) -> String {
        match (&self.key, &self.value) {
            (Some(key), Some(value)) => format!("{}: {key} = {value}", self.origin),
            (Some(key), None) => format!("{}: {key}", self.origin),
            (None, _) => self.origin.to_string(),
        }
    }
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.place())?;
        for line in self.sentence.lines().chain(self.remedy.lines()) {
            writeln!(f, "    {line}")?;
        }
        Ok(())
    }
}

impl SettingsError {
    pub(crate) fn new(errors: Vec<SettingError>, log_format: LogFormat) -> Self {
        Self { errors, log_format }
    }

    /// Each error.
    pub fn iter(&self) -> impl Iterator<Item = &SettingError> {
        self.errors.iter()
    }

    /// The format of the log in these settings, so that a program whose log is JSON can report these errors as JSON.
    pub fn log_format(&self) -> LogFormat {
        self.log_format
    }
}

impl fmt::Display for SettingsError {
    /// One paragraph per error, then how many there are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for error in &self.errors {
            writeln!(f, "{error}")?;
        }
        match self.errors.len() {
            1 => f.write_str("1 problem in the settings"),
            count => write!(f, "{count} problems in the settings"),
        }
    }
}

impl std::error::Error for SettingsError {}

/// The name closest to `typed`, if it is close enough to be what was meant.
pub(crate) fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Jaro-Winkler rewards a common prefix, which a typo seldom touches. 0.8 accepts two swapped letters and a missing
    // unit, but not another word.
    let scored = known.into_iter().map(|name| (strsim::jaro_winkler(typed, name), name));
    let best = scored.max_by(|left, right| left.0.total_cmp(&right.0))?;
    (best.0 >= 0.8).then_some(best.1)
}

/// `text` in quotes, escaped, cut after 60 characters: a value in a message.
pub(crate) fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_near_miss_gets_a_suggestion() {
        assert_eq!(nearest("batchsize", ["batch_size", "mode"]), Some("batch_size"));
        assert_eq!(nearest("bacth_size", ["batch_size", "mode"]), Some("batch_size"));
        assert_eq!(nearest("volume", ["batch_size", "mode"]), None);
        assert_eq!(nearest("anything", []), None);
    }

    #[test]
    fn a_long_value_is_cut_between_characters() {
        assert_eq!(quoted("a\nb"), r#""a\nb""#);
        assert!(quoted(&"ä".repeat(100)).ends_with("ä\"…"));
    }
}
