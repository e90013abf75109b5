//! The log line of an invocation, with its metrics in CloudWatch's embedded format. It is one line, since
//! CloudWatch bills each byte, and each write wakes the process that reads the log.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::LazyLock;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use time::OffsetDateTime;

/// The CloudWatch namespace of the metrics.
const NAMESPACE: &str = "Switchboard";

/// The variable with the name of the deployment: the only dimension of the metrics. Differences between
/// routes are in the log. A metric for each route would cost more, and an alarm could not sum them.
const STACK_NAME: &str = "STACK_NAME";

/// The fields that become metrics: field, name of the metric, unit, and how many of the field's units are one
/// of the metric's.
const METRICS: [(&str, &str, &str, f64); 13] = [
    ("messages_sent", "MessagesSent", "Count", 1.0),
    ("commit_us", "CommitLatency", "Milliseconds", 1000.0),
    ("fan_out", "FanOutWidth", "Count", 1.0),
    ("pushes_sent", "PushesSent", "Count", 1.0),
    ("pushes_gone", "PushesGone", "Count", 1.0),
    ("pushes_failed", "PushesFailed", "Count", 1.0),
    ("tokens_refused", "TokensRefused", "Count", 1.0),
    ("tokens_unverified", "TokensUnverified", "Count", 1.0),
    ("events_sent", "EventsSent", "Count", 1.0),
    ("events_failed", "EventsFailed", "Count", 1.0),
    ("events_set_aside", "EventsSetAside", "Count", 1.0),
    ("privacy_work_unfinished", "PrivacyWorkUnfinished", "Count", 1.0),
    ("oldest_event_s", "OldestEvent", "Seconds", 1.0),
];

/// The sum and the number of values of each field that was measured.
pub(super) type Measurements = BTreeMap<&'static str, (u64, u64)>;

/// What the line says of the invocation.
#[derive(Debug, Serialize)]
pub(super) struct Said<'a> {
    #[serde(with = "time::serde::rfc3339")]
    pub(super) timestamp: OffsetDateTime,
    pub(super) level: &'static str,
    pub(super) message: String,
    pub(super) request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) connection: Option<&'a str>,
    pub(super) outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cause: Option<&'a str>,
    pub(super) duration_ms: f64,
    pub(super) idle_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) postgres_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) postgres_calls: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dynamodb_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dynamodb_calls: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pushes_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pushes: Option<u64>,
}

/// Writes the line. Without `said` it has the metrics only, and is left out if there are none.
pub(super) fn write(route: &str, said: Option<Said<'_>>, measured: &Measurements) {
    if let Some(line) = line(route, said, measured) {
        // A log that cannot be written must not fail the request.
        let _ = std::io::stdout().write_all(&line);
    }
}

fn line(route: &str, said: Option<Said<'_>>, measured: &Measurements) -> Option<Vec<u8>> {
    #[derive(Serialize)]
    struct Line<'a> {
        route: &'a str,
        #[serde(flatten)]
        said: Option<Said<'a>>,
        #[serde(flatten)]
        metrics: Option<Metrics<'a>>,
    }
    let metrics = METRICS.iter().any(|(field, ..)| measured.contains_key(field)).then_some(Metrics(measured));
    if said.is_none() && metrics.is_none() {
        return None;
    }
    let line = serde_json::to_vec(&Line { route, said, metrics });
    let mut line = line.expect("a line is made of strings and numbers");
    line.push(b'\n');
    Some(line)
}

/// The metrics among the measurements: their values, and `_aws`, which declares them.
struct Metrics<'a>(&'a Measurements);

impl Metrics<'_> {
    /// Name, unit and value of each metric.
    fn each(&self) -> impl Iterator<Item = (&'static str, &'static str, f64)> {
        METRICS.into_iter().filter_map(|(field, name, unit, scale)| {
            self.0.get(field).map(|(sum, _)| (name, unit, *sum as f64 / scale))
        })
    }
}

impl Serialize for Metrics<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Aws {
            timestamp: i128,
            cloud_watch_metrics: [Directive; 1],
        }
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Directive {
            namespace: &'static str,
            dimensions: [[&'static str; 1]; 1],
            metrics: Vec<Declared>,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Declared {
            name: &'static str,
            unit: &'static str,
        }
        let metrics = self.each().map(|(name, unit, _)| Declared { name, unit }).collect();
        let mut line = serializer.serialize_map(None)?;
        for (name, _, value) in self.each() {
            line.serialize_entry(name, &value)?;
        }
        line.serialize_entry("Stack", stack())?;
        line.serialize_entry(
            "_aws",
            &Aws {
                timestamp: OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000,
                cloud_watch_metrics: [Directive { namespace: NAMESPACE, dimensions: [["Stack"]], metrics }],
            },
        )?;
        line.end()
    }
}

fn stack() -> &'static str {
    static NAME: LazyLock<String> =
        LazyLock::new(|| environment::optional(STACK_NAME).unwrap_or_else(|| "switchboard".to_owned()));
    &NAME
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn said() -> Said<'static> {
        Said {
            timestamp: OffsetDateTime::UNIX_EPOCH,
            level: "ERROR",
            message: "ping: internal".to_owned(),
            request_id: "1",
            connection: None,
            outcome: "internal",
            cause: Some("DynamoDB: a \"reason\"\nin two lines"),
            duration_ms: 1.5,
            idle_ms: 0.0,
            postgres_ms: None,
            postgres_calls: None,
            dynamodb_ms: Some(0.25),
            dynamodb_calls: Some(1),
            pushes_ms: None,
            pushes: None,
        }
    }

    fn parsed(line: Option<Vec<u8>>) -> Value {
        let line = String::from_utf8(line.expect("there is a line")).unwrap();
        assert_eq!(line.find('\n'), Some(line.len() - 1), "one line: {line}");
        serde_json::from_str(&line).unwrap()
    }

    #[test]
    fn what_an_event_says_needs_no_metrics() {
        let written = parsed(line("ping", Some(said()), &Measurements::from([("dynamodb_us", (250, 1))])));
        assert_eq!(
            written,
            json!({
                "route": "ping", "timestamp": "1970-01-01T00:00:00Z", "level": "ERROR",
                "message": "ping: internal", "request_id": "1", "outcome": "internal",
                "cause": "DynamoDB: a \"reason\"\nin two lines", "duration_ms": 1.5, "idle_ms": 0.0,
                "dynamodb_ms": 0.25, "dynamodb_calls": 1,
            })
        );
    }

    #[test]
    fn metrics_are_written_even_if_the_log_level_leaves_out_the_rest() {
        let measured = Measurements::from([("commit_us", (1500, 1)), ("postgres_us", (1400, 1))]);
        let written = parsed(line("send_message", None, &measured));
        assert_eq!(written["CommitLatency"], 1.5);
        assert_eq!(
            written["_aws"]["CloudWatchMetrics"],
            json!([{ "Namespace": "Switchboard", "Dimensions": [["Stack"]],
                "Metrics": [{ "Name": "CommitLatency", "Unit": "Milliseconds" }] }])
        );
        assert!(written["_aws"]["Timestamp"].is_i64());
        assert_eq!(written["outcome"], Value::Null);
        assert_eq!(line("send_message", None, &Measurements::from([("postgres_us", (1400, 1))])), None);
    }
}
