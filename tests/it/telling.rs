//! Backends are told what happens.

use std::sync::Arc;
use std::time::Duration;

use harness::{Database, Stack, connect, eventually, eventually_within};
use protocol::webhook::{CloudEvent, EventData, EventType};
use reqwest::Method;
use serde_json::{Value, json};

use crate::backends::{AUDIENCE, Backend};
use crate::people::{Client, ISSUER, Pair, User, pair};
use crate::stand_ins::receiver::{Manner, Receiver};

/// A stack that tells a receiver of events.
async fn stack_that_tells(receiver: &Receiver, more: &[(&str, &str)]) -> (Arc<Stack>, Database) {
    let service = [("JWT_ISSUER", ISSUER), ("SERVICE_AUDIENCE", AUDIENCE)];
    Stack::own_with(&[&receiver.env()[..], &service, more].concat()).await
}

fn message_of(event: &CloudEvent) -> protocol::Message {
    match &event.data {
        EventData::Message(about) => about.message.clone().expect("it is there"),
        other => panic!("{other:?}"),
    }
}

/// Executes a statement in the database of a stack.
async fn executes(database: &Database, sql: &str) -> u64 {
    connect(&database.url).await.execute(sql, &[]).await.unwrap()
}

#[tokio::test]
async fn everything_that_happens_is_told_in_order() {
    let receiver = Receiver::start().await;
    let (stack, _database) = stack_that_tells(&receiver, &[]).await;
    let Pair { alice, alice_phone: mut phone, bob, mut bob_phone, conversation } = pair(&stack).await;
    let sent = phone.says(&conversation, "hello").await;
    let reacted = bob_phone.reacts(&sent, "👍").await;
    bob_phone.reacts(&sent, "👍").await;
    phone.edits(&sent, "hello, Bob").await;
    phone.deletes(&sent).await;
    let created = EventType::MessageCreated;
    let changed = EventType::MessageChanged;
    let told = receiver.takes(5, &conversation).await;
    let types: Vec<_> = told.iter().map(|event| event.kind).collect();
    assert_eq!(types, [EventType::ConversationCreated, created, changed, changed, changed]);
    assert!(matches!(&told[0].data, EventData::Conversation(of) if of.id.to_string() == conversation));
    assert!(told.iter().all(|event| event.source == "/switchboard/switchboard"));
    let first = message_of(&told[1]);
    assert_eq!((first.id, first.seq), (sent.id, sent.seq));
    assert_eq!(message_of(&told[4]).content, "", "it is deleted");
    assert!(reacted.change.is_some());

    let group = alice.makes_group(&[&bob]).await;
    let at = format!("/api/conversations/{group}");
    for title in ["Holidays", "Holidays"] {
        alice.requests(Method::PATCH, &at, Some(&json!({ "title": title }))).await;
    }
    let promote = json!({ "userId": bob.id, "role": "owner" });
    alice.requests(Method::PATCH, &format!("{at}/participants"), Some(&promote)).await;
    bob.leaves(&group).await;
    assert_eq!(alice.adds(&group, &[&bob]).await, 200);
    bob.leaves(&group).await;
    alice.leaves(&group).await;
    let told = receiver.takes(9, &group).await;
    let types: Vec<_> = told.iter().map(|event| event.kind).collect();
    let participants = EventType::ParticipantsChanged;
    let expected = [
        EventType::ConversationCreated,
        participants,
        EventType::ConversationChanged,
        participants,
        participants,
        participants,
        participants,
        participants,
        EventType::ConversationEnded,
    ];
    assert_eq!(types, expected);
    let counts: Vec<_> = told
        .iter()
        .filter_map(|event| match &event.data {
            EventData::Participants(of) => {
                let roster = &of.roster;
                Some((roster.added.len(), roster.removed.len(), roster.roles.len(), roster.participant_count))
            }
            _ => None,
        })
        .collect();
    assert_eq!(counts, [(2, 0, 2, 2), (0, 0, 1, 2), (0, 1, 0, 1), (1, 0, 1, 2), (0, 1, 0, 1), (0, 1, 0, 0)]);
    assert!(matches!(&told[8].data, EventData::Conversation(of) if of.last_change.0 == 7), "{:?}", told[8]);

    // What the service does is told too.
    let backend = Backend::of(&stack);
    let body = json!({ "participantIds": [alice.id, bob.id], "title": "Order" });
    let (_, made) =
        backend.does::<protocol::service::Conversation>(Method::POST, "/service/conversations", body).await;
    let order = made.id.to_string();
    let body = json!({ "senderId": alice.id, "content": "hello", "clientMessageId": "one" });
    let path = format!("/service/conversations/{order}/messages");
    let (_, message) = backend.does::<protocol::Message>(Method::POST, &path, body).await;
    let path = format!("/service/messages/{}", message.id);
    backend.does::<protocol::Message>(Method::DELETE, &path, Value::Null).await;
    let told = receiver.takes(4, &order).await;
    let types: Vec<_> = told.iter().map(|event| event.kind).collect();
    assert_eq!(types, [EventType::ConversationCreated, participants, created, changed]);
    let ids: std::collections::HashSet<_> = receiver.taken().into_iter().map(|event| event.id).collect();
    assert_eq!(ids.len(), receiver.posted(), "each once");
}

