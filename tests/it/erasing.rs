//! Users are exported and erased.

use std::collections::BTreeMap;

use harness::{Stack, connect, eventually, seconds_from_now};
use protocol::rest::Done;
use protocol::service::Exported;
use protocol::webhook::{EventData, EventType};
use protocol::{Code, ErrorBody, Event};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_postgres::Client as Postgres;

use crate::backends::{Backend, open_stack};
use crate::people::{Client, Frame, Pair, User, pair};
use crate::stand_ins::receiver::{Manner, Receiver};

/// Sends the request of an erasure once.
async fn erases(backend: &Backend, user: &str) -> u16 {
    let path = format!("/service/users?userId={user}");
    backend.does::<Done>(Method::DELETE, &path, Value::Null).await.0
}

/// All pages of an export, put together.
async fn exports(backend: &Backend, user: &User) -> Exported {
    let mut whole: Option<Exported> = None;
    let mut cursor = String::new();
    loop {
        let path = format!("/service/users/export?userId={}{cursor}", user.id);
        let answer = backend.requests(Method::GET, &path, None).await;
        assert_eq!(answer.status(), 200);
        let mut page: Exported = answer.json().await.expect("it answers as the protocol says");
        let next = page.next_cursor.take();
        match &mut whole {
            None => whole = Some(page),
            Some(whole) => {
                whole.messages.append(&mut page.messages);
                whole.reactions.append(&mut page.reactions);
                whole.blocks.append(&mut page.blocks);
                whole.participations.append(&mut page.participations);
            }
        }
        match next {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return whole.expect("there is one page at least"),
        }
    }
}

/// Every row of every table as text, each with the table.
async fn everything(database: &Postgres) -> Vec<(String, String)> {
    let tables = "select table_name from information_schema.tables \
        where table_schema = 'public' and table_type = 'BASE TABLE' \
            and table_name <> 'refinery_schema_history'";
    let mut rows = Vec::new();
    for table in database.query(tables, &[]).await.unwrap() {
        let table: String = table.get(0);
        let all = format!("select row_to_json(whole)::text from {table} as whole");
        for row in database.query(&all, &[]).await.unwrap() {
            rows.push((table.clone(), row.get(0)));
        }
    }
    rows
}

/// Calls DynamoDB, which takes any signature.
async fn asks_dynamodb(stack: &Stack, call: &str, body: Value) -> Value {
    let request = reqwest::Client::new()
        .post(&stack.dynamodb_url)
        .header("x-amz-target", format!("DynamoDB_20120810.{call}"))
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amz-date", "20261126T120000Z")
        .header(
            "authorization",
            "AWS4-HMAC-SHA256 Credential=local/20261126/us-east-1/dynamodb/aws4_request, \
            SignedHeaders=host;x-amz-date, Signature=0",
        )
        .body(body.to_string());
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    assert!(status.is_success(), "{text}");
    serde_json::from_str(&text).unwrap()
}

/// Every item of the table of connections.
async fn items(stack: &Stack) -> Vec<Value> {
    let tables = asks_dynamodb(stack, "ListTables", json!({})).await;
    let scanned = asks_dynamodb(stack, "Scan", json!({ "TableName": tables["TableNames"][0] })).await;
    scanned["Items"].as_array().unwrap().clone()
}

/// What becomes of a column when a user is erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The row is deleted, if it is the user's.
    RowGoes,
    /// It is emptied, if the row is the user's.
    Emptied,
    /// It holds the id of a user, which stays: it says who was there, and nothing of them.
    IdStays,
    /// It says nothing of a user: ids of other things, numbers and times.
    Neutral,
    /// It is what others have written, or what belongs to a group.
    Others,
}

