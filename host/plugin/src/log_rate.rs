use std::fmt::Write as _;
use std::time::Instant;

/// A token bucket for log lines: a second's worth at once, then so many a second.
#[derive(Debug)]
pub(crate) struct LogRate {
    per_second: u32,
    tokens: f64,
    filled: Instant,
}

impl LogRate {
    pub(crate) fn new(per_second: u32, now: Instant) -> Self {
        Self { per_second, tokens: f64::from(per_second), filled: now }
    }

    pub(crate) fn allow(&mut self, now: Instant) -> bool {
        let rate = f64::from(self.per_second);
        let elapsed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + elapsed * rate).min(rate);
        self.filled = now;
        let allowed = self.tokens >= 1.0;
        if allowed {
            self.tokens -= 1.0;
        }
        allowed
    }
}

/// The longest part of a guest's text that reaches a log, in bytes.
const LONGEST_LINE: usize = 1024;

/// `text` on one line without control characters, so that a guest can neither forge a line of the log nor move a
/// terminal's cursor; cut where it is long.
pub(crate) fn escape(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(LONGEST_LINE) + 8);
    for character in text.chars() {
        if line.len() >= LONGEST_LINE {
            line.push('…');
            break;
        }
        // U+202A to U+202E and U+2066 to U+2069 turn the direction of text on a terminal.
        let turns = matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}');
        if character.is_control() || turns {
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
    use std::time::Duration;

    #[test]
    fn a_second_allows_so_many_lines_and_no_more() {
        let start = Instant::now();
        let mut rate = LogRate::new(3, start);
        let allowed = |rate: &mut LogRate, at| (0..10).filter(|_| rate.allow(start + at)).count();
        assert_eq!(allowed(&mut rate, Duration::ZERO), 3);
        assert_eq!(allowed(&mut rate, Duration::from_millis(400)), 1);
        assert_eq!(allowed(&mut rate, Duration::from_secs(60)), 3);
    }

    #[test]
    fn control_characters_are_escaped_and_long_lines_are_cut() {
        assert_eq!(escape("a\n\u{1b}[2J\u{202e}b"), "a\\u{a}\\u{1b}[2J\\u{202e}b");
        let cut = escape(&"ä".repeat(5000));
        assert!(cut.len() <= LONGEST_LINE + 8 && cut.ends_with('…'));
    }
}
