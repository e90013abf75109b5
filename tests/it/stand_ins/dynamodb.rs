//! A proxy between the functions and DynamoDB, which makes trouble when told to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Response};
use harness::http_client;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::StandIn;

/// The number of items that each function has read or written with each call, as policies name the calls.
pub(crate) type Asked = BTreeMap<(String, String), usize>;

/// How DynamoDB behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    Throttling,
    Down,
    /// It does what it is told, but its answers are lost.
    Losing,
    /// It does not answer until it behaves otherwise.
    Stalled,
}

/// The proxy.
#[derive(Clone, Debug)]
pub(crate) struct DynamoDb {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
    http: reqwest::Client,
}

#[derive(Clone, Debug)]
struct State {
    mood: Mood,
    url: String,
    /// The function whose calls are refused.
    refuses: Option<String>,
    /// The user whose item's next change is carried out without an answer.
    loses: Option<String>,
    /// The function whose calls are held, and what is in them.
    holds: Option<(String, [String; 2])>,
    holding: bool,
    lost: usize,
    /// The numbers of refused calls: because of the mood, and because of the function.
    refused: usize,
    refused_to_one: usize,
    asked: Asked,
    starting: BTreeSet<(String, String)>,
}

/// What a function reads when it starts.
const NO_ITEM: &str = r#""S":"NONE""#;

impl DynamoDb {
    /// Starts a proxy. Its URL has to be known before the stack starts.
    pub(crate) async fn start() -> Self {
        let stand_in = StandIn::bind().await;
        let url = stand_in.url();
        let dynamodb = Self {
            url,
            state: Arc::new(Mutex::new(State {
                mood: Mood::Well,
                url: String::new(),
                refuses: None,
                loses: None,
                holds: None,
                holding: false,
                lost: 0,
                refused: 0,
                refused_to_one: 0,
                asked: Asked::new(),
                starting: BTreeSet::new(),
            })),
            changed: Arc::default(),
            http: http_client(),
        };
        let serving = dynamodb.clone();
        let routes =
            axum::Router::new().fallback(async move |request: Request| serving.answer(request).await);
        stand_in.serves(routes);
        dynamodb
    }

    /// Passes calls on to the DynamoDB at this URL.
    pub(crate) fn pass_on_to(&self, url: &str) {
        self.state.lock().unwrap().url = url.to_owned();
    }

    /// Behaves like this from now on.
    pub(crate) fn is(&self, mood: Mood) {
        self.state.lock().unwrap().mood = mood;
        self.changed.notify_waiters();
    }

    /// Refuses the calls of this function only.
    pub(crate) fn refuses(&self, function: Option<&str>) {
        self.state.lock().unwrap().refuses = function.map(str::to_owned);
    }

    /// Carries out the next change of this user's item, and loses the answer.
    pub(crate) fn loses_the_next_answer_to(&self, user: &str) {
        self.state.lock().unwrap().loses = Some(user.to_owned());
    }

    /// Holds this function's changes of this user's item, and their repeats.
    pub(crate) fn holds_changes_by(&self, function: &str, user: &str) {
        let change = ["UpdateExpression".to_owned(), format!("USER#{user}")];
        self.state.lock().unwrap().holds = Some((function.to_owned(), change));
    }

    /// Holds this function's reads of the room of a conversation, and their repeats.
    pub(crate) fn holds_reads_by(&self, function: &str, conversation: &str) {
        let read = ["RequestItems".to_owned(), format!("ROOM#{conversation}")];
        self.state.lock().unwrap().holds = Some((function.to_owned(), read));
    }

    /// Whether a call is held.
    pub(crate) fn is_holding(&self) -> bool {
        self.state.lock().unwrap().holding
    }

    /// Releases what is held.
    pub(crate) fn lets_go(&self) {
        let state = &mut *self.state.lock().unwrap();
        (state.holds, state.holding) = (None, false);
        self.changed.notify_waiters();
    }

    /// How many answers were lost.
    pub(crate) fn has_lost(&self) -> usize {
        self.state.lock().unwrap().lost
    }

    /// How many calls were refused because of how DynamoDB seemed to be.
    pub(crate) fn has_refused(&self) -> usize {
        self.state.lock().unwrap().refused
    }

    /// How many calls were refused because of who made them.
    pub(crate) fn has_refused_one(&self) -> usize {
        self.state.lock().unwrap().refused_to_one
    }

    /// The calls of each function, with their numbers of items.
    pub(crate) fn has_been_asked(&self) -> Asked {
        self.state.lock().unwrap().asked.clone()
    }

    /// The functions that have called when they started, and their calls.
    pub(crate) fn has_been_asked_at_starts(&self) -> BTreeSet<(String, String)> {
        self.state.lock().unwrap().starting.clone()
    }

