use quotegate_plugin_sdk::config::in_words;
use serde::Deserialize;

/// The settings as they come, before their names are checked.
pub type Settings = serde_json::Map<String, serde_json::Value>;

/// A session of the US stock exchanges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Session {
    /// 4:00 to 9:30 in New York.
    Pre,
    /// 9:30 to 16:00, or to the early close.
    Regular,
    /// The four hours after that.
    Post,
    /// Nights, weekends, holidays.
    Closed,
}

/// What happens to a quote of a kind that is sometimes wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Treatment {
    /// The quote passes.
    #[default]
    Keep,
    /// The quote is refused.
    Refuse,
}

/// The settings of the filter; a rule whose setting is absent or empty is not run.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Symbols that may pass; a `*` at the end stands for any ending. Empty: all.
    pub allow_symbols: Vec<String>,
    /// Symbols that may not pass, written as in `allow_symbols`.
    pub deny_symbols: Vec<String>,
    /// Lowest price of a side that has a quote, in USD.
    pub min_price: Option<f64>,
    /// Highest price of a side that has a quote, in USD.
    pub max_price: Option<f64>,
    /// Widest spread, in basis points of the middle price.
    pub max_spread_bps: Option<f64>,
    /// Smallest size of a side that has a quote, in the unit of the feed.
    pub min_size: Option<f64>,
    /// Letters of exchanges that a side may come from. Empty: all. A side that names no exchange passes.
    pub allow_exchanges: Vec<char>,
    /// Letters of exchanges that no side may come from.
    pub deny_exchanges: Vec<char>,
    /// Condition letters that a quote may have. Empty: all. A quote without conditions passes.
    pub allow_conditions: Vec<char>,
    /// Condition letters that a quote may not have.
    pub deny_conditions: Vec<char>,
    /// Sessions that the exchange's time of a quote may lie in. Empty: all.
    pub sessions: Vec<Session>,
    /// Smallest move of bid or ask since the symbol's last quote that passed, in basis points of the price then.
    pub min_move_bps: Option<f64>,
    /// The same in USD; with both settings, one side must move by both.
    pub min_move: Option<f64>,
    /// Quotes whose bid is above their ask.
    pub crossed: Treatment,
    /// Quotes whose bid equals their ask.
    pub locked: Treatment,
    /// Quotes that lack a bid or an ask.
    pub one_sided: Treatment,
}

/// The names of all settings.
pub const KEYS: [&str; 16] = [
    "allow_symbols",
    "deny_symbols",
    "min_price",
    "max_price",
    "max_spread_bps",
    "min_size",
    "allow_exchanges",
    "deny_exchanges",
    "allow_conditions",
    "deny_conditions",
    "sessions",
    "min_move_bps",
    "min_move",
    "crossed",
    "locked",
    "one_sided",
];