#[tokio::test]
async fn nothing_is_written_if_nobody_is_told() {
    let (stack, database) = Stack::own(&[]).await;
    let Pair { alice, alice_phone: mut phone, bob, conversation, .. } = pair(&Arc::new(stack)).await;
    let sent = phone.says(&conversation, "hello").await;
    phone.deletes(&sent).await;
    let group = alice.makes_group(&[&bob]).await;
    bob.leaves(&group).await;
    alice.stack.invokes("deliver_events").await;
    let database = connect(&database.url).await;
    let count: i64 = database.query_one("select count(*) from events", &[]).await.unwrap().get(0);
    assert_eq!(count, 0);
}

#[tokio::test]
async fn the_trouble_of_one_conversation_holds_up_no_other() {
    let receiver = Receiver::start().await;
    let (stack, database) = stack_that_tells(&receiver, &[]).await;
    let Pair { alice, alice_phone: mut phone, conversation: refused, .. } = pair(&stack).await;
    let carol = User::of(&stack, "Carol");
    let _carols = carol.connects().await;
    let (_, other) = alice.asks_for_conversation_with(&carol).await;
    receiver.takes(1, &refused).await;
    receiver.refuses(&refused, true);
    for number in 1..=3 {
        phone.says(&refused, &format!("refused {number}")).await;
        phone.says(&other, &format!("taken {number}")).await;
    }
    assert_eq!(receiver.takes(4, &other).await.len(), 4);
    assert_eq!(receiver.told_of(&refused).len(), 1);

    // Once the receiver takes it again, nothing is missing, and the order is kept.
    receiver.refuses(&refused, false);
    executes(&database, "update events set due_at = clock_timestamp() where due_at is not null").await;
    stack.invokes("deliver_events").await;
    let told = receiver.takes(4, &refused).await;
    let said: Vec<_> = told[1..].iter().map(|event| message_of(event).content).collect();
    assert_eq!(said, ["refused 1", "refused 2", "refused 3"]);
    eventually("nothing is left", async || executes(&database, "update events set claim = claim").await == 0)
        .await;
}

#[tokio::test]
async fn what_the_receiver_does_not_take_is_tried_again() {
    let receiver = Receiver::start().await;
    let (stack, database) = stack_that_tells(&receiver, &[]).await;
    let Pair { alice_phone: mut phone, conversation, .. } = pair(&stack).await;
    receiver.takes(1, &conversation).await;
    for manner in [Manner::Fails, Manner::Redirects] {
        receiver.is(manner);
        let posted = receiver.posted();
        let sent = phone.says(&conversation, "are you there?").await;
        eventually("it is posted", async || receiver.posted() > posted).await;
        let pause = async || {
            let sql = "select extract(epoch from due_at - clock_timestamp())::float8 \
                from events where claim is null and due_at is not null";
            connect(&database.url).await.query_opt(sql, &[]).await.unwrap().map(|row| row.get::<_, f64>(0))
        };
        eventually("it is put off", async || pause().await.is_some()).await;
        assert_eq!(receiver.posted(), posted + 1, "a redirect is not followed");
        let paused = pause().await.unwrap();
        assert!((3.0..=5.0).contains(&paused), "{paused} s");
        receiver.is(Manner::Takes);
        executes(&database, "update events set due_at = clock_timestamp()").await;
        stack.invokes("deliver_events").await;
        assert_eq!(message_of(receiver.takes(1, &conversation).await.last().unwrap()).id, sent.id);
    }
    // The pauses grow.
    receiver.is(Manner::Fails);
    phone.says(&conversation, "still there?").await;
    let mut longest = 0.0;
    for _ in 0..4 {
        let sql = "select coalesce(max(extract(epoch from due_at - clock_timestamp())), 0)::float8 \
            from events where claim is null";
        let paused =
            async || -> f64 { connect(&database.url).await.query_one(sql, &[]).await.unwrap().get(0) };
        eventually("it is put off for longer", async || paused().await > longest).await;
        longest = paused().await;
        executes(&database, "update events set due_at = clock_timestamp()").await;
        stack.invokes("deliver_events").await;
    }
    assert!(longest > 15.0, "{longest} s");
}

