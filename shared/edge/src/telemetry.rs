//! The log of a function: JSON lines on standard output, where Lambda collects them, one for each invocation;
//! and its metrics, in CloudWatch's embedded format.
//!
//! Lines hold identifiers, outcomes and durations; never tokens, bodies or message content. Whoever measures
//! something says so with a `tracing` event of the target `measured`, whose fields are added up here until
//! the invocation ends: a process handles one at a time. A span of that target is a wait for somebody else.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{LazyLock, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use domain::{Failure, FailureKind};
use nix::time::{ClockId, clock_gettime};
use protocol::Code;
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::Error;

/// The target of events that measure something.
const MEASURED: &str = "measured";

/// The CloudWatch namespace of the metrics.
const NAMESPACE: &str = "Switchboard";

/// The variable that says of which deployment they are: their only dimension. What differs from route to
/// route is in the log; a metric for each would be paid for each, and an alarm could not add them up.
const STACK_NAME: &str = "STACK_NAME";

/// What is measured, and the metric that it becomes: its name, its unit, and how many of ours make one of
/// those.
const METRICS: [(&str, &str, &str, f64); 8] = [
    ("messages_sent", "MessagesSent", "Count", 1.0),
    ("commit_us", "CommitLatency", "Milliseconds", 1000.0),
    ("fan_out", "FanOutWidth", "Count", 1.0),
    ("pushes_sent", "PushesSent", "Count", 1.0),
    ("pushes_gone", "PushesGone", "Count", 1.0),
    ("pushes_failed", "PushesFailed", "Count", 1.0),
    ("tokens_refused", "TokensRefused", "Count", 1.0),
    ("tokens_unverified", "TokensUnverified", "Count", 1.0),
];

/// What was measured since the invocation began: the sum of each field, and how often it came up.
static MEASUREMENTS: Mutex<BTreeMap<&'static str, (u64, u64)>> = Mutex::new(BTreeMap::new());

/// The waits of the invocation.
static WAITS: Mutex<Waits> = Mutex::new(Waits { open: 0, since: None, waited: Duration::ZERO });

/// Sets up the log, at the level that `RUST_LOG` says, `info` by default. The SDKs and the HTTP stack speak
/// up from `warn` on.
pub fn init() {
    let quiet = "info,aws_config=warn,aws_smithy_runtime=warn,hyper=warn,tokio_postgres=warn,Lambda=warn";
    // Not an `EnvFilter`: what it can do besides takes a regular expression engine.
    let asked: Option<Targets> = environment::optional("RUST_LOG").and_then(|filter| filter.parse().ok());
    let filter = asked.unwrap_or_else(|| quiet.parse().expect("targets and levels"));
    let measured = Targets::new().with_target(MEASURED, LevelFilter::TRACE);
    // The runtime's span says no more than the line does.
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false);
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .with(Measuring.with_filter(measured))
        .init();
}

/// How an invocation may fail, as its line tells it.
pub trait Failed {
    /// For programs.
    fn code(&self) -> &'static str;
    /// For people who run the service, if it is not the caller's doing.
    fn cause(&self) -> Option<String>;
}

impl Failed for Error {
    fn code(&self) -> &'static str {
        self.code.as_str()
    }
    fn cause(&self) -> Option<String> {
        self.cause_chain()
    }
}

impl Failed for Failure {
    fn code(&self) -> &'static str {
        match self.kind {
            FailureKind::Unavailable => Code::Unavailable.as_str(),
            FailureKind::Unexpected => Code::Internal.as_str(),
        }
    }
    fn cause(&self) -> Option<String> {
        Some(format!("{self}: {}", self.cause))
    }
}

impl Failed for lambda_runtime::Error {
    fn code(&self) -> &'static str {
        Code::Internal.as_str()
    }
    fn cause(&self) -> Option<String> {
        Some(self.to_string())
    }
}

/// What an invocation is known by.
#[derive(Clone, Copy, Debug)]
pub struct Invocation<'a> {
    /// The route, as the template names it, or the function that has none.
    pub route: &'a str,
    /// Lambda's id of the invocation, which the access log has as `lambda`.
    pub request_id: &'a str,
    /// The WebSocket connection that it is about, if it is about one.
    pub connection: Option<&'a str>,
}