impl Config {
    /// Reads the settings from the text of a JSON object.
    ///
    /// # Errors
    /// As [`Config::new`].
    pub fn from_json(text: &str) -> Result<Self, String> {
        let settings =
            serde_json::from_str(text).map_err(|problem| format!("The settings are not a JSON object: {problem}."))?;
        Self::new(settings)
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// A sentence that names the setting and, for an unknown one, the nearest that exists.
    pub fn new(settings: Settings) -> Result<Self, String> {
        for key in settings.keys() {
            if !KEYS.contains(&key.as_str()) {
                let nearest = KEYS.iter().min_by_key(|known| distance(key, known)).copied().unwrap_or_default();
                return Err(format!("There is no setting `{key}`; the nearest is `{nearest}`."));
            }
        }
        for (key, value) in &settings {
            // Each alone first, because the reader does not say which of many it stumbled over.
            let alone = Settings::from_iter([(key.clone(), value.clone())]);
            serde_json::from_value::<Self>(alone.into())
                .map_err(|problem| format!("`{key}`: {}.", in_words(&problem)))?;
        }
        let config: Self = serde_json::from_value(settings.into())
            .map_err(|problem| format!("The settings do not fit: {}.", in_words(&problem)))?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        let limits = [
            ("min_price", self.min_price),
            ("max_price", self.max_price),
            ("max_spread_bps", self.max_spread_bps),
            ("min_size", self.min_size),
            ("min_move_bps", self.min_move_bps),
            ("min_move", self.min_move),
        ];
        for (name, limit) in limits {
            if limit.is_some_and(|limit| limit < 0.0) {
                return Err(format!("`{name}` is negative; give 0 or more, or leave it out."));
            }
        }
        if let (Some(min), Some(max)) = (self.min_price, self.max_price)
            && min > max
        {
            return Err(format!("`min_price` {min} is above `max_price` {max}; no quote could pass."));
        }
        let letters = [
            ("allow_exchanges", &self.allow_exchanges),
            ("deny_exchanges", &self.deny_exchanges),
            ("allow_conditions", &self.allow_conditions),
            ("deny_conditions", &self.deny_conditions),
        ];
        for (name, letters) in letters {
            if let Some(other) = letters.iter().find(|letter| !letter.is_ascii_graphic()) {
                return Err(format!("In `{name}`, {other:?} is no letter; give ASCII letters, one by one."));
            }
        }
        for (name, patterns) in [("allow_symbols", &self.allow_symbols), ("deny_symbols", &self.deny_symbols)] {
            let wrong =
                |pattern: &&String| pattern.is_empty() || pattern.strip_suffix('*').unwrap_or(pattern).contains('*');
            if let Some(pattern) = patterns.iter().find(wrong) {
                return Err(format!(
                    "In `{name}`, `{pattern}` is empty or has a `*` before its end; put one `*` last."
                ));
            }
        }
        Ok(())
    }
}

/// Edit distance of two short names.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.bytes().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, b) in right.bytes().enumerate() {
            let replaced = corner + usize::from(a != b);
            corner = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(corner + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_unknown_setting_names_the_nearest() {
        let problem = Config::from_json(r#"{"max_spred_bps": 5}"#).unwrap_err();
        assert_eq!(problem, "There is no setting `max_spred_bps`; the nearest is `max_spread_bps`.");
    }

    #[test]
    fn every_problem_names_its_setting() {
        for (key, value) in [
            ("max_spread_bps", r#""wide""#),
            ("min_price", "-1"),
            ("min_price", "3, \"max_price\": 2"),
            ("allow_symbols", r#""SPY""#),
            ("deny_symbols", r#"["A*B"]"#),
            ("allow_symbols", r#"[""]"#),
            ("deny_symbols", r#"["é*é"]"#),
            ("deny_exchanges", r#"["VV"]"#),
            ("allow_conditions", r#"["é"]"#),
            ("sessions", r#"["night"]"#),
            ("crossed", r#""drop""#),
        ] {
            let problem = Config::from_json(&format!(r#"{{"min_size": 1, "{key}": {value}}}"#)).unwrap_err();
            assert!(problem.contains(&format!("`{key}`")), "{problem}");
        }
    }

    #[test]
    fn a_wrong_type_is_told_in_the_words_of_the_settings() {
        for (settings, told) in [
            (r#"{"max_spread_bps": "wide"}"#, "`max_spread_bps`: expected a number, not the string \"wide\"."),
            (r#"{"sessions": 7}"#, "`sessions`: expected a list, not 7."),
        ] {
            assert_eq!(Config::from_json(settings).unwrap_err(), told);
        }
    }

    #[test]
    fn limits_that_no_quote_could_pass_are_refused() {
        assert!(Config::from_json(r#"{"min_price": 2, "max_price": 1}"#).is_err());
        assert!(Config::from_json(r#"{"min_size": -1}"#).is_err());
        assert!(Config::from_json(r#"{"deny_symbols": ["A*B"]}"#).is_err());
        assert!(Config::from_json(r#"{"min_price": 1, "max_price": 1}"#).is_ok());
        assert!(Config::from_json(r#"{"deny_exchanges": ["VV"]}"#).is_err());
        assert!(Config::from_json(r#"{"allow_conditions": ["é"]}"#).is_err());
        assert!(Config::from_json(r#"{"sessions": ["night"]}"#).is_err());
    }
}