#[tokio::test]
async fn what_is_refused_for_three_days_is_set_aside() {
    let receiver = Receiver::start().await;
    let (stack, database) = stack_that_tells(&receiver, &[]).await;
    let Pair { alice_phone: mut phone, conversation, .. } = pair(&stack).await;
    receiver.takes(1, &conversation).await;
    receiver.is(Manner::Fails);
    for number in 1..=3 {
        phone.says(&conversation, &format!("old {number}")).await;
    }
    eventually("the first one was refused", async || receiver.posted() == 2).await;
    // Two of them are old, and the third is not.
    let age = "update events set created_at = created_at - interval '73 hours' \
        where number < (select max(number) from events)";
    assert_eq!(executes(&database, age).await, 2);
    executes(&database, "update events set due_at = clock_timestamp() where due_at is not null").await;
    stack.invokes("deliver_events").await;
    assert_eq!(receiver.posted(), 5, "each of them has one attempt");
    let asks = async |action: &str| -> Value {
        let body = json!({ "setAside": action }).to_string();
        let url = stack.invocations("deliver_events");
        reqwest::Client::new().post(url).body(body).send().await.unwrap().json().await.unwrap()
    };
    let shown = asks("show").await;
    let shown = shown["setAside"].as_array().unwrap();
    assert_eq!(shown.len(), 2);
    for event in shown {
        assert_eq!(event["type"], "switchboard.message.created");
        assert_eq!(event["conversationId"], conversation.as_str());
        assert!(event["attempts"].as_i64().unwrap() >= 1 && event["setAsideAt"].is_string());
    }

    receiver.is(Manner::Takes);
    let log = stack.log();
    assert!(log.contains("the receiver answers 500") && !log.contains("old 1"), "the log tells no content");
    assert_eq!(asks("repeat").await["sent"], 2);
    assert_eq!(receiver.told_of(&conversation).len(), 3);
    assert_eq!(asks("show").await["setAside"], json!([]));
    executes(&database, "update events set due_at = clock_timestamp()").await;
    stack.invokes("deliver_events").await;
    receiver.takes(4, &conversation).await;
}

/// A message of Alice's that is being told to a receiver which hesitates.
struct Hesitating {
    receiver: Receiver,
    stack: Arc<Stack>,
    database: Database,
    phone: Client,
    conversation: String,
}

async fn hesitating() -> Hesitating {
    let receiver = Receiver::start().await;
    let (stack, database) = stack_that_tells(&receiver, &[]).await;
    let Pair { alice_phone: mut phone, conversation, .. } = pair(&stack).await;
    receiver.takes(1, &conversation).await;
    receiver.is(Manner::Hesitates);
    phone.says(&conversation, "one").await;
    Hesitating { receiver, stack, database, phone, conversation }
}

#[tokio::test]
async fn an_event_that_is_written_while_another_is_sent_follows_it() {
    let Hesitating { receiver, stack, database, mut phone, conversation } = hesitating().await;
    eventually("the first one is posted", async || receiver.posted() == 2).await;
    phone.says(&conversation, "two").await;
    // Nothing is locked while the first one is sent: the second one is written, and waits for it.
    let watcher = connect(&database.url).await;
    let waits = "select count(*) from events where due_at is null";
    eventually("the second one is written", async || {
        watcher.query_one(waits, &[]).await.unwrap().get::<_, i64>(0) == 1
    })
    .await;
    let held = "select (select count(*) from pg_stat_activity
            where datname = current_database() and state = 'idle in transaction')
        + (select count(*) from pg_locks where locktype = 'advisory')";
    // The invocation for the second one locks for some milliseconds, until it finds that it is not next.
    eventually_within(Duration::from_secs(3), "nothing is locked", async || {
        watcher.query_one(held, &[]).await.unwrap().get::<_, i64>(0) == 0
    })
    .await;
    assert!(!stack.log().contains("the receiver takes too long"), "the first one is still being sent");
    assert_eq!(receiver.posted(), 2);
    receiver.goes_on();
    let told = receiver.takes(3, &conversation).await;
    assert_eq!([message_of(&told[1]).content, message_of(&told[2]).content], ["one", "two"]);

    // If whoever should have sent it ended too early, the schedule does it.
    receiver.is(Manner::Fails);
    phone.says(&conversation, "three").await;
    eventually("it is posted", async || receiver.posted() == 4).await;
    eventually("it is put off", async || {
        executes(&database, "update events set due_at = null where claim is null").await == 1
    })
    .await;
    receiver.is(Manner::Takes);
    stack.invokes("deliver_events").await;
    receiver.takes(4, &conversation).await;
}

#[tokio::test]
async fn a_receiver_that_does_not_answer_is_given_ten_seconds() {
    let Hesitating { receiver, stack, database, conversation, .. } = hesitating().await;
    eventually("it is given up", async || stack.log().contains("the receiver takes too long")).await;
    receiver.goes_on();
    executes(&database, "update events set due_at = clock_timestamp()").await;
    stack.invokes("deliver_events").await;
    assert_eq!(message_of(receiver.takes(2, &conversation).await.last().unwrap()).content, "one");
}