/// Does the work of an invocation and writes its line.
pub async fn observe<T, E: Failed>(
    Invocation { route, request_id, connection }: Invocation<'_>,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    measurements().clear();
    *waits() = Waits::default();
    let began = Clocks::now();
    let done = work.await;
    let duration_ms = began.wall.elapsed().as_secs_f64() * 1000.0;
    // What is neither work nor a wait for somebody else: it should be next to nothing.
    let idle = began.off_cpu().saturating_sub(waits().waited);
    let idle_ms = idle.as_secs_f64() * 1000.0;
    let measured = std::mem::take(&mut *measurements());
    let sum = |name| measured.get(name).map(|(sum, _)| *sum);
    let count = |name| measured.get(name).map(|(_, count)| *count);
    let milliseconds = |name| sum(name).map(|microseconds| microseconds as f64 / 1000.0);
    let (outcome, cause) = match &done {
        Ok(_) => ("ok", None),
        Err(error) => (error.code(), error.cause()),
    };
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                route,
                request_id,
                connection,
                outcome,
                cause,
                duration_ms,
                idle_ms,
                postgres_ms = milliseconds("postgres_us"),
                postgres_calls = count("postgres_us"),
                dynamodb_ms = milliseconds("dynamodb_us"),
                dynamodb_calls = count("dynamodb_us"),
                pushes_ms = milliseconds("pushes_us"),
                pushes = sum("fan_out"),
                "{route}: {outcome}"
            )
        };
    }
    match cause {
        None => line!(info),
        Some(_) => line!(error),
    }
    write_metrics(route, &measured);
    done
}

/// One line that CloudWatch turns into metrics, if there are any.
fn write_metrics(route: &str, measured: &BTreeMap<&'static str, (u64, u64)>) {
    let mut line = Map::new();
    let mut declared = Vec::new();
    for (field, name, unit, scale) in METRICS {
        if let Some((sum, _)) = measured.get(field) {
            declared.push(json!({ "Name": name, "Unit": unit }));
            line.insert(name.to_owned(), json!(*sum as f64 / scale));
        }
    }
    if declared.is_empty() {
        return;
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let metrics = json!([{ "Namespace": NAMESPACE, "Dimensions": [["Stack"]], "Metrics": declared }]);
    line.insert(
        "_aws".to_owned(),
        json!({ "Timestamp": u64::try_from(now).unwrap_or(0), "CloudWatchMetrics": metrics }),
    );
    line.insert("Stack".to_owned(), stack().into());
    line.insert("Route".to_owned(), route.into());
    // A log that cannot be written is no reason to fail.
    let _ = writeln!(std::io::stdout(), "{}", Value::Object(line));
}

fn stack() -> &'static str {
    static NAME: LazyLock<String> =
        LazyLock::new(|| environment::optional(STACK_NAME).unwrap_or_else(|| "switchboard".to_owned()));
    &NAME
}

/// Adds up what is measured.
struct Measuring;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Measuring {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == MEASURED {
            event.record(&mut Sums(measurements()));
        }
    }

    fn on_new_span(&self, span: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        if span.metadata().target() == MEASURED {
            waits().begin();
        }
    }

    fn on_close(&self, span: Id, context: Context<'_, S>) {
        if context.metadata(&span).is_some_and(|metadata| metadata.target() == MEASURED) {
            waits().end();
        }
    }
}

/// What an invocation waits for, several things at once or one after the other.
#[derive(Default)]
struct Waits {
    /// How many are under way.
    open: usize,
    /// When the first of them began.
    since: Option<Clocks>,
    /// How long at least one was under way while nothing was worked.
    waited: Duration,
}

impl Waits {
    fn begin(&mut self) {
        self.open += 1;
        self.since.get_or_insert_with(Clocks::now);
    }

    fn end(&mut self) {
        // One that began in an invocation that was given up ends in none.
        self.open = self.open.saturating_sub(1);
        if self.open == 0 {
            self.waited += self.since.take().map_or(Duration::ZERO, |since| since.off_cpu());
        }
    }
}

/// A moment, by the time that passes and by the time for which this thread, the only one, has worked.
struct Clocks {
    wall: Instant,
    cpu: Duration,
}

impl Clocks {
    fn now() -> Self {
        let cpu = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from);
        Self { wall: Instant::now(), cpu }
    }

    /// How long nothing has been worked since then.
    fn off_cpu(&self) -> Duration {
        let Self { wall, cpu } = Self::now();
        wall.duration_since(self.wall).saturating_sub(cpu.saturating_sub(self.cpu))
    }
}

fn waits() -> MutexGuard<'static, Waits> {
    WAITS.lock().expect("nothing panics while it holds this lock")
}

struct Sums(MutexGuard<'static, BTreeMap<&'static str, (u64, u64)>>);

impl Visit for Sums {
    fn record_u64(&mut self, field: &Field, value: u64) {
        let (sum, count) = self.0.entry(field.name()).or_default();
        *sum += value;
        *count += 1;
    }

    /// What [`Duration::as_micros`] gives.
    fn record_u128(&mut self, field: &Field, value: u128) {
        self.record_u64(field, value.try_into().unwrap_or(u64::MAX));
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

fn measurements() -> MutexGuard<'static, BTreeMap<&'static str, (u64, u64)>> {
    MEASUREMENTS.lock().expect("nothing panics while it holds this lock")
}