/// Every column of every table. A new one has to be added here, and to the erasure if it says something of a
/// user.
fn fates() -> BTreeMap<&'static str, Fate> {
    use Fate::{Emptied, IdStays, Neutral, Others, RowGoes};
    BTreeMap::from([
        ("users.id", IdStays),
        ("users.name", Emptied),
        ("users.display_name", Emptied),
        ("users.avatar_url", Emptied),
        ("users.name_is_managed", Emptied),
        ("users.display_name_is_managed", Emptied),
        ("users.avatar_url_is_managed", Emptied),
        ("users.erased_at", Neutral),
        ("users.erasing_since", Neutral),
        ("users.block_changes", Neutral),
        ("revocations.user_id", IdStays),
        ("revocations.revoked_at", Neutral),
        ("blocks.user_id", RowGoes),
        ("blocks.blocked_id", RowGoes),
        ("rates.user_id", RowGoes),
        ("rates.what", RowGoes),
        ("rates.started_at", RowGoes),
        ("rates.count", RowGoes),
        ("departures.user_id", RowGoes),
        ("departures.conversation_id", RowGoes),
        ("participants.conversation_id", RowGoes),
        ("participants.user_id", RowGoes),
        ("participants.role", RowGoes),
        ("participants.joined_at", RowGoes),
        ("participants.first_seq", RowGoes),
        ("participants.read_up_to", RowGoes),
        ("participants.sent", RowGoes),
        ("participants.sent_read", RowGoes),
        ("participants.active_on", RowGoes),
        ("participants.unread_told", RowGoes),
        ("read_marks.conversation_id", RowGoes),
        ("read_marks.user_id", RowGoes),
        ("read_marks.up_to_seq", RowGoes),
        ("read_marks.read_at", RowGoes),
        ("reactions.message_id", RowGoes),
        ("reactions.user_id", RowGoes),
        ("reactions.reaction", RowGoes),
        ("reactions.change", RowGoes),
        ("reactions.since", RowGoes),
        ("conversations.id", Neutral),
        // Of the conversation of two, which the other one still reads.
        ("conversations.first_user_id", IdStays),
        ("conversations.second_user_id", IdStays),
        ("conversations.last_seq", Neutral),
        ("conversations.last_message_at", Neutral),
        ("conversations.created_at", Neutral),
        // Of the group, whoever gave it to it.
        ("conversations.title", Others),
        ("conversations.avatar_url", Others),
        ("conversations.creator_id", IdStays),
        ("conversations.client_conversation_id", Emptied),
        ("conversations.participant_count", Neutral),
        ("conversations.last_change", Neutral),
        ("conversations.roster", Neutral),
        ("conversations.is_blocked", Neutral),
        ("messages.id", Neutral),
        ("messages.conversation_id", Neutral),
        ("messages.seq", Neutral),
        ("messages.sender_id", IdStays),
        ("messages.content", Emptied),
        ("messages.client_message_id", Emptied),
        ("messages.created_at", Neutral),
        ("messages.reply_to", Neutral),
        ("messages.metadata", Emptied),
        ("messages.reactions", Emptied),
        ("messages.edited_at", Neutral),
        ("messages.deleted_at", Neutral),
        ("messages.change", Neutral),
        ("events.number", Neutral),
        ("events.id", Neutral),
        ("events.type", Neutral),
        ("events.conversation_id", Neutral),
        // Undelivered events of the user's messages and to the user go with their rows.
        ("events.message_id", Neutral),
        ("events.user_id", IdStays),
        ("events.details", IdStays),
        ("events.created_at", Neutral),
        ("events.attempts", Neutral),
        ("events.due_at", Neutral),
        ("events.claim", Neutral),
        ("events.set_aside_at", Neutral),
        ("progress.single", Neutral),
        ("progress.unread_until", Neutral),
    ])
}

/// Whose a row is: the column with the user.
const OWNERS: [(&str, &str); 10] = [
    ("users", "id"),
    ("blocks", "user_id"),
    ("blocks", "blocked_id"),
    ("rates", "user_id"),
    ("departures", "user_id"),
    ("participants", "user_id"),
    ("read_marks", "user_id"),
    ("reactions", "user_id"),
    ("messages", "sender_id"),
    ("conversations", "creator_id"),
];

/// Every attribute of the table of connections, without what follows a `#`. Of a user who is erased, all go
/// but three: the key, the version of the item, and until when tokens are refused. A new one has to be added
/// here, and to the erasure.
const ATTRIBUTES: [&str; 15] = [
    "pk",
    "version",
    "revokedAt",
    "lease",
    "online",
    "onlineShard",
    "sweepAt",
    "lastSeenAt",
    "transition",
    "unannounced",
    "userId",
    "rooms",
    "ttl",
    "member",
    "apart",
];

fn check_attributes(items: &[Value]) {
    let names = items.iter().flat_map(|item| item.as_object().unwrap().keys());
    for name in names {
        let name = name.split('#').next().unwrap();
        assert!(ATTRIBUTES.contains(&name), "{name} has no fate");
    }
}

/// A user who has left every kind of trace, and what they have said.
struct Traces {
    stack: std::sync::Arc<Stack>,
    backend: Backend,
    receiver: Receiver,
    alice: User,
    bob: User,
    bob_phone: Client,
    conversation: String,
    group: String,
    left: String,
    _database: harness::Database,
}

