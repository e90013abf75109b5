//! Backends take part: service tokens, and what they open.

use std::sync::Arc;

use harness::{Database, Stack, connect, eventually, seconds_from_now};
use protocol::rest::{self, ParticipantCount};
use protocol::service::{Closed, Conversation};
use protocol::{Code, ErrorBody, Event, Message};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::people::{Client, Frame, ISSUER, User};
use crate::stand_ins::callbacks::{Callbacks, Fate};
use crate::stand_ins::dynamodb::DynamoDb;

/// The audience of service tokens.
pub(crate) const AUDIENCE: &str = "switchboard-service";

/// A stack whose service API is open.
pub(crate) async fn open_stack(more: &[(&str, &str)]) -> (Arc<Stack>, Database) {
    let env = [&[("JWT_ISSUER", ISSUER), ("SERVICE_AUDIENCE", AUDIENCE)], more].concat();
    Stack::own_with(&env).await
}

/// A backend, with its token.
#[derive(Clone, Debug)]
pub(crate) struct Backend {
    pub(crate) stack: Arc<Stack>,
    token: String,
}

impl Backend {
    pub(crate) fn of(stack: &Arc<Stack>) -> Self {
        Self { stack: stack.clone(), token: stack.token(&Self::claims()) }
    }

    fn claims() -> Value {
        json!({
            "sub": "backend",
            "exp": seconds_from_now(3600),
            "iss": ISSUER,
            "aud": AUDIENCE,
            "scope": "openid switchboard:service",
        })
    }

    pub(crate) async fn requests(&self, method: Method, path: &str, body: Option<&Value>) -> Response {
        let mut request =
            reqwest::Client::new().request(method, self.stack.http(path)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        request.send().await.expect("the stack is running")
    }

    /// Sends a request that is accepted. Returns the status and the body.
    pub(crate) async fn does<T: serde::de::DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Value,
    ) -> (u16, T) {
        let answer = self.requests(method, path, Some(&body)).await;
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("it has a body");
        assert!(status < 300, "{path}: {status} {text}");
        (status, serde_json::from_str(&text).expect("it answers as the protocol says"))
    }

    /// Sends a request that is refused. Returns the status and the message.
    pub(crate) async fn is_refused(&self, method: Method, path: &str, body: Value) -> (u16, String) {
        refusal(self.requests(method, path, Some(&body)).await).await
    }

    /// Refuses the tokens of a user. Returns how many connections were closed.
    pub(crate) async fn shuts_out(&self, user: &User) -> usize {
        let path = format!("/service/connections?userId={}", user.id);
        let (_, Closed { closed }) = self.does(Method::DELETE, &path, Value::Null).await;
        closed
    }
}

async fn refusal(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let body: ErrorBody = answer.json().await.expect("an error has a body");
    (status, body.error.message)
}

/// The routes of the service, each with a body that it takes.
fn routes(user: &str) -> Vec<(Method, String, Value)> {
    let id = Uuid::now_v7();
    let participants = format!("/service/conversations/{id}/participants");
    let message = json!({ "senderId": user, "content": "hello", "clientMessageId": "one" });
    vec![
        (Method::PUT, format!("/service/users?userId={user}"), json!({ "name": "Alice" })),
        (Method::GET, format!("/service/users/export?userId={user}"), Value::Null),
        (Method::DELETE, format!("/service/users?userId={user}"), Value::Null),
        (Method::DELETE, format!("/service/connections?userId={user}"), Value::Null),
        (Method::POST, "/service/conversations".to_owned(), json!({ "participantIds": [user, "other"] })),
        (Method::POST, participants.clone(), json!({ "userIds": [user] })),
        (Method::PATCH, participants.clone(), json!({ "userId": user, "role": "owner" })),
        (Method::DELETE, format!("{participants}?userId={user}"), Value::Null),
        (Method::POST, format!("/service/conversations/{id}/messages"), message),
        (Method::DELETE, format!("/service/messages/{id}"), Value::Null),
    ]
}

