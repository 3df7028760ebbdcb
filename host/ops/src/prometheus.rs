use std::fmt::{Display, Write};

/// Writes Prometheus' text format 0.0.4, one family at a time.
#[derive(Debug, Default)]
pub(super) struct PrometheusWriter {
    text: String,
    name: &'static str,
}

/// The content type of the format.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

impl PrometheusWriter {
    /// Begins a counter, whose name must end in `_total`.
    pub(super) fn counter(&mut self, name: &'static str, help: &str) -> &mut Self {
        debug_assert!(name.ends_with("_total"));
        self.family(name, "counter", help)
    }

    /// Begins a gauge.
    pub(super) fn gauge(&mut self, name: &'static str, help: &str) -> &mut Self {
        self.family(name, "gauge", help)
    }

    fn family(&mut self, name: &'static str, kind: &str, help: &str) -> &mut Self {
        self.name = name;
        // Writing to a string cannot fail.
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        self
    }

    /// Adds a sample to the family that was begun last.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) -> &mut Self {
        self.line("", labels, value);
        self
    }

    /// The same without labels, if there is a value.
    pub(super) fn samples(&mut self, value: Option<impl Display>) {
        if let Some(value) = value {
            self.sample(&[], value);
        }
    }

    /// Writes a whole histogram: `counts` has one number per upper bound (ascending) and one for what is above them all.
    /// `sum` is the sum of all observed values.
    pub(super) fn histogram(&mut self, name: &'static str, help: &str, bounds: &[f64], counts: &[u64], sum: f64) {
        self.family(name, "histogram", help);
        let mut below = 0;
        for (bound, count) in bounds.iter().zip(counts) {
            below += count;
            self.line("_bucket", &[("le", &bound.to_string())], below);
        }
        let all: u64 = counts.iter().sum();
        self.line("_bucket", &[("le", "+Inf")], all);
        self.line("_sum", &[], sum);
        self.line("_count", &[], all);
    }

    /// The whole text.
    pub(super) fn finish(self) -> String {
        self.text
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Display) {
        let _ = write!(self.text, "{}{suffix}", self.name);
        for (at, (name, value)) in labels.iter().enumerate() {
            let before = if at == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{before}{name}=\"{}\"", escaped(value));
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{end} {value}");
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_follow_their_family_with_escaped_labels() {
        let mut writer = PrometheusWriter::default();
        writer.counter("quotes_total", "Quotes.").sample(&[], 5).sample(&[("a", "x\"y\\z\n"), ("b", "")], 7);
        let expected = "# HELP quotes_total Quotes.\n# TYPE quotes_total counter\nquotes_total 5\n\
                        quotes_total{a=\"x\\\"y\\\\z\\n\",b=\"\"} 7\n";
        assert_eq!(writer.finish(), expected);
    }

    #[test]
    fn histogram_buckets_are_cumulative() {
        let mut writer = PrometheusWriter::default();
        writer.histogram("lag_seconds", "Lag.", &[0.5, 1.0], &[2, 3, 4], 9.5);
        let text = writer.finish();
        for line in ["lag_seconds_bucket{le=\"0.5\"} 2", "{le=\"1\"} 5", "{le=\"+Inf\"} 9", "_sum 9.5", "_count 9"] {
            assert!(text.contains(line), "{text}");
        }
    }
}
