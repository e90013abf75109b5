//! The log of the functions, on standard error: their lines, and one line for each invocation.
//!
//! For people a line has the time, the function, the request and the message. For programs it is a JSON
//! object like those of Lambda's Telemetry API.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::time::Duration;

use anstream::adapter::strip_str;
use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use uuid::Uuid;

/// The format of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// A JSON object a line
    Json,
}

/// The report of an invocation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Report<'a> {
    pub(super) function: &'a str,
    pub(super) request_id: Uuid,
    pub(super) duration: Duration,
    /// How long the process took to start, if it was started for this invocation.
    pub(super) init: Option<Duration>,
    pub(super) memory_mb: u32,
    /// The error type, if it failed.
    pub(super) error: Option<&'a str>,
}

/// The maximum length in bytes of the log that the Invoke API returns (Lambda API reference, `LogResult`).
pub(super) const MAX_TAIL: usize = 4 * 1024;

/// The end of the lines that a function wrote during an event.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogTail(Arc<Mutex<String>>);

impl LogTail {
    pub(super) fn add(&self, line: &str) {
        let mut tail = self.lock();
        tail.push_str(line);
        tail.push('\n');
        let excess = tail.len().saturating_sub(MAX_TAIL);
        let cut = (excess..=tail.len()).find(|at| tail.is_char_boundary(*at));
        tail.drain(..cut.unwrap_or_default());
    }