/// Words that are nowhere else.
const SAID: &str = "xylophone";

async fn traces() -> Traces {
    let receiver = Receiver::start().await;
    let env = [&receiver.env()[..], &[("UNREAD_AFTER_SECONDS", "1")]].concat();
    let (stack, database) = open_stack(&env).await;
    let Pair { alice, alice_phone: mut phone, bob, mut bob_phone, conversation } = pair(&stack).await;
    let carol = User::of(&stack, "Carol");
    let mut carols = carol.connects().await;
    let message = |conversation: &str, number: usize| {
        json!({
            "conversationId": conversation,
            "content": format!("{SAID} {number}"),
            "clientMessageId": format!("{SAID}-{conversation}-{number}"),
            "metadata": { SAID: number },
        })
    };
    let sent = phone.sends_message(message(&conversation, 1)).await;
    phone.reacts(&sent, SAID).await;
    let answer = bob_phone.says(&conversation, "an answer of Bob").await;
    phone.reacts(&answer, SAID).await;
    bob_phone.reacts(&answer, "👍").await;
    alice.reads(&conversation, "").await;
    bob.reads(&conversation, "").await;
    let body = json!({
        "title": "A title",
        "participantIds": [bob.id, carol.id],
        "clientConversationId": format!("{SAID}-group"),
    });
    let answer = alice.posts("/api/conversations", &body).await;
    let group = answer.json::<protocol::rest::Conversation>().await.unwrap().id.to_string();
    for client in [&mut phone, &mut bob_phone, &mut carols] {
        client.joins(&group).await;
    }
    for number in 1..=3 {
        phone.sends_message(message(&group, number)).await;
    }
    let deleted = phone.sends_message(message(&group, 4)).await;
    phone.deletes(&deleted).await;
    // A group that she was removed from, in which she has said something.
    let left = bob.makes_group(&[&alice, &carol]).await;
    phone.sends_message(message(&left, 1)).await;
    assert_eq!(bob.removes(&left, &alice).await, 204);
    // A group of her own.
    let own = alice.makes_group(&[]).await;
    phone.sends_message(message(&own, 1)).await;
    for (user, other) in [(&alice, &carol), (&carol, &alice)] {
        let path = format!("/api/blocks?userId={}", other.id);
        assert_eq!(user.requests(Method::PUT, &path, None).await.status(), 204);
    }
    let backend = Backend::of(&stack);
    let path = format!("/service/users?userId={}", alice.id);
    let profile = json!({
        "name": format!("{SAID} Example"),
        "displayName": SAID,
        "avatarUrl": format!("https://example.com/{SAID}.png"),
    });
    backend.does::<protocol::User>(Method::PUT, &path, profile).await;
    // The rooms say now who is apart.
    phone.joins(&group).await;
    check_attributes(&items(&stack).await);
    phone.closes().await;
    Traces { stack, backend, receiver, alice, bob, bob_phone, conversation, group, left, _database: database }
}

#[tokio::test]
async fn an_export_holds_what_a_user_did_and_is() {
    let Traces { backend, alice, conversation, group, left, _database, .. } = traces().await;
    let export = exports(&backend, &alice).await;
    assert_eq!(export.user.name.as_deref(), Some("xylophone Example"));
    let said: Vec<_> = export.messages.iter().filter(|message| !message.content.is_empty()).collect();
    assert_eq!((export.messages.len(), said.len()), (7, 6));
    assert!(said.iter().all(|message| message.content.starts_with(SAID) && message.metadata.is_some()));
    for place in [&conversation, &group, &left] {
        assert!(said.iter().any(|message| message.conversation_id.to_string() == **place), "{place}");
    }
    assert_eq!((export.reactions.len(), export.blocks.len()), (2, 1));
    assert_eq!(export.participations.len(), 3, "not the group that she was removed from");
    let whole = serde_json::to_string(&export).unwrap();
    assert!(!whole.contains("an answer of Bob"), "nobody else's text: {whole}");
    assert!(export.messages.iter().all(|message| message.reactions.is_empty()), "nor their reactions");

    for (query, status) in
        [("", 400), ("?userId=nobody", 404), (&format!("?userId={}&cursor=x", alice.id), 400)]
    {
        let path = format!("/service/users/export{query}");
        let answer = backend.requests(Method::GET, &path, None).await;
        assert_eq!(answer.status(), status, "{query}");
        answer.json::<ErrorBody>().await.unwrap();
    }
}

