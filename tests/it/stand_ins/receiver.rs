//! A backend that takes events.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::Listener;
use harness::eventually;
use protocol::webhook::{CloudEvent, EventType};
use standardwebhooks::Webhook;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::StandIn;

/// The secret of all receivers.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What a receiver does with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Takes it.
    Takes,
    /// Answers 500.
    Fails,
    /// Answers with a redirect to itself.
    Redirects,
    /// Answers when the story says so.
    Hesitates,
    /// Closes connections as soon as they are open.
    IsDown,
}

/// The receiver.
#[derive(Clone, Debug)]
pub(crate) struct Receiver {
    pub(crate) url: String,
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    goes_on: Notify,
}

#[derive(Debug)]
struct State {
    manner: Manner,
    /// The subjects whose events are answered with 500 in any case.
    refused: HashSet<String>,
    /// How often an event was posted, taken or not.
    posted: usize,
    taken: Vec<CloudEvent>,
}

impl Receiver {
    /// Starts one that takes everything.
    pub(crate) async fn start() -> Self {
        let stand_in = StandIn::bind().await;
        let state = State { manner: Manner::Takes, refused: HashSet::new(), posted: 0, taken: Vec::new() };
        let inner = Arc::new(Inner { state: Mutex::new(state), goes_on: Notify::new() });
        let receiver = Self { url: format!("{}/events", stand_in.url()), inner };
        let serving = receiver.clone();
        let answer = async move |headers: HeaderMap, body: Bytes| serving.answer(&headers, &body).await;
        let routes = axum::Router::new().route("/events", post(answer));
        let door = Door(stand_in.0, receiver.clone());
        tokio::spawn(async move { axum::serve(door, routes).await });
        receiver
    }

    /// The variables of a stack that posts its events to it.
    pub(crate) fn env(&self) -> [(&str, &str); 2] {
        [("EVENTS_URL", &self.url), ("EVENTS_SECRET", SECRET)]
    }

    pub(crate) fn is(&self, manner: Manner) {
        self.inner.state.lock().unwrap().manner = manner;
    }

    /// Answers 500 to the events of a subject from now on, or no longer.
    pub(crate) fn refuses(&self, subject: &str, refuses: bool) {
        let mut state = self.inner.state.lock().unwrap();
        match refuses {
            true => state.refused.insert(subject.to_owned()),
            false => state.refused.remove(subject),
        };
    }

    /// Answers what it hesitates to answer.
    pub(crate) fn goes_on(&self) {
        self.is(Manner::Takes);
        self.inner.goes_on.notify_waiters();
    }

    /// How often an event was posted, taken or not.
    pub(crate) fn posted(&self) -> usize {
        self.inner.state.lock().unwrap().posted
    }

    /// The events that it has taken, in order.
    pub(crate) fn taken(&self) -> Vec<CloudEvent> {
        self.inner.state.lock().unwrap().taken.clone()
    }

    /// The types of the events of a subject that it has taken, in order.
    pub(crate) fn told_of(&self, subject: &str) -> Vec<EventType> {
        let taken = self.taken();
        taken.into_iter().filter(|event| event.subject == subject).map(|event| event.kind).collect()
    }

    /// Waits until it has taken so many events of a subject. Returns them.
    pub(crate) async fn takes(&self, count: usize, subject: &str) -> Vec<CloudEvent> {
        eventually("the receiver has all events", async || self.told_of(subject).len() >= count).await;
        self.taken().into_iter().filter(|event| event.subject == subject).collect()
    }

    fn manner(&self) -> Manner {
        self.inner.state.lock().unwrap().manner
    }

    async fn answer(&self, headers: &HeaderMap, body: &[u8]) -> Response {
        Webhook::new(SECRET).unwrap().verify(body, headers).expect("it is signed");
        assert_eq!(headers["content-type"], "application/cloudevents+json");
        let event: CloudEvent = serde_json::from_slice(body).expect("it is as the protocol says");
        assert_eq!(headers["webhook-id"], event.id.as_str());
        assert_eq!(event.specversion, "1.0");
        let manner = {
            let mut state = self.inner.state.lock().unwrap();
            state.posted += 1;
            let refuses = state.refused.contains(&event.subject);
            if refuses { Manner::Fails } else { state.manner }
        };
        match manner {
            // On a connection that was open before.
            Manner::Fails | Manner::IsDown => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            Manner::Redirects => {
                return (StatusCode::TEMPORARY_REDIRECT, [("location", self.url.clone())]).into_response();
            }
            Manner::Hesitates => self.inner.goes_on.notified().await,
            Manner::Takes => {}
        }
        self.inner.state.lock().unwrap().taken.push(event);
        // The body is ignored.
        (StatusCode::ACCEPTED, "thank you").into_response()
    }
}

/// Lets connections in, unless the receiver is down.
struct Door(TcpListener, Receiver);

impl Listener for Door {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            let accepted = Listener::accept(&mut self.0).await;
            if self.1.manner() != Manner::IsDown {
                return accepted;
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }
}
