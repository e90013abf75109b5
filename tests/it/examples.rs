//! The examples in the API documents: frames and requests that were really exchanged.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use harness::{Stack, connect, eventually, seconds_from_now};
use reqwest::{Method, Response};
use serde_json::{Map, Value, json};
use time::format_description::well_known::Rfc3339;
use time::macros::{datetime, format_description};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::backends::{AUDIENCE, Backend};
use crate::people::{Client, ISSUER, User};
use crate::stand_ins::receiver::Receiver;

const FILE: &str = "../infra/documents/examples.json";

/// What was exchanged, by where it stands in the documents.
#[derive(Default)]
struct Examples {
    frames: Map<String, Value>,
    /// The answer to each action, and a refusal of it.
    answers: Map<String, Value>,
    errors: Map<String, Value>,
    requests: Map<String, Value>,
    service: Map<String, Value>,
}

impl Examples {
    /// Sends a frame, keeps it, and keeps the event of this type that answers it.
    async fn asks(&mut self, phone: &mut Client, frame: Value, answer: &str) -> Value {
        let action = frame["action"].as_str().unwrap().to_owned();
        self.frames.insert(action.clone(), frame.clone());
        phone.sends_text(&frame.to_string()).await;
        let event = self.hears(phone, answer).await;
        let mut answers = json!({ "answer": event });
        // The same without its fields.
        let empty = json!({ "action": action, "id": frame["id"] });
        if frame.as_object().unwrap().len() > 2 {
            phone.sends_text(&empty.to_string()).await;
            answers["error"] = hears(phone, "error").await;
        }
        self.answers.insert(action, answers);
        event
    }

    /// Keeps the next event of this type.
    async fn hears(&mut self, phone: &mut Client, kind: &str) -> Value {
        let event = hears(phone, kind).await;
        self.frames.insert(kind.to_owned(), event.clone());
        event
    }

    /// Sends a frame that is refused, and keeps both.
    async fn is_refused(&mut self, phone: &mut Client, frame: Value, code: &str) {
        phone.sends_text(&frame.to_string()).await;
        let error = loop {
            let error = hears(phone, "error").await;
            if error["id"] == frame["id"] {
                break error;
            }
        };
        assert_eq!(error["error"]["code"], code);
        self.errors.insert(code.to_owned(), json!({ "frame": frame, "answer": error }));
    }

    /// Sends a request, and keeps it with its answer and a refusal.
    async fn requests(&mut self, id: &str, user: &User, method: Method, path: &str, body: Value) -> Value {
        let send = async |path: &str, body: Option<&Value>| user.requests(method.clone(), path, body).await;
        let (example, answered) = exchanged(&user.stack, send, path, body).await;
        self.requests.insert(id.to_owned(), example);
        answered
    }

    /// The same for a backend.
    async fn serves(
        &mut self,
        id: &str,
        backend: &Backend,
        method: Method,
        path: &str,
        body: Value,
    ) -> Value {
        let send =
            async |path: &str, body: Option<&Value>| backend.requests(method.clone(), path, body).await;
        let (example, answered) = exchanged(&backend.stack, send, path, body).await;
        self.service.insert(id.to_owned(), example);
        answered
    }
}

/// Sends a request that is refused, and then the request itself. Returns how the documents show both, and the
/// answer.
async fn exchanged(
    stack: &Stack,
    send: impl AsyncFn(&str, Option<&Value>) -> Response,
    path: &str,
    body: Value,
) -> (Value, Value) {
    let error = match refusal(path, &body) {
        Some((path, body)) => send(&path, body.as_ref()).await,
        None => reqwest::get(stack.http(path)).await.unwrap(),
    };
    let sent = Some(&body).filter(|body| !body.is_null());
    let answer = send(path, sent).await;
    let (mut example, answered) = kept(path, body, answer).await;
    example["error"] = refused(error).await;
    (example, answered)
}

/// A request that is like another one and refused: a field is a number, a parameter is missing, or there is
/// no such conversation. None if only a missing token is a reason to refuse it.
fn refusal(path: &str, body: &Value) -> Option<(String, Option<Value>)> {
    if let Some(name) = body.as_object().and_then(|fields| fields.keys().next()) {
        let mut wrong = body.clone();
        wrong[name] = 5.into();
        return Some((path.to_owned(), Some(wrong)));
    }
    if let Some((before, _)) = path.split_once("?userId=") {
        return Some((before.to_owned(), None));
    }
    let id = path.split(['/', '?']).find(|part| part.parse::<Uuid>().is_ok())?;
    Some((path.replace(id, "00000000-0000-7000-8000-000000000000"), None))
}