/// The routes of users, each with a body that it takes.
fn routes_of_users(direct: &str, group: &str, user: &str, other: &str) -> Vec<(Method, String, Value)> {
    let at = format!("/api/conversations/{group}");
    vec![
        (Method::GET, "/api/conversations".to_owned(), Value::Null),
        (Method::GET, format!("/api/conversations/{direct}/messages"), Value::Null),
        (Method::POST, "/api/conversations/find-or-create".to_owned(), json!({ "otherUserId": other })),
        (Method::POST, "/api/conversations".to_owned(), json!({ "title": "T", "participantIds": [] })),
        (Method::GET, at.clone(), Value::Null),
        (Method::PATCH, at.clone(), json!({ "title": "New" })),
        (Method::GET, format!("{at}/changes"), Value::Null),
        (Method::GET, format!("{at}/participants"), Value::Null),
        (Method::POST, format!("{at}/participants"), json!({ "userIds": [other] })),
        (Method::PATCH, format!("{at}/participants"), json!({ "userId": other, "role": "owner" })),
        (Method::DELETE, format!("{at}/participants?userId={other}"), Value::Null),
        (Method::DELETE, format!("{at}/participants?userId={user}"), Value::Null),
        (Method::GET, "/api/blocks".to_owned(), Value::Null),
        (Method::PUT, format!("/api/blocks?userId={other}"), Value::Null),
        (Method::DELETE, format!("/api/blocks?userId={other}"), Value::Null),
    ]
}

/// Sends every request of the service with a token. Returns the statuses, each once.
async fn statuses(stack: &Stack, token: &str, user: &str) -> Vec<u16> {
    let mut statuses = Vec::new();
    for (method, path, body) in routes(user) {
        let request = reqwest::Client::new().request(method, stack.http(&path)).bearer_auth(token);
        statuses.push(request.json(&body).send().await.unwrap().status().as_u16());
    }
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

/// How many routes a document has.
fn documented(document: &Value) -> usize {
    let paths = document["paths"].as_object().unwrap().values();
    paths.map(|methods| methods.as_object().unwrap().len()).sum()
}

#[tokio::test]
async fn the_service_is_closed_unless_it_is_configured() {
    let stack = Stack::shared();
    let token = stack.token(&Backend::claims());
    assert_eq!(routes("alice").len(), documented(&documents::service()), "none is left out");
    assert_eq!(statuses(&stack, &token, "alice").await, [403], "nothing is configured");
    for env in [("JWT_ISSUER", ISSUER), ("SERVICE_AUDIENCE", AUDIENCE)] {
        let (stack, _database) = Stack::own_with(&[env]).await;
        let token = stack.token(&Backend::claims());
        assert_eq!(statuses(&stack, &token, "alice").await, [403], "only {} is configured", env.0);
    }
}

#[tokio::test]
async fn a_service_token_opens_the_service_and_nothing_else() {
    let (stack, _database) = open_stack(&[("JWT_AUDIENCE", "switchboard")]).await;
    let token = |change: Value| {
        let mut claims = Backend::claims();
        claims.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        stack.token(&claims)
    };
    let of_service = [
        json!({}),
        json!({ "aud": [AUDIENCE] }),
        // Also for users: it is one of the service all the same.
        json!({ "aud": ["switchboard", AUDIENCE], "scope": "switchboard:service" }),
    ];
    for claims in of_service {
        let token = token(claims.clone());
        let opened = statuses(&stack, &token, "alice").await;
        assert!(!opened.contains(&401) && !opened.contains(&403), "{claims}: {opened:?}");
        assert_eq!(Client::connect(&stack, &token).await.err(), Some(401), "{claims}");
        let nothing = Uuid::now_v7().to_string();
        for (method, path, body) in routes_of_users(&nothing, &nothing, "alice", "bob") {
            let request = reqwest::Client::new().request(method, stack.http(&path)).bearer_auth(&token);
            assert_eq!(request.json(&body).send().await.unwrap().status(), 401, "{claims}: {path}");
        }
    }
    // An identity provider may hand out any scope to a user who asks for it.
    let of_users = [
        json!({ "aud": "switchboard", "scope": "switchboard:service" }),
        json!({ "aud": ["switchboard", "other"], "scope": "openid switchboard:service" }),
        json!({ "aud": ["switchboard", AUDIENCE], "scope": "switchboard:services" }),
        json!({ "aud": ["switchboard", AUDIENCE], "scope": "xswitchboard:service openid" }),
        json!({ "aud": ["switchboard", AUDIENCE], "scope": ["switchboard:service"] }),
        json!({ "aud": ["switchboard", AUDIENCE], "scope": null }),
        json!({ "aud": "switchboard", "scope": 5 }),
    ];
    for claims in of_users {
        let token = token(claims.clone());
        assert_eq!(statuses(&stack, &token, "alice").await, [403], "{claims}");
        Client::connect(&stack, &token).await.unwrap_or_else(|status| panic!("{claims}: {status}"));
    }
    let refused = [
        json!({ "iss": "https://other.example" }),
        json!({ "iss": null }),
        json!({ "exp": seconds_from_now(-31) }),
        json!({ "sub": null }),
    ];
    for claims in refused {
        assert_eq!(statuses(&stack, &token(claims.clone()), "alice").await, [401], "{claims}");
    }
    let without = reqwest::Client::new().put(stack.http("/service/users?userId=alice"));
    let answer = without.json(&json!({})).send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["www-authenticate"]),
        (401, &"Bearer".parse().unwrap())
    );
}

