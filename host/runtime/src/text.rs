//! Numbers and times in sentences.

use std::fmt::Display;
use std::time::Duration;

/// A count and its noun, as in `1 tenant` and `2 tenants`.
pub fn counted<N: Copy + Display + PartialEq + From<u8>>(count: N, noun: &str) -> String {
    format!("{count} {}", plural(count, noun))
}

/// A noun for a count that is written in another way, such as `1,000`.
pub fn plural<N: Copy + PartialEq + From<u8>>(count: N, noun: &str) -> String {
    format!("{noun}{}", if count == N::from(1) { "" } else { "s" })
}

/// A duration in one unit: `45 s`, `12 min`, `7 h`, `3 days`.
pub fn short_duration(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..90 => format!("{seconds} s"),
        seconds @ 90..5400 => format!("{} min", seconds / 60),
        seconds @ 5400..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_singular() {
        assert_eq!([0_u64, 1, 2].map(|count| counted(count, "quote")), ["0 quotes", "1 quote", "2 quotes"]);
    }

    #[test]
    fn durations_have_one_unit() {
        let short =
            [5, 89, 90, 5399, 5400, 172_799, 172_800].map(|seconds| short_duration(Duration::from_secs(seconds)));
        assert_eq!(short, ["5 s", "89 s", "1 min", "89 min", "1 h", "47 h", "2 days"]);
    }
}
