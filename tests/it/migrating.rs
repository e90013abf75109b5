//! Migrations.

use std::sync::Arc;

use harness::{Database, Stack, StackOptions, connect};
use refinery::Target;
use serde_json::{Value, json};
use tokio_postgres::Client as Postgres;

use crate::people::User;

refinery::embed_migrations!("../migrations");

#[tokio::test]
async fn a_second_run_changes_nothing() {
    let stack = Stack::shared();
    let (one, other) = tokio::join!(stack.invokes("migrate"), stack.invokes("migrate"));
    assert_eq!(one["applied"], Value::Array(Vec::new()), "the stack has applied all of them at its start");
    assert_eq!(one, other);
}

#[tokio::test]
async fn two_runs_at_once_apply_each_migration_once() {
    let database = Database::create().await;
    let start = |url: String| {
        tokio::task::spawn_blocking(move || {
            // The stack is ready only if its own `migrate` succeeded.
            Stack::start(&StackOptions { database_url: Some(&url), ..StackOptions::default() })
        })
    };
    let (one, other) = tokio::join!(start(database.url.clone()), start(database.url.clone()));
    drop((one.unwrap(), other.unwrap()));
    let rows = connect(&database.url).await.query("select from refinery_schema_history", &[]).await.unwrap();
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations")).unwrap().flatten();
    let migrations = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "sql"));
    assert_eq!(rows.len(), migrations.count());
}

/// The last version of the schema that knew only conversations of two, and marked each message as read.
const TWO: i32 = 7;

