//! A proxy between the functions and the gateway's callbacks, which makes trouble when told to.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{Method, Response, StatusCode};
use harness::http_client;
use percent_encoding::percent_decode_str;
use tokio::sync::Notify;

use super::StandIn;
use super::dynamodb::caller;

/// What happens to pushes to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// They arrive.
    Passed,
    /// They are answered 410.
    Gone,
    /// The first is answered 410; the next arrives.
    GoneOnce,
    /// They arrive, but the call that closes the connection does not, although it is answered with success.
    LeftOpen,
    /// They are not answered.
    Stalled,
    /// The first is answered 429; the next arrives.
    Throttled,
    /// They are answered 429.
    Flooded,
    /// They are answered 500.
    Failed,
}

/// The proxy.
#[derive(Clone, Debug)]
pub(crate) struct Callbacks {
    pub(crate) url: String,
    inner: Arc<Inner>,
    http: reqwest::Client,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    released: Notify,
}

#[derive(Debug, Default)]
struct State {
    port: u16,
    /// The fates of the connections that are pushed to next, in order.
    next: Vec<Fate>,
    fates: HashMap<String, Fate>,
    pushes: HashMap<String, usize>,
    /// How often the gateway itself answered 410.
    gone: usize,
    called: BTreeMap<(String, String), usize>,
    starting: BTreeSet<(String, String)>,
}

/// What a function pushes to when it starts.
const NO_CONNECTION: &str = "none";

impl Callbacks {
    /// Starts a proxy. Its URL has to be known before the gateway starts.
    pub(crate) async fn start() -> Self {
        let stand_in = StandIn::bind().await;
        let url = format!("{}/v1", stand_in.url());
        let inner = Arc::new(Inner { state: Mutex::default(), released: Notify::new() });
        let callbacks = Self { url, inner, http: http_client() };
        let serving = callbacks.clone();
        let routes =
            axum::Router::new().fallback(async move |request: Request| serving.answer(request).await);
        stand_in.serves(routes);
        callbacks
    }

    /// Passes pushes on to the gateway at this port.
    pub(crate) fn pass_on_to(&self, port: u16) {
        self.inner.state.lock().unwrap().port = port;
    }

    /// Gives these fates to the connections that are pushed to for the first time from now on.
    pub(crate) fn next_have(&self, fates: &[Fate]) {
        let mut state = self.inner.state.lock().unwrap();
        state.fates.clear();
        state.next = fates.iter().rev().copied().collect();
    }

    /// Gives a fate to a connection, as if it had not been pushed to before.
    pub(crate) fn has(&self, connection: &str, fate: Fate) {
        let mut state = self.inner.state.lock().unwrap();
        state.fates.insert(connection.to_owned(), fate);
        state.pushes.remove(connection);
    }

    /// Answers the pushes that are stalled.
    pub(crate) fn release(&self) {
        self.inner.released.notify_waiters();
    }

    /// The number of pushes to connections of this fate.
    pub(crate) fn pushes_to(&self, fate: Fate) -> usize {
        let state = self.inner.state.lock().unwrap();
        state
            .fates
            .iter()
            .filter(|(_, of)| **of == fate)
            .map(|(id, _)| state.pushes.get(id).copied().unwrap_or(0))
            .sum()
    }

    /// How often the gateway itself answered 410.
    pub(crate) fn gone(&self) -> usize {
        self.inner.state.lock().unwrap().gone
    }

    /// How often each function has called with each method.
    pub(crate) fn have_been_called(&self) -> BTreeMap<(String, String), usize> {
        self.inner.state.lock().unwrap().called.clone()
    }

    /// The functions that have called when they started, and their methods.
    pub(crate) fn have_been_called_at_starts(&self) -> BTreeSet<(String, String)> {
        self.inner.state.lock().unwrap().starting.clone()
    }

    async fn answer(&self, request: Request) -> Response<Body> {
        let connection = request.uri().path().rsplit('/').next().unwrap_or_default();
        let connection = percent_decode_str(connection).decode_utf8_lossy().into_owned();
        let refused = |status: StatusCode, kind: &str| {
            Response::builder().status(status).header("x-amzn-errortype", kind).body(Body::empty()).unwrap()
        };
        let function = caller(request.headers()).unwrap_or_default();
        if connection == NO_CONNECTION {
            self.inner.state.lock().unwrap().starting.insert((function, request.method().to_string()));
            return refused(StatusCode::BAD_REQUEST, "BadRequestException");
        }
        let (fate, count, port) = {
            let state = &mut *self.inner.state.lock().unwrap();
            *state.called.entry((function, request.method().to_string())).or_default() += 1;
            let fate = *state
                .fates
                .entry(connection.clone())
                .or_insert_with(|| state.next.pop().unwrap_or(Fate::Passed));
            let count = state.pushes.entry(connection).or_default();
            *count += 1;
            (fate, *count, state.port)
        };
        match fate {
            Fate::LeftOpen if *request.method() == Method::DELETE => {
                return Response::builder().status(StatusCode::NO_CONTENT).body(Body::empty()).unwrap();
            }
            _ if *request.method() != Method::POST => {}
            Fate::Passed | Fate::LeftOpen => {}
            Fate::Gone => return refused(StatusCode::GONE, "GoneException"),
            Fate::Failed => return refused(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError"),
            Fate::GoneOnce if count > 1 => {}
            Fate::GoneOnce => return refused(StatusCode::GONE, "GoneException"),
            Fate::Throttled if count > 1 => {}
            Fate::Throttled | Fate::Flooded => {
                return refused(StatusCode::TOO_MANY_REQUESTS, "LimitExceededException");
            }
            Fate::Stalled => self.inner.released.notified().await,
        }
        let url = format!("http://127.0.0.1:{port}{}", request.uri());
        let method = request.method().clone();
        let failed = || refused(StatusCode::BAD_GATEWAY, "BadGatewayException");
        // The caller may be killed meanwhile.
        let Ok(body) = to_bytes(request.into_body(), usize::MAX).await else { return failed() };
        let Ok(passed) = self.http.request(method, url).body(body).send().await else {
            return failed();
        };
        if passed.status() == 410 {
            self.inner.state.lock().unwrap().gone += 1;
        }
        let mut response = Response::builder().status(passed.status());
        for (name, value) in passed.headers() {
            response = response.header(name, value);
        }
        let Ok(answer) = passed.bytes().await else { return failed() };
        response.body(Body::from(answer)).unwrap()
    }
}