async fn refused(answer: Response) -> Value {
    let status = answer.status();
    assert!(!status.is_success(), "it is not refused");
    json!({ "status": status.as_u16(), "answer": answer.json::<Value>().await.unwrap() })
}

/// The next event of this type, as it came.
async fn hears(phone: &mut Client, kind: &str) -> Value {
    loop {
        let frame: Value = serde_json::from_str(&phone.next_text().await).unwrap();
        if frame["type"] == kind {
            return frame;
        }
    }
}

/// A request and its answer, as the documents show them.
async fn kept(path: &str, body: Value, answer: Response) -> (Value, Value) {
    let status = answer.status().as_u16();
    let answered: Value = answer.json().await.unwrap_or_default();
    assert!(status < 300, "{path}: {status} {answered}");
    let example = json!({ "path": path, "body": body, "status": status, "answer": answered });
    (without_nulls_at_the_top(example), answered)
}

fn without_nulls_at_the_top(example: Value) -> Value {
    let Value::Object(fields) = example else { unreachable!("it was just made") };
    fields.into_iter().filter(|(_, value)| !value.is_null()).collect::<Map<_, _>>().into()
}

/// Replaces what is another value each time: ids, times, and what is random.
struct Steady {
    ids: BTreeSet<Uuid>,
    times: BTreeSet<OffsetDateTime>,
}

impl Steady {
    fn of(examples: &Value) -> Self {
        let mut all = Self { ids: BTreeSet::new(), times: BTreeSet::new() };
        all.collect("", examples);
        all
    }

    fn collect(&mut self, name: &str, value: &Value) {
        match value {
            // That of an event is now before and now after others.
            Value::String(_) if name == "time" => {}
            Value::String(text) => {
                for part in text.split(['/', '?', '=', '&']) {
                    self.ids.extend(part.parse::<Uuid>().ok());
                    self.times.extend(OffsetDateTime::parse(part, &Rfc3339).ok());
                }
            }
            Value::Array(all) => all.iter().for_each(|one| self.collect("", one)),
            Value::Object(all) => all.iter().for_each(|(name, one)| self.collect(name, one)),
            _ => {}
        }
    }

    fn apply(&self, name: &str, value: &Value) -> Value {
        match (name, value) {
            ("connectionId", Value::String(_)) => "NZxV4fmFIAMCKxA=".into(),
            ("requestId", Value::String(_)) => "NZxWBEYoIAMEPcw=".into(),
            ("nextCursor", Value::String(_)) => "what-the-next-page-is-asked-for-with".into(),
            ("time", Value::String(_)) => "2026-01-05T12:00:00.000Z".into(),
            ("version", Value::Number(_)) => 12.into(),
            ("retryAfterMs", Value::Number(_)) => 30_000.into(),
            (_, Value::String(text)) => self.steady(text).into(),
            (_, Value::Array(all)) => all.iter().map(|one| self.apply("", one)).collect(),
            (_, Value::Object(all)) => all
                .iter()
                .map(|(name, one)| (name.clone(), self.apply(name, one)))
                .collect::<Map<_, _>>()
                .into(),
            (_, other) => other.clone(),
        }
    }

    fn steady(&self, text: &str) -> String {
        let mut steady = text.to_owned();
        for (number, id) in (1_u128..).zip(&self.ids) {
            let other = Uuid::from_u128(0x019a_4e5b_0000_7000_8000_0000_0000_0000 + number);
            steady = steady.replace(&id.to_string(), &other.to_string());
        }
        if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) {
            let place = self.times.iter().position(|one| *one == time).unwrap();
            let written =
                format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
            let other = datetime!(2026-01-05 12:00:00 UTC) + Duration::seconds(i64::try_from(place).unwrap());
            return other.format(&written).unwrap();
        }
        steady
    }
}

fn person(stack: &Arc<Stack>, name: &str) -> User {
    User { id: name.to_lowercase(), ..User::of(stack, name) }
}