#[tokio::test]
async fn a_long_export_comes_in_pages() {
    let (stack, database) = open_stack(&[("MAX_MESSAGES_PER_MINUTE", "0")]).await;
    let Pair { alice, bob, conversation, .. } = pair(&stack).await;
    let database = connect(&database.url).await;
    let many = format!(
        "insert into conversations (id, title, creator_id, participant_count) \
            select gen_random_uuid(), 'Group', '{bob}', 1 from generate_series(1, 250); \
        insert into participants (conversation_id, user_id) \
            select id, '{alice}' from conversations where title = 'Group'; \
        insert into messages (id, conversation_id, seq, sender_id, content, created_at) \
            select gen_random_uuid(), '{conversation}', n, '{alice}', 'message ' || n, clock_timestamp() \
            from generate_series(1, 230) as n; \
        insert into reactions (message_id, user_id, reaction, change, since) \
            select id, '{alice}', reaction, seq, seq from messages, (values ('a'), ('b')) as each (reaction)",
        alice = alice.id,
        bob = bob.id,
    );
    database.batch_execute(&many).await.unwrap();
    let export = exports(&Backend::of(&stack), &alice).await;
    assert_eq!((export.participations.len(), export.messages.len(), export.reactions.len()), (251, 230, 460));
    let mut seqs: Vec<_> = export.messages.iter().map(|message| message.seq.0).collect();
    seqs.dedup();
    assert_eq!(seqs, (1..=230).collect::<Vec<_>>());
}