#[tokio::test]
async fn the_log_has_the_cause_of_an_unreachable_receiver_and_not_its_url() {
    let receiver = Receiver::start().await;
    // Port 1 of the loopback refuses connections.
    let unreachable = [("EVENTS_URL", "http://127.0.0.1:1/events?key=of-the-receiver")];
    let (stack, _database) = stack_that_tells(&receiver, &unreachable).await;
    let _pair = pair(&stack).await;
    eventually("the log says why", async || {
        let says_why = |line: &str| {
            line.contains("the receiver cannot be reached") && line.contains("Connection refused")
        };
        stack.log().lines().any(says_why)
    })
    .await;
    assert!(!stack.log().contains("of-the-receiver"));
}

#[tokio::test]
async fn an_event_is_sent_again_if_its_sender_dies() {
    let Hesitating { receiver, stack, database, mut phone, conversation } = hesitating().await;
    eventually("it is posted", async || receiver.posted() == 2).await;
    stack.kills("deliver_events");
    receiver.goes_on();
    phone.says(&conversation, "two").await;
    stack.invokes("deliver_events").await;
    assert!(receiver.told_of(&conversation).len() <= 2, "the second one waits until the claim ends");
    // It takes 30 s to end.
    executes(&database, "update events set due_at = clock_timestamp() where claim is not null").await;
    stack.invokes("deliver_events").await;
    let told = receiver.takes(3, &conversation).await;
    let said: Vec<_> = told[1..].iter().map(|event| message_of(event).content).collect();
    assert!(said.ends_with(&["one".to_owned(), "two".to_owned()]), "{said:?}");
}

/// What a backend is told of unread messages: the user, how many, and the latest.
fn unread(event: &CloudEvent) -> Option<(String, i64, String)> {
    match &event.data {
        EventData::Unread(of) => Some((of.user_id.to_string(), of.unread_count, of.message.content.clone())),
        _ => None,
    }
}

#[tokio::test]
async fn what_is_not_read_is_told_once_until_it_is() {
    let receiver = Receiver::start().await;
    let (stack, _database) = stack_that_tells(&receiver, &[("UNREAD_AFTER_SECONDS", "1")]).await;
    let Pair { alice, alice_phone: mut phone, bob, mut bob_phone, conversation } = pair(&stack).await;
    let told = async || -> Vec<_> {
        // Only a message that is a second old counts as unread.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        stack.invokes("deliver_events").await;
        receiver.taken().iter().filter_map(unread).collect()
    };
    let to = |user: &User, count: i64, text: &str| (user.id.clone(), count, text.to_owned());
    phone.says(&conversation, "are you").await;
    phone.says(&conversation, "there?").await;
    let first = to(&bob, 2, "there?");
    assert_eq!(told().await, std::slice::from_ref(&first), "not to the sender");
    phone.says(&conversation, "hello?").await;
    assert_eq!(told().await, std::slice::from_ref(&first), "once");
    bob.reads(&conversation, "").await;
    assert_eq!(told().await, std::slice::from_ref(&first), "there is nothing new");
    bob_phone.says(&conversation, "yes").await;
    phone.says(&conversation, "good").await;
    alice.reads(&conversation, "").await;
    let second = to(&bob, 1, "good");
    assert_eq!(told().await, [first.clone(), second.clone()], "again, since they have read meanwhile");

    // What is read before it is told is not told.
    bob.reads(&conversation, "").await;
    receiver.is(Manner::Fails);
    phone.says(&conversation, "never mind").await;
    assert_eq!(told().await.len(), 2);
    bob.reads(&conversation, "").await;
    receiver.is(Manner::Takes);
    let database = connect(stack.postgres_url()).await;
    database
        .execute("update events set due_at = clock_timestamp() where due_at is not null", &[])
        .await
        .unwrap();
    assert_eq!(told().await.len(), 2);
    let left: i64 = database.query_one("select count(*) from events", &[]).await.unwrap().get(0);
    assert_eq!(left, 0);

    // In a group everybody but the sender, and nobody who came later.
    let (carol, dave) = (User::of(&stack, "Carol"), User::of(&stack, "Dave"));
    let _phones: [Client; 2] = [carol.connects().await, dave.connects().await];
    let group = alice.makes_group(&[&bob, &carol]).await;
    phone.says(&group, "lunch?").await;
    assert_eq!(alice.adds(&group, &[&dave]).await, 200);
    let mut all = told().await.split_off(2);
    all.sort();
    let mut expected = [to(&bob, 1, "lunch?"), to(&carol, 1, "lunch?")];
    expected.sort();
    assert_eq!(all, expected);
}