    fn notes(&self, head: &Parts, body: &str) {
        let function = caller(&head.headers).unwrap_or_default();
        let call =
            head.headers.get("x-amz-target").and_then(|target| target.to_str().ok()?.split('.').next_back());
        if body.contains(NO_ITEM) {
            let call = format!("dynamodb:{}", call.unwrap_or_default());
            self.state.lock().unwrap().starting.insert((function, call));
            return;
        }
        let request: Value = serde_json::from_str(body).unwrap_or_default();
        let calls: Vec<(String, usize)> = match call.unwrap_or_default() {
            // A policy has to allow what is done to each item.
            "TransactWriteItems" => {
                let writes = request["TransactItems"].as_array().into_iter().flatten();
                let kinds =
                    writes.flat_map(|write| write.as_object().into_iter().flat_map(|write| write.keys()));
                kinds.map(|kind| (format!("dynamodb:{}Item", kind.trim_end_matches("Item")), 1)).collect()
            }
            "BatchGetItem" => {
                let tables =
                    request["RequestItems"].as_object().into_iter().flat_map(|tables| tables.values());
                let keys = tables.filter_map(|table| table["Keys"].as_array()).map(Vec::len).sum();
                vec![("dynamodb:BatchGetItem".to_owned(), keys)]
            }
            call if request.get("IndexName").is_some() => vec![(format!("dynamodb:{call} on an index"), 1)],
            call => vec![(format!("dynamodb:{call}"), 1)],
        };
        let asked = &mut self.state.lock().unwrap().asked;
        for (call, items) in calls {
            *asked.entry((function.clone(), call)).or_default() += items;
        }
    }

    /// Waits if this is a call that is held.
    async fn holds_back(&self, head: &Parts, call: &str) {
        let is_held = |(function, texts): &(String, [String; 2])| {
            caller(&head.headers).as_ref() == Some(function) && texts.iter().all(|text| call.contains(text))
        };
        let let_go = self.changed.notified();
        {
            let state = &mut *self.state.lock().unwrap();
            if !state.holds.as_ref().is_some_and(is_held) {
                return;
            }
            state.holding = true;
        }
        let_go.await;
    }

    fn is_to_be_lost(&self, change: &str, mood: Mood) -> bool {
        let mut state = self.state.lock().unwrap();
        let lost = mood == Mood::Losing
            || change.contains("UpdateExpression")
                && state.loses.take_if(|user| change.contains(&format!("USER#{user}"))).is_some();
        state.lost += usize::from(lost);
        lost
    }

    async fn answer(&self, request: Request) -> Response<Body> {
        let State { mood, url, refuses, .. } = self.state.lock().unwrap().clone();
        let refused = |status: u16, kind: &str| {
            let body =
                json!({ "__type": format!("com.amazonaws.dynamodb.v20120810#{kind}"), "message": "trouble" });
            Response::builder().status(status).body(Body::from(body.to_string())).unwrap()
        };
        match mood {
            _ if refuses.is_some() && refuses == caller(request.headers()) => {
                self.state.lock().unwrap().refused_to_one += 1;
                return refused(500, "InternalServerError");
            }
            Mood::Well | Mood::Losing => {}
            Mood::Stalled => self.changed.notified().await,
            Mood::Throttling | Mood::Down => {
                self.state.lock().unwrap().refused += 1;
                let throttled = mood == Mood::Throttling;
                return if throttled {
                    refused(400, "ProvisionedThroughputExceededException")
                } else {
                    refused(500, "InternalServerError")
                };
            }
        }
        let (head, body) = request.into_parts();
        // The caller may be killed meanwhile.
        let Ok(body) = to_bytes(body, usize::MAX).await else { return refused(500, "InternalServerError") };
        let change = String::from_utf8_lossy(&body).into_owned();
        self.notes(&head, &change);
        self.holds_back(&head, &change).await;
        let passing = self.http.post(url).headers(head.headers).body(body);
        let Ok(passed) = passing.send().await else { return refused(500, "InternalServerError") };
        if self.is_to_be_lost(&change, mood) {
            return refused(500, "InternalServerError");
        }
        let response = Response::builder().status(passed.status());
        let Ok(answer) = passed.bytes().await else { return refused(500, "InternalServerError") };
        response.body(Body::from(answer)).unwrap()
    }
}

/// The function that signed a request: its access key is its name.
pub(crate) fn caller(headers: &HeaderMap) -> Option<String> {
    let (_, credential) = headers.get("authorization")?.to_str().ok()?.split_once("Credential=")?;
    credential.split('/').next().map(str::to_owned)
}
