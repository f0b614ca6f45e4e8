//! What the functions tell those who run them: log lines in JSON, and the few figures that matter as CloudWatch's
//! embedded metrics (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>).

use serde_json::{Value, json};

/// The namespace of the figures in CloudWatch.
const NAMESPACE: &str = "Dormouse";

/// Starts logging: one JSON object a line, with the fields of the spans around it.
pub fn start() {
    // Lambda stamps each line with its own time.
    let layer =
        tracing_subscriber::fmt().json().flatten_event(true).with_current_span(true).with_span_list(false);
    layer.without_time().with_max_level(tracing::Level::INFO).with_target(false).init();
}

/// A figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Figure {
    /// How long an answer of the front door took, in milliseconds.
    AnswerMs(f64),
    /// A request that the front door refused as not what it says it is.
    Unauthorized,
    /// An answer of the front door that is a failure of ours.
    AnswerFailed,
    /// A look at a world that failed, and is tried again.
    LookFailed,
    /// A message that can never be read.
    MessageUnreadable,
    /// How long the sweep took, in milliseconds.
    SweepMs(f64),
}

impl Figure {
    fn parts(self) -> (&'static str, &'static str, f64) {
        match self {
            Self::AnswerMs(ms) => ("AnswerMs", "Milliseconds", ms),
            Self::Unauthorized => ("Unauthorized", "Count", 1.0),
            Self::AnswerFailed => ("AnswerFailed", "Count", 1.0),
            Self::LookFailed => ("LookFailed", "Count", 1.0),
            Self::MessageUnreadable => ("MessageUnreadable", "Count", 1.0),
            Self::SweepMs(ms) => ("SweepMs", "Milliseconds", ms),
        }
    }

    /// Returns the line that CloudWatch takes the figure from.
    fn line(self, at_ms: i64) -> Value {
        let (name, unit, value) = self.parts();
        let metrics = [json!({ "Name": name, "Unit": unit })];
        let directive = json!({ "Namespace": NAMESPACE, "Dimensions": [[]], "Metrics": metrics });
        json!({ "_aws": { "Timestamp": at_ms, "CloudWatchMetrics": [directive] }, name: value })
    }
}

/// Tells CloudWatch a figure.
pub fn count(figure: Figure) {
    println!("{}", figure.line(domain::Timestamp::now().as_millisecond()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn a_figure_is_a_line_of_the_embedded_metric_format() {
        expect![[r#"{"AnswerMs":12.5,"_aws":{"CloudWatchMetrics":[{"Dimensions":[[]],"Metrics":[{"Name":"AnswerMs","Unit":"Milliseconds"}],"Namespace":"Dormouse"}],"Timestamp":1795253400250}}"#]]
            .assert_eq(&Figure::AnswerMs(12.5).line(1_795_253_400_250).to_string());
    }
}
