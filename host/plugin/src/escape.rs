use std::fmt::Write as _;

/// The most bytes of a guest's text that one log line holds.
const MAX_LINE: usize = 1024;

/// `text` on one line, shortened and without control characters, so that a guest can neither forge a log line nor move a
/// terminal's cursor.
pub(crate) fn escape(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(MAX_LINE) + 8);
    for character in text.chars() {
        if line.len() >= MAX_LINE {
            line.push('…');
            break;
        }
        // U+202A to U+202E and U+2066 to U+2069 reverse the direction of text on a terminal.
        let reverses = matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}');
        if character.is_control() || reverses {
            let _infallible = write!(line, "{}", character.escape_unicode());
        } else {
            line.push(character);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_long_lines_are_cut() {
        assert_eq!(escape("a\n\u{1b}[2J\u{202e}b"), "a\\u{a}\\u{1b}[2J\\u{202e}b");
        let cut = escape(&"ä".repeat(5000));
        assert!(cut.len() <= MAX_LINE + 8 && cut.ends_with('…'));
    }
}