/// What that version answered: each user's list, in order, and each conversation's history.
async fn answers_of_two(database: &Postgres, user: &str) -> (Vec<Value>, Vec<Vec<Value>>) {
    let message = "json_build_object('id', m.id, 'seq', m.seq, 'senderId', m.sender_id, 'content', m.content,
        'createdAt', to_char(m.created_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'),
        'readAt', to_char(m.read_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'))";
    let list = format!(
        "select c.id::text, c.last_seq, p.unread_count, {message}::text as last
         from participants p
         join conversations c on c.id = p.conversation_id
         left join messages m on m.conversation_id = c.id and m.seq = c.last_seq
         where p.user_id = $1
         order by coalesce(c.last_message_at, c.created_at) desc, c.id desc"
    );
    let (mut listed, mut histories) = (Vec::new(), Vec::new());
    for row in database.query(&list, &[&user]).await.unwrap() {
        let id: String = row.get(0);
        let last_seq: i64 = row.get(1);
        let last: Value = match last_seq {
            0 => Value::Null,
            _ => serde_json::from_str(row.get("last")).unwrap(),
        };
        listed.push(json!([id, last_seq, row.get::<_, i64>(2), last]));
        let history = format!(
            "select {message}::text from messages m where m.conversation_id::text = $1 order by m.seq"
        );
        let rows = database.query(&history, &[&id]).await.unwrap();
        histories.push(rows.iter().map(|row| serde_json::from_str(row.get(0)).unwrap()).collect());
    }
    (listed, histories)
}

/// The fields of a message that the old version had, as the API answers them.
fn fields(message: &protocol::Message) -> Value {
    let all = serde_json::to_value(message).unwrap();
    ["id", "seq", "senderId", "content", "createdAt", "readAt"]
        .into_iter()
        .map(|name| (name.to_owned(), all[name].clone()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// What the API answers now.
async fn answers(user: &User) -> (Vec<Value>, Vec<Vec<Value>>) {
    let (mut listed, mut histories) = (Vec::new(), Vec::new());
    for one in user.lists_conversations("?limit=100").await.conversations {
        let last = one.last_message.as_ref().map_or(Value::Null, fields);
        listed.push(json!([one.id.to_string(), one.last_seq.0, one.unread_count, last]));
        let mut history = Vec::new();
        loop {
            let after = history.len();
            let query = format!("?after={after}&limit=100&markRead=false");
            let page = user.reads(&one.id.to_string(), &query).await;
            history.extend(page.messages.iter().map(fields));
            if !page.has_more {
                break;
            }
        }
        histories.push(history);
    }
    (listed, histories)
}

/// Marks messages as read as the old version did.
async fn marks_as_of_two(database: &Postgres, conversation: &str, reader: &str, up_to: i64, at: i64) {
    let marked = database
        .execute(
            "update messages set read_at = '2026-11-01'::timestamptz + interval '1 second' * $4::bigint
             where conversation_id::text = $1 and sender_id <> $2 and read_at is null and seq <= $3",
            &[&conversation, &reader, &up_to, &at],
        )
        .await
        .unwrap();
    database
        .execute(
            "update participants set unread_count = unread_count - $3
             where conversation_id::text = $1 and user_id = $2",
            &[&conversation, &reader, &i64::try_from(marked).unwrap()],
        )
        .await
        .unwrap();
}

#[tokio::test]
async fn conversations_of_two_are_carried_over() {
    let database = Database::create().await;
    let mut old = connect(&database.url).await;
    migrations::runner().set_target(Target::Version(TWO)).run_async(&mut old).await.unwrap();

    // The users' tokens are the same before and after.
    let shared = Stack::shared();
    let people: Vec<_> = ["Alice", "Bob", "Carol"].map(|name| User::of(&shared, name)).into();
    for user in &people {
        old.execute("insert into users (id, name) values ($1, $1)", &[&user.id]).await.unwrap();
    }
    let mut conversations = Vec::new();
    for (day, (one, other)) in [(0, 1), (0, 2), (1, 2)].into_iter().enumerate() {
        let (one, other) = (&people[one].id, &people[other].id);
        let (first, second) = (one.min(other), one.max(other));
        let made = old
            .query_one(
                "insert into conversations (id, first_user_id, second_user_id, created_at)
                 values (gen_random_uuid(), $1, $2, '2026-10-01'::timestamptz + interval '1 day' * $3::bigint)
                 returning id::text",
                &[first, second, &i64::try_from(day).unwrap()],
            )
            .await
            .unwrap();
        let id: String = made.get(0);
        for user in [first, second] {
            let sql = "insert into participants (conversation_id, user_id) values ($1::text::uuid, $2)";
            old.execute(sql, &[&id, user]).await.unwrap();
        }
        conversations.push((id, [first.clone(), second.clone()]));
    }
    // A long history with runs of both, read now and then; a short one that nobody has read; one without any.
    for ((id, pair), length) in conversations.iter().zip([250, 0, 5_i64]) {
        for seq in 1..=length {
            let sender = &pair[usize::from((seq * 7 / 5 + seq / 11) % 3 == 0)];
            old.execute(
                "with message as (
                     insert into messages (id, conversation_id, seq, sender_id, content, client_message_id,
                                           created_at)
                     values (gen_random_uuid(), $1::text::uuid, $2, $3, 'message ' || $2::bigint,
                             'c' || $2::bigint,
                             '2026-11-01'::timestamptz + interval '1 second' * $2::bigint)
                     returning created_at
                 ), counted as (
                     update participants set unread_count = unread_count + 1
                     where conversation_id::text = $1 and user_id <> $3
                 )
                 update conversations set last_seq = $2, last_message_at = message.created_at
                 from message where id::text = $1",
                &[id, &seq, sender],
            )
            .await
            .unwrap();
            if length > 100 && seq % 17 == 0 && seq < 230 {
                marks_as_of_two(&old, id, &pair[usize::from(seq % 2 == 0)], seq - seq % 5, seq * 10).await;
            }
        }
    }
    let mut before = Vec::new();
    for user in &people {
        before.push(answers_of_two(&old, &user.id).await);
    }
    let unread: Vec<_> =
        before.iter().flat_map(|(listed, _)| listed.iter().map(|one| one[2].clone())).collect();
    assert!(unread.iter().filter(|count| **count != 0).count() > 2, "{unread:?}");

    let options = StackOptions { database_url: Some(&database.url), ..StackOptions::default() };
    let stack = Arc::new(Stack::start(&options));
    for (user, expected) in people.iter().zip(before) {
        let user = User { stack: stack.clone(), ..user.clone() };
        let (listed, histories) = answers(&user).await;
        assert_eq!(listed, expected.0, "the list of {}", user.name);
        assert_eq!(histories, expected.1, "what {} reads", user.name);
    }

    // And it goes on: a repeat is recognised, and reading goes up from where it was.
    let (id, pair) = &conversations[0];
    let by_id = |id: &String| people.iter().find(|user| user.id == *id).unwrap();
    let user = User { stack: stack.clone(), ..by_id(&pair[0]).clone() };
    let mut phone = user.connects().await;
    let seq = (1..=250).find(|seq| (seq * 7 / 5 + seq / 11) % 3 != 0).unwrap();
    let repeat = json!({ "conversationId": id, "content": "again", "clientMessageId": format!("c{seq}") });
    assert_eq!(phone.sends_message(repeat).await.content, format!("message {seq}"));
    assert_eq!(phone.says(id, "and on").await.seq.0, 251);
    let page = user.reads(id, "?limit=1").await;
    assert_eq!(page.messages[0].content, "and on");
    assert_eq!(user.sees(id).await.unread_count, 0);
    let (_, histories) = answers(&user).await;
    let read = histories.iter().flatten().filter(|message| message["senderId"] != json!(user.id));
    let unread = read.filter(|message| message["readAt"].is_null()).count();
    assert_eq!(unread, 0, "all of the other's");
}