#[tokio::test]
async fn what_the_service_sets_of_a_user_no_token_changes() {
    let (stack, _database) = open_stack(&[]).await;
    let backend = Backend::of(&stack);
    let alice = User::of(&stack, "Alice");
    let path = format!("/service/users?userId={}", alice.id);
    let put = async |body| backend.does::<protocol::User>(Method::PUT, &path, body).await.1;
    let made = put(json!({ "name": "Alice of the backend" })).await;
    assert_eq!(made.name.as_deref(), Some("Alice of the backend"));
    assert_eq!((made.id.as_str(), &made.display_name, &made.avatar_url), (&*alice.id, &None, &None));

    let _phone = alice.connects().await;
    let seen = put(json!({})).await;
    assert_eq!(seen.name.as_deref(), Some("Alice of the backend"), "her token has another one");
    assert_eq!(seen.display_name.as_deref(), Some("Alice"), "of her token");
    assert!(seen.avatar_url.is_some(), "of her token");

    let cleared = put(json!({ "avatarUrl": null, "displayName": "Al" })).await;
    assert_eq!((cleared.display_name.as_deref(), &cleared.avatar_url), (Some("Al"), &None));
    alice.makes_group(&[]).await;
    let bob = User::of(&stack, "Bob");
    let _bob_phone = bob.connects().await;
    alice.asks_for_conversation_with(&bob).await;
    alice.connects().await.closes().await;
    assert_eq!(put(json!({})).await, cleared, "a cleared field stays so");

    for (body, field) in [
        (json!({ "name": "" }), "name"),
        (json!({ "displayName": "x".repeat(201) }), "displayName"),
        (json!({ "avatarUrl": 5 }), "avatarUrl"),
        (json!({ "name": "a\u{0}b" }), "name"),
    ] {
        let (status, message) = backend.is_refused(Method::PUT, &path, body).await;
        assert_eq!(status, 400);
        assert!(message.starts_with(field), "{message}");
    }
    let (status, message) = backend.is_refused(Method::PUT, "/service/users", json!({})).await;
    assert_eq!((status, message.as_str()), (400, "userId: is missing"));
}

/// Opens a connection of a user and closes it, and waits until the service has forgotten it.
async fn comes_and_goes(user: &User) {
    let forgotten = || {
        user.stack.records("platform.report").iter().filter(|(function, _)| function == "disconnect").count()
    };
    let before = forgotten();
    user.connects().await.closes().await;
    eventually("it is forgotten", async || forgotten() > before).await;
}