#[tokio::test]
async fn the_examples_in_the_documents_are_what_is_exchanged() {
    let receiver = Receiver::start().await;
    let service = [("JWT_ISSUER", ISSUER), ("SERVICE_AUDIENCE", AUDIENCE), ("MAX_MESSAGES_PER_MINUTE", "20")];
    let (stack, _database) = Stack::own_with(&[&receiver.env()[..], &service].concat()).await;
    let mut kept = Examples::default();
    let [alice, bob, carol] = ["Alice", "Bob", "Carol"].map(|name| person(&stack, name));
    let mut phone = alice.connects().await;
    let mut bobs = bob.connects().await;
    carol.connects().await.closes().await;

    let find = "/api/conversations/find-or-create";
    let found = kept
        .requests("findOrCreateConversation", &alice, Method::POST, find, json!({ "otherUserId": "bob" }))
        .await;
    let id = found["conversationId"].as_str().unwrap().to_owned();
    messages(&mut kept, &mut phone, &mut bobs, &id).await;
    kept.asks(
        &mut phone,
        json!({ "action": "leave_conversation", "id": "9", "conversationId": id }),
        "left_conversation",
    )
    .await;
    bobs.says(&id, "See you there!").await;
    kept.hears(&mut phone, "conversation_updated").await;
    bobs.closes().await;
    kept.hears(&mut phone, "user_offline").await;
    let _bobs = bob.connects().await;
    kept.hears(&mut phone, "user_online").await;
    let group = group(&mut kept, &alice, &mut phone).await;
    for (name, path) in [
        ("listConversations", "/api/conversations?limit=1".to_owned()),
        ("getConversation", format!("/api/conversations/{group}")),
        ("listMessages", format!("/api/conversations/{id}/messages?limit=2&markRead=false")),
        ("listChanges", format!("/api/conversations/{id}/changes?after=2")),
        ("listParticipants", format!("/api/conversations/{group}/participants?limit=1")),
    ] {
        kept.requests(name, &alice, Method::GET, &path, Value::Null).await;
    }
    kept.requests("block", &alice, Method::PUT, "/api/blocks?userId=carol", Value::Null).await;
    kept.requests("listBlocks", &alice, Method::GET, "/api/blocks", Value::Null).await;
    kept.requests("unblock", &alice, Method::DELETE, "/api/blocks?userId=carol", Value::Null).await;
    let told = receiver.takes(2, &id).await;
    let event = serde_json::to_value(&told[1]).unwrap();
    errors(&mut kept, &stack, &alice, phone, &id).await;
    backend(&mut kept, &Backend::of(&stack)).await;

    let examples = json!({
        "frames": kept.frames, "answers": kept.answers, "errors": kept.errors,
        "requests": kept.requests, "service": kept.service,
        "event": event,
    });
    let steady = format!("{:#}\n", Steady::of(&examples).apply("", &examples));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    if std::env::var_os("WRITE_EXAMPLES").is_some() {
        std::fs::write(&file, &steady).unwrap();
    }
    let checked_in = std::fs::read_to_string(&file).unwrap();
    are_the_same(&checked_in, &steady);
}

/// Compares line by line, so that a failure shows what is different.
fn are_the_same(checked_in: &str, exchanged: &str) {
    for (number, (one, other)) in checked_in.lines().zip(exchanged.lines()).enumerate() {
        assert_eq!(one, other, "line {} of examples.json; WRITE_EXAMPLES=1 writes it anew", number + 1);
    }
    assert_eq!(checked_in.lines().count(), exchanged.lines().count(), "WRITE_EXAMPLES=1 writes it anew");
}

