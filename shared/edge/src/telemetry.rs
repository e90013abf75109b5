//! The log and the metrics of a function.
//!
//! The log is JSON lines on standard output: one for each invocation, and one for each warning or error. The
//! line of an invocation has its metrics in CloudWatch's embedded format. Lines hold ids, outcomes and
//! durations, never tokens, bodies or message content.
//!
//! Code that measures something emits a `tracing` event with the target `measured`. The fields of these
//! events are summed until the invocation ends; a process handles one invocation at a time. A span with that
//! target is a wait for another process.

mod line;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use domain::{Failure, FailureKind};
use nix::time::{ClockId, clock_gettime};
use protocol::Code;
use time::OffsetDateTime;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use self::line::{Measurements, Said};
use crate::{Error, with_causes};

/// The target of `tracing` events that measure something.
const MEASURED: &str = "measured";

/// What was measured since the invocation began.
static MEASUREMENTS: Mutex<Measurements> = Mutex::new(BTreeMap::new());

/// The waits of the invocation.
static WAITS: Mutex<Waits> = Mutex::new(Waits { open: 0, since: None, waited: Duration::ZERO });

/// Sets up the log with the targets and levels of `RUST_LOG`. Without it, or if it cannot be read: `info`,
/// and `warn` for the SDKs, the HTTP stack, the Postgres client and the Lambda runtime.
pub fn init() {
    let quiet = "info,aws_config=warn,aws_smithy_runtime=warn,hyper=warn,tokio_postgres=warn,Lambda=warn";
    // Not an `EnvFilter`, which needs a regular expression engine.
    let asked: Option<Targets> = environment::optional("RUST_LOG").and_then(|filter| filter.parse().ok());
    let filter = asked.unwrap_or_else(|| quiet.parse().expect("targets and levels"));
    let measured = Targets::new().with_target(MEASURED, LevelFilter::TRACE);
    // The span of the runtime repeats what the line says.
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

/// An error of an invocation, as the log line tells it.
pub trait Failed {
    /// The code, for programs.
    fn code(&self) -> &'static str;
    /// The cause, for operators, if the service is at fault.
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
            FailureKind::Revoked => Code::Unauthenticated.as_str(),
        }
    }
    fn cause(&self) -> Option<String> {
        Some(with_causes(self))
    }
}

impl Failed for lambda_runtime::Error {
    fn code(&self) -> &'static str {
        Code::Internal.as_str()
    }
    fn cause(&self) -> Option<String> {
        Some(with_causes(&**self))
    }
}

/// What identifies an invocation.
#[derive(Clone, Copy, Debug)]
pub struct Invocation<'a> {
    /// The route key of the template, or the name of a function without a route.
    pub route: &'a str,
    /// Lambda's request id, which the access log has as `lambda`.
    pub request_id: &'a str,
    /// The WebSocket connection of the event, if there is one.
    pub connection: Option<&'a str>,
}

/// Does the work of an invocation, and writes its log line, which has its metrics.
///
/// # Errors
///
/// Those of the work.
pub async fn observe<T, E: Failed>(
    Invocation { route, request_id, connection }: Invocation<'_>,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    measurements().clear();
    *waits() = Waits::default();
    let began = Clocks::now();
    let done = work.await;
    let duration = began.wall.elapsed();
    // Time that is neither work nor a known wait. It should be close to zero.
    let idle = began.off_cpu().saturating_sub(waits().waited);
    let measured = std::mem::take(&mut *measurements());
    let count = |name| measured.get(name).map(|(_, count)| *count);
    let sum = |name| measured.get(name).map(|(sum, _)| milliseconds(Duration::from_micros(*sum)));
    let (outcome, cause) = match &done {
        Ok(_) => ("ok", None),
        Err(error) => (error.code(), error.cause()),
    };
    let cause = cause.as_deref();
    let (level, is_logged) = match cause {
        Some(_) => (Level::ERROR, tracing::enabled!(Level::ERROR)),
        None => (Level::INFO, tracing::enabled!(Level::INFO)),
    };
    let said = is_logged.then(|| Said {
        timestamp: OffsetDateTime::now_utc(),
        level: level.as_str(),
        message: format!("{route}: {outcome}"),
        request_id,
        connection,
        outcome,
        cause,
        duration_ms: milliseconds(duration),
        idle_ms: milliseconds(idle),
        postgres_ms: sum("postgres_us"),
        postgres_calls: count("postgres_us"),
        dynamodb_ms: sum("dynamodb_us"),
        dynamodb_calls: count("dynamodb_us"),
        pushes_ms: sum("pushes_us"),
        pushes: measured.get("fan_out").map(|(sum, _)| *sum),
    });
    line::write(route, said, &measured);
    done
}

/// A duration as lines tell it. They need nothing finer than microseconds.
fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

/// Sums what is measured.
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

/// The waits of an invocation, which may overlap.
#[derive(Default)]
struct Waits {
    /// How many waits are open.
    open: usize,
    /// When the first of the overlapping waits began; `None` if none is open.
    since: Option<Clocks>,
    /// How long at least one wait was open while the thread did not work.
    waited: Duration,
}

impl Waits {
    fn begin(&mut self) {
        self.open += 1;
        self.since.get_or_insert_with(Clocks::now);
    }

    fn end(&mut self) {
        // A wait that began in an abandoned invocation may end here.
        self.open = self.open.saturating_sub(1);
        if self.open == 0 {
            self.waited += self.since.take().map_or(Duration::ZERO, |since| since.off_cpu());
        }
    }
}

/// A point in time: on the wall clock, and in processor time of this thread, the only one.
struct Clocks {
    wall: Instant,
    cpu: Duration,
}

impl Clocks {
    fn now() -> Self {
        let cpu = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from);
        Self { wall: Instant::now(), cpu }
    }

    /// How long the thread has not worked since then.
    fn off_cpu(&self) -> Duration {
        let Self { wall, cpu } = Self::now();
        wall.duration_since(self.wall).saturating_sub(cpu.saturating_sub(self.cpu))
    }
}

fn waits() -> MutexGuard<'static, Waits> {
    WAITS.lock().expect("nothing panics while it holds this lock")
}

struct Sums(MutexGuard<'static, Measurements>);

impl Visit for Sums {
    fn record_u64(&mut self, field: &Field, value: u64) {
        let (sum, count) = self.0.entry(field.name()).or_default();
        *sum += value;
        *count += 1;
    }

    /// The type of [`Duration::as_micros`].
    fn record_u128(&mut self, field: &Field, value: u128) {
        self.record_u64(field, value.try_into().unwrap_or(u64::MAX));
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

fn measurements() -> MutexGuard<'static, Measurements> {
    MEASUREMENTS.lock().expect("nothing panics while it holds this lock")
}