#[tokio::test]
async fn who_is_shut_out_needs_a_new_token() {
    let (stack, database) = open_stack(&[]).await;
    let backend = Backend::of(&stack);
    let (alice, bob) = (User::of(&stack, "Alice"), User::of(&stack, "Bob"));
    let mut phones = [alice.connects().await, alice.connects().await];
    let mut bob_phone = bob.connects().await;
    let (_, conversation) = alice.asks_for_conversation_with(&bob).await;
    let group = alice.makes_group(&[&bob]).await;
    phones[0].joins(&conversation).await;
    bob_phone.joins(&conversation).await;
    comes_and_goes(&alice).await;

    assert_eq!(backend.shuts_out(&alice).await, 2);
    for phone in &mut phones {
        let told = phone.receives_where(|frame| matches!(frame, Frame::Error(_))).await;
        assert!(matches!(told, Frame::Error(error) if error.error.code == Code::Unauthenticated));
        phone.is_closed().await;
    }
    bob_phone.hears(|event| matches!(event, Event::UserOffline { .. }).then_some(())).await;
    assert_eq!(backend.shuts_out(&alice).await, 0, "a repeat finds nobody");
    assert_eq!(Client::connect(&stack, &alice.token()).await.err(), Some(401));

    let requests = routes_of_users(&conversation, &group, &alice.id, &bob.id);
    let distinct: std::collections::BTreeSet<_> = requests
        .iter()
        .map(|(method, path, _)| {
            let path = path.split('?').next().unwrap();
            (method.to_string(), path.replace(&group, "ID").replace(&conversation, "ID"))
        })
        .collect();
    assert_eq!(distinct.len(), documented(&documents::openapi()), "none is left out: {distinct:?}");
    for (method, path, body) in &requests {
        let answer = alice.requests(method.clone(), path, Some(body)).await;
        assert_eq!(answer.status(), 401, "{method} {path}");
        assert!(answer.headers().contains_key("www-authenticate"), "{method} {path}");
    }
    let database = connect(&database.url).await;
    let change: i64 = database
        .query_one("select last_change from conversations where title is not null", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(change, 1, "nothing was done");

    // A token of a later second is accepted, one without `iat` is not.
    let mut claims = alice.claims();
    claims.as_object_mut().unwrap().remove("iat");
    assert_eq!(Client::connect(&stack, &alice.token_with(&claims)).await.err(), Some(401));
    let alice_again = User { issued_at: seconds_from_now(2), ..alice.clone() };
    assert_eq!(alice_again.sees(&group).await.last_change.0, 1);
    alice_again.connects().await.closes().await;

    // Somebody who was never there can be shut out too.
    let carol = User::of(&stack, "Carol");
    assert_eq!(backend.shuts_out(&carol).await, 0);
    assert_eq!(Client::connect(&stack, &carol.token()).await.err(), Some(401));
    assert_eq!(carol.gets("/api/conversations").await.status(), 401);
}

#[tokio::test]
async fn a_handshake_under_way_is_shut_out_too() {
    let (dynamodb, callbacks) = (DynamoDb::start().await, Callbacks::start().await);
    let env =
        [("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.url.as_str()), ("PUSH_ENDPOINT", callbacks.url.as_str())];
    let (stack, _database) = open_stack(&env).await;
    dynamodb.pass_on_to(&stack.dynamodb_url);
    callbacks.pass_on_to(stack.port);
    let backend = Backend::of(&stack);
    let (alice, bob) = (User::of(&stack, "Alice"), User::of(&stack, "Bob"));
    let _bob_phone = bob.connects().await;
    comes_and_goes(&alice).await;
    let (_, conversation) = alice.asks_for_conversation_with(&bob).await;
    let connects = |user: &User| {
        let (stack, token) = (stack.clone(), user.token());
        tokio::spawn(async move { Client::connect(&stack, &token).await })
    };

    // Its token is verified, and Postgres has accepted it: only its lease is not written yet.
    dynamodb.holds_changes_by("connect", &alice.id);
    let connecting = connects(&alice);
    eventually("the lease is about to be written", async || dynamodb.is_holding()).await;
    assert_eq!(backend.shuts_out(&alice).await, 0);
    dynamodb.lets_go();
    assert_eq!(connecting.await.unwrap().err(), Some(401));

    // Its lease is written, and the handshake is not answered yet: it announces itself to Bob first.
    callbacks.has(&stack.connection_of(&bob.id).await, Fate::Stalled);
    let alice = User { issued_at: seconds_from_now(1), ..alice };
    let connecting = connects(&alice);
    eventually("it is announced", async || callbacks.pushes_to(Fate::Stalled) > 0).await;
    // The token was issued a second ahead, and is refused only by a revocation that is later.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let gone = callbacks.gone();
    let shutting_out = {
        let (backend, alice) = (backend.clone(), alice.clone());
        tokio::spawn(async move { backend.shuts_out(&alice).await })
    };
    eventually("it cannot be closed yet", async || callbacks.gone() > gone).await;
    callbacks.release();
    assert_eq!(shutting_out.await.unwrap(), 1);
    let mut phone = connecting.await.unwrap().expect("it was let in");
    phone.is_closed().await;
    assert!(!bob.sees(&conversation).await.other_user.unwrap().online);
}

#[tokio::test]
async fn the_service_makes_conversations_and_changes_who_takes_part() {
    let (stack, _database) = open_stack(&[("MAX_PARTICIPANTS", "4")]).await;
    let backend = Backend::of(&stack);
    let [alice, bob, carol] = ["Alice", "Bob", "Carol"].map(|name| User::of(&stack, name));
    let mut phone = alice.connects().await;

    let direct = json!({ "participantIds": [bob.id, alice.id, bob.id] });
    let (status, made) =
        backend.does::<Conversation>(Method::POST, "/service/conversations", direct.clone()).await;
    assert_eq!((status, made.kind, made.participant_count), (201, rest::Kind::Direct, 2));
    assert_eq!(made.title, None);
    let (status, again) = backend.does::<Conversation>(Method::POST, "/service/conversations", direct).await;
    assert_eq!((status, &again), (200, &made), "the one conversation of the two");
    assert_eq!(alice.asks_for_conversation_with(&bob).await, (200, made.id.to_string()), "Bob is known now");

    let group = json!({
        "title": "Order 17",
        "participantIds": [alice.id, bob.id],
        "ownerIds": [bob.id],
        "clientConversationId": "order-17",
    });
    let (status, made) =
        backend.does::<Conversation>(Method::POST, "/service/conversations", group.clone()).await;
    assert_eq!((status, made.kind, made.title.as_deref()), (201, rest::Kind::Group, Some("Order 17")));
    assert_eq!((made.last_change.0, made.last_seq.0), (1, 0));
    let added = |event: &Event| match event {
        Event::ParticipantsChanged { added, removed, participant_count, last_change, .. } => {
            Some((added.len(), removed.len(), *participant_count, last_change.0))
        }
        _ => None,
    };
    assert_eq!(phone.hears(added).await, (2, 0, 2, 1));
    let (status, again) = backend.does::<Conversation>(Method::POST, "/service/conversations", group).await;
    assert_eq!((status, &again), (200, &made));
    let id = made.id.to_string();
    assert_eq!(alice.sees(&id).await.role, domain::Role::Member);

    let participants = format!("/service/conversations/{id}/participants");
    let (status, message) =
        backend.is_refused(Method::POST, &participants, json!({ "userIds": [carol.id] })).await;
    assert_eq!(status, 404, "{message}");
    let _carols = carol.connects().await;
    let (_, ParticipantCount { participant_count }) =
        backend.does(Method::POST, &participants, json!({ "userIds": [carol.id] })).await;
    assert_eq!(participant_count, 3);
    assert_eq!(phone.hears(added).await, (1, 0, 3, 2));
    let too_many = json!({ "userIds": ["d", "e"] });
    for user in ["d", "e"] {
        let path = format!("/service/users?userId={user}");
        backend.does::<protocol::User>(Method::PUT, &path, json!({})).await;
    }
    assert_eq!(backend.is_refused(Method::POST, &participants, too_many).await.0, 400);

    // The only owner may become a member: the service goes on changing the group.
    let role = json!({ "userId": bob.id, "role": "member" });
    backend.does::<rest::Done>(Method::PATCH, &participants, role).await;
    assert_eq!(bob.adds(&id, &[&carol]).await, 403);
    let role = json!({ "userId": "d", "role": "owner" });
    assert_eq!(backend.is_refused(Method::PATCH, &participants, role).await.0, 404);
    let remove = async |user: &User| {
        let path = format!("{participants}?userId={}", user.id);
        backend.requests(Method::DELETE, &path, None).await.status().as_u16()
    };
    for user in [&carol, &carol, &bob] {
        assert_eq!(remove(user).await, 204);
    }
    assert_eq!(bob.gets(&format!("/api/conversations/{id}")).await.status(), 403);
    assert_eq!(remove(&alice).await, 204, "the last one");
    assert_eq!(remove(&alice).await, 404, "there is no conversation any more");

    let unknown = format!("/service/conversations/{}/participants", Uuid::now_v7());
    for (method, path, body) in [
        (Method::POST, &unknown, json!({ "userIds": [alice.id] })),
        (Method::PATCH, &unknown, json!({ "userId": alice.id, "role": "owner" })),
        (Method::DELETE, &format!("{unknown}?userId={}", alice.id), Value::Null),
    ] {
        let (status, message) = backend.is_refused(method, path, body).await;
        assert_eq!((status, message.as_str()), (404, "conversationId: there is no such conversation"));
    }
    // The name of a group is none of a conversation of two.
    let named = |body: Value| {
        let mut body = body;
        body["clientConversationId"] = json!("the same");
        body
    };
    let two = named(json!({ "participantIds": ["d", "e"] }));
    let (_, direct) = backend.does::<Conversation>(Method::POST, "/service/conversations", two).await;
    let other = named(json!({ "participantIds": ["d", "f"] }));
    let (status, _) = backend.does::<Conversation>(Method::POST, "/service/conversations", other).await;
    assert_eq!(status, 201);
    let group = named(json!({ "participantIds": ["d", "e"], "title": "T" }));
    let (status, made) = backend.does::<Conversation>(Method::POST, "/service/conversations", group).await;
    assert!(status == 201 && made.id != direct.id);
    // Many at once with one user in all of them.
    let at_once = (0..10).map(|number| {
        let body = json!({ "participantIds": [format!("customer-{number}"), "support"] });
        let backend = backend.clone();
        async move { backend.does::<Conversation>(Method::POST, "/service/conversations", body).await.0 }
    });
    assert_eq!(futures_util::future::join_all(at_once).await, [201; 10]);
    for (body, field) in [
        (json!({ "participantIds": [] }), "participantIds"),
        (json!({ "participantIds": vec!["x"; 101] }), "participantIds"),
        (json!({ "participantIds": ["a"] }), "title"),
        (json!({ "participantIds": ["a", "b", "c"] }), "title"),
        (json!({ "participantIds": ["a", "b"], "ownerIds": ["a"] }), "ownerIds"),
        (json!({ "participantIds": ["a", "b"], "title": "T", "ownerIds": ["c"] }), "ownerIds"),
        (json!({ "participantIds": ["a", "b"], "title": " " }), "title"),
        (json!({ "participantIds": ["a", "b", "c", "d", "e"], "title": "T" }), "participantIds"),
        (json!({ "title": "T" }), "participantIds"),
    ] {
        let (status, message) = backend.is_refused(Method::POST, "/service/conversations", body).await;
        assert_eq!(status, 400);
        assert!(message.contains(field), "{message}");
    }
}

#[tokio::test]
async fn the_service_sends_and_deletes_messages() {
    let (stack, _database) = open_stack(&[("MAX_MESSAGES_PER_MINUTE", "1")]).await;
    let backend = Backend::of(&stack);
    let [alice, bob, carol] = ["Alice", "Bob", "Carol"].map(|name| User::of(&stack, name));
    let (mut phone, mut bob_phone) = (alice.connects().await, bob.connects().await);
    let _carols = carol.connects().await;
    let (_, conversation) = alice.asks_for_conversation_with(&bob).await;
    phone.joins(&conversation).await;

    let path = format!("/service/conversations/{conversation}/messages");
    let body = json!({
        "senderId": alice.id,
        "content": "Your parcel is on its way.",
        "clientMessageId": "parcel",
        "metadata": { "order": 17 },
    });
    let (status, sent) = backend.does::<Message>(Method::POST, &path, body.clone()).await;
    assert_eq!((status, sent.seq.0, sent.content.as_str()), (201, 1, "Your parcel is on its way."));
    assert_eq!(phone.receives_message().await.id, sent.id, "her own connections too");
    let updated = |event: &Event| match event {
        Event::ConversationUpdated { last_message, unread_count, .. } => {
            Some((last_message.id, *unread_count))
        }
        _ => None,
    };
    assert_eq!(bob_phone.hears(updated).await, (sent.id, 1));
    let (status, again) = backend.does::<Message>(Method::POST, &path, body).await;
    assert_eq!((status, &again), (200, &sent));
    let reply =
        json!({ "senderId": bob.id, "content": "Thanks", "clientMessageId": "a", "replyTo": sent.id });
    let (_, reply) = backend.does::<Message>(Method::POST, &path, reply).await;
    assert_eq!((reply.reply_to, reply.seq.0), (Some(sent.id), 2), "no limit holds the service up");

    let delete = format!("/service/messages/{}", sent.id);
    let (status, deleted) = backend.does::<Message>(Method::DELETE, &delete, Value::Null).await;
    assert_eq!((status, deleted.content.as_str(), deleted.change.map(|change| change.0)), (200, "", Some(1)));
    assert!(deleted.deleted_at.is_some() && deleted.metadata.is_none());
    let changed = |event: &Event| match event {
        Event::MessageChanged { message, .. } => Some(message.id),
        _ => None,
    };
    assert_eq!(phone.hears(changed).await, sent.id);
    let (_, again) = backend.does::<Message>(Method::DELETE, &delete, Value::Null).await;
    assert_eq!(again, deleted, "it may be repeated");

    let message = |change: Value| {
        let mut body = json!({ "senderId": alice.id, "content": "x", "clientMessageId": "y" });
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        body
    };
    for (change, field) in [
        (json!({ "senderId": carol.id }), "senderId"),
        (json!({ "senderId": "nobody" }), "senderId"),
        (json!({ "senderId": "" }), "senderId"),
        (json!({ "content": " " }), "content"),
        (json!({ "clientMessageId": null }), "clientMessageId"),
        (json!({ "replyTo": Uuid::now_v7() }), "replyTo"),
        (json!({ "metadata": [] }), "metadata"),
    ] {
        let (status, text) = backend.is_refused(Method::POST, &path, message(change)).await;
        assert_eq!(status, 400, "{text}");
        assert!(text.starts_with(field), "{text}");
    }
    let participants = format!("/service/conversations/{conversation}/participants");
    for (method, path, body) in [
        (Method::POST, &participants, json!({ "userIds": [carol.id] })),
        (Method::PATCH, &participants, json!({ "userId": bob.id, "role": "owner" })),
        (Method::DELETE, &format!("{participants}?userId={}", bob.id), Value::Null),
    ] {
        assert_eq!(backend.is_refused(method, path, body).await.0, 400, "it is of two");
    }
    let block = format!("/api/blocks?userId={}", bob.id);
    assert_eq!(alice.requests(Method::PUT, &block, None).await.status(), 204);
    let (status, text) = backend.is_refused(Method::POST, &path, message(json!({}))).await;
    assert_eq!((status, text.as_str()), (403, "conversationId: this conversation is closed"));
    let nowhere = format!("/service/conversations/{}/messages", Uuid::now_v7());
    assert_eq!(backend.is_refused(Method::POST, &nowhere, message(json!({}))).await.0, 404);
    let unknown = format!("/service/messages/{}", Uuid::now_v7());
    assert_eq!(backend.is_refused(Method::DELETE, &unknown, Value::Null).await.0, 404);
    assert_eq!(backend.is_refused(Method::DELETE, "/service/messages/x", Value::Null).await.0, 400);
}