/// Messages of two people, and what becomes of them.
async fn messages(kept: &mut Examples, phone: &mut Client, bobs: &mut Client, id: &str) {
    let join = json!({ "action": "join_conversation", "id": "1", "conversationId": id });
    kept.asks(phone, join, "joined_conversation").await;
    bobs.joins(id).await;
    let send = json!({
        "action": "send_message", "id": "2", "conversationId": id, "content": "Lunch at 12?",
        "clientMessageId": "lunch-1",
    });
    let sent = kept.asks(phone, send, "new_message").await;
    let message = sent["data"]["id"].as_str().unwrap().to_owned();
    bobs.receives_message().await;
    for (action, event) in [("typing_start", "user_typing"), ("typing_stop", "user_stopped_typing")] {
        let frame = json!({ "action": action, "id": "3", "conversationId": id });
        kept.frames.insert(action.to_owned(), frame.clone());
        bobs.sends_text(&frame.to_string()).await;
        kept.hears(phone, event).await;
    }
    let thumb = "👍";
    let react =
        |action: &str| json!({ "action": action, "id": "4", "messageId": message, "reaction": thumb });
    kept.asks(phone, react("add_reaction"), "message_changed").await;
    kept.asks(phone, react("remove_reaction"), "message_changed").await;
    let edit = json!({
        "action": "edit_message", "id": "5", "messageId": message,
        "content": "Lunch at 12:30?", "ifChange": 2,
    });
    let edited = kept.asks(phone, edit, "message_changed").await;
    assert_eq!(edited["data"]["message"]["content"], "Lunch at 12:30?");
    let oops = json!({ "action": "send_message", "id": "6", "conversationId": id, "content": "oops" });
    phone.sends_text(&oops.to_string()).await;
    let oops = hears(phone, "new_message").await;
    let delete = json!({ "action": "delete_message", "id": "6", "messageId": oops["data"]["id"] });
    let deleted = kept.asks(phone, delete, "message_changed").await;
    assert!(deleted["data"]["message"]["deletedAt"].is_string());
    // As an event shows it that somebody else has caused.
    kept.asks(phone, react("add_reaction"), "message_changed").await;
    let reply = json!({
        "conversationId": id, "content": "Fine!", "replyTo": message, "metadata": { "table": 4 },
        "clientMessageId": "lunch-2",
    });
    bobs.sends_message(reply).await;
    hears(phone, "new_message").await;
    let read = json!({ "action": "mark_read", "id": "7", "conversationId": id, "upToSeq": 3 });
    kept.asks(phone, read, "messages_read").await;
    kept.asks(phone, json!({ "action": "ping", "id": "8" }), "pong").await;
}

/// A group that is made, and changes. Returns its id.
async fn group(kept: &mut Examples, alice: &User, phone: &mut Client) -> String {
    let make = json!({
        "title": "Holidays", "participantIds": ["bob"],
        "clientConversationId": "019a4e5b-1d0c-7b0e-9f5e-3c2d1b0a9f8e",
    });
    let made = kept.requests("createConversation", alice, Method::POST, "/api/conversations", make).await;
    let group = made["id"].as_str().unwrap().to_owned();
    let at = format!("/api/conversations/{group}");
    let people = format!("{at}/participants");
    kept.requests("changeConversation", alice, Method::PATCH, &at, json!({ "title": "Quiet holidays" }))
        .await;
    kept.hears(phone, "conversation_changed").await;
    kept.requests("addParticipants", alice, Method::POST, &people, json!({ "userIds": ["carol"] })).await;
    kept.hears(phone, "participants_changed").await;
    let owner = json!({ "userId": "bob", "role": "owner" });
    kept.requests("setRole", alice, Method::PATCH, &people, owner).await;
    let remove = format!("{people}?userId=carol");
    kept.requests("removeParticipant", alice, Method::DELETE, &remove, Value::Null).await;
    group
}

fn sending(id: &str, content: &str) -> Value {
    json!({ "action": "send_message", "id": "10", "conversationId": id, "content": content })
}