    pub(super) fn text(&self) -> String {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, String> {
        self.0.lock().expect("nothing panics while it holds this lock")
    }
}

const CLOCK: &[BorrowedFormatItem<'_>] = format_description!("[hour]:[minute]:[second].[subsecond digits:3]");

/// Date and time in UTC, with milliseconds.
const TIMESTAMP: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

const DIM: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();
const RED: Style = AnsiColor::Red.on_default();
const YELLOW: Style = AnsiColor::Yellow.on_default();

/// A line of a function, for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    time: String,
    #[serde(rename = "type")]
    of_type: &'static str,
    function: &'a str,
    request_id: Option<Uuid>,
    record: Record<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Record<'a> {
    Object(&'a RawValue),
    Text(&'a str),
}

impl LogFormat {
    /// Prints a line of a function.
    pub(super) fn line(self, function: &str, request_id: Option<Uuid>, line: &str) {
        let written = match self {
            Self::Json => {
                // An object is copied as it is. Anything else is a string.
                let object = serde_json::from_str::<&RawValue>(line).ok();
                let object = object.filter(|value| value.get().starts_with('{'));
                let line = Line {
                    time: timestamp(),
                    of_type: "function",
                    function,
                    request_id,
                    record: object.map_or(Record::Text(line), Record::Object),
                };
                Some(serde_json::to_string(&line).expect("it is made of strings and a valid object"))
            }
            Self::Text => readable(line).map(|said| format!("{}{said}", prefix(function, request_id))),
        };
        if let Some(written) = written {
            print(&written);
        }
    }

    /// Prints the report of an invocation.
    pub(super) fn report(self, report: &Report<'_>) {
        let &Report { function, request_id, duration, init, memory_mb, error } = report;
        let milliseconds = |duration: Duration| (duration.as_secs_f64() * 1e5).round() / 100.0;
        print(&match self {
            Self::Json => {
                let mut metrics = json!({ "durationMs": milliseconds(duration), "memorySizeMB": memory_mb });
                if let Some(init) = init {
                    metrics["initDurationMs"] = milliseconds(init).into();
                }
                let mut record = json!({
                    "requestId": request_id,
                    "status": if error.is_some() { "error" } else { "success" },
                    "metrics": metrics,
                });
                if let Some(error) = error {
                    record["errorType"] = error.into();
                }
                json!({ "time": timestamp(), "type": "platform.report", "function": function,
                    "record": record })
                .to_string()
            }
            Self::Text => {
                let mut line = prefix(function, Some(request_id));
                let _ = write!(line, "{:.1} ms", milliseconds(duration));
                if let Some(init) = init {
                    let _ = write!(line, ", {YELLOW}cold start{YELLOW:#} {:.1} ms", milliseconds(init));
                }
                if let Some(error) = error {
                    let _ = write!(line, ", {RED}{error}{RED:#}");
                }
                line
            }
        });
    }
}

fn prefix(function: &str, request_id: Option<Uuid>) -> String {
    let now = OffsetDateTime::now_utc().format(CLOCK).expect("every part of the format exists");
    // The first part of the id is enough for people.
    let id = request_id.map_or_else(|| "-".repeat(8), |id| id.to_string()[..8].to_owned());
    format!("{DIM}{now}{DIM:#} {BOLD}{function}{BOLD:#} {DIM}{id}{DIM:#} ")
}

/// A JSON line in a form for people: level, message, and other fields, without CloudWatch metrics. `None` for
/// a line that has nothing else. Any other line is left as it is.
fn readable(line: &str) -> Option<String> {
    let Ok(mut record) = serde_json::from_str::<Map<String, Value>>(line) else {
        return Some(line.to_owned());
    };
    if let Some(declared) = record.remove("_aws") {
        if !record.contains_key("message") {
            return None;
        }
        remove_metrics(&mut record, &declared["CloudWatchMetrics"]);
    }
    let mut text = |name: &str| match record.remove(name) {
        Some(Value::String(text)) => text,
        Some(other) => other.to_string(),
        None => String::new(),
    };
    // The fields that the prefix shows, and the target.
    for name in ["timestamp", "request_id", "requestId", "target"] {
        text(name);
    }
    let level = text("level");
    let style = match level.as_str() {
        "ERROR" => RED,
        "WARN" => YELLOW,
        _ => DIM,
    };
    let mut said = format!("{style}{level}{style:#} {}", text("message"));
    for (name, value) in &record {
        match value {
            Value::String(value) => _ = write!(said, " {DIM}{name}={DIM:#}{value}"),
            Value::Number(number) if number.is_f64() => {
                _ = write!(said, " {DIM}{name}={DIM:#}{:.1}", number.as_f64().unwrap_or_default());
            }
            other => _ = write!(said, " {DIM}{name}={DIM:#}{other}"),
        }
    }
    Some(said)
}

/// Removes the metrics and dimensions that a line declares in CloudWatch's embedded format.
fn remove_metrics(record: &mut Map<String, Value>, directives: &Value) {
    for directive in directives.as_array().into_iter().flatten() {
        let dimensions = directive["Dimensions"].as_array().into_iter().flatten();
        let dimensions = dimensions.flat_map(|set| set.as_array().into_iter().flatten());
        let metrics = directive["Metrics"].as_array().into_iter().flatten().map(|metric| &metric["Name"]);
        for name in dimensions.chain(metrics).filter_map(Value::as_str) {
            record.remove(name);
        }
    }
}

fn timestamp() -> String {
    OffsetDateTime::now_utc().format(TIMESTAMP).expect("every part of the format exists")
}

/// Uses colours only on a terminal. Write errors are ignored: functions block until their lines are read,
/// even if the terminal is gone.
fn print(line: &str) {
    static IN_COLOUR: LazyLock<bool> =
        LazyLock::new(|| AutoStream::choice(&std::io::stderr()) != ColorChoice::Never);
    let mut written = if *IN_COLOUR { line.to_owned() } else { strip_str(line).to_string() };
    written.push('\n');
    // In one write: standard error is not buffered, so each write is a system call.
    let _ = std::io::stderr().write_all(written.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(line: &str) -> Option<String> {
        readable(line).map(|said| strip_str(&said).to_string())
    }

    #[test]
    fn json_lines_are_made_readable_and_others_left_alone() {
        let line = r#"{"timestamp":"x","level":"INFO","message":"send_message: ok",
            "duration_ms":4.1234,"target":"edge","pushes":1}"#;
        assert_eq!(plain(line).unwrap(), "INFO send_message: ok duration_ms=4.1 pushes=1");
        assert_eq!(plain("thread 'main' panicked").unwrap(), "thread 'main' panicked");
        let metrics = r#""Sent":1,"Stack":"s","_aws":{"Timestamp":1,"CloudWatchMetrics":[{"Namespace":"n",
            "Dimensions":[["Stack"]],"Metrics":[{"Name":"Sent","Unit":"Count"}]}]}"#;
        let line = format!(r#"{{"level":"INFO","message":"send_message: ok","pushes":1,{metrics}}}"#);
        assert_eq!(plain(&line).unwrap(), "INFO send_message: ok pushes=1");
        assert_eq!(plain(&format!(r#"{{"route":"ping",{metrics}}}"#)), None);
        assert_eq!(plain(r#"{"_aws":{}}"#), None);
    }
}