#[tokio::test]
async fn nothing_is_left_of_a_user_who_is_erased() {
    let Traces {
        stack,
        backend,
        receiver,
        alice,
        bob,
        mut bob_phone,
        conversation,
        group,
        left,
        _database,
        ..
    } = traces().await;
    // Undelivered events of hers.
    receiver.is(Manner::Fails);
    let alice_again = User { issued_at: seconds_from_now(0), ..alice.clone() };
    let mut phone = alice_again.connects().await;
    phone.joins(&conversation).await;
    phone.says(&conversation, &format!("{SAID} for the last time")).await;
    bob_phone.receives_where(|frame| matches!(frame, Frame::Event(_))).await;
    let before = bob.sees(&conversation).await;

    let database = connect(stack.postgres_url()).await;
    assert_eq!(erases(&backend, &alice.id).await, 200);
    let told = phone.receives_where(|frame| matches!(frame, Frame::Error(_))).await;
    let Frame::Error(told) = told else { unreachable!("only such a frame fits") };
    assert_eq!(told.error.code, Code::Unauthenticated);
    phone.is_closed().await;

    let columns = "select table_name || '.' || column_name from information_schema.columns \
        where table_schema = 'public' and table_name <> 'refinery_schema_history'";
    let columns = database.query(columns, &[]).await.unwrap();
    let columns: std::collections::BTreeSet<String> = columns.iter().map(|row| row.get(0)).collect();
    let fates = fates();
    let known: std::collections::BTreeSet<String> = fates.keys().map(|name| (*name).to_owned()).collect();
    assert_eq!(columns, known, "every column has a fate");
    for (table, row) in everything(&database).await {
        assert!(!row.to_lowercase().contains(SAID), "{table}: {row}");
        let row: Value = serde_json::from_str(&row).unwrap();
        let is_hers = OWNERS.iter().any(|(of, column)| *of == table && row[*column] == alice.id.as_str());
        for (column, value) in row.as_object().unwrap() {
            let fate = fates[format!("{table}.{column}").as_str()];
            let names_her = value.as_str().is_some_and(|text| text.contains(&alice.id));
            let is_empty = value.is_null() || *value == "" || *value == false;
            let is_right = match fate {
                Fate::RowGoes => !is_hers,
                Fate::Emptied => !is_hers || is_empty,
                Fate::IdStays => true,
                Fate::Neutral | Fate::Others => !names_her,
            };
            assert!(is_right, "{table}.{column}: {value} ({fate:?})");
        }
    }
    let items = items(&stack).await;
    check_attributes(&items);
    for item in &items {
        if item.to_string().contains(&alice.id) {
            assert_eq!(item["pk"]["S"], format!("USER#{}", alice.id), "nothing else: {item}");
            let mut names: Vec<_> = item.as_object().unwrap().keys().collect();
            names.sort();
            assert_eq!(names, ["pk", "revokedAt", "version"]);
        }
    }

    // What others see.
    let seen = bob.sees(&conversation).await;
    assert_eq!((seen.participant_count, seen.other_user.unwrap().user.name), (1, None));
    assert!(seen.last_change > before.last_change, "the tombstones are numbered");
    let page = bob.reads(&conversation, "").await;
    let (hers, his): (Vec<_>, Vec<_>) =
        page.messages.iter().partition(|message| message.sender_id.as_str() == alice.id);
    assert!(hers.iter().all(|message| message.deleted_at.is_some() && message.content.is_empty()));
    assert!(hers.iter().all(|message| message.sender.name.is_none() && message.client_message_id.is_none()));
    assert_eq!(his[0].content, "an answer of Bob");
    assert_eq!(his[0].reactions.len(), 1, "only his own");
    let removed = |event: &Event| match event {
        Event::ParticipantsChanged { conversation_id, removed, .. } if removed.len() == 1 => {
            Some(conversation_id.to_string())
        }
        _ => None,
    };
    assert_eq!(bob_phone.hears(removed).await, left, "from before");
    let mut ended = [bob_phone.hears(removed).await, bob_phone.hears(removed).await];
    ended.sort();
    let mut expected = [conversation.clone(), group.clone()];
    expected.sort();
    assert_eq!(ended, expected);
    let say = json!({ "action": "send_message", "conversationId": conversation, "content": "hello?" });
    assert_eq!(bob_phone.is_refused(say).await.0, Code::Forbidden);
    assert_eq!(bob.sees(&group).await.participant_count, 2);
    assert!(bob.reads(&left, "").await.messages.iter().all(|message| message.content.is_empty()));

    // She is not there any more.
    assert_eq!(bob.asks_for_conversation_with(&alice).await, (200, conversation), "what was stays his");
    let dave = User::of(&stack, "Dave");
    let body = json!({ "otherUserId": alice.id });
    assert_eq!(dave.posts("/api/conversations/find-or-create", &body).await.status(), 404);
    assert_eq!(bob.adds(&left, &[&alice]).await, 404);
    let export = format!("/service/users/export?userId={}", alice.id);
    assert_eq!(backend.requests(Method::GET, &export, None).await.status(), 404);
    assert_eq!(Client::connect(&stack, &alice_again.token()).await.err(), Some(401));
    assert_eq!(alice_again.gets("/api/conversations").await.status(), 401);
    receiver.is(Manner::Takes);
    let wake = "update events set due_at = clock_timestamp() where due_at is not null";
    database.execute(wake, &[]).await.unwrap();
    stack.invokes("deliver_events").await;
    let told = receiver.takes(1, &alice.id).await;
    assert_eq!(told[0].kind, EventType::UserErased);
    assert!(matches!(&told[0].data, EventData::User(about) if about.user_id.as_str() == alice.id));

    // It may be repeated, also for somebody who was never there.
    assert_eq!(erases(&backend, &alice.id).await, 200);
    assert_eq!(erases(&backend, "nobody").await, 200);
    assert_eq!(receiver.told_of(&alice.id).len(), 1, "told once");
}

#[tokio::test]
async fn who_comes_back_after_an_erasure_is_somebody_new() {
    let Traces { stack, backend, alice, bob, conversation, _database, .. } = traces().await;
    assert_eq!(erases(&backend, &alice.id).await, 200);
    let again = User { issued_at: seconds_from_now(2), ..alice };
    let mut phone = again.connects().await;
    assert!(again.lists_conversations("").await.conversations.is_empty());
    let path = format!("/api/conversations/{conversation}");
    assert_eq!(again.gets(&path).await.status(), 403, "what was before stays closed");
    let group = bob.makes_group(&[&again]).await;
    phone.joins(&group).await;
    assert_eq!(phone.says(&group, "hello again").await.sender.display_name.as_deref(), Some("Alice"));
    assert_eq!(stack.invokes("sweep_connections").await["swept"], 0);
}