/// Each error, and a frame that provokes it.
async fn errors(kept: &mut Examples, stack: &Stack, alice: &User, mut phone: Client, id: &str) {
    let send = |content: &str| sending(id, content);
    kept.is_refused(&mut phone, send(""), "invalid_request").await;
    let stranger = json!({
        "action": "join_conversation", "id": "11", "conversationId": "00000000-0000-7000-8000-000000000000",
    });
    kept.is_refused(&mut phone, stranger, "forbidden").await;
    let path = "/api/conversations/find-or-create";
    let body = json!({ "otherUserId": "nobody" });
    let answer = alice.posts(path, &body).await;
    let request = json!({ "method": "POST", "path": path, "body": body, "status": answer.status().as_u16() });
    let answer: Value = answer.json().await.unwrap();
    kept.errors.insert("not_found".to_owned(), json!({ "request": request, "answer": answer }));
    // The row of the conversation is locked for longer than the service waits.
    let lock = connect(stack.postgres_url()).await;
    let locked = format!("begin; select from conversations where id = '{id}' for update");
    lock.batch_execute(&locked).await.unwrap();
    kept.is_refused(&mut phone, send("Is it busy?"), "unavailable").await;
    let watcher = connect(stack.postgres_url()).await;
    let waiting = "select 1 from pg_stat_activity
                   where datname = current_database() and wait_event_type = 'Lock'";
    // A slow machine may kill the function only when it has answered.
    let gateway = loop {
        phone.sends_text(&send("Is it there?").to_string()).await;
        eventually("the send waits for the lock", async || {
            !watcher.query(waiting, &[]).await.unwrap().is_empty()
        })
        .await;
        stack.kills("send_message");
        let answer = loop {
            let frame: Value = serde_json::from_str(&phone.next_text().await).unwrap();
            if frame["type"] == "error" || frame["message"].is_string() {
                break frame;
            }
        };
        if answer["message"].is_string() {
            break answer;
        }
    };
    kept.frames.insert("gateway".to_owned(), gateway);
    lock.batch_execute("rollback").await.unwrap();
    for _ in 0..20 {
        phone
            .sends_text(
                &json!({ "action": "send_message", "conversationId": id, "content": "again" }).to_string(),
            )
            .await;
    }
    let error = hears(&mut phone, "error").await;
    assert_eq!(error["error"]["code"], "rate_limited");
    kept.is_refused(&mut phone, send("And again"), "rate_limited").await;
    kept.frames.insert("error".to_owned(), kept.errors["invalid_request"]["answer"].clone());
    phone.closes().await;

    let without = reqwest::get(stack.http("/api/conversations")).await.unwrap();
    let request =
        json!({ "method": "GET", "path": "/api/conversations", "status": without.status().as_u16() });
    let answer: Value = without.json().await.unwrap();
    kept.errors.insert("unauthenticated".to_owned(), json!({ "request": request, "answer": answer }));
    let mut claims = alice.claims();
    // For clocks that differ, a handshake takes a token that has just expired; a frame does not.
    claims["exp"] = seconds_from_now(-10).into();
    let mut short = Client::connect(stack, &alice.token_with(&claims)).await.unwrap();
    kept.is_refused(&mut short, json!({ "action": "ping", "id": "12" }), "token_expired").await;
}

/// What a backend does.
async fn backend(kept: &mut Examples, backend: &Backend) {
    let profile = json!({ "name": "Dora", "avatarUrl": "https://example.com/dora.png" });
    kept.serves("setUser", backend, Method::PUT, "/service/users?userId=dora", profile).await;
    let courier = json!({ "name": "The courier" });
    let courier = backend.requests(Method::PUT, "/service/users?userId=courier", Some(&courier)).await;
    assert_eq!(courier.status(), 200);
    let make = json!({ "title": "Order 1234", "participantIds": ["dora", "support"] });
    let made = kept.serves("makeConversation", backend, Method::POST, "/service/conversations", make).await;
    let at = format!("/service/conversations/{}", made["id"].as_str().unwrap());
    let people = format!("{at}/participants");
    kept.serves("addParticipants", backend, Method::POST, &people, json!({ "userIds": ["courier"] })).await;
    let owner = json!({ "userId": "support", "role": "owner" });
    kept.serves("setRole", backend, Method::PATCH, &people, owner).await;
    let message = json!({
        "senderId": "support", "content": "Your order is on its way.",
        "clientMessageId": "order-1234-shipped",
    });
    let sent = kept.serves("sendMessage", backend, Method::POST, &format!("{at}/messages"), message).await;
    let message = format!("/service/messages/{}", sent["id"].as_str().unwrap());
    kept.serves("deleteMessage", backend, Method::DELETE, &message, Value::Null).await;
    let remove = format!("{people}?userId=courier");
    kept.serves("removeParticipant", backend, Method::DELETE, &remove, Value::Null).await;
    let dora = |path: &str| format!("{path}?userId=dora");
    kept.serves("exportUser", backend, Method::GET, &dora("/service/users/export"), Value::Null).await;
    kept.serves("closeConnections", backend, Method::DELETE, &dora("/service/connections"), Value::Null)
        .await;
    kept.serves("eraseUser", backend, Method::DELETE, &dora("/service/users"), Value::Null).await;
}
