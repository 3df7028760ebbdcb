//! What is wrong with a plugin's `config`, for those who wrote it in a tenant's settings.

/// The problem without Rust's names of types: "expected a number, not the string \"wide\"".
pub fn in_words(problem: &serde_json::Error) -> String {
    let text = problem.to_string();
    // A place in JSON, which those who write TOML do not see.
    let place = format!(" at line {} column {}", problem.line(), problem.column());
    let text = text.strip_suffix(&place).unwrap_or(&text);
    let wrong = ["invalid type: ", "invalid value: "].into_iter().find_map(|kind| text.strip_prefix(kind));
    match wrong.and_then(|rest| rest.rsplit_once(", expected ")) {
        Some((found, expected)) => format!("expected {}, not {}", wanted(expected), given(found)),
        None => text.to_owned(),
    }
}

fn wanted(expected: &str) -> &str {
    match expected {
        "f32" | "f64" => "a number",
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "an integer",
        "u8" => "an integer from 0 to 255",
        "u16" => "an integer from 0 to 65535",
        "u32" | "u64" | "u128" | "usize" => "an integer of 0 or more",
        "a boolean" => "true or false",
        "a character" => "a single character",
        "a sequence" => "a list",
        "a map" => "a table",
        _ if expected.starts_with("struct ") => "a table",
        _ => expected,
    }
}

fn given(found: &str) -> String {
    match found.split_once(' ') {
        Some(("string", text)) => format!("the string {text}"),
        Some(("boolean" | "integer", value)) => value.trim_matches('`').to_owned(),
        Some(("floating", number)) => number.strip_prefix("point ").unwrap_or(number).trim_matches('`').to_owned(),
        _ => match found {
            "sequence" => "a list".to_owned(),
            "map" => "a table".to_owned(),
            _ => found.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Config {
        _number: Option<f64>,
        _digits: Option<u8>,
        _list: Option<Vec<char>>,
        _flag: Option<bool>,
        _table: Option<std::collections::BTreeMap<String, f64>>,
        _text: Option<String>,
    }

    #[test]
    fn types_are_named_as_in_the_settings_and_not_as_in_rust() {
        for (json, told) in [
            (r#"{"_number": "a, expected b"}"#, r#"expected a number, not the string "a, expected b""#),
            (r#"{"_number": [1]}"#, "expected a number, not a list"),
            (r#"{"_digits": 1.5}"#, "expected an integer from 0 to 255, not 1.5"),
            (r#"{"_digits": -1}"#, "expected an integer from 0 to 255, not -1"),
            (r#"{"_list": 7}"#, "expected a list, not 7"),
            (r#"{"_list": ["VV"]}"#, r#"expected a single character, not the string "VV""#),
            (r#"{"_flag": "yes"}"#, r#"expected true or false, not the string "yes""#),
            (r#"{"_table": true}"#, "expected a table, not true"),
            (r#"{"_text": {}}"#, "expected a string, not a table"),
            ("7", "expected a table, not 7"),
        ] {
            assert_eq!(in_words(&serde_json::from_str::<Config>(json).unwrap_err()), told, "{json}");
        }
        let unknown = in_words(&serde_json::from_str::<Config>(r#"{"nmber": 1}"#).unwrap_err());
        assert!(unknown.starts_with("unknown field `nmber`, expected one of `_number`, "), "{unknown}");
        assert!(!unknown.contains("line"), "{unknown}");
    }
}