#[tokio::test]
async fn a_large_erasure_takes_several_requests() {
    let (stack, database) = open_stack(&[]).await;
    let Pair { alice, bob, conversation, .. } = pair(&stack).await;
    let database = connect(&database.url).await;
    let many = format!(
        "insert into messages (id, conversation_id, seq, sender_id, content, created_at) \
            select gen_random_uuid(), '{conversation}', n, '{}', '{SAID}', clock_timestamp() \
            from generate_series(1, 1000) as n; \
        update conversations set last_seq = 1000 where id = '{conversation}'",
        alice.id
    );
    database.batch_execute(&many).await.unwrap();
    let backend = Backend::of(&stack);
    // A database that is slow and busy.
    let slow = "create function takes_time() returns trigger language plpgsql as $$ \
            begin perform pg_sleep(0.01); return new; end $$; \
        create trigger takes_time before update on messages for each row execute function takes_time()";
    database.batch_execute(slow).await.unwrap();
    let mut statuses = Vec::new();
    while statuses.last() != Some(&200) {
        let began = std::time::Instant::now();
        statuses.push(erases(&backend, &alice.id).await);
        assert!(began.elapsed().as_secs() < 20, "it would have been cut off");
        assert!(statuses.len() < 50);
    }
    let (_, before) = statuses.split_last().unwrap();
    assert!(!before.is_empty() && before.iter().all(|status| *status == 202), "{statuses:?}");
    let left = "select count(*) from messages where content <> ''";
    assert_eq!(database.query_one(left, &[]).await.unwrap().get::<_, i64>(0), 0);
    assert_eq!(bob.sees(&conversation).await.last_change.0, 1001);
}

#[tokio::test]
async fn an_erasure_that_is_killed_at_any_step_goes_on_when_it_is_repeated() {
    let (stack, database) = open_stack(&[("MAX_MESSAGES_PER_MINUTE", "0")]).await;
    let Pair { alice, alice_phone: phone, bob, mut bob_phone, conversation } = pair(&stack).await;
    let group = alice.makes_group(&[&bob]).await;
    let said = bob_phone.says(&group, "of Bob").await;
    let database = connect(&database.url).await;
    let many = |conversation: &str, count: u32| {
        format!(
            "insert into messages \
                (id, conversation_id, seq, sender_id, content, client_message_id, created_at) \
                select gen_random_uuid(), '{conversation}', 10 + n, '{}', '{SAID} ' || n, \
                    case when n % 2 = 0 then 'named ' || n end, clock_timestamp() \
                from generate_series(1, {count}) as n; \
            update conversations set last_seq = 10 + {count} where id = '{conversation}'; \
            insert into reactions (message_id, user_id, reaction, change, since) \
                values ('{}', '{}', '{conversation}', 1, 1)",
            alice.id, said.id, alice.id
        )
    };
    for place in [&conversation, &group] {
        database.batch_execute(&many(place, 450)).await.unwrap();
    }
    phone.closes().await;
    let backend = Backend::of(&stack);
    // Each statement of an erasure is a step. Whoever kills it before the next one has only to repeat it.
    let watcher = connect(stack.postgres_url()).await;
    let mut kills = 0;
    let path = format!("/service/users?userId={}", alice.id);
    loop {
        let erasing = {
            let (backend, path) = (backend.clone(), path.clone());
            tokio::spawn(async move { backend.requests(Method::DELETE, &path, None).await.status().as_u16() })
        };
        // A little later each time.
        tokio::time::sleep(std::time::Duration::from_millis(10 + 3 * kills)).await;
        if erasing.is_finished() {
            assert_eq!(erasing.await.unwrap(), 200);
            break;
        }
        stack.kills("service_api");
        assert!([200, 202, 500, 503].contains(&erasing.await.unwrap()));
        kills += 1;
        assert!(kills < 200, "it never gets through");
    }
    assert!(kills > 2, "it was killed only {kills} times");
    for (table, row) in everything(&watcher).await {
        assert!(!row.contains(SAID), "{table}: {row}");
    }
    let erasing =
        "select count(*) from users where erasing_since is not null or (id = $1 and erased_at is null)";
    assert_eq!(watcher.query_one(erasing, &[&alice.id]).await.unwrap().get::<_, i64>(0), 0);
    assert!(bob.reads(&group, "?before=5").await.messages[0].reactions.is_empty());
    // The numbers of the changes have no gaps.
    let changes = "select count(distinct change), max(change), \
            (select last_change from conversations where id = $1::text::uuid) \
        from messages where conversation_id = $1::text::uuid and change is not null";
    let row = watcher.query_one(changes, &[&conversation]).await.unwrap();
    let (count, last): (i64, i64) = (row.get(0), row.get(2));
    assert_eq!(count + 1, last, "one for each message, and one for the participant");
    eventually("nothing is left to erase", async || erases(&backend, &alice.id).await == 200).await;
}
